"""What client and server say to each other, without the wire: one logic for the sync and the async client.

Each conversation is a generator. It yields what to send and after how long, is sent back what was heard, and
returns the result; `extractor.client.clients` does the sending and the waiting.
"""

import re
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypedDict, TypeVar
from urllib.parse import quote

import httpx
import orjson

from extractor.api.models import SchemaInfo, SchemaList
from extractor.client.answers import judge, not_ours, read_as, read_json, read_part, too_large
from extractor.client.deprecation import warn_if_deprecated
from extractor.client.errors import ClientError, ReportProblem
from extractor.client.retry import Heard, wait_before_retry
from extractor.errors import RequestError
from extractor.result import Decode, Extraction

LOOKUP_TIMEOUT: Final = httpx.Timeout(10, connect=5)
"""Seconds, for what needs no model."""

_POLL: Final = 1.0
_HALF: Final = re.compile("[\ud800-\udfff]")

Result = TypeVar("Result")


class Options(TypedDict, total=False):
    """What may be asked beside the text. What is left out is the server's default."""

    schema: str
    """`name@version`, or `name` for its newest."""
    decode: Decode
    distribution: bool
    """Also return the probability of every allowed option."""
    model: str
    """The model that must answer."""


class Say(NamedTuple):
    """Send `request`, `after` so many seconds."""

    request: httpx.Request
    after: float = 0.0


Talk = Generator[Say, Heard, Result]


@dataclass(frozen=True)
class Talker:
    """All conversations with one server. `build` makes a request, repeated `retries` times at most."""

    build: Callable[..., httpx.Request]
    retries: int

    def extract(self, text: str, id_: str | None, options: Options) -> Talk[Extraction]:
        report = _report(text, id_, "text")
        answer = yield from self._ask(self._post({**report, **options}))
        return read_as(answer, Extraction)

    def extract_many(
        self, reports: Iterable[str], ids: Iterable[str | None] | None, batch: int, options: Options
    ) -> Talk[list[Extraction | ReportProblem]]:
        """Send `batch` reports at a time, or half as many as soon as the server calls that too much."""
        items = _items(reports, ids)
        results: list[Extraction | ReportProblem] = []
        size = max(1, batch)
        while len(results) < len(items):
            start = len(results)
            part = items[start : start + size]
            try:
                answer = yield from self._ask(self._post({"reports": part, **options}))
            except ClientError as error:  # a proxy before the server may find a body too large as well
                found = error
            else:
                results += read_part(answer, start, len(part))
                continue
            if found.status != 413:
                raise found
            if len(part) == 1:
                results.append(too_large(found, start, part[0].get("id")))
            size = len(part) // 2 or max(1, batch)
        return results

    def schemas(self) -> Talk[list[SchemaInfo]]:
        answer = yield from self._ask(self._get("/schemas"))
        return read_as(answer, SchemaList).schemas

    def json_schema(self, ref: str) -> Talk[dict[str, Any]]:
        name, _, version = ref.partition("@")
        path = f"/schemas/{quote(name, safe='')}/{quote(version or 'latest', safe='')}/json-schema"
        answer = yield from self._ask(self._get(path))
        document = read_json(answer)
        if not isinstance(document, dict):
            raise not_ours(answer)
        return document

    def ready(self) -> Talk[bool]:
        answer = judge((yield Say(self._get("/health/ready"))))
        if isinstance(answer, ClientError) and answer.status != 503:
            raise answer
        return isinstance(answer, httpx.Response)

    def wait_ready(self, timeout: float) -> Talk[None]:
        """Ask each second until the answer is yes. A model that could not be loaded is not waited for."""
        end = time.monotonic() + timeout
        answer = judge((yield Say(self._get("/health/ready"))))
        while isinstance(answer, ClientError):
            if answer.status != 503 or answer.code == "model_failed" or time.monotonic() + _POLL > end:
                raise answer
            answer = judge((yield Say(self._get("/health/ready"), _POLL)))

    def _ask(self, request: httpx.Request) -> Talk[httpx.Response]:
        """Return the answer to `request`. It may be asked again: the same report gives the same result."""
        heard = yield Say(request)
        for failures in range(1, self.retries + 1):
            wait = wait_before_retry(heard, failures)
            if wait is None:
                break
            heard = yield Say(request, wait)
        answer = judge(heard)
        if isinstance(answer, ClientError):
            raise answer
        warn_if_deprecated(answer)
        return answer

    def _get(self, path: str) -> httpx.Request:
        return self.build("GET", path, timeout=LOOKUP_TIMEOUT)

    def _post(self, body: dict[str, Any]) -> httpx.Request:
        try:
            content = orjson.dumps(body)
        except TypeError:
            content = b""
        if not content:
            raise _invalid(
                "options", "They cannot be written as JSON.", "Send id, schema, decode and model as strings."
            )
        return self.build("POST", "/extract", content=content, headers={"Content-Type": "application/json"})


def _items(reports: Iterable[str], ids: Iterable[str | None] | None) -> list[dict[str, str]]:
    if isinstance(reports, str):
        raise _invalid("reports", "It is one text.", "Send a list, or use extract.")
    texts = list(reports)
    names = [None] * len(texts) if ids is None else list(ids)
    if len(names) != len(texts):
        raise _invalid(
            "ids", f"There are {len(names)} for {len(texts)} reports.", "Give each its id, or None."
        )
    pairs = zip(texts, names, strict=True)
    return [_report(text, name, f"reports[{index}].text") for index, (text, name) in enumerate(pairs)]


def _report(text: str, id_: str | None, place: str) -> dict[str, str]:
    """Return one report as the API takes it; raise `RequestError` where no JSON in UTF-8 can carry it."""
    if not isinstance(text, str):
        raise _invalid(place, "It is not a string.", "Send the report as a string.")
    half = _HALF.search(text)
    if half:
        raise _invalid(
            place, f"It holds half a character at {half.start()}.", "Read it as UTF-8 with errors='strict'."
        )
    return {"text": text} if id_ is None else {"text": text, "id": id_}


def _invalid(field: str, detail: str, fix: str) -> RequestError:
    return RequestError(detail, code="request_invalid", field=field, fix=fix)
