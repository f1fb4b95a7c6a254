"""The addresses that say which schemas there are: families, versions, and the JSON Schema of each."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import orjson
from litestar import Request, Response, get
from litestar.params import FromPath

from extractor.api import models
from extractor.api.lifecycle import concerns
from extractor.errors import NotFoundError
from extractor.pipeline import find_schema
from schemas import lock, registry
from schemas.version import SchemaVersion

MEDIA_TYPE: Final = "application/schema+json"

_A_DAY: Final = 24 * 60 * 60


@get("/schemas", summary="List the schemas", tags=["schemas"], sync_to_thread=False)
def list_schemas() -> Response[bytes]:
    """Every version of every schema this server can answer in, by name and then from oldest to newest."""
    return _list(registry.all_versions())


@get("/schemas/{name:str}", summary="List a schema's versions", tags=["schemas"], sync_to_thread=False)
def list_versions(name: FromPath[str]) -> Response[bytes]:
    """Every version of one schema, from oldest to newest."""
    versions = [version for version in registry.all_versions() if version.name == name]
    if not versions:
        raise NotFoundError(
            "No schema has that name.", code="schema_unknown", field="schema", fix="See GET /schemas."
        )
    return _list(versions)


@get("/schemas/{name:str}/{version:str}", summary="Show a schema", tags=["schemas"], sync_to_thread=False)
def show_schema(
    request: Request[Any, Any, Any], name: FromPath[str], version: FromPath[str]
) -> Response[bytes]:
    """One version of a schema, with the JSON Schema of the `data` it gives. `latest` is its newest."""
    found = _find(request, name, version)
    return _json(models.SchemaDetail(**_info(found), json_schema=found.model.model_json_schema()))


@get(
    "/schemas/{name:str}/{version:str}/json-schema",
    summary="The JSON Schema alone",
    tags=["schemas"],
    sync_to_thread=False,
)
def show_json_schema(
    request: Request[Any, Any, Any], name: FromPath[str], version: FromPath[str]
) -> Response[bytes]:
    """The published JSON Schema (draft 2020-12) of a result's `data`. A released version's never changes."""
    found = _find(request, name, version)
    text, published = _document(found)
    tag = f'"{hashlib.sha256(text).hexdigest()}"'
    fixed = published and version != "latest"
    headers = {
        "ETag": tag,
        "Cache-Control": f"public, max-age={_A_DAY}, immutable" if fixed else "no-cache",
    }
    if _holds(request.headers.get("if-none-match", ""), tag):
        return Response(b"", status_code=304, media_type=MEDIA_TYPE, headers=headers)
    return Response(text, media_type=MEDIA_TYPE, headers=headers)


def _find(request: Request[Any, Any, Any], name: str, version: str) -> SchemaVersion:
    found = find_schema(name if version == "latest" else f"{name}@{version}")
    concerns(request, found)
    return found


def _document(version: SchemaVersion) -> tuple[bytes, bool]:
    """Return the JSON Schema of `version` as text, and whether it is published and so can never change."""
    published = lock.HERE / "published" / f"{version.ref}.json"
    if published.is_file():
        return published.read_bytes(), True
    return lock.text(version).encode(), False


def _holds(condition: str, tag: str) -> bool:
    """Whether an If-None-Match names `tag` (RFC 9110, section 13.1.2: weak comparison)."""
    tags = {part.strip().removeprefix("W/") for part in condition.split(",")}
    return bool({tag, "*"} & tags)


def _list(versions: Sequence[SchemaVersion]) -> Response[bytes]:
    return _json(models.SchemaList(schemas=[models.SchemaInfo(**_info(version)) for version in versions]))


def _info(version: SchemaVersion) -> dict[str, Any]:
    return {name: getattr(version, name) for name in models.SchemaInfo.model_fields}


def _json(answer: models.SchemaList | models.SchemaDetail) -> Response[bytes]:
    return Response(orjson.dumps(models.to_json(answer)), media_type="application/json")
