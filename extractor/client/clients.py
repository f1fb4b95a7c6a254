"""The two clients: the same conversations, carried by httpx with and without `await`."""

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any, Self, Unpack

import httpx

from extractor.api.models import SchemaInfo
from extractor.client.errors import ReportProblem
from extractor.client.retry import Heard
from extractor.client.talk import Options, Result, Talk, Talker
from extractor.errors import RequestError
from extractor.result import Extraction

READ_TIMEOUT = 600.0
"""Seconds. A CPU takes some seconds a report, and a list is answered when its last report is."""

BATCH = 32
"""Reports sent at once: as many as a server reads in one batch."""


def _options(
    base_url: str, *, timeout: float, headers: Mapping[str, str] | None, verify: ssl.SSLContext | bool
) -> dict[str, Any]:
    """Return what both clients of httpx are opened with.

    Proxies and passwords that the environment names are not used, nor redirects followed: a report goes to
    the address it was meant for and to no other.
    """
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        raise RequestError(
            "It is no address of a server.",
            code="request_invalid",
            field="base_url",
            fix='Use one like "http://gpu-box:8000"; a password or token belongs in headers.',
        )
    return {
        "base_url": url,
        "timeout": httpx.Timeout(timeout, connect=5),
        "headers": headers,
        "verify": verify,
        "trust_env": False,
        "follow_redirects": False,
    }


class Client:
    """A client of one server. It may be shared by threads; close it, or use `with`.

    `timeout` is the longest silence of the server, in seconds; connecting may take 5. `retries` is how often
    a request is sent again where the server is not there, or says that it is busy (429, 503;
    its `Retry-After` is obeyed up to a minute). `headers` go with every request (a token for the proxy before the server),
    `verify` is httpx's own (an `ssl.SSLContext` with the hospital's certificates).

    All methods raise `ServerUnreachableError`, `AnswerError` and `ProblemError`, and warn with
    `SchemaDeprecatedWarning` where the server says that the schema version is deprecated.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = READ_TIMEOUT,
        retries: int = 3,
        headers: Mapping[str, str] | None = None,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self._http = httpx.Client(**_options(base_url, timeout=timeout, headers=headers, verify=verify))
        self._talker = Talker(self._http.build_request, retries)

    def extract(self, text: str, *, id: str | None = None, **options: Unpack[Options]) -> Extraction:  # noqa: A002
        """Read one report. `id` comes back as sent."""
        return self._hold(self._talker.extract(text, id, options))

    def extract_many(
        self,
        reports: Iterable[str],
        *,
        ids: Iterable[str | None] | None = None,
        batch: int = BATCH,
        **options: Unpack[Options],
    ) -> list[Extraction | ReportProblem]:
        """Read texts, `batch` in one request; return each one's result, or why it has none, in order."""
        return self._hold(self._talker.extract_many(reports, ids, batch, options))

    def schemas(self) -> list[SchemaInfo]:
        """Return every schema version that the server can answer in."""
        return self._hold(self._talker.schemas())

    def json_schema(self, ref: str) -> dict[str, Any]:
        """Return the JSON Schema of `data` under `ref`: `name@version`, or `name` for its newest."""
        return self._hold(self._talker.json_schema(ref))

    def ready(self) -> bool:
        """Return whether the server can read reports now."""
        return self._hold(self._talker.ready())

    def wait_ready(self, timeout: float = READ_TIMEOUT) -> None:
        """Wait until the server can read reports; after `timeout` seconds raise what it said last."""
        self._hold(self._talker.wait_ready(timeout))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._http.base_url)!r})"

    def _hold(self, conversation: Talk[Result]) -> Result:
        try:
            say = next(conversation)
            while True:
                time.sleep(say.after)
                say = conversation.send(self._send(say.request))
        except StopIteration as end:
            result: Result = end.value
            return result

    def _send(self, request: httpx.Request) -> Heard:
        try:
            return self._http.send(request)
        except httpx.RequestError as error:
            return error


class AsyncClient:
    """`Client`, with `async with` and `await`."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = READ_TIMEOUT,
        retries: int = 3,
        headers: Mapping[str, str] | None = None,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self._http = httpx.AsyncClient(**_options(base_url, timeout=timeout, headers=headers, verify=verify))
        self._talker = Talker(self._http.build_request, retries)

    async def extract(self, text: str, *, id: str | None = None, **options: Unpack[Options]) -> Extraction:  # noqa: A002
        """Read one report. `id` comes back as sent."""
        return await self._hold(self._talker.extract(text, id, options))

    async def extract_many(
        self,
        reports: Iterable[str],
        *,
        ids: Iterable[str | None] | None = None,
        batch: int = BATCH,
        **options: Unpack[Options],
    ) -> list[Extraction | ReportProblem]:
        """Read texts, `batch` in one request; return each one's result, or why it has none, in order."""
        return await self._hold(self._talker.extract_many(reports, ids, batch, options))

    async def schemas(self) -> list[SchemaInfo]:
        """Return every schema version that the server can answer in."""
        return await self._hold(self._talker.schemas())

    async def json_schema(self, ref: str) -> dict[str, Any]:
        """Return the JSON Schema of `data` under `ref`: `name@version`, or `name` for its newest."""
        return await self._hold(self._talker.json_schema(ref))

    async def ready(self) -> bool:
        """Return whether the server can read reports now."""
        return await self._hold(self._talker.ready())

    async def wait_ready(self, timeout: float = READ_TIMEOUT) -> None:  # noqa: ASYNC109, of the whole wait
        """Wait until the server can read reports; after `timeout` seconds raise what it said last."""
        await self._hold(self._talker.wait_ready(timeout))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._http.base_url)!r})"

    async def _hold(self, conversation: Talk[Result]) -> Result:
        try:
            say = next(conversation)
            while True:
                await asyncio.sleep(say.after)
                say = conversation.send(await self._send(say.request))
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _send(self, request: httpx.Request) -> Heard:
        try:
            return await self._http.send(request)
        except httpx.RequestError as error:
            return error
