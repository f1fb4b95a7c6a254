"""What each address does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.response import Redirect
from pydantic import BaseModel

from extractor import fhir
from extractor.api import models
from extractor.api.accept import wants_fhir
from extractor.api.batcher import Batcher
from extractor.api.lifecycle import concerns
from extractor.api.line import Outcome
from extractor.api.problems import HungUpError
from extractor.api.requests import Asked, check_media_type, read, understand
from extractor.errors import ExtractorError
from extractor.pipeline import Job, find_schema
from extractor.result import Extraction


@dataclass(frozen=True)
class Settings:
    """Limits of the API. `max_body` is in bytes, all others in reports.

    A request holds at most `max_reports`, the model reads `max_batch` at once, and `max_waiting` may wait for
    it. `probe_idle` also looks after an engine that has nothing to do: it is somewhere else.
    """

    max_reports: int = 256
    max_body: int = 8 * 1024 * 1024
    max_batch: int = 32
    max_waiting: int = 256
    probe_idle: bool = False


def _send(answer: BaseModel | dict[str, Any]) -> Response[bytes]:
    body = models.to_json(answer) if isinstance(answer, BaseModel) else answer
    return Response(orjson.dumps(body), media_type=MediaType.JSON)


async def _send_fhir(results: Sequence[Any]) -> Response[bytes]:
    bundle = await asyncio.to_thread(fhir.bundle, results)  # validating is slow
    return Response(orjson.dumps(bundle), media_type=fhir.MEDIA_TYPE)


@post("/extract", status_code=200, summary="Read one report, or a list of reports", tags=["extraction"])
async def extract(request: Request[Any, Any, State], state: State) -> Response[bytes]:
    """Send `text` and get one result, or `reports` and get `results` in the same order.

    In a list, a report that cannot be answered has an `error` in its place and the others still answer.
    `Accept: application/fhir+json` gives one FHIR R4 Bundle instead.
    """
    batcher, settings = cast("Batcher", state.batcher), cast("Settings", state.settings)
    check_media_type(request.headers.get("content-type", ""))
    as_fhir = wants_fhir(request.headers.get("accept", ""))
    if as_fhir:
        fhir.check()
    body = (
        await request.body()
    )  # whole, before any refusal: a connection closed on unread bytes loses the answer
    served = batcher.check_ready()
    most = min(settings.max_reports, settings.max_waiting)
    wanted = understand(body, most=most)
    schema = find_schema(wanted.schema_)
    concerns(request, schema)
    asked = read(wanted, schema.ref, most=most, served=served.model)
    outcomes = await _answer(request, batcher, asked)
    if not asked.many:
        if isinstance(outcomes[0], ExtractorError):
            raise outcomes[0]
        return await _send_fhir(outcomes) if as_fhir else _send(outcomes[0])
    results = [
        models.outcome_to_json(outcome, id_, asked.place(index))
        for index, (outcome, id_) in enumerate(zip(outcomes, asked.ids, strict=True))
    ]
    if as_fhir:
        pairs = zip(outcomes, results, strict=True)
        return await _send_fhir(
            [each if isinstance(each, Extraction) else body["error"] for each, body in pairs]
        )
    return _send({"results": results})


async def _answer(request: Request[Any, Any, State], batcher: Batcher, asked: Asked) -> Sequence[Outcome]:
    """Read the jobs that stand; give up, and take back those that still wait, when the caller hangs up."""
    work = asyncio.gather(*map(asyncio.wrap_future, batcher.submit(asked.jobs)))
    hung_up = asyncio.ensure_future(_hung_up(request))
    either: set[asyncio.Future[Any]] = {work, hung_up}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise HungUpError("The caller hung up.", code="caller_gone")
        answers = iter(work.result())
    finally:
        work.cancel()
        hung_up.cancel()
    return [next(answers) if isinstance(item, Job) else item for item in asked.items]


async def _hung_up(request: Request[Any, Any, State]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@get("/models", summary="List the models", tags=["models"], sync_to_thread=False)
def list_models(state: State) -> Response[bytes]:
    """The model that answers here, as it stands in every result's provenance."""
    info = cast("Batcher", state.batcher).info
    served = (
        []
        if info is None
        else [
            models.ModelInfo(
                id=info.model,
                weights_sha256=info.weights_sha256,
                precision=info.precision,
                adapter=info.adapter,
                engine=info.engine,
                context_length=info.context_length,
            )
        ]
    )
    return _send(models.ModelList(models=served))


@get("/health/live", summary="Is the server up?", tags=["health"], sync_to_thread=False)
def live() -> Response[bytes]:
    """Always 200 while the process answers at all."""
    return _send(models.Health(status="live"))


@get("/health/ready", summary="Can it read reports?", tags=["health"], sync_to_thread=False)
def ready(state: State) -> Response[bytes]:
    """200 while reports can be read; 503 with the reason before the model is loaded, when it fails, at the end."""
    cast("Batcher", state.batcher).check_ready()
    return _send(models.Health(status="ready"))


@get("/", include_in_schema=False, sync_to_thread=False)
def home() -> Redirect:
    return Redirect("/docs")
