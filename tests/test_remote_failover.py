"""Two real vLLM API servers behind the service: one is killed while reports are being read, then the other, and one is started again."""

import itertools
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from extractor.api.batcher import Batcher
from extractor.api.line import Outcome
from extractor.api.problems import NotReadyError
from extractor.pipeline import Extractor, Job
from extractor.result import Extraction
from tests.servers import open_remote, until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SCHEMA = "cmr-diagnosis@1"
CALLERS = 8
TEXTS = [
    f"Study {n}. Left ventricle dilated, LVEF {20 + n} %. No oedema. Mid-wall septal LGE." for n in range(24)
]


def job(number: int) -> Job:
    return Job(TEXTS[number % len(TEXTS)], SCHEMA, id=str(number))


@contextmanager
def load(batcher: Batcher, numbers: Iterator[int]) -> Iterator[list[tuple[int, Outcome]]]:
    """Callers who each send one report after the other, until the block ends; yield what they are answered."""
    enough = threading.Event()
    answers: list[tuple[int, Outcome]] = []

    def call() -> None:
        while not enough.is_set():
            number = next(numbers)
            (answer,) = batcher.submit([job(number)])
            answers.append((number, answer.result(120)))

    with ThreadPoolExecutor(CALLERS) as threads:
        callers = [threads.submit(call) for _ in range(CALLERS)]
        try:
            yield answers
        finally:
            enough.set()
    for caller in callers:
        caller.result()


def trouble(batcher: Batcher) -> str | None:
    try:
        batcher.check_ready()
    except NotReadyError as error:
        return error.code
    return None


def test_a_server_killed_under_load_costs_no_report_and_with_none_left_the_service_waits(
    vllm_servers, caplog
):
    caplog.set_level(logging.INFO, "extractor.engine")
    lost, kept = vllm_servers
    remote = Extractor(open_remote([lost.url, kept.url]))
    batcher = Batcher(lambda: remote, [SCHEMA], max_batch=8, max_waiting=64, probe_idle=True)
    batcher.start()
    until(lambda: trouble(batcher) is None, 60)
    expected = [answer.result(60) for answer in batcher.submit([job(n) for n in range(len(TEXTS))])]
    assert lost.answered() > 0
    assert kept.answered() > 0
    with load(batcher, itertools.count()) as answers:
        until(lambda: len(answers) > 40, 60)
        lost.kill()
        killed = len(answers)
        until(lambda: len(answers) > killed + 40, 60)
    kept.kill()
    until(lambda: trouble(batcher) == "engine_down", 60)  # without a report that has to fail first
    with pytest.raises(NotReadyError, match="ConnectError") as refused:
        batcher.submit([job(0)])
    assert refused.value.retry_after
    lost.start()
    lost.wait()
    until(lambda: trouble(batcher) is None, 60)
    with load(batcher, itertools.count(len(answers))) as later:
        until(lambda: lost.answered() > 0, 60)
    answers += later
    batcher.close()
    remote.engine.close()
    assert sorted(number for number, _ in answers) == list(range(len(answers)))
    for number, outcome in answers:
        read = expected[number % len(TEXTS)]
        assert isinstance(outcome, Extraction), outcome
        assert isinstance(read, Extraction), read
        assert (outcome.id, outcome.data) == (str(number), read.data)
        for path, field in outcome.fields.items():
            assert field.probability == pytest.approx(read.fields[path].probability, abs=5e-3)
    said = [record.getMessage() for record in caplog.records if record.name == "extractor.engine"]
    first, second, well = said
    assert first.startswith(f"A vLLM server is down. {lost.url}: ")
    assert second.startswith(f"A vLLM server is down. {kept.url}: ")
    assert well == f"A vLLM server is well again: {lost.url}"
