"""Every error that extractor raises on purpose.

    ExtractorError
    ├── InputError              the caller sent something that cannot be used        HTTP 4xx
    │   ├── ReportError           the report text itself: empty, too long, not text
    │   ├── RequestError          the request around it: a wrong type, an unknown option
    │   └── NotFoundError         an unknown schema, version or model
    ├── SchemaError             a Pydantic model that cannot become closed questions HTTP 422
    ├── StoreError              weights that are missing, wrong or cannot be fetched HTTP 503
    └── EngineError             the model server failed or answered nonsense         HTTP 503

Each carries what RFC 9457 (Problem Details for HTTP APIs, section 3.1) asks for. No message ever
holds report text: name the field, the position and the fix instead.
"""

from typing import Any


class ExtractorError(Exception):
    """Base of the tree.

    `code` is a stable machine word (`report_empty`), `detail` says what is wrong, `field` names the
    offending input (`text`, `reports[3].text`, `--schema`) and `fix` says what to do about it.
    """

    status: int = 500
    title: str = "Internal error"

    def __init__(self, detail: str, *, code: str, field: str | None = None, fix: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail if detail.endswith(".") else f"{detail}."
        self.code = code
        self.field = field
        self.fix = fix

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}{self.detail}" + (f" {self.fix}" if self.fix else "")

    def problem(self) -> dict[str, Any]:
        """Return the error as an RFC 9457 problem object, with `code`, `field` and `fix` as extensions."""
        body = {
            "type": f"urn:extractor:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "field": self.field,
            "fix": self.fix,
        }
        return {key: value for key, value in body.items() if value is not None}


class InputError(ExtractorError):
    status = 400
    title = "Bad request"


class ReportError(InputError):
    status = 422
    title = "Report cannot be read"


class RequestError(InputError):
    title = "Request cannot be read"


class NotFoundError(InputError):
    status = 404
    title = "Not found"


class SchemaError(ExtractorError):
    status = 422
    title = "Schema cannot be compiled"


class StoreError(ExtractorError):
    status = 503
    title = "Model weights unavailable"


class EngineError(ExtractorError):
    status = 503
    title = "Engine unavailable"
