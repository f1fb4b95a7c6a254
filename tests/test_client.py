"""The Python client as a program uses it: against the real API, and against real servers that misbehave."""

import asyncio
import inspect
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractor.api.docs import _EXAMPLE
from extractor.client import (
    AnswerError,
    AsyncClient,
    Client,
    ClientError,
    ProblemError,
    ReportProblem,
    SchemaDeprecatedWarning,
    ServerUnreachableError,
)
from extractor.client.retry import LONGEST_WAIT, wait_before_retry
from extractor.errors import RequestError
from extractor.result import Extraction
from schemas import cmr_diagnosis_v1, registry

CANARY = "Xylocanary"
REPORT = "Normal left ventricle, LVEF 62 %. No oedema. No late gadolinium enhancement."
DIAGNOSIS = "cmr-diagnosis@1"


class Awaited:
    """An `AsyncClient` that a test calls like a `Client`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*args, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def call(*args: Any, **options: Any) -> Any:
            return await method(*args, **options)

        return lambda *args, **options: self._runner.run(call(*args, **options))

    def __repr__(self) -> str:
        return repr(self._client)

    def close(self) -> None:
        with self._runner:
            self._runner.run(self._client.close())


Connect = Callable[..., Any]


@pytest.fixture(params=[Client, Awaited], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make a client, of either kind, that is closed when the test ends."""
    opened: list[Any] = []

    def make(*args: Any, **options: Any) -> Any:
        opened.append(request.param(*args, **options))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


# --- with the real API ---


@pytest.fixture
def client(connect: Connect, api_url: str) -> Any:
    return connect(api_url)


@pytest.mark.engine
@pytest.mark.parametrize("decode", ["choice", "grammar"])
def test_one_report_gives_the_typed_result_that_the_api_gives(client, api_url, decode):
    result = client.extract(REPORT, schema=DIAGNOSIS, decode=decode, id="study-17", distribution=True)
    body = {"text": REPORT, "schema": DIAGNOSIS, "decode": decode, "id": "study-17", "distribution": True}
    sent = httpx.post(f"{api_url}/extract", json=body, timeout=60).json()
    assert result.model_copy(update={"usage": None}) == Extraction.model_validate(sent).model_copy(
        update={"usage": None}
    )
    assert result.id == "study-17"
    assert sum(result.fields["diagnosis"].distribution.values()) == pytest.approx(1)
    cmr_diagnosis_v1.VERSION.model.model_validate(result.data)


@pytest.mark.engine
def test_more_reports_than_the_server_takes_come_back_in_order_around_bad_ones(client):
    texts = [REPORT] * 11
    texts[2], texts[9] = " ", "a\0b"
    names = [f"study-{number}" for number in range(11)]
    results = client.extract_many(texts, ids=names, schema=DIAGNOSIS)
    assert [result.id for result in results] == names
    bad = {index: result for index, result in enumerate(results) if isinstance(result, ReportProblem)}
    assert {index: problem.field for index, problem in bad.items()} == {
        2: "reports[2].text",
        9: "reports[9].text",
    }
    assert all(problem.status == 422 and problem.fix for problem in bad.values())


@pytest.mark.engine
@pytest.mark.parametrize("size", [5_000, 20_000_000])
def test_a_report_that_is_too_large_to_send_fails_alone(client, size):
    results = client.extract_many([REPORT, "x" * size, REPORT], ids=["a", "b", "c"], schema=DIAGNOSIS)
    assert [result.id for result in results] == ["a", "b", "c"]
    assert [type(result) for result in results] == [Extraction, ReportProblem, Extraction]
    assert results[1].field == "reports[1].text"
    assert results[1].status == 413


def test_a_list_that_is_too_large_for_a_proxy_is_halved(connect):
    page, one = Answer(413, "<html>"), Answer(body={"results": [_EXAMPLE]})
    with scripted(page, one, page, one) as server:
        results = connect(server.url).extract_many(
            [REPORT, "x", REPORT], ids=["a", "b", "c"], schema=DIAGNOSIS, batch=2
        )
        sent = [len(json.loads(body)["reports"]) for _, body in server.requests]
    assert sent == [2, 1, 1, 1]
    assert [type(result) for result in results] == [Extraction, ReportProblem, Extraction]
    assert (results[1].id, results[1].status, results[1].field) == ("b", 413, "reports[1].text")


@pytest.mark.engine
def test_no_reports_no_results(client):
    assert client.extract_many([]) == []


@pytest.mark.engine
@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("", {}, (422, "report_empty", "text")),
        ("x", {"schema": CANARY}, (404, "schema_unknown", "schema")),
        ("x", {"decode": CANARY}, (400, "request_invalid", "decode")),
        ("x", {"model": CANARY}, (404, "model_unknown", "model")),
        ("x", {CANARY: 1}, (400, "request_invalid", None)),
    ],
)
def test_a_problem_is_raised_with_its_parts_and_nothing_that_was_sent(client, text, options, expected):
    with pytest.raises(ProblemError) as raised:
        client.extract(text, **options)
    problem = raised.value
    assert (problem.status, problem.code, problem.field) == expected
    assert problem.title
    assert problem.fix
    assert CANARY not in f"{problem}{problem!r}"


@pytest.mark.engine
def test_what_the_server_has_can_be_looked_up(client):
    assert [info.ref for info in client.schemas()] == [version.ref for version in registry.all_versions()]
    assert client.json_schema("cmr-report@1")["properties"]["measurements"]
    assert client.json_schema("cmr-diagnosis") == client.json_schema(registry.get("cmr-diagnosis").ref)
    with pytest.raises(ProblemError, match="No schema has that name"):
        client.json_schema("nope@1")


@pytest.mark.engine
def test_a_server_that_is_ready_is(client):
    client.wait_ready(0)
    assert client.ready() is True


@pytest.mark.engine
def test_a_deprecated_version_warns_at_the_callers_line(client, monkeypatch):
    old = replace(
        cmr_diagnosis_v1.VERSION,
        name="old-diagnosis",
        status="deprecated",
        deprecated=date(2026, 3, 1),
        sunset=date(2027, 3, 1),
    )
    monkeypatch.setattr(registry, "_added", [])
    registry.add(old, replace(cmr_diagnosis_v1.VERSION, name="old-diagnosis", version=2))
    with pytest.warns(SchemaDeprecatedWarning) as warned:
        client.extract(REPORT, schema="old-diagnosis@1")
    (said,) = warned
    assert "deprecated since 2026-03-01" in str(said.message)
    assert "gone from 2027-03-01" in str(said.message)
    assert "Use old-diagnosis@2." in str(said.message)
    assert said.filename == __file__
    with pytest.warns(SchemaDeprecatedWarning):
        client.json_schema("old-diagnosis@1")


# --- with servers that misbehave ---


@dataclass(frozen=True)
class Answer:
    """What a scripted server says next; `status` 0 hangs up instead."""

    status: int = 200
    body: Any = field(default_factory=lambda: _EXAMPLE)
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0


@dataclass
class Script:
    url: str
    requests: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def pauses(self) -> list[float]:
        times = [when for when, _ in self.requests]
        return [later - earlier for earlier, later in pairwise(times)]


@contextmanager
def scripted(*answers: Answer, port: int = 0) -> Iterator[Script]:
    """Run a real HTTP server that gives `answers` in turn, the last one for ever."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            script.requests.append((time.monotonic(), body))
            answer = left.pop(0) if len(left) > 1 else left[0]
            time.sleep(answer.after)
            if answer.status:
                self.answer(answer)
            self.close_connection = True

        do_GET = do_POST  # noqa: N815

        def answer(self, answer: Answer) -> None:
            content = (
                answer.body.encode() if isinstance(answer.body, str) else json.dumps(answer.body).encode()
            )
            self.send_response(answer.status)
            for name, value in {**answer.headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        script = Script(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()


def problem(status: int, code: str = "some_code", **headers: str) -> Answer:
    body = {
        "type": f"urn:extractor:problem:{code}",
        "title": "Title",
        "status": status,
        "detail": "Detail.",
        "code": code,
    }
    return Answer(status, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def in_two_seconds() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize(
    ("busy", "least", "most"),
    [
        (lambda: problem(503, Retry_After="1"), 1, 1.5),
        (lambda: problem(429, Retry_After="1"), 1, 1.5),
        (lambda: problem(429, Retry_After=in_two_seconds()), 0.8, 2.5),  # a date has whole seconds
        (lambda: problem(503, Retry_After="soon"), 0.25, 1),
        (lambda: problem(503), 0.25, 1),
        (lambda: Answer(503, "<html>Busy</html>"), 0.25, 1),
        (lambda: Answer(0), 0.25, 1),
    ],
    ids=["503 seconds", "429 seconds", "429 date", "503 nonsense", "503", "503 of a proxy", "cut off"],
)
def test_a_busy_or_broken_server_is_asked_again_when_it_said(connect, busy, least, most):
    with scripted(busy(), Answer()) as server:
        assert connect(server.url).extract(REPORT).data == _EXAMPLE["data"]
    assert len({body for _, body in server.requests}) == 1
    (pause,) = server.pauses
    assert least <= pause < most


def test_a_server_that_is_not_there_yet_is_asked_again(connect):
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        port = held.getsockname()[1]
    up = threading.Event()
    done = threading.Event()

    def start() -> None:
        time.sleep(0.5)
        with scripted(Answer(), port=port):
            up.set()
            done.wait(30)

    thread = threading.Thread(target=start)
    thread.start()
    try:
        assert connect(f"http://127.0.0.1:{port}").extract(REPORT).id == _EXAMPLE["id"]
        assert up.is_set()
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("status", [400, 404, 408, 413, 415, 422, 500])
def test_other_errors_are_not_asked_again(connect, status):
    with scripted(problem(status)) as server, pytest.raises(ProblemError) as raised:
        connect(server.url).extract(REPORT)
    assert raised.value.status == status
    assert len(server.requests) == 1


def test_after_the_last_try_the_servers_own_problem_is_raised(connect):
    with scripted(problem(503, "model_loading", Retry_After="0")) as server:
        with pytest.raises(ProblemError) as raised:
            connect(server.url, retries=2).extract(REPORT)
        assert len(server.requests) == 3
        with pytest.raises(ProblemError):
            connect(server.url, retries=0).extract(REPORT)
        assert len(server.requests) == 4
    assert (raised.value.code, raised.value.retry_after) == ("model_loading", 0)


def test_a_server_that_wants_an_hour_is_not_waited_for(connect):
    with scripted(problem(429, Retry_After="3600")) as server, pytest.raises(ProblemError) as raised:
        connect(server.url).extract(REPORT)
    assert raised.value.retry_after == 3600
    assert len(server.requests) == 1


def test_a_server_that_is_too_slow_is_not_asked_the_same_again(connect):
    with scripted(Answer(after=1)) as server, pytest.raises(ServerUnreachableError) as raised:
        connect(server.url, timeout=0.2).extract(REPORT)
    assert raised.value.code == "server_timeout"
    assert len(server.requests) == 1


@given(st.integers(1, 10_000))
def test_waits_grow_and_end(failures):
    wait = wait_before_retry(httpx.ConnectError(""), failures)
    assert wait is not None
    assert min(LONGEST_WAIT, 0.5 * 2.0 ** min(failures - 1, 20)) / 2 <= wait <= LONGEST_WAIT


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, f"<html>{CANARY}</html>", {}),
        (200, {CANARY: 1}, {}),
        (200, [CANARY], {}),
        (200, {"results": []}, {}),
        (200, {"results": [_EXAMPLE] * 2}, {}),
        (404, f"<html>{CANARY}</html>", {}),
        (404, {"type": "about:blank", "title": CANARY, "status": 404, "detail": CANARY, "code": CANARY}, {}),
        (307, "", {"location": "/elsewhere"}),
    ],
)
def test_an_answer_that_is_not_the_apis_is_told_apart_and_not_repeated(connect, status, body, headers):
    with scripted(Answer(status, body, headers)) as server:
        client = connect(server.url, retries=0)
        asks: list[Callable[[], Any]] = [lambda: client.extract("x"), lambda: client.extract_many(["x"])]
        for ask in asks:
            with pytest.raises(AnswerError) as raised:
                ask()
            assert CANARY not in f"{raised.value}{raised.value!r}"
            assert raised.value.__context__ is None
    assert len(server.requests) == 2


def test_what_a_newer_server_says_beside_is_left_out(connect):
    newer = json.loads(json.dumps(_EXAMPLE))
    found = newer["fields"]["diagnosis"]
    for part in (newer, found, found["evidence"], newer["provenance"], newer["usage"]):
        part["newer"] = {"key": "value"}
    with scripted(
        Answer(body=newer),
        Answer(body={"results": [newer], "newer": 1}),
        Answer(body={"schemas": [], "newer": 1}),
    ) as server:
        client = connect(server.url)
        assert client.extract(REPORT) == Extraction.model_validate(_EXAMPLE)
        assert client.extract_many([REPORT]) == [Extraction.model_validate(_EXAMPLE)]
        assert client.schemas() == []


# --- readiness ---


def test_loading_is_waited_for(connect):
    loading = problem(503, "model_loading", Retry_After="5")
    with scripted(loading, loading, Answer(0), Answer(body={"status": "ready"})) as server:
        client = connect(server.url)
        assert client.ready() is False
        client.wait_ready(30)
    assert len(server.requests) == 4


@pytest.mark.parametrize(("code", "seconds"), [("model_failed", 30), ("model_loading", 0)])
def test_a_wait_ends_with_what_the_server_said(connect, code, seconds):
    with scripted(problem(503, code)) as server, pytest.raises(ProblemError) as raised:
        connect(server.url).wait_ready(seconds)
    assert raised.value.code == code
    assert len(server.requests) == 1


def test_who_is_not_there_is_not_ready(connect):
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        client = connect(f"http://127.0.0.1:{held.getsockname()[1]}", retries=0)
    assert client.ready() is False
    with pytest.raises(ServerUnreachableError, match="extractor serve"):
        client.wait_ready(0)


# --- what is wrong with a call ---


@pytest.mark.parametrize("address", ["gpu-box:8000", "", "ftp://gpu-box", "http://", "http://gpu-box:port"])
def test_an_address_that_is_none_is_refused(connect, address):
    with pytest.raises(RequestError) as raised:
        connect(address)
    assert raised.value.field == "base_url"


def test_a_password_in_the_address_is_refused_and_not_repeated(connect):
    with pytest.raises(RequestError) as raised:
        connect(f"http://me:{CANARY}@gpu-box:8000")
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (lambda client: client.extract(5), "text"),
        (lambda client: client.extract(f"{CANARY} \udcfc"), "text"),
        (lambda client: client.extract("x", id=object()), "options"),
        (lambda client: client.extract("x", schema="\udcfc"), "options"),
        (lambda client: client.extract_many(CANARY), "reports"),
        (lambda client: client.extract_many(["x", f"{CANARY} \udcfc"]), "reports[1].text"),
        (lambda client: client.extract_many(["x"], ids=["a", "b"]), "ids"),
    ],
)
def test_a_call_that_cannot_be_sent_is_refused_before_anything_is(connect, call, where):
    with scripted(Answer()) as server, pytest.raises(RequestError) as raised:
        call(connect(server.url))
    assert raised.value.field == where
    assert raised.value.fix
    assert CANARY not in str(raised.value)
    assert server.requests == []


# --- where the text goes ---

GARBLED = Answer(200, "not gzip", {"content-encoding": "gzip"})


@pytest.mark.parametrize("answer", [problem(422), Answer(0), Answer(500, "<html>"), GARBLED])
def test_report_text_reaches_neither_logs_nor_errors(connect, answer, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with scripted(answer) as server:
        client = connect(server.url, retries=1, headers={"Authorization": CANARY})
        with pytest.raises(ClientError) as raised:
            client.extract(CANARY, id=CANARY)
    assert CANARY not in f"{raised.value}{raised.value!r}"
    assert raised.value.__context__ is None
    assert CANARY.encode() in server.requests[0][1]
    assert CANARY not in repr(client)
    assert CANARY not in caplog.text
    assert CANARY not in "".join(capfd.readouterr())


def test_a_proxy_of_the_environment_sees_no_report(connect, monkeypatch):
    with scripted(Answer()) as proxy, scripted(Answer()) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        connect(server.url).extract(REPORT)
    assert (len(proxy.requests), len(server.requests)) == (0, 1)


# --- the two clients ---


def test_both_clients_have_the_same_methods():
    def public(kind: type) -> dict[str, inspect.Signature]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(method) for name, method in methods if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
    assert inspect.signature(Client) == inspect.signature(AsyncClient)


def test_both_are_context_managers():
    async def inside() -> str:
        async with AsyncClient(server.url) as client:
            return (await client.extract(REPORT)).schema_

    with scripted(Answer()) as server:
        with Client(server.url) as client:
            assert client.extract(REPORT).schema_ == _EXAMPLE["schema"]
        assert asyncio.run(inside()) == _EXAMPLE["schema"]
        with pytest.raises(RuntimeError, match="closed"):
            client.extract(REPORT)


def test_the_client_imports_no_model_and_no_server():
    code = (
        "import sys, extractor.client\n"
        "heavy = {'vllm', 'torch', 'transformers', 'outlines', 'litestar', 'uvicorn', 'numpy'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
