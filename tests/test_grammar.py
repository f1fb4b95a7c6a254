"""The grammar accepts exactly what validates, checked from both sides over made-up schemas."""

import itertools
import json
import re
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from extractor.compile import compile_form
from extractor.errors import EngineError, SchemaError
from extractor.form import Members
from extractor.grammar import compile_grammar
from extractor.plan import Answer, Plan, bind
from extractor.report import Report
from schemas.fields import Evidence, Finding, Measure, Measured, When

REPORT = Report.parse('LVEF 45,5 %. Die Wand misst 12 mm. "Realce tardío" del 20 % - sin edema.')


class Odd(StrEnum):
    """Labels that JSON and regular expressions could trip over."""

    QUOTE = 'a "b"'
    BACKSLASH = "a\\b"
    STAR = "T2*"
    DOT = "T2."
    UMLAUT = "Ödem"
    BRACKET = "[x](y)?"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


SCALARS: list[Any] = [
    Finding,
    Odd,
    Literal["x", "y"],
    Literal[1, 2, 10],
    bool,
    Annotated[int, Field(ge=8, le=12)],
    Odd | None,
    Annotated[Measured, Measure("%", low=3, high=90)],
    Annotated[Measured, Measure("mm", low=2, high=50)],
    Evidence | None,
    Evidence,
]
LISTS: list[Any] = [
    Annotated[list[Literal["LAD", "RCA"]], Field(max_length=2)],
    Annotated[list[Odd], Field(min_length=1, max_length=3)],
]
NAMES = st.sampled_from(["a", "b", "é", "a_b", "lvef"])
fields_of = st.dictionaries(NAMES, st.sampled_from(SCALARS + LISTS), min_size=1, max_size=4)


def required(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: (annotation, ...) for name, annotation in fields.items()}


@st.composite
def models(draw: st.DrawFn) -> type[BaseModel]:
    inner = create_model("Inner", __base__=Strict, **required(draw(fields_of)))
    fields = draw(fields_of)
    nested: dict[str, Any] = draw(st.sampled_from([{}, {"inner": inner}, {"maybe": inner | None}]))
    outer: type[BaseModel] = create_model("Outer", __base__=Strict, **required({**fields, **nested}))
    return outer


def bound(model: type[BaseModel]) -> Plan:
    return bind(compile_form(model), REPORT, {})


def taken(plan: Plan, text: str) -> dict[str, Answer]:
    picked = compile_grammar(plan).parse(text)
    return {path: Answer(option, (option,), (1.0,), "answered") for path, option in picked.items()}


RELAXED = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@RELAXED
@given(models(), st.data())
def test_all_that_the_grammar_accepts_validates(model, data):
    plan = bound(model)
    grammar = compile_grammar(plan)
    text = data.draw(st.from_regex(grammar.regex, fullmatch=True))
    value = plan.assemble(taken(plan, text))
    model.model_validate_json(json.dumps(value))
    assert len(text.encode()) <= grammar.longest


def values(plan: Plan, data: st.DataObject) -> Any:
    """A valid object as the grammar writes it: labels for spans."""

    def group(node: Any) -> Any:
        if node.presence and data.draw(st.booleans()):
            return None
        return {name: field(child) for name, child in node.children}

    def field(node: Any) -> Any:
        if hasattr(node, "children"):
            return group(node)
        if hasattr(node, "labels"):
            size = st.lists(st.sampled_from(node.labels), min_size=node.low, max_size=node.high)
            return [json.loads(option.literal) for option in data.draw(size)]
        return json.loads(data.draw(st.sampled_from(plan.supplied.get(node.path, node.options))).literal)

    return group(plan.form.root)


@RELAXED
@given(models(), st.data())
def test_all_valid_values_are_accepted(model, data):
    plan = bound(model)
    text = json.dumps(values(plan, data), separators=(",", ":"), ensure_ascii=False)
    grammar = compile_grammar(plan)
    assert re.fullmatch(grammar.regex, text)
    plan.assemble(taken(plan, text))


class Small(Strict):
    finding: Literal["present", "absent"]
    count: Annotated[int, Field(ge=1, le=2)]
    seen: bool | None
    vessels: Annotated[list[Literal["LAD", "RCA"]], Field(max_length=1)]


def test_grammar_and_pydantic_agree_on_every_value_of_a_small_schema():
    domain: dict[str, list[Any]] = {
        "finding": ["present", "absent", "Present", "", None, "present "],
        "count": [0, 1, 2, 3, "1", None],
        "seen": [True, False, None, "true", 1],
        "vessels": [[], ["LAD"], ["RCA"], ["LAD", "RCA"], ["LCx"], "LAD", None],
    }
    regex = compile_grammar(bound(Small)).regex
    accepted = 0
    for combination in itertools.product(*domain.values()):
        value = dict(zip(domain, combination, strict=True))
        text = json.dumps(value, separators=(",", ":"))
        try:
            Small.model_validate_json(text)
            valid = True
        except ValidationError:
            valid = False
        assert bool(re.fullmatch(regex, text)) == valid, text
        accepted += valid
    assert accepted == 2 * 2 * 3 * 3


@pytest.mark.parametrize(
    "text",
    [
        '{"finding":"present","count":1,"seen":null,"vessels":[],"extra":1}',
        '{"finding":"present","count":1,"seen":null}',
        '{"count":1,"finding":"present","seen":null,"vessels":[]}',
        '{ "finding":"present","count":1,"seen":null,"vessels":[]}',
        '{"finding":"present","count":1,"seen":null,"vessels":[',
        "",
    ],
)
def test_text_outside_the_grammar_is_an_error_not_a_guess(text):
    with pytest.raises(EngineError) as caught:
        compile_grammar(bound(Small)).parse(text)
    assert caught.value.code == "decode_failed"


class Gated(Strict):
    lge: Finding
    pattern: Annotated[Literal["a", "b", "not_stated"], When("lge", "present")]
    detail: Annotated[Literal["x", "not_stated"], When("pattern", "a")]
    vessels: Annotated[list[Literal["LAD", "RCA"]], Field(max_length=1), When("lge", "present")]


def test_a_shut_gate_leaves_only_the_fallback():
    regex = compile_grammar(bound(Gated)).regex
    for lge, pattern, detail, vessels in itertools.product(
        Finding, ["a", "b", "not_stated"], ["x", "not_stated"], [[], ["LAD"], ["RCA"]]
    ):
        value = {"lge": lge, "pattern": pattern, "detail": detail, "vessels": vessels}
        text = json.dumps(value, separators=(",", ":"))
        allowed = (lge == "present" or (pattern == "not_stated" and not vessels)) and (
            pattern == "a" or detail == "not_stated"
        )
        assert bool(re.fullmatch(regex, text)) == allowed, text


@pytest.mark.parametrize("model", [Small, Gated])
def test_the_longest_output_is_reached_and_never_passed(model):
    plan = bound(model)
    grammar = compile_grammar(plan)
    leaves = []
    for node in plan.form.leaves():
        if isinstance(node, Members):
            lists = (c for n in range(node.high + 1) for c in itertools.product(node.labels, repeat=n))
            leaves.append([json.dumps([option.value for option in c]) for c in lists])
        else:
            leaves.append([option.literal for option in node.options])
    names = list(model.model_fields)
    texts = [
        "{" + ",".join(f'"{n}":{v}' for n, v in zip(names, combination, strict=True)) + "}"
        for combination in itertools.product(*leaves)
    ]
    accepted = [text for text in texts if re.fullmatch(grammar.regex, text)]
    assert max(len(text.encode()) for text in accepted) == grammar.longest


def test_a_label_that_no_sentence_names_is_not_in_the_grammar():
    terms = {"vessels[LAD]": ("anterior",), "vessels[RCA]": ("inferior",)}
    plan = bind(compile_form(Small), Report.parse("Inferior scar."), terms)
    start = '{"finding":"present","count":1,"seen":true,"vessels":'
    regex = compile_grammar(plan).regex
    assert [end for end in ("[]", '["RCA"]', '["LAD"]') if re.fullmatch(regex, f"{start}{end}}}")] == [
        "[]",
        '["RCA"]',
    ]
    unnamed = bind(compile_form(Small), Report.parse("Scar."), terms | {"finding": ("scar",)})
    assert not re.fullmatch(compile_grammar(unnamed).regex, start + '["RCA"]}')
    assert re.fullmatch(compile_grammar(unnamed).regex, start + "[]}")


def test_numbers_and_sentences_of_this_report_only():
    model = create_model(
        "M", __base__=Strict, **required({"ef": Annotated[Measured, Measure("%", low=3, high=90)]})
    )
    regex = compile_grammar(bound(model)).regex
    assert re.fullmatch(regex, '{"ef":"45,5 %"}')
    assert re.fullmatch(regex, '{"ef":"not_stated"}')
    assert not re.fullmatch(regex, '{"ef":"46 %"}')
    assert not re.fullmatch(regex, '{"ef":"12 mm"}')


def test_too_many_gates_in_one_model_are_refused():
    fields: dict[str, Any] = {"f": (Finding, ...)}
    for n in range(7):
        fields[f"g{n}"] = (Finding, ...)
        fields[f"d{n}"] = (Annotated[Literal["a", "not_stated"], When(f"g{n}", "present")], ...)
    with pytest.raises(SchemaError, match="different When conditions"):
        compile_grammar(bound(create_model("M", __base__=Strict, **fields)))
