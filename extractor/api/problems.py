"""Errors on the wire: RFC 9457 problem details that never repeat what the caller sent.

Values are not the only danger: a key, a path or a schema name can hold patient text as well. So every message
is a constant, and places are built from list positions and the names of our own fields alone.
"""

import logging
import traceback
from collections.abc import Mapping
from typing import Any

import orjson
from litestar import Request, Response
from litestar.exceptions import HTTPException
from pydantic import ValidationError

from extractor.api.models import ExtractRequest, ReportIn
from extractor.errors import ExtractorError, RequestError

logger = logging.getLogger("extractor.api")

MEDIA_TYPE = "application/problem+json"


class _LaterError(ExtractorError):
    """Asking again may help, after `retry_after` seconds where that is known."""

    def __init__(self, detail: str, *, code: str, fix: str, retry_after: int | None) -> None:
        super().__init__(detail, code=code, fix=fix)
        self.retry_after = retry_after


class NotReadyError(_LaterError):
    status = 503
    title = "Not ready"


class QueueFullError(_LaterError):
    status = 429
    title = "Too many requests"


class MethodError(RequestError):
    status = 405
    title = "Method not allowed"


class TooLargeError(RequestError):
    status = 413
    title = "Request too large"


class MediaTypeError(RequestError):
    status = 415
    title = "Unsupported media type"


class HungUpError(RequestError):
    """Nobody reads this answer; 499 is what access logs call it."""

    status = 499
    title = "Caller hung up"


class PathError(RequestError):
    status = 404
    title = "Not found"


_FIELDS = {ExtractRequest: "text, id, reports, schema, decode, model, distribution", ReportIn: "text, id"}
_NAMES = frozenset(", ".join(_FIELDS.values()).split(", "))

_SAID = {
    "missing": "It is missing.",
    "string_type": "It must be a string.",
    "string_too_long": "It is too long.",
    "string_unicode": "It holds half of a surrogate pair, so it is not valid Unicode.",
    "bool_type": "It must be true or false.",
    "list_type": "It must be a list.",
    "model_type": "It must be an object.",
    "literal_error": "It is not one of the allowed values.",
    "extra_forbidden": "It holds a key that is not known.",
}

_FIX = {
    "text": "Send the report as a string.",
    "id": "Send a string of at most 256 characters, or leave it out.",
    "reports": 'Send a list of objects like {"id": "1", "text": "…"}.',
    "schema": "Use a reference from GET /schemas.",
    "decode": 'Use "choice" or "grammar".',
    "model": "Use an id from GET /models, or leave it out.",
    "distribution": "Use true or false, or leave it out.",
}


def from_validation(error: ValidationError, place: str = "") -> RequestError:
    """Return the first thing that is wrong with a request body; `place` is where the body stands."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, loc = first["type"], first["loc"]
    unknown_key = kind == "extra_forbidden"
    field = place
    for step in loc[:-1] if unknown_key else loc:
        if isinstance(step, int):
            field += f"[{step}]"
        elif step in _NAMES:
            field += f".{step}" if field else step
    if unknown_key:
        fix = f"Use only: {_FIELDS[ReportIn if place else ExtractRequest]}."
    else:
        fix = _FIX.get(field.rsplit(".", 1)[-1], _FIX["reports"])
    return RequestError(
        _SAID.get(kind, "It is not valid."), code="request_invalid", field=field or None, fix=fix
    )


def respond(error: ExtractorError, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    return Response(
        orjson.dumps(error.problem()),
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers={**headers} if headers else None,
    )


def log_unexpected(error: BaseException) -> None:
    """Log where an unexpected error came from. Its message may quote the report, so it is left out."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("Unexpected %s\n%s", type(error).__name__, frames.rstrip())


def internal_error() -> ExtractorError:
    return ExtractorError(
        "Something went wrong on the server.",
        code="internal_error",
        fix="Ask whoever runs it to read its log.",
    )


def _from_http(error: HTTPException) -> ExtractorError:
    match error.status_code:
        case 404:
            return PathError("Nothing is served at this address.", code="path_unknown", fix="See GET /docs.")
        case 405:
            return MethodError(
                "This address does not take this method.",
                code="method_not_allowed",
                fix="See the Allow header.",
            )
        case 413:
            return TooLargeError(
                "The request body is too large.", code="body_too_large", fix="Send fewer reports at a time."
            )
        case status if status < 500:
            return RequestError("The request cannot be read.", code="request_invalid", fix="See GET /docs.")
    log_unexpected(error)
    return internal_error()


def on_error(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Turn any exception of a handler into a problem."""
    if isinstance(error, _LaterError) and error.retry_after is not None:
        return respond(error, {"Retry-After": str(error.retry_after)})
    if isinstance(error, ExtractorError):
        return respond(error)
    if isinstance(error, HTTPException):
        return respond(_from_http(error), error.headers)
    log_unexpected(error)
    return respond(internal_error())
