"""The vocabulary that schema authors write in, beside plain enums, literals, booleans and bounded integers.

A field's type says what kind of closed question it becomes:

    class Findings(Schema):
        lge: Finding                                              # one label of an enum
        lge_pattern: Annotated[Pattern, When("lge", "present")]   # asked only where lge is present
        lvef: Annotated[Measured, Measure("%", low=3, high=90)]   # one of the report's own numbers
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic_core import CoreSchema

NOT_STATED: Final = "not_stated"
NotStated = Literal["not_stated"]


class Schema(BaseModel):
    """Base of every schema: no unknown keys, immutable, and no input echoed in validation errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Finding(StrEnum):
    """What a report says of a finding. Silence is `not_stated`, which is not the same as `absent`."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    NOT_STATED = "not_stated"


class Quantity(Schema):
    """One number that stands in the report.

    `text` is the report's own `text[start:end]` (number and unit as written); `value` is that number in
    `unit`, the field's unit, converted by code and never by a model.
    """

    text: str
    value: float
    unit: str
    start: int
    end: int


class Evidence(Schema):
    """One sentence of the report: its index from 0, and `text == report[start:end]`."""

    sentence: int
    text: str
    start: int
    end: int


Measured = Quantity | NotStated
"""A measurement: one of the report's quantities, or `not_stated`."""


@dataclass(frozen=True)
class Measure:
    """What a `Measured` field accepts: the unit it is normalised to and the plausible range in that unit.

    Quantities of this `study` in a convertible unit whose converted value lies in `low`..`high` (inclusive) are the
    options. In a JSON Schema they are the keywords `x-unit`, `x-minimum`, `x-maximum` and `x-study`.
    """

    unit: str
    low: float
    high: float
    study: Literal["current", "previous"] = "current"

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        own = {"x-unit": self.unit, "x-minimum": self.low, "x-maximum": self.high, "x-study": self.study}
        return handler(core) | own


@dataclass(frozen=True, init=False)
class When:
    """Ask this field only where an earlier field of the same model has one of `values`.

    Elsewhere the field takes `otherwise`, which must be one of its own values; a list is empty there. In a JSON
    Schema it is the keyword `x-asked-when`.
    """

    field: str
    values: tuple[str, ...]
    otherwise: str

    def __init__(self, field: str, *values: str, otherwise: str = NOT_STATED) -> None:
        object.__setattr__(self, "field", field)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "otherwise", otherwise)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | {"x-asked-when": {self.field: list(self.values)}}
