"""The engine on real vLLM API servers. What it does when one is lost: test_remote_failover.py."""

import pytest

from extractor.engine.base import Ask, Chat
from extractor.engine.remote import RemoteEngine
from extractor.errors import EngineError
from extractor.pipeline import Extractor, Job
from extractor.result import Extraction
from tests.servers import free_port, open_remote

pytestmark = [pytest.mark.engine, pytest.mark.slow]

REPORT = "Left ventricle dilated, LVEDV 246 mL, LVEF 31 %. No oedema. Mid-wall septal LGE. RVEF 48 %."


def test_a_server_scores_as_the_engine_in_this_process_does(vllm_servers, tiny_engine):
    remote = open_remote([vllm_servers[0].url])
    prompt = tuple(remote.encode(REPORT))
    assert list(prompt) == tiny_engine.encode(REPORT)
    ask = Ask(prompt, (10, 11, 12, 500))
    (there,), (here,) = remote.score([ask]), tiny_engine.score([ask])
    assert there.logprobs == pytest.approx(here.logprobs, abs=1e-3)
    remote.close()


@pytest.mark.parametrize(("schema", "decode"), [("cmr-report@1", "choice"), ("cmr-diagnosis@1", "grammar")])
def test_reports_read_the_same_through_servers(vllm_servers, tiny_extractor, schema, decode):
    remote = Extractor(open_remote([server.url for server in vllm_servers]))
    jobs = [Job(REPORT.replace("31", str(30 + n)), schema, decode) for n in range(4)]
    here, there = tiny_extractor.extract(jobs), remote.extract(jobs)
    for one, other in zip(here, there, strict=True):
        assert isinstance(other, Extraction), other
        for path, field in one.fields.items():
            assert other.fields[path].probability == pytest.approx(field.probability, abs=5e-3)
        assert other.provenance.weights_sha256 is None
        assert other.provenance.engine.endswith("server")
    remote.engine.close()


def test_a_model_that_is_not_served_is_named(vllm_servers):
    with pytest.raises(EngineError, match="does not serve gemma") as caught:
        RemoteEngine([vllm_servers[0].url], model="gemma", names=["gemma"], chat=Chat())
    assert "--served-model-name" in str(caught.value)


def test_no_server_at_all_is_a_clear_error():
    with pytest.raises(EngineError) as caught:
        open_remote([f"http://127.0.0.1:{free_port()}"])
    assert caught.value.code == "engine_unreachable"
    assert "ConnectError" in caught.value.detail
