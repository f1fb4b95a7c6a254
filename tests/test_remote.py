"""Two real vLLM API servers, one of them lost on the way."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from extractor.api.batcher import Batcher
from extractor.api.problems import NotReadyError
from extractor.engine.base import Ask, Chat
from extractor.engine.remote import RemoteEngine
from extractor.errors import EngineError
from extractor.pipeline import Extractor, Job
from extractor.result import Extraction
from extractor.store import entry
from schemas.cmr_report_v1 import CmrReportV1

pytestmark = [pytest.mark.engine, pytest.mark.slow]

CHAT = Chat(**entry("smollm2-135m").template.model_dump())
REPORT = "Left ventricle dilated, LVEDV 246 mL, LVEF 31 %. No oedema. Mid-wall septal LGE. RVEF 48 %."


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(folder: Path, log: Path, port: int = 0) -> tuple[subprocess.Popen[bytes], str]:
    port = port or free_port()
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder),
        "--served-model-name", "tiny-random", "--host", "127.0.0.1", "--port", str(port), "--enforce-eager",
        "--max-model-len", "8192", "--enable-prompt-tokens-details", "--max-logprobs", "128",
    ]  # fmt: skip
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    environment.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    return process, f"http://127.0.0.1:{port}"


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{url}/health").status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.5)
    pytest.fail("the vLLM server did not start")


@pytest.fixture(scope="module")
def servers(tiny_model_dir, tmp_path_factory) -> Iterator[list[tuple[subprocess.Popen[bytes], str]]]:
    logs = [tmp_path_factory.mktemp("servers") / f"{n}.log" for n in range(2)]
    started = [start(tiny_model_dir, log) for log in logs]
    try:
        for (process, url), log in zip(started, logs, strict=True):
            wait_for(process, url, log)
        yield started
    finally:
        for process, _ in started:
            stop(process)


def engine(urls: list[str]) -> RemoteEngine:
    return RemoteEngine(urls, model="tiny-random", names=["tiny-random"], chat=CHAT)


def test_a_server_scores_as_the_engine_in_this_process_does(servers, tiny_engine):
    remote = engine([servers[0][1]])
    prompt = tuple(remote.encode(REPORT))
    assert list(prompt) == tiny_engine.encode(REPORT)
    ask = Ask(prompt, (10, 11, 12, 500))
    (there,), (here,) = remote.score([ask]), tiny_engine.score([ask])
    assert there.logprobs == pytest.approx(here.logprobs, abs=1e-3)
    remote.close()


@pytest.mark.parametrize(("schema", "decode"), [("cmr-report@1", "choice"), ("cmr-diagnosis@1", "grammar")])
def test_reports_read_the_same_through_servers(servers, tiny_extractor, schema, decode):
    remote = Extractor(engine([url for _, url in servers]))
    jobs = [Job(REPORT.replace("31", str(30 + n)), schema, decode) for n in range(4)]
    here, there = tiny_extractor.extract(jobs), remote.extract(jobs)
    for one, other in zip(here, there, strict=True):
        assert isinstance(other, Extraction), other
        for path, field in one.fields.items():
            assert other.fields[path].probability == pytest.approx(field.probability, abs=5e-3)
        assert other.provenance.weights_sha256 is None
        assert other.provenance.engine.endswith("server")
    remote.engine.close()


def test_reports_are_read_on_where_a_server_is_lost(servers):
    remote = Extractor(engine([url for _, url in servers]))
    jobs = [Job(REPORT.replace("31", str(30 + n))) for n in range(6)]
    assert all(isinstance(result, Extraction) for result in remote.extract(jobs))
    stop(servers[1][0])
    results = remote.extract(jobs)
    assert all(isinstance(result, Extraction) for result in results)
    for result in results:
        assert isinstance(result, Extraction)
        CmrReportV1.model_validate_json(json.dumps(result.data))
    remote.engine.close()


def test_a_model_that_is_not_served_is_named(servers):
    with pytest.raises(EngineError, match="does not serve gemma") as caught:
        RemoteEngine([servers[0][1]], model="gemma", names=["gemma"], chat=CHAT)
    assert "--served-model-name" in str(caught.value)


def test_no_server_at_all_is_a_clear_error():
    with pytest.raises(EngineError) as caught:
        engine([f"http://127.0.0.1:{free_port()}"])
    assert caught.value.code == "engine_unreachable"
    assert "ConnectError" in caught.value.detail


def test_the_service_is_not_ready_while_no_server_answers_and_again_when_one_does(
    servers, tiny_model_dir, tmp_path
):
    process, url = servers[0]
    remote = Extractor(engine([url]))
    batcher = Batcher(lambda: remote, ["cmr-diagnosis@1"], max_batch=8, max_waiting=8, probe_idle=True)
    batcher.start()
    assert trouble_becomes(batcher, None)
    stop(process)
    assert trouble_becomes(batcher, "engine_down")  # without a report that has to fail first
    with pytest.raises(NotReadyError, match="ConnectError") as refused:
        batcher.submit([Job(REPORT)])
    assert refused.value.retry_after
    log = tmp_path / "again.log"
    servers[0] = process, _ = start(tiny_model_dir, log, httpx.URL(url).port or 0)
    wait_for(process, url, log)
    assert trouble_becomes(batcher, None)
    (answer,) = batcher.submit([Job(REPORT, "cmr-diagnosis@1")])
    assert isinstance(answer.result(60), Extraction)
    batcher.close()
    remote.engine.close()


def trouble_becomes(batcher: Batcher, code: str | None) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            batcher.check_ready()
            now = None
        except NotReadyError as error:
            now = error.code
        if now == code:
            return True
        time.sleep(0.1)
    return False
