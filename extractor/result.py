"""What leaves the system: the object, and for every field its probability, evidence and origin."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.fields import Evidence

Decode = Literal["choice", "grammar"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class FieldResult(_Frozen):
    """One field's answer.

    `status`: `answered` by the model, or by its wording where that is sure; `forced`, only one value was possible in this
    report; `implied`, not asked because the field it depends on rules it out. Only what was answered is ever for `review`.
    """

    value: Any
    probability: float = Field(
        ge=0, le=1, description="over the allowed options of this field; they sum to 1"
    )
    status: Literal["answered", "forced", "implied"]
    review: bool | None = Field(
        default=None,
        description="whether a human should look: of answers at least this probable more than 2 % would be wrong; "
        "null where the model has no calibration for such a field",
    )
    evidence: Evidence | None = Field(
        default=None, description="a sentence of the report, never generated text"
    )
    distribution: dict[str, float] | None = Field(default=None, description="only where it was asked for")


class Provenance(_Frozen):
    """What made a result: the same provenance and the same text give the same result."""

    extractor: str
    schema_: str = Field(alias="schema")
    prompt: str
    decode: Decode
    model: str
    weights_sha256: str | None = Field(
        description="null where a server runs weights that nothing here has seen"
    )
    precision: str
    adapter: str | None
    wording: str | None = Field(
        default=None, description="the second reader, which counts words; null where only the model reads"
    )
    calibration: str | None = Field(
        default=None, description="what made the probabilities, null where they are the model's own"
    )
    engine: str


class Usage(_Frozen):
    """Work done for one report: prompt tokens, how many came from the prefix cache, tokens generated."""

    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    parts: int = Field(description="1 unless the report was longer than the context and read in parts")


class Extraction(_Frozen):
    """One report's result. `data` validates against the schema; `fields` is keyed by dotted path."""

    id: str | None = None
    schema_: str = Field(alias="schema")
    data: dict[str, Any]
    fields: dict[str, FieldResult]
    provenance: Provenance
    usage: Usage
