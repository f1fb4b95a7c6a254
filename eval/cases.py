"""Annotated reports: a line of JSON each, read with every mistake named, and checked against their own text.

The format is told in `eval/sets/README.md`; `case_schema` is its JSON Schema.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from extractor.report import Number, Report
from extractor.units import convert
from schemas import cmr_diagnosis_v3, cmr_report_v2
from schemas.cmr_diagnosis_v3 import CmrDiagnosisV3, Condition
from schemas.cmr_report_v1 import Measurements
from schemas.cmr_report_v2 import CmrReportV2
from schemas.fields import NOT_STATED, Measure, Schema

SETS = Path(__file__).parent / "sets"

HARD = "hard"
"""The tag of a report that is hard to read."""

MEASURES = {
    f"{part}.{name}": mark
    for part, model in (("measurements", Measurements), ("previous", cmr_report_v2.Previous))
    for name, info in model.model_fields.items()
    for mark in info.metadata
    if isinstance(mark, Measure)
}
"""The measurements of cmr-report@2 by path."""

LISTS = ("wall_motion_segments", "lge_segments")

Style = Literal[
    "prose",
    "headings",
    "structured_list",
    "dictation",
    "value_table",
    "abbreviated",
    "one_liner",
    "two_page",
    "letter",
    "template",
    "bullet_points",
    "telegram",
    "question_answer",
    "mixed",
    "unknown",
]


class Gold(Schema):
    """What a report states. What is left out is `not_stated`; a list left out is empty."""

    diagnosis: cmr_diagnosis_v3.Diagnosis | None = Field(None, description="null: nobody labelled it")
    certainty: cmr_diagnosis_v3.Certainty = cmr_diagnosis_v3.Certainty.NOT_STATED
    acuity: cmr_diagnosis_v3.Acuity = cmr_diagnosis_v3.Acuity.NOT_STATED
    findings: dict[str, str | list[str]] | None = Field(default_factory=dict, description="null: unlabelled")
    measurements: dict[str, float] | None = Field(
        default_factory=dict, description="in the schema's units; null: unlabelled"
    )
    previous: dict[str, float | str] | None = Field(default_factory=dict, description="null: unlabelled")
    conditions: dict[str, Condition] | None = Field(
        None, description="diseases the report names; null: unlabelled"
    )
    own: dict[str, Any] | None = Field(
        None,
        description="by path of the schema that set.json names, instead of all the rest: a label, a list of labels, or a number in the field's unit",
    )


class Case(Schema):
    """One annotated report. `repr` never shows its text."""

    id: Annotated[str, Field(min_length=1)]
    case_id: str | None = Field(None, description="shared by translations of one report; else the id")
    language: Literal["en", "de", "es", "fr", "it", "nl", "pt", "other"]
    style: Style = "unknown"
    variant: Literal["findings", "full", "unknown"] = "unknown"
    variety: str | None = Field(None, description="british, american, non_native, austrian …")
    author: str | None = None
    tags: tuple[str, ...] = Field(
        (),
        description="hard pairs and traps: hcm/amyloidosis, prior_numbers, unit_slip …; `hard`: hard to read as a whole",
    )
    text: str
    gold: Gold
    evidence: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="by path: pieces of the text that a right citation may hold"
    )

    def __repr__(self) -> str:
        return f"Case({self.id!r}, {self.language}, {len(self.text)} characters)"

    @property
    def cluster(self) -> str:
        return self.case_id or self.id

    def values(self) -> dict[str, Any]:
        """Gold by dotted path of cmr-report@2 and of cmr-diagnosis@3's `conditions`, `not_stated` included.

        A measurement is a number in the field's unit. Parts that nobody labelled are left out. In a set of a schema
        of its own, by that schema's paths.
        """
        gold = self.gold
        if gold.own is not None:
            return dict(gold.own)
        found: dict[str, Any] = {}
        if gold.diagnosis is not None:
            found["diagnosis"] = gold.diagnosis.value
            found |= {"certainty": gold.certainty.value, "acuity": gold.acuity.value}
        for part, given in (
            ("findings", gold.findings),
            ("measurements", gold.measurements),
            ("previous", gold.previous),
        ):
            if given is not None:
                names = CmrReportV2.model_fields[part].annotation.model_fields  # type: ignore[union-attr]
                blank = {name: [] if name in LISTS else NOT_STATED for name in names}
                found |= {f"{part}.{name}": value for name, value in (blank | given).items()}
        if gold.conditions is not None:
            for name in CmrDiagnosisV3.model_fields["conditions"].annotation.model_fields:  # type: ignore[union-attr]
                named = gold.conditions.get(name)
                found[f"conditions.{name}.certainty"] = named.certainty.value if named else NOT_STATED
                found[f"conditions.{name}.acuity"] = named.acuity.value if named else NOT_STATED
        return found

    def data(self) -> dict[str, Any]:
        """Gold as `data` of cmr-report@2; measurements as quantities whose span is this text's first match.

        Parts that nobody labelled are left out. Raises `ValueError` where a number does not stand in the text.
        """
        values = self.values()
        tree: dict[str, Any] = {}
        numbers = Report.parse(self.text).numbers
        for path, value in values.items():
            if path.startswith("conditions."):
                continue
            *above, name = path.split(".")
            place = tree
            for key in above:
                place = place.setdefault(key, {})
            measured = path in MEASURES and value != NOT_STATED
            place[name] = self._quantity(numbers, path, value) if measured else value
        return tree

    def _quantity(self, numbers: Sequence[Number], path: str, value: float) -> dict[str, Any]:
        found = next((number for number in numbers if _is(number.value, number.unit, path, value)), None)
        if found is None:
            raise ValueError(f"{path}: {value:g} does not stand in the text")
        span = {"start": found.start, "end": found.end}
        return {"text": found.text, "value": value, "unit": MEASURES[path].unit, **span}


def _is(number: float, unit: str | None, path: str, value: float) -> bool:
    """Whether a number of the text is this value of this field, up to the rounding of a unit's conversion."""
    own = MEASURES[path].unit
    same = [convert(number, unit, own)] if unit else [number, number * 100 if own == "%" else None]
    return any(one is not None and math.isclose(one, value, rel_tol=1e-6, abs_tol=1e-9) for one in same)


def case_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one line of a set."""
    return Case.model_json_schema()


def read(path: Path) -> list[Case]:
    """Read a set: a folder with `reports.jsonl`, or such a file. Every line that is wrong is named, none is skipped.

    Raises `ValueError`.
    """
    file = path / "reports.jsonl" if path.is_dir() else path
    cases: list[Case] = []
    wrong: list[str] = []
    for number, line in enumerate(file.read_text("utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            cases.append(Case.model_validate_json(line))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            wrong.append(f"{file.name}, line {number}: {'.'.join(map(str, first['loc']))}: {first['msg']}")
    twice = [id_ for id_, count in Counter(case.id for case in cases).items() if count > 1]
    wrong += [f"{file.name}: two reports are called {id_}" for id_ in twice]
    if wrong:
        raise ValueError("\n".join(wrong))
    return cases


def problems(case: Case) -> Iterator[str]:
    """Yield what is wrong between a case's gold, its text and physiology; nothing where all is well."""
    if refused := _refused(case):
        yield refused
        return
    values = case.values()
    for part in ("findings", "measurements", "previous"):
        names = CmrReportV2.model_fields[part].annotation.model_fields  # type: ignore[union-attr]
        yield from (
            f"{part}.{name}: no such field" for name in (getattr(case.gold, part) or {}) if name not in names
        )
    yield from _gates(values)
    yield from _physiology(case)
    for path, quotes in case.evidence.items():
        if path not in values:
            yield f"evidence.{path}: no such field"
        for place, quote in enumerate(quotes, 1):
            if quote not in case.text:
                yield f"evidence.{path}: quote {place} is not in the text"
    for path, value in values.items():
        needs = (
            path.startswith("findings.")
            and value not in (NOT_STATED, [])
            and path.removeprefix("findings.") not in LISTS
        )
        if needs and path not in case.evidence:
            yield f"evidence.{path}: missing"


def _refused(case: Case) -> str:
    """Say what the schema refuses in a case whose findings are labelled, or nothing; other parts may be unlabelled."""
    if case.gold.findings is None:
        return ""
    try:
        CmrReportV2.model_validate(case.data())
    except ValidationError as error:
        unlabelled = {(part,) for part in CmrReportV2.model_fields}
        wrong = [one for one in error.errors() if one["type"] != "missing" or one["loc"] not in unlabelled]
        return f"{'.'.join(map(str, wrong[0]['loc']))}: {wrong[0]['msg']}" if wrong else ""
    except ValueError as error:
        return str(error)
    return ""


def _gates(values: Mapping[str, Any]) -> Iterator[str]:
    for source, names in (("lge", ("lge_pattern", "lge_segments")), ("wall_motion_abnormality", (LISTS[0],))):
        if values.get(f"findings.{source}") in ("present", "uncertain"):
            continue
        for name in names:
            if values.get(f"findings.{name}", NOT_STATED) not in (NOT_STATED, []):
                yield f"findings.{name}: stated, but findings.{source} is not present or uncertain"
    for path, value in values.items():
        if path.endswith(".acuity") and value != NOT_STATED and values[path.removesuffix("acuity") + "certainty"] in (
            NOT_STATED, "excluded"
        ):  # fmt: skip
            yield f"{path}: stated, but the disease is not named"


def _physiology(case: Case) -> Iterator[str]:
    """Check that EF follows from the volumes, and that index and absolute value agree on one body surface area."""
    m: Mapping[str, float] = case.gold.measurements or {}
    for path, value in m.items():
        mark = MEASURES.get(f"measurements.{path}")
        if mark and not mark.low <= value <= mark.high:
            yield f"measurements.{path}: {value:g} is outside {mark.low:g} to {mark.high:g}"
    for side in ("lv", "rv"):
        for i in ("", "i"):
            edv, esv, ef = m.get(f"{side}edv{i}"), m.get(f"{side}esv{i}"), m.get(f"{side}ef")
            if edv and esv and ef and abs(100 * (edv - esv) / edv - ef) > 1.6:
                yield f"measurements.{side}ef: {ef:g}, but the volumes give {100 * (edv - esv) / edv:.1f}"
    pairs = [
        ("lv_mass", "lv_mass_index"),
        *((f"{s}{v}", f"{s}{v}i") for s in ("lv", "rv") for v in ("edv", "esv")),
    ]
    areas = [m[a] / m[b] for a, b in pairs if a in m and b in m]
    if areas and not (
        min(areas) >= 1.0 and max(areas) <= 2.9 and max(areas) - min(areas) < 0.08 * min(areas)
    ):
        yield f"measurements: the indices give body surface areas from {min(areas):.2f} to {max(areas):.2f} m2"
