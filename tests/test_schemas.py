"""The schemas as a caller meets them: what they accept, what they refuse and what they never print."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from extractor.compile import compile_form
from extractor.form import Members
from schemas.cmr_diagnosis_v1 import CmrDiagnosisV1, Diagnosis
from schemas.cmr_report_v1 import CmrReportV1, Findings, LgePattern, Measurements
from schemas.fields import Evidence, Finding, Measure, Measured, Schema, When
from schemas.leaves import leaves
from schemas.registry import UnknownSchema, add, all_versions, get
from schemas.version import SchemaVersion

EXAMPLES = Path(__file__).parent.parent / "examples"
REFS = ("cmr-diagnosis@1", "cmr-diagnosis@2", "cmr-diagnosis@3", "cmr-report@1", "cmr-report@2")
UNITS = {"%", "mL", "mL/m2", "g", "g/m2", "mm", "ms"}
CANARY = "Mrs Canary, born 1 April 1950"
LVEF = {"text": "35 %", "value": 35, "unit": "%", "start": 10, "end": 14}


def measures() -> dict[str, Measure]:
    fields = Measurements.model_fields.items()
    return {name: mark for name, info in fields for mark in info.metadata if isinstance(mark, Measure)}


def silent_report() -> dict[str, Any]:
    return {
        "diagnosis": "indeterminate",
        "findings": dict.fromkeys(Findings.model_fields, "not_stated"),
        "measurements": dict.fromkeys(Measurements.model_fields, "not_stated"),
    }


def test_a_report_that_says_nothing_is_valid() -> None:
    report = CmrReportV1.model_validate(silent_report())
    assert set(report.findings.model_dump().values()) == {"not_stated"}
    assert set(report.measurements.model_dump().values()) == {"not_stated"}


def test_sixteen_findings_and_eighteen_measurements() -> None:
    kinds = [info.annotation for info in Findings.model_fields.values()]
    assert kinds.count(Finding) == 16
    assert kinds.count(LgePattern) == 1
    assert len(measures()) == len(Measurements.model_fields) == 18


def test_the_pattern_is_asked_directly_after_the_lge_it_depends_on() -> None:
    names = list(Findings.model_fields)
    assert names.index("lge_pattern") == names.index("lge") + 1
    (when,) = Findings.model_fields["lge_pattern"].metadata
    assert when == When("lge", "present", "uncertain", otherwise="not_stated")
    assert set(when.values) < set(Finding)
    assert when.otherwise in set(LgePattern)


def test_every_unit_is_canonical_and_every_range_makes_sense() -> None:
    for name, measure in measures().items():
        assert measure.unit in UNITS, name
        assert 0 <= measure.low < measure.high, name
        assert name.endswith(("i", "index")) == measure.unit.endswith("/m2"), name


@pytest.mark.parametrize(
    ("name", "value"),
    # A giant failing heart, severe hypertrophy, iron overload, Fabry disease and amyloidosis are plausible.
    [
        ("lvef", 8),
        ("lvedv", 620),
        ("max_wall_thickness", 38),
        ("t2_star", 4),
        ("native_t1", 780),
        ("ecv", 68),
    ],
)
def test_sick_hearts_are_within_bounds(name: str, value: float) -> None:
    assert measures()[name].low <= value <= measures()[name].high


def test_a_smaller_volume_is_allowed_at_end_systole() -> None:
    bounds = measures()
    for volume in ("lv{}v", "lv{}vi", "rv{}v", "rv{}vi"):
        systole, diastole = bounds[volume.format("es")], bounds[volume.format("ed")]
        assert systole.low < diastole.low
        assert systole.high < diastole.high


@pytest.mark.parametrize("ref", REFS)
def test_every_field_describes_itself_in_one_sentence(ref: str) -> None:
    for path, leaf in leaves(get(ref).model).items():
        assert leaf.meaning, path
        assert leaf.meaning.endswith("."), path


@pytest.mark.parametrize("ref", REFS)
def test_leaves_are_the_questions_that_are_asked(ref: str) -> None:
    model = get(ref).model
    asked = list(compile_form(model).leaves())
    assert [leaf.path for leaf in asked] == list(leaves(model))
    for question, leaf in zip(asked, leaves(model).values(), strict=True):
        options = question.labels if isinstance(question, Members) else question.options
        assert {option.label: option.value for option in options} == leaf.labels, leaf.path
        assert getattr(question, "measure", None) == leaf.measure, leaf.path


class _Part(Schema):
    side: Literal["left", "right"] | None
    seen: bool
    grade: Annotated[int, Field(ge=0, le=4)]


class _Everything(Schema):
    part: _Part | None
    many: Annotated[list[Finding], Field(min_length=1, max_length=3)]
    size: Annotated[Measured, Measure("mm", low=1, high=9, study="previous")]
    quote: Evidence | None


def test_leaves_know_every_kind_of_field() -> None:
    found = leaves(_Everything)
    assert {path: leaf.kind for path, leaf in found.items()} == {
        "part": "presence",
        "part.side": "category",
        "part.seen": "category",
        "part.grade": "category",
        "many": "list",
        "size": "quantity",
        "quote": "evidence",
    }
    assert found["part.side"].labels == {"left": "left", "right": "right", "not_stated": None}
    assert found["part.seen"].labels == {"true": True, "false": False}
    assert list(found["part.grade"].labels) == ["0", "1", "2", "3", "4"]
    assert found["part.grade"].label_of(1) == "1"
    assert found["part.seen"].label_of(1) is None
    assert found["many"].size == (1, 3)
    assert found["size"].measure == Measure("mm", low=1, high=9, study="previous")
    for question in compile_form(_Everything).leaves():
        options = question.labels if isinstance(question, Members) else question.options
        assert {option.label: option.value for option in options} == found[question.path].labels


@pytest.mark.parametrize("part", [(), ("findings",), ("measurements",)])
def test_an_unknown_key_is_refused(part: tuple[str, ...]) -> None:
    data = silent_report()
    place = data
    for key in part:
        place = place[key]
    place["patient_name"] = CANARY
    with pytest.raises(ValidationError, match="extra_forbidden"):
        CmrReportV1.model_validate(data)


def test_a_missing_field_is_refused_and_never_filled() -> None:
    data = silent_report()
    del data["findings"]["oedema"]
    with pytest.raises(ValidationError, match=r"findings\.oedema"):
        CmrReportV1.model_validate(data)


@pytest.mark.parametrize("path", ["diagnosis", "findings.lge", "findings.lge_pattern", "measurements.lvef"])
def test_an_invalid_value_is_never_printed(path: str) -> None:
    data = silent_report()
    place, _, name = path.rpartition(".")
    (data[place] if place else data)[name] = CANARY
    with pytest.raises(ValidationError) as caught:
        CmrReportV1.model_validate(data)
    assert "Canary" not in str(caught.value)
    assert "Canary" not in repr(caught.value)


def test_a_measurement_is_a_quantity_of_the_report() -> None:
    data = silent_report()
    data["measurements"]["lvef"] = LVEF
    assert CmrReportV1.model_validate(data).measurements.model_dump()["lvef"] == LVEF
    data["measurements"]["lvef"] = 35
    with pytest.raises(ValidationError):
        CmrReportV1.model_validate(data)


def test_a_result_cannot_be_changed() -> None:
    result = CmrDiagnosisV1(diagnosis=Diagnosis.HCM)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(result, "diagnosis", Diagnosis.NORMAL)  # noqa: B010, the type checker forbids it too


def test_the_registry_finds_a_version_by_its_reference() -> None:
    entry = get("cmr-report@1")
    assert entry.ref == "cmr-report@1"
    assert entry.model is CmrReportV1
    assert entry in all_versions()
    assert [known.ref for known in all_versions()] == list(REFS)


def test_a_bare_name_means_its_newest_version(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [
        SchemaVersion("heart", number, CmrDiagnosisV1, date(2026, 1, 1), "stable", "Test.")
        for number in (2, 10, 1)
    ]
    monkeypatch.setattr("schemas.registry._added", [])
    add(*versions)
    assert get("heart").ref == "heart@10"
    assert get("heart@2").version == 2


def test_a_reference_is_given_once_and_versions_are_added_all_or_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("schemas.registry._added", [])
    new = SchemaVersion("heart", 1, CmrDiagnosisV1, date(2026, 1, 1), "stable", "Test.")
    with pytest.raises(ValueError, match="cmr-report@1 exists already"):
        add(new, get("cmr-report@1"))
    assert [known.ref for known in all_versions()] == list(REFS)


@pytest.mark.parametrize(
    "ref", ["cmr-report@9", "cmr-report@01", "cmr-report@", "cmr", "", "CMR-REPORT", "@1"]
)
def test_an_unknown_schema_lists_the_known_ones(ref: str) -> None:
    with pytest.raises(UnknownSchema) as caught:
        get(ref)
    assert isinstance(caught.value, KeyError)
    assert caught.value.ref == ref
    assert caught.value.known == REFS
    assert f"known: {', '.join(REFS)}" in str(caught.value)


def test_references_are_unique_and_models_are_their_own() -> None:
    refs = [entry.ref for entry in all_versions()]
    assert len(set(refs)) == len(refs)
    for entry in all_versions():
        assert issubclass(entry.model, BaseModel)
        assert entry.model.model_config.get("extra") == "forbid"


def example_rows() -> list[list[str]]:
    lines = (EXAMPLES / "README.md").read_text("utf-8").splitlines()
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return rows[2:]


@pytest.mark.parametrize("row", example_rows(), ids=lambda row: row[0])
def test_the_examples_gold_standard_is_valid_and_stands_in_the_text(row: list[str]) -> None:
    file, _, diagnosis, present, absent, uncertain, pattern, numbers = row
    text = (EXAMPLES / file).read_text("utf-8")
    gold = silent_report() | {"diagnosis": diagnosis}
    for label, names in (("present", present), ("absent", absent), ("uncertain", uncertain)):
        for name in filter(None, names.split(", ")):
            assert gold["findings"][name] == "not_stated", f"{name} stands twice"
            gold["findings"][name] = label
    gold["findings"]["lge_pattern"] = pattern or "not_stated"
    plain = text.replace("1.268 ms", "1268 ms").replace(",", ".")
    written = set(re.findall(r"\d+(?:\.\d+)?", plain))
    for name, number in (entry.split(" ") for entry in filter(None, numbers.split(", "))):
        assert number in written, f"{name} {number} is not in {file}"
        measure = measures()[name]
        assert measure.low <= float(number) <= measure.high
    CmrReportV1.model_validate(gold)
    assert (pattern != "") == (gold["findings"]["lge"] in ("present", "uncertain"))


def test_every_example_has_a_gold_standard() -> None:
    assert {row[0] for row in example_rows()} == {path.name for path in EXAMPLES.glob("*.txt")}


@pytest.mark.parametrize("row", example_rows(), ids=lambda row: row[0])
def test_the_examples_numbers_agree_with_each_other(row: list[str]) -> None:
    pairs = (entry.split(" ") for entry in filter(None, row[7].split(", ")))
    values = {name: float(number) for name, number in pairs}
    for ventricle in ("lv", "rv"):
        edv, esv = (values.get(f"{ventricle}{phase}v") for phase in ("ed", "es"))
        if edv and esv:
            assert values[f"{ventricle}ef"] == pytest.approx(100 * (edv - esv) / edv, abs=0.6)
    twins = [("lv_mass", "lv_mass_index")]
    twins += [(volume, f"{volume}i") for volume in ("lvedv", "lvesv", "rvedv", "rvesv")]
    areas = [values[plain] / values[indexed] for plain, indexed in twins if {plain, indexed} <= set(values)]
    assert not areas or max(areas) == pytest.approx(min(areas), rel=0.03)
