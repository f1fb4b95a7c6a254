"""What the API takes and gives. The same shapes are what `extractor extract --json` prints."""

from datetime import date
from typing import Annotated, Any, NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic import ValidatorFunctionWrapHandler as Handler

from extractor.errors import ExtractorError
from extractor.report import MAX_CHARS
from extractor.result import Decode, Extraction

DEFAULT_SCHEMA = "cmr-report@1"
MAX_ID = 256

_REPORT = "Normal biventricular size and function, LVEF 62 %. No oedema. No late gadolinium enhancement."


class _Body(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, validate_by_name=False
    )


Id = Annotated[
    str, Field(max_length=MAX_ID, description="the caller's own name for the report; comes back as sent")
]
Text = Annotated[str, Field(description=f"the report as plain text, at most {MAX_CHARS:,} characters")]


class ReportIn(_Body):
    """One report of a list."""

    text: Text
    id: Id | None = None


class BadReport(NamedTuple):
    """A report of a list that cannot be read, and its id if that much can be."""

    error: ValidationError
    id: str | None


def _keep_error(value: object, read: Handler) -> object:
    """Let one bad report stand in its own place, so that the others are still answered."""
    try:
        return read(value)
    except ValidationError as error:
        id_ = value.get("id") if isinstance(value, dict) else None
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return BadReport(error, None if any("id" in one["loc"][:1] for one in found) else id_)


class ExtractRequest(_Body):
    """Either `text` (one report, with an optional `id`) or `reports` (a list), never both."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": _REPORT, "id": "study-17"},
                {"reports": [{"text": _REPORT, "id": "a"}, {"text": "Apical ballooning, LVEF 38 %."}]},
            ]
        }
    )

    text: Text | None = None
    id: Id | None = None
    reports: list[Annotated[ReportIn, WrapValidator(_keep_error)]] | None = None
    schema_: str = Field(
        DEFAULT_SCHEMA, alias="schema", description="`name@version`, or `name` for its newest"
    )
    decode: Decode = Field("choice", description="both give the same kind of answer; `choice` is faster")
    model: str | None = Field(None, description="the model that must answer; see `GET /models`")
    distribution: bool = Field(False, description="also return the probability of every allowed option")

    @property
    def items(self) -> list[ReportIn | BadReport]:
        """`reports` as it really is: the JSON Schema of the API knows nothing of bad ones."""
        return cast("list[ReportIn | BadReport]", self.reports or [])


class Problem(BaseModel):
    """RFC 9457 problem details. Never holds report text, nor keys or values that the caller sent."""

    type: str = Field(examples=["urn:extractor:problem:report_empty"])
    title: str
    status: int
    detail: str
    code: str = Field(description="stable machine word")
    field: str | None = Field(None, description="the offending input", examples=["reports[2].text"])
    fix: str | None = Field(None, description="what to do about it")


class ItemError(BaseModel):
    """A report that could not be answered, in its own place in the list."""

    id: str | None
    error: Problem


class ExtractionList(BaseModel):
    """The answers to `reports`, in the same order."""

    results: list[Extraction | ItemError]


class SchemaInfo(BaseModel):
    ref: str = Field(examples=["cmr-report@1"])
    name: str
    version: int
    status: str = Field(examples=["draft", "stable", "deprecated"])
    released: date
    summary: str
    deprecated: date | None = Field(None, description="the day from which another version is to be used")
    sunset: date | None = Field(None, description="the first day on which it may be gone")
    older: str | None = Field(None, description="the version whose results become this one's, and back")


class SchemaList(BaseModel):
    schemas: list[SchemaInfo]


class SchemaDetail(SchemaInfo):
    json_schema: dict[str, Any] = Field(description="JSON Schema (draft 2020-12) of a result's `data`")


class ModelInfo(BaseModel):
    """The model that answers, as it stands in every result's provenance."""

    id: str
    weights_sha256: str | None
    precision: str
    adapter: str | None
    engine: str
    context_length: int = Field(description="tokens")


class ModelList(BaseModel):
    models: list[ModelInfo] = Field(description="empty until the model is loaded")


class Health(BaseModel):
    status: str = Field(examples=["live", "ready"])


def to_json(answer: BaseModel) -> dict[str, Any]:
    """Return `answer` as plain JSON values, in the names of the wire."""
    return answer.model_dump(mode="json", by_alias=True)


def outcome_to_json(outcome: Extraction | ExtractorError, id_: str | None, place: str = "") -> dict[str, Any]:
    """Return one report's result, or `{"id", "error"}`; `place` (`reports[2]`) says where the report stood."""
    if isinstance(outcome, Extraction):
        return to_json(outcome)
    problem = outcome.problem()
    if place:
        problem["field"] = f"{place}.{outcome.field}" if outcome.field == "text" else outcome.field or place
    return {"id": id_, "error": problem}
