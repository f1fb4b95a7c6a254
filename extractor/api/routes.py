"""What each address does."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import Redirect
from pydantic import BaseModel

from extractor.api import models
from extractor.api.batcher import Batcher, Outcome
from extractor.api.problems import HungUpError
from extractor.api.requests import Asked, check_media_type, read
from extractor.errors import ExtractorError
from extractor.pipeline import Job, find_schema
from schemas import registry


@dataclass(frozen=True)
class Settings:
    """Limits of the API. `max_body` is in bytes; `max_batch` is how many reports the model reads at once."""

    max_reports: int = 256
    max_body: int = 8 * 1024 * 1024
    max_batch: int = 32


def _send(answer: BaseModel | dict[str, Any]) -> Response[bytes]:
    body = models.to_json(answer) if isinstance(answer, BaseModel) else answer
    return Response(orjson.dumps(body), media_type=MediaType.JSON)


@post("/extract", status_code=200, summary="Read one report, or a list of reports", tags=["extraction"])
async def extract(request: Request[Any, Any, State], state: State) -> Response[bytes]:
    """Send `text` and get one result, or `reports` and get `results` in the same order.

    In a list, a report that cannot be answered has an `error` in its place and the others still answer.
    """
    batcher, settings = cast("Batcher", state.batcher), cast("Settings", state.settings)
    check_media_type(request.headers.get("content-type", ""))
    served = batcher.check_ready()
    asked = read(await request.body(), max_reports=settings.max_reports, served=served.model)
    outcomes = await _answer(request, batcher, asked)
    if not asked.many:
        if isinstance(outcomes[0], ExtractorError):
            raise outcomes[0]
        return _send(outcomes[0])
    results = [
        models.outcome_to_json(outcome, id_, asked.place(index))
        for index, (outcome, id_) in enumerate(zip(outcomes, asked.ids, strict=True))
    ]
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


def _info(version: registry.SchemaVersion) -> dict[str, Any]:
    return {
        "ref": version.ref,
        "name": version.name,
        "version": version.version,
        "status": version.status,
        "released": version.released,
        "summary": version.summary,
    }


@get("/schemas", summary="List the schemas", tags=["schemas"], sync_to_thread=False)
def list_schemas() -> Response[bytes]:
    """Every version of every schema this server can answer in."""
    versions = [models.SchemaInfo(**_info(version)) for version in registry.all_versions()]
    return _send(models.SchemaList(schemas=versions))


@get("/schemas/{name:str}/{version:str}", summary="Show a schema", tags=["schemas"], sync_to_thread=False)
def show_schema(name: FromPath[str], version: FromPath[str]) -> Response[bytes]:
    """One version of a schema, with the JSON Schema of the `data` it gives."""
    found = find_schema(f"{name}@{version}")
    return _send(models.SchemaDetail(**_info(found), json_schema=found.model.model_json_schema()))


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
    """200 once the model is loaded and every schema is compiled; 503 with the reason before that."""
    cast("Batcher", state.batcher).check_ready()
    return _send(models.Health(status="ready"))


@get("/", include_in_schema=False, sync_to_thread=False)
def home() -> Redirect:
    return Redirect("/docs")
