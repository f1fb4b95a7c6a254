"""The HTTP API as a caller sees it: a real server on loopback, a real engine with a tiny random model."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any

import httpx
import orjson
import pytest
import uvicorn

from extractor.api.app import Settings, create_app
from extractor.api.models import ExtractionList, ExtractRequest
from extractor.errors import ExtractorError, StoreError
from extractor.pipeline import Extractor, Job
from extractor.result import Extraction
from schemas import registry
from tests.servers import until

CANARY = "Xylocanary"
SMALL = Settings(max_reports=4, max_body=4096, max_batch=8)
REPORT = "Normal left ventricle, LVEF 62 %. No oedema. No late gadolinium enhancement."
DIAGNOSIS = "cmr-diagnosis@1"

pytestmark = pytest.mark.engine


class Client(httpx.Client):
    """A client of one running server, which a test may stop or look into."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{port}", timeout=120)
        self.server = server

    def queued(self) -> int:
        app: Any = self.server.config.app
        return int(app.state.batcher.waiting)


@contextmanager
def serving(
    open_extractor: Callable[[], Extractor], settings: Settings = SMALL, *, wait: bool = True
) -> Iterator[Client]:
    """Run the API on a free port; yield a client of it, once it is ready if `wait`."""
    config = uvicorn.Config(create_app(settings, open_extractor), log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            with Client(server, listener.getsockname()[1]) as client:
                path = "/health/ready" if wait else "/health/live"
                until(lambda: client.get(path).status_code == 200)
                yield client
        finally:
            server.should_exit = True
            thread.join()


class Watched(Extractor):
    """The real extractor, with a gate before each batch and a record of what went through it."""

    def __init__(self, real: Extractor) -> None:
        super().__init__(real.engine)
        self.real = real
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.batches: list[list[Job]] = []
        self.prepared: list[Any] = []

    def prepare(self, schema: Any, *rest: Any) -> None:
        self.prepared.append(schema)
        self.real.prepare(schema, *rest)

    def extract(self, jobs: Sequence[Job]) -> list[Extraction | ExtractorError]:
        self.entered.set()
        assert self.gate.wait(60)
        self.batches.append(list(jobs))
        if any("unreadable" in job.text for job in jobs):
            raise RuntimeError(jobs[0].text)
        return self.real.extract(jobs)


@pytest.fixture(scope="module")
def api(tiny_extractor: Extractor) -> Iterator[Client]:
    with serving(lambda: tiny_extractor) as client:
        yield client


def ask(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/extract", json={"schema": DIAGNOSIS, **body})


# --- answers ---


@pytest.mark.parametrize("decode", ["choice", "grammar"])
def test_one_text_gives_one_validated_result_with_its_origin(api, tiny_extractor, decode):
    answer = ask(api, text=REPORT, id="study-17", decode=decode)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    result = Extraction.model_validate(answer.json())
    registry.get(DIAGNOSIS).model.model_validate(result.data)
    assert result.id == "study-17"
    assert result.schema_ == result.provenance.schema_ == DIAGNOSIS
    assert result.provenance.decode == decode
    assert result.provenance.model == tiny_extractor.info.model
    assert result.provenance.weights_sha256 == tiny_extractor.info.weights_sha256


def test_the_default_schema_quotes_the_report_exactly(api):
    result = Extraction.model_validate(api.post("/extract", json={"text": REPORT}).json())
    assert result.schema_ == "cmr-report@1"
    for field in result.fields.values():
        if field.evidence:
            assert REPORT[field.evidence.start : field.evidence.end] == field.evidence.text


def test_a_schema_without_a_version_is_the_newest(api):
    assert ask(api, text=REPORT, schema="cmr-diagnosis").json()["schema"] == registry.get("cmr-diagnosis").ref


def test_a_distribution_on_request_sums_to_one(api):
    fields = ask(api, text=REPORT, distribution=True).json()["fields"]
    assert fields
    for field in fields.values():
        if field["status"] == "answered":
            assert sum(field["distribution"].values()) == pytest.approx(1)
    assert all(field["distribution"] is None for field in ask(api, text=REPORT).json()["fields"].values())


def test_a_list_is_answered_in_order_around_its_bad_items(api):
    reports: list[Any] = [
        {"id": "a", "text": REPORT},
        {"id": "b", "text": "  "},
        {"id": "c", "text": 5},
        {"id": "d", "text": "Apical ballooning."},
    ]
    answer = ask(api, reports=reports)
    assert answer.status_code == 200
    results = answer.json()["results"]
    ExtractionList.model_validate({"results": results})
    assert [item["id"] for item in results] == ["a", "b", "c", "d"]
    assert [item.get("error", {}).get("field") for item in results] == [
        None,
        "reports[1].text",
        "reports[2].text",
        None,
    ]
    assert all(item["error"]["fix"] for item in results[1:3])


def test_a_list_of_bad_items_alone_is_still_a_list(api):
    results = ask(api, reports=[{"txt": "x"}, 7]).json()["results"]
    assert [item["error"]["field"] for item in results] == ["reports[0].text", "reports[1]"]


# --- problems ---

JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b"", 400, None),
        (b'{"text": "\xff"}', 400, None),
        (b'{"text": "\\ud800"}', 422, "text"),
        (b"[]", 400, None),
        (b"{}", 400, "text"),
        (b'{"text": null}', 400, "text"),
        (b'{"text": 5}', 400, "text"),
        (b'{"text": ["x"]}', 400, "text"),
        (b'{"text": "x", "reports": [{"text": "x"}]}', 400, "text"),
        (b'{"reports": []}', 400, "reports"),
        (b'{"reports": "x"}', 400, "reports"),
        (b'{"reports": [{"text": "x"}], "id": "y"}', 400, "id"),
        (b'{"text": "x", "nope": 1}', 400, None),
        (b'{"text": "x", "schema_": "cmr-report@1"}', 400, None),
        (b'{"text": "x", "decode": "guess"}', 400, "decode"),
        (b'{"text": "x", "distribution": "yes"}', 400, "distribution"),
        (b'{"text": "x", "schema": "nope@1"}', 404, "schema"),
        (b'{"text": "x", "schema": "cmr-report@99"}', 404, "schema"),
        (b'{"text": "x", "model": "nope"}', 404, "model"),
        (b'{"reports": [' + b",".join([b'{"text": "x"}'] * 5) + b"]}", 413, "reports"),
        (b'{"text": "' + b"x" * 5000 + b'"}', 413, None),
        (b'{"text": ""}', 422, "text"),
        (b'{"text": "a\\u0000b"}', 422, "text"),
    ],
)
def test_a_bad_request_is_a_problem_that_says_where_and_what_to_do(api, body, status, field):
    answer = api.post("/extract", content=body, headers={"content-type": JSON})
    is_problem(answer, status)
    assert answer.json().get("field") == field
    assert answer.json()["fix"]


def is_problem(answer: httpx.Response, status: int) -> None:
    """Check the shape of RFC 9457, section 3.1."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == f"urn:extractor:problem:{problem['code']}"
    assert problem["title"]
    assert problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/docs/nowhere", 404),
        ("GET", "/static/nowhere.js", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/schemas/nope/1", 404),
        ("GET", "/schemas/cmr-report/99", 404),
        ("GET", "/extract", 405),
        ("DELETE", "/models", 405),
    ],
)
def test_addresses_and_methods_that_are_not_there(api, method, path, status):
    is_problem(api.request(method, path), status)


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", f"{JSON}; charset=latin1"]
)
def test_only_json_in_utf8_is_taken(api, media_type):
    answer = api.post("/extract", content=b'{"text": "x"}', headers={"content-type": media_type})
    is_problem(answer, 415)


def test_the_model_may_be_named(api, tiny_extractor):
    assert ask(api, text=REPORT, model=tiny_extractor.info.model).status_code == 200


# --- what can be looked up ---


def test_schemas_are_listed_and_shown(api):
    listed = api.get("/schemas").json()["schemas"]
    assert [item["ref"] for item in listed] == [version.ref for version in registry.all_versions()]
    shown = api.get("/schemas/cmr-report/1").json()
    assert shown["json_schema"] == registry.get("cmr-report@1").model.model_json_schema()
    assert shown["released"] == registry.get("cmr-report@1").released.isoformat()


def test_the_served_model_is_listed(api, tiny_extractor):
    (model,) = api.get("/models").json()["models"]
    assert model["id"] == tiny_extractor.info.model
    assert model["context_length"] == tiny_extractor.info.context_length


def test_home_leads_to_the_docs(api):
    answer = api.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/docs")


def test_the_openapi_document_is_complete(api):
    document = api.get("/docs/openapi.json").json()
    assert document["paths"].keys() == {
        "/extract",
        "/schemas",
        "/schemas/{name}",
        "/schemas/{name}/{version}",
        "/schemas/{name}/{version}/json-schema",
        "/models",
        "/health/live",
        "/health/ready",
    }
    operation = document["paths"]["/extract"]["post"]
    assert operation["summary"]
    assert {"400", "404", "413", "415", "422", "500", "503"} < operation["responses"].keys()
    for example in operation["requestBody"]["content"][JSON]["examples"].values():
        ExtractRequest.model_validate(example["value"])
    Extraction.model_validate(operation["responses"]["200"]["content"][JSON]["example"])
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_refs(document)) == known


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    for part in node if isinstance(node, list) else ():
        yield from _refs(part)


# --- nothing that was sent comes back or is logged ---


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/extract", f'{{"text": "{CANARY}"'),
        ("/extract", f'{{"text": "", "id": "{CANARY}"}}'),
        ("/extract", f'{{"text": "{CANARY} \\u0000"}}'),
        ("/extract", f'{{"text": ["{CANARY}"]}}'),
        ("/extract", f'{{"text": "x", "{CANARY}": "{CANARY}"}}'),
        ("/extract", f'{{"text": "x", "id": ["{CANARY}"]}}'),
        ("/extract", f'{{"text": "x", "decode": "{CANARY}"}}'),
        ("/extract", f'{{"text": "x", "model": "{CANARY}"}}'),
        ("/extract", f'{{"text": "x", "schema": "{CANARY}"}}'),
        ("/extract", f'{{"reports": "{CANARY}"}}'),
        ("/extract", f'{{"reports": {{"{CANARY}": "{CANARY}"}}}}'),
        ("/extract", f'{{"reports": ["{CANARY}", {{"{CANARY}": 1}}, {{"text": {{"{CANARY}": 1}}}}]}}'),
        ("/extract", f'"{CANARY}"'),
        (f"/{CANARY}", f'{{"text": "{CANARY}"}}'),
        (f"/extract?text={CANARY}", f'{{"text": "", "id": "{CANARY}"}}'),
        (f"/schemas/{CANARY}/{CANARY}", None),
        (f"/static/{CANARY}", None),
        (f"/docs/{CANARY}", None),
    ],
)
def test_problems_and_logs_never_repeat_the_request(api, path, body, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    if body is None:
        answer = api.get(path)
    else:
        answer = api.post(path, content=body, headers={"content-type": JSON, "x-note": CANARY})
    assert CANARY not in answer.text
    assert "error" in answer.text or answer.status_code >= 400
    assert CANARY not in logged(caplog)
    assert CANARY not in "".join(capfd.readouterr())


def test_a_good_request_is_not_logged_either(api, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    assert ask(api, text=f"{CANARY}. {REPORT}", id=CANARY).json()["id"] == CANARY
    assert "POST /extract 200" in logged(caplog)
    assert CANARY not in logged(caplog)
    assert CANARY not in "".join(capfd.readouterr())


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return what this process logged, except by the test's own client, which logs the addresses it asks."""
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    return "\n".join(caplog.handler.format(record) for record in ours)


# --- batches ---


def test_requests_that_wait_share_one_batch(tiny_extractor):
    watched = Watched(tiny_extractor)
    with serving(lambda: watched) as client, ThreadPoolExecutor(5) as callers:
        first = callers.submit(ask, client, text=REPORT, id="0")
        assert watched.entered.wait(60)
        waiting = [callers.submit(ask, client, text=REPORT, id=str(n)) for n in range(1, 4)]
        many = callers.submit(ask, client, reports=[{"text": REPORT, "id": c} for c in "xyz"])
        until(lambda: client.queued() == 6)
        watched.gate.set()
        assert [answer.result().json()["id"] for answer in [first, *waiting]] == ["0", "1", "2", "3"]
        assert [item["id"] for item in many.result().json()["results"]] == ["x", "y", "z"]
    assert [len(batch) for batch in watched.batches] == [1, 6]


def test_a_batch_holds_no_more_than_its_limit(tiny_extractor):
    watched = Watched(tiny_extractor)
    watched.gate.set()
    with serving(lambda: watched, Settings(max_batch=2)) as client:
        answer = ask(client, reports=[{"text": REPORT}] * 5)
    assert len(answer.json()["results"]) == 5
    assert max(map(len, watched.batches)) == 2


def test_an_unexpected_error_is_a_500_without_text_and_the_next_request_is_answered(tiny_extractor, caplog):
    watched = Watched(tiny_extractor)
    watched.gate.set()
    with serving(lambda: watched) as client:
        answer = ask(client, text=f"unreadable {CANARY}")
        is_problem(answer, 500)
        assert CANARY not in answer.text
        results = ask(client, reports=[{"text": f"unreadable {CANARY}"}]).json()["results"]
        assert results[0]["error"]["code"] == "internal_error"
        assert ask(client, text=REPORT).status_code == 200
    assert "RuntimeError" in logged(caplog)
    assert CANARY not in logged(caplog)


def test_the_reports_of_a_caller_who_hung_up_are_not_read(tiny_extractor, caplog):
    caplog.set_level(logging.INFO)
    watched = Watched(tiny_extractor)
    with serving(lambda: watched) as client, ThreadPoolExecutor(1) as callers:
        first = callers.submit(ask, client, text=REPORT, id="first")
        assert watched.entered.wait(60)
        with pytest.raises(httpx.ReadTimeout):
            client.post("/extract", json={"text": REPORT, "schema": DIAGNOSIS, "id": "gone"}, timeout=0.3)
        until(lambda: "POST /extract 499" in logged(caplog))
        watched.gate.set()
        assert first.result().status_code == 200
        assert ask(client, text=REPORT, id="last").status_code == 200
    assert [job.id for batch in watched.batches for job in batch] == ["first", "last"]


def test_what_was_asked_is_answered_before_the_server_stops(tiny_extractor):
    watched = Watched(tiny_extractor)
    with serving(lambda: watched) as client, ThreadPoolExecutor(3) as callers:
        asked = [callers.submit(ask, client, text=REPORT)]
        assert watched.entered.wait(60)
        asked += [callers.submit(ask, client, text=REPORT) for _ in range(2)]
        until(lambda: client.queued() == 2)
        client.server.should_exit = True
        watched.gate.set()
        assert [answer.result().status_code for answer in asked] == [200, 200, 200]


# --- more than it can read ---


def test_a_full_queue_answers_429_and_who_leaves_makes_room(tiny_extractor):
    watched = Watched(tiny_extractor)
    settings = Settings(max_waiting=3)
    with serving(lambda: watched, settings) as client, ThreadPoolExecutor(2) as callers:
        first = callers.submit(ask, client, text=REPORT, id="first")
        assert watched.entered.wait(60)
        with closing(HTTPConnection("127.0.0.1", client.base_url.port)) as leaver:
            body = orjson.dumps({"reports": [{"text": REPORT, "id": "gone"}] * 3, "schema": DIAGNOSIS})
            leaver.request("POST", "/extract", body, {"Content-Type": JSON})
            until(lambda: client.queued() == 3)
            refused = ask(client, text=REPORT, id="refused")
            is_problem(refused, 429)
            assert refused.json()["code"] == "queue_full"
            assert 1 <= int(refused.headers["retry-after"]) <= 60
        until(lambda: client.queued() == 0, 5)
        room = callers.submit(ask, client, reports=[{"text": REPORT, "id": c} for c in "abc"])
        until(lambda: client.queued() == 3)
        watched.gate.set()
        assert first.result().status_code == 200
        assert [item["id"] for item in room.result().json()["results"]] == ["a", "b", "c"]
    assert [job.id for batch in watched.batches for job in batch] == ["first", "a", "b", "c"]


def test_a_list_that_would_never_fit_the_queue_is_413_whatever_it_holds(tiny_extractor):
    with serving(lambda: tiny_extractor, Settings(max_waiting=3)) as client:
        for item in ({"text": REPORT}, {}, 5):
            answer = ask(client, reports=[item] * 4)
            is_problem(answer, 413)
            assert answer.json()["code"] == "list_too_long"
            assert "3" in answer.json()["detail"]
            assert answer.json()["fix"]


def test_half_a_character_is_an_error_of_its_report_alone(api):
    body = rb'{"schema": "cmr-diagnosis@1", "reports": [{"text": "LVEF 31 %"}, {"text": "cut \ud83d", "id": "b"}, {"text": "x", "id": "\ud83d"}]}'
    answer = api.post("/extract", content=body, headers={"Content-Type": JSON})
    good, cut, nameless = answer.json()["results"]
    assert "data" in good
    assert (cut["id"], cut["error"]["field"]) == ("b", "reports[1].text")
    assert "surrogate" in cut["error"]["detail"]
    assert (nameless["id"], nameless["error"]["field"]) == (None, "reports[2].id")


def test_retry_after_is_how_long_the_queue_takes_at_the_measured_pace(tiny_extractor):
    watched = Watched(tiny_extractor)
    settings = Settings(max_batch=1, max_waiting=3)
    with serving(lambda: watched, settings) as client, ThreadPoolExecutor(5) as callers:
        slow = callers.submit(ask, client, text=REPORT)
        assert watched.entered.wait(60)
        time.sleep(2)
        watched.gate.set()
        assert slow.result().status_code == 200
        watched.gate.clear()
        watched.entered.clear()
        four = [callers.submit(ask, client, text=REPORT)]
        assert watched.entered.wait(60)
        four += [callers.submit(ask, client, text=REPORT) for _ in range(3)]
        until(lambda: client.queued() == 3)
        assert 4 * 2 <= int(ask(client, text=REPORT).headers["retry-after"]) < 60
        watched.gate.set()
        assert [answer.result().status_code for answer in four] == [200] * 4


def test_a_long_list_does_not_hold_up_a_single_report(tiny_extractor):
    watched = Watched(tiny_extractor)
    with serving(lambda: watched, Settings(max_batch=2)) as client, ThreadPoolExecutor(3) as callers:
        asked = [callers.submit(ask, client, text=REPORT, id="first")]
        assert watched.entered.wait(60)
        asked += [callers.submit(ask, client, reports=[{"text": REPORT, "id": c} for c in "abcdef"])]
        until(lambda: client.queued() == 6)
        asked += [callers.submit(ask, client, text=REPORT, id="single")]
        until(lambda: client.queued() == 7)
        watched.gate.set()
        assert [answer.result().status_code for answer in asked] == [200] * 3
    assert [job.id for job in watched.batches[1]] == ["a", "single"]


def test_many_callers_at_once_each_get_their_own_results_in_order(api):
    lists = [[f"{caller}-{number}" for number in range(4)] for caller in range(24)]

    def call(ids: list[str]) -> list[str]:
        answer = ask(api, reports=[{"text": f"LVEF {40 + len(i)} %.", "id": i} for i in ids])
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["results"]]

    with ThreadPoolExecutor(len(lists)) as callers:
        assert list(callers.map(call, lists)) == lists


# --- readiness ---


def test_not_ready_until_the_model_is_loaded(tiny_extractor: Extractor):
    loaded = threading.Event()
    watched = Watched(tiny_extractor)
    watched.gate.set()

    def load() -> Extractor:
        assert loaded.wait(60)
        return watched

    with serving(load, wait=False) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/models").json() == {"models": []}
        for answer in (client.get("/health/ready"), ask(client, text=REPORT)):
            is_problem(answer, 503)
            assert answer.headers["retry-after"]
        loaded.set()
        until(lambda: client.get("/health/ready").status_code == 200)
        assert watched.prepared == [version.ref for version in registry.all_versions()]
        assert ask(client, text=REPORT).status_code == 200


def test_a_model_that_cannot_be_loaded_is_explained(caplog):
    def load() -> Extractor:
        raise StoreError("There are no weights.", code="weights_missing", fix="Run extractor models pull.")

    with serving(load, wait=False) as client:
        until(lambda: "could not be loaded" in logged(caplog))
        answer = client.get("/health/ready")
        is_problem(answer, 503)
        assert "Run extractor models pull." in answer.json()["detail"]
        assert "retry-after" not in answer.headers
        assert client.get("/health/live").status_code == 200
        is_problem(ask(client, text=REPORT), 503)


def test_a_crash_while_loading_is_named_by_its_type_alone(caplog):
    def load() -> Extractor:
        raise ValueError(CANARY)

    with serving(load, wait=False) as client:
        until(lambda: "could not be loaded" in logged(caplog))
        assert "ValueError" in client.get("/health/ready").json()["detail"]
    assert CANARY not in logged(caplog)
