"""Which Pydantic models become closed questions, and what is said of those that cannot."""

from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from extractor.compile import compile_form
from extractor.errors import SchemaError
from extractor.form import Group, Leaf, Members
from extractor.plan import bind
from extractor.report import Report
from schemas.fields import Evidence, Finding, Measure, Measured, Quantity, When


class Vessel(StrEnum):
    LAD = "LAD"
    RCA = "RCA"


class Grade(IntEnum):
    MILD = 1
    SEVERE = 3


class Inner(BaseModel):
    finding: Finding
    grade: Grade | None


class Everything(BaseModel):
    finding: Finding
    vessel: Literal["LAD", "RCA", "LCx"]
    grade: Grade
    flag: bool
    count: Annotated[int, Field(ge=0, le=17)]
    maybe: Vessel | None
    either: Vessel | Literal["none"]
    inner: Inner
    perhaps: Inner | None
    vessels: Annotated[list[Vessel], Field(max_length=2)]
    lvef: Annotated[Measured, Measure("%", low=3, high=90)]
    rvef: Annotated[Quantity | None, Measure("%", low=3, high=90)]
    quote: Evidence
    source: Evidence | None
    pattern: Annotated[Literal["a", "b", "not_stated"], When("finding", "present")]


REPORT = "LVEF 45 %. RVEF 50 %. The LAD is narrowed."


def labels(model: type[BaseModel], path: str) -> list[str]:
    plan = bind(compile_form(model), Report.parse(REPORT), {"lvef": ["LVEF"], "rvef": ["RVEF"]})
    return [o.label for o in next(q for q in plan.questions if q.path == path).options]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("finding", ["present", "absent", "uncertain", "not_stated"]),
        ("vessel", ["LAD", "RCA", "LCx"]),
        ("grade", ["1", "3"]),
        ("flag", ["true", "false"]),
        ("count", [str(n) for n in range(18)]),
        ("maybe", ["LAD", "RCA", "not_stated"]),
        ("either", ["LAD", "RCA", "none"]),
        ("inner.grade", ["1", "3", "not_stated"]),
        ("perhaps", ["yes", "no"]),
        ("perhaps.finding", ["present", "absent", "uncertain", "not_stated"]),
        ("vessels[LAD]", ["yes", "no"]),
        ("lvef", ["45 %", "not_stated"]),
        ("rvef", ["50 %", "not_stated"]),
        ("quote", ["A", "B", "C"]),
        ("source", ["A", "B", "C", "not_stated"]),
    ],
)
def test_every_kind_of_field_becomes_a_closed_set(path, expected):
    assert labels(Everything, path) == expected


def test_gated_questions_come_a_stage_later():
    plan = bind(compile_form(Everything), Report.parse(REPORT), {})
    stages = {q.path: q.stage for q in plan.questions}
    assert stages["finding"] == 0
    assert stages["pattern"] == 1
    assert stages["perhaps.finding"] == 1


def test_the_tree_keeps_the_models_order():
    root = compile_form(Everything).root
    assert [name for name, _ in root.children] == list(Everything.model_fields)
    kinds = {name: type(node) for name, node in root.children}
    assert (kinds["finding"], kinds["inner"], kinds["vessels"]) == (Leaf, Group, Members)


class Loop(BaseModel):
    again: "Loop | None"


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    finding: Finding


class Checked(BaseModel):
    finding: Finding

    @field_validator("finding")
    @classmethod
    def _check(cls, value):
        return value


class Half(Enum):
    HALF = 0.5


def model(annotation: Any, **settings: Any) -> type[BaseModel]:
    namespace = {"__annotations__": {"inside": Inner, "field": annotation}, "__module__": __name__}
    return type("Made", (BaseModel,), namespace | settings)


class Outer(BaseModel):
    case: model(str)  # type: ignore[valid-type]


@pytest.mark.parametrize(
    ("schema", "field", "reason"),
    [
        (model(str), "field", "not a closed set"),
        (model(float), "field", "not a closed set"),
        (model(dict[str, int]), "field", "not a closed set"),
        (model(Any), "field", "not a closed set"),
        (model(int), "field", "both bounds"),
        (model(Annotated[int, Field(ge=0)]), "field", "both bounds"),
        (model(Annotated[int, Field(ge=0, le=10**9)]), "field", "too many"),
        (model(Annotated[int, Field(ge=0, le=9, multiple_of=3)]), "field", "multiple_of"),
        (model(Annotated[int, Field(ge=5, le=4)]), "field", "no value"),
        (model(list[Vessel]), "field", "without a bound"),
        (model(Annotated[list[str], Field(max_length=3)]), "field", "not a closed set"),
        (model(Annotated[list[Vessel], Field(min_length=3, max_length=4)]), "field", "at least 3 of 2"),
        (model(set[Vessel]), "field", "plain list"),
        (model(Half), "field", "type float"),
        (model(Literal["1", 1]), "field", "read the same"),
        (model(Literal["", "x"]), "field", "empty label"),
        (model(Inner | Everything), "field", "union of models"),
        (model(Measured), "field", "unit and range"),
        (model(Annotated[Quantity, Measure("%", low=0, high=1)]), "field", "may not be missing"),
        (model(Annotated[Vessel, When("nothing", "x")]), "field", "no category before it"),
        (model(Annotated[Measured, Measure("%", low=3, high=90), When("x", "y")]), "field", "lists of them"),
        (model(Annotated[Vessel, Field(alias="other")]), "field", "two names"),
        (Loop, "again", "contains itself"),
        (Open, "(the model itself)", "extra"),
        (Checked, "(the model itself)", "validators"),
        (RootModel[Vessel], "(the model itself)", "root models"),
        (Outer, "case.field", "not a closed set"),
    ],
)
def test_what_cannot_be_closed_is_refused_with_its_path_and_the_reason(schema, field, reason):
    with pytest.raises(SchemaError) as caught:
        compile_form(schema)
    assert caught.value.field == field
    assert reason in caught.value.detail
    assert caught.value.fix


class Gated(BaseModel):
    lge: Finding
    pattern: Annotated[Literal["a", "b"], When("lge", "present")]


def test_a_gate_needs_a_fallback_that_the_field_can_hold():
    with pytest.raises(SchemaError, match="falls back to 'not_stated'"):
        compile_form(Gated)


class NeverEmpty(BaseModel):
    lge: Finding
    vessels: Annotated[list[Literal["LAD", "RCA"]], Field(min_length=1, max_length=2), When("lge", "present")]


def test_a_gated_list_must_be_able_to_be_empty():
    with pytest.raises(SchemaError, match="may not be empty"):
        compile_form(NeverEmpty)


class Misspelt(BaseModel):
    lge: Finding
    pattern: Annotated[Literal["a", "not_stated"], When("lge", "presnt")]


def test_a_gate_on_a_label_that_does_not_exist_is_refused():
    with pytest.raises(SchemaError, match="cannot take"):
        compile_form(Misspelt)
