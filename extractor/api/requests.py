"""From the bytes of a request to jobs, with everything that can be wrong said in the caller's own terms."""

import json
from contextlib import suppress
from dataclasses import dataclass

import orjson
from pydantic import ValidationError

from extractor.api.models import BadReport, ExtractRequest, ReportIn
from extractor.api.problems import MediaTypeError, TooLargeError, from_validation
from extractor.errors import ExtractorError, NotFoundError, RequestError
from extractor.pipeline import Job


@dataclass(frozen=True)
class Asked:
    """What one request asks for, in order; `items` holds an error where a report cannot be read.

    `ids` are the caller's, one for each item; `many` says whether a list came and a list goes back.
    """

    items: tuple[Job | ExtractorError, ...]
    ids: tuple[str | None, ...]
    many: bool

    @property
    def jobs(self) -> list[Job]:
        return [item for item in self.items if isinstance(item, Job)]

    def place(self, index: int) -> str:
        return f"reports[{index}]" if self.many else ""


def check_media_type(header: str) -> None:
    """Accept JSON in UTF-8 only. It also makes browsers ask before a foreign page may post here."""
    media_type, _, parameters = header.lower().replace(" ", "").partition(";")
    charset = parameters.removeprefix("charset=").strip('"')
    if media_type != "application/json" or charset not in {"", "utf-8", "utf8"}:
        raise MediaTypeError(
            "The body must be JSON in UTF-8.",
            code="media_type_unsupported",
            field="Content-Type",
            fix="Send Content-Type: application/json.",
        )


def understand(body: bytes, *, most: int) -> ExtractRequest:
    """Return the request that `body` holds, with at most one report more than `most`; raise a `RequestError` where it holds none.

    What is wrong with each of a million reports would take minutes to find.
    """
    found = _decode(body)
    if isinstance(found, dict) and isinstance(found.get("reports"), list):
        found["reports"] = found["reports"][: most + 1]
    return _validate(found)


def read(request: ExtractRequest, schema: str, *, most: int, served: str) -> Asked:
    """Return what `request` asks, under the version `schema`, of the model named `served`.

    Raises an `InputError` about the whole request.
    """
    if request.model not in {None, served}:
        raise NotFoundError(
            "This server does not run that model.",
            code="model_unknown",
            field="model",
            fix="Use an id from GET /models, or leave it out.",
        )
    reports = _reports(request, most)
    items = [
        from_validation(report.error, f"reports[{index}]")
        if isinstance(report, BadReport)
        else Job(report.text, schema, request.decode, request.distribution, report.id)
        for index, report in enumerate(reports)
    ]
    return Asked(tuple(items), tuple(report.id for report in reports), many=request.reports is not None)


def _decode(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        line, column = error.lineno, error.colno
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            f"The body is not UTF-8 at byte {error.start}.", code="not_utf8", fix="Encode it as UTF-8."
        ) from None
    if "\\ud" in text.lower():  # half of a surrogate pair, which orjson refuses: an error of its report alone
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    raise RequestError(
        f"The body is not JSON at line {line}, column {column}.", code="not_json", fix="Send one JSON object."
    )


def _validate(body: object) -> ExtractRequest:
    try:
        return ExtractRequest.model_validate(body)
    except ValidationError as error:
        problem = from_validation(error)
    raise problem


def _reports(request: ExtractRequest, most: int) -> list[ReportIn | BadReport]:
    if (request.text is None) == (request.reports is None):
        raise RequestError(
            "Exactly one of text and reports is needed.",
            code="request_invalid",
            field="text",
            fix='Send {"text": "…"} or {"reports": [{"text": "…"}]}.',
        )
    if request.text is not None:
        return [ReportIn.model_construct(text=request.text, id=request.id)]
    if request.id is not None:
        raise RequestError(
            "A list has no id of its own.", code="request_invalid", field="id", fix="Give each report its id."
        )
    if not request.items:
        raise RequestError(
            "The list is empty.", code="list_empty", field="reports", fix="Send at least one report."
        )
    if len(request.items) > most:
        raise TooLargeError(
            f"The list holds more than the {most} reports that are read at a time.",
            code="list_too_long",
            field="reports",
            fix="Send it in several requests.",
        )
    return request.items
