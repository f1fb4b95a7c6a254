"""Answers held against gold, field by field: the rows that every figure is made of."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from eval.answers import FAILED, Given, Record, Run, Span
from eval.cases import Case
from eval.gold import AnnotatedSet, form
from extractor.errors import ReportError
from extractor.form import Leaf, Members
from extractor.report import Report
from extractor.units import convert
from schemas.fields import NOT_STATED

Kind = Literal["category", "list", "quantity"]

Result = Literal[
    "exact",
    "left_out",
    "failed",
    "omitted",
    "invented",
    "wrong_study",
    "wrong_ventricle",
    "unit_error",
    "wrong_field",
    "unstated",
    "other_number",
]
RESULTS: Mapping[Result, str] = {
    "exact": "the stated number",
    "left_out": "nothing, as nothing is stated",
    "failed": "an answer that is no number",
    "omitted": "nothing, though it is stated",
    "invented": "a number that stands nowhere in the report",
    "wrong_study": "the number of the other study, current or previous",
    "wrong_ventricle": "the other ventricle's number",
    "unit_error": "off by a power of ten",
    "wrong_field": "another field's number",
    "unstated": "a number of the report, though the field is not stated",
    "other_number": "another number of the report",
}


@dataclass(frozen=True)
class Scored:
    """One field of one report. `cited` is whether the evidence is right, None where no gold evidence or answer is."""

    case: str
    cluster: str
    strata: tuple[tuple[str, str], ...]
    path: str
    kind: Kind
    gold: Any
    given: Given
    cited: bool | None = None
    result: Result | None = None

    @property
    def right(self) -> bool:
        if self.result:
            return self.result in ("exact", "left_out")
        if self.kind == "list" and self.given.value != FAILED:
            return set(self.given.value) == set(self.gold)
        return bool(self.given.value == self.gold)


def score(run: Run, annotated: AnnotatedSet) -> list[Scored]:
    """Score what a run answered so far; reports that it has not answered yet are left out."""
    records = run.of({case.id: case.text for case in annotated.cases})
    answers = [(path, given) for record in records.values() for path, given in record.answers.items()]
    cited = frozenset(path for path, given in answers if given.evidence)
    task = _Task(frozenset(path for path, _ in answers), cited)
    ref = run.about.schema_ref
    return [
        row
        for case in annotated.cases
        if case.id in records
        for row in _case(case, annotated.gold(case, ref), records[case.id], task, ref)
    ]


@dataclass(frozen=True)
class _Task:
    """What a system does at all: the fields that it answers, or gives evidence for, in any report."""

    paths: frozenset[str]
    cited: frozenset[str]


def _case(case: Case, gold: Mapping[str, Any], record: Record, task: _Task, ref: str) -> Iterator[Scored]:
    strata = (("language", case.language), ("style", case.style), ("length", length(case.text)))
    every = case.values()
    for leaf in form(ref).leaves():
        # A field that a system answers in no report is not its task; one that is missing in this report has failed.
        if leaf.path not in gold or (task.paths and leaf.path not in task.paths):
            continue
        wanted, given = gold[leaf.path], record.answers.get(leaf.path, Given(value=FAILED))
        kind: Kind = "list" if isinstance(leaf, Members) else "category"
        result: Result | None = None
        if isinstance(leaf, Leaf) and leaf.measure:
            kind = "quantity"
            result = measured(leaf, wanted, given.value, every, case.text)
        cited = _cited(case, leaf.path, given) if kind == "category" and leaf.path in task.cited else None
        yield Scored(case.id, case.cluster, strata, leaf.path, kind, wanted, given, cited, result)


def length(text: str) -> str:
    """Under 80 words a report is short, over 250 long."""
    words = len(text.split())
    return "short" if words < 80 else "long" if words > 250 else "medium"


def _cited(case: Case, path: str, given: Given) -> bool | None:
    """Whether the evidence touches a piece of the text that gold names; None where there is nothing to cite."""
    if not case.evidence.get(path) or given.value in (NOT_STATED, FAILED):
        return None
    return given.evidence is not None and quoted(case, path, given.evidence)


def quoted(case: Case, path: str, span: Span) -> bool:
    """Whether a span of the text touches a piece of it that gold names as evidence for a field."""
    spans = [one for quote in case.evidence.get(path, ()) for one in places(case.text, quote)]
    return any(start < span[1] and span[0] < end for start, end in spans)


def places(text: str, quote: str) -> Iterator[Span]:
    """Yield where a quote stands in a text: all of its places, as the annotator named none."""
    start = text.find(quote)
    while start >= 0:
        yield start, start + len(quote)
        start = text.find(quote, start + 1)


def measured(leaf: Leaf, gold: Any, value: Any, every: Mapping[str, Any], text: str) -> Result:  # noqa: PLR0911  one a result
    """Say what kind of right or wrong a measurement is. `every` holds all gold values of the report by path."""
    if value == FAILED:
        return "failed"
    if value == NOT_STATED:
        return "left_out" if gold == NOT_STATED else "omitted"
    if gold != NOT_STATED and same(value, gold):
        return "exact"
    if leaf.measure and not stands(value, text, leaf.measure.unit):
        return "invented"
    elsewhere = {other for other, number in every.items() if _number(number) and same(value, number)}
    part, _, name = leaf.path.rpartition(".")
    if any(other.partition(".")[0] != part for other in elsewhere):
        return "wrong_study"
    if f"{part}.{_TWINS.get(name[:2], name[:2])}{name[2:]}" in elsewhere:
        return "wrong_ventricle"
    if gold != NOT_STATED and any(same(value, gold * 10**power) for power in (-3, -2, -1, 1, 2, 3)):
        return "unit_error"
    if elsewhere:
        return "wrong_field"
    return "unstated" if gold == NOT_STATED else "other_number"


_TWINS = {"lv": "rv", "rv": "lv"}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def option_of(values: Sequence[Any], gold: Any) -> int | None:
    """Say which of a question's options is gold, a label or the number of a span of the report; None where none is."""
    if isinstance(gold, int | float) and not isinstance(gold, bool):
        numbers = [value["value"] if isinstance(value, dict) else value for value in values]
        return next((i for i, n in enumerate(numbers) if isinstance(n, int | float) and same(n, gold)), None)
    return values.index(gold) if gold in values else None


def same(one: float, other: float) -> bool:
    """Equal up to the rounding of a unit's conversion."""
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)


def stands(value: float, text: str, unit: str) -> bool:
    """Whether a number stands in the text, as printed or converted to `unit`."""
    return any(same(value, number) for number in _standing(text, unit))


@lru_cache(maxsize=4096)
def _standing(text: str, unit: str) -> tuple[float, ...]:
    try:
        numbers = Report.parse(text).numbers
    except ReportError:
        return ()
    found = [(n.value, convert(n.value, n.unit, unit)) for n in numbers]
    return tuple(value for pair in found for value in pair if value is not None)
