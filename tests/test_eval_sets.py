"""The sets that ship: sound, complete and apart from each other."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import jsonschema
import pytest

from eval.agreement import agreements, differences, readings
from eval.cases import SETS, Case, case_schema, problems, read
from eval.leaks import copies, leaks
from schemas.cmr_diagnosis_v1 import Diagnosis as Five
from schemas.cmr_diagnosis_v3 import Diagnosis

NAMES = ("cmr-109", "cmr-hard", "cmr-train", "cmr-calibration", "cmr-numbers", "cmr-snippets")
REAL = Path(__file__).parents[2] / "shared" / "data" / "real_dev.jsonl"


@pytest.fixture(scope="module")
def sets() -> dict[str, list[Case]]:
    return {name: read(SETS / name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_gold_agrees_with_the_text_and_with_physiology(sets, name):
    found = {case.id: list(problems(case)) for case in sets[name]}
    assert {id_: wrong for id_, wrong in found.items() if wrong} == {}


def test_a_label_that_a_field_does_not_have_is_named_in_a_partly_labelled_report_too(sets):
    case = next(case for case in sets["cmr-train"] if case.gold.findings and case.gold.measurements is None)
    gold = case.gold.model_copy(update={"findings": {**case.gold.findings, "oedema": "perhaps"}})
    assert any(
        wrong.startswith("findings.oedema") for wrong in problems(case.model_copy(update={"gold": gold}))
    )


def test_the_test_set_has_every_class_language_and_style(sets):
    cases = sets["cmr-109"]
    classes = Counter(case.gold.diagnosis for case in cases)
    languages = Counter(case.language for case in cases)
    assert len(cases) >= 109
    assert min(classes[label] for label in Diagnosis) >= 3
    assert min(classes[Diagnosis(label)] for label in Five if label not in ("other", "indeterminate")) >= 12
    assert classes[Diagnosis.INDETERMINATE] >= 8
    assert languages["de"] >= 25
    assert languages["es"] >= 10
    assert {case.variety for case in cases} >= {"british", "american", "non_native"}
    assert len({case.style for case in cases}) >= 12
    assert {case.variant for case in cases} == {"findings", "full"}
    traps = Counter(tag for case in cases for tag in case.tags)
    assert min(traps[tag] for tag in ("negation_list", "prior_numbers", "unit_slip", "missing_values")) >= 5


def test_the_hard_test_set_has_every_disease_in_findings_alone(sets):
    classes = Counter(case.gold.diagnosis for case in sets["cmr-hard"])
    diseases = set(Diagnosis) - {Diagnosis.OTHER, Diagnosis.INDETERMINATE}
    assert set(classes) == diseases
    assert min(classes.values()) >= 5
    assert {case.variant for case in sets["cmr-hard"]} == {"findings"}


def test_the_training_set_is_large_and_has_every_class(sets):
    assert len(sets["cmr-train"]) >= 300
    assert {case.gold.diagnosis for case in sets["cmr-train"]} - {None} == set(Diagnosis)


@pytest.mark.parametrize("name", ["cmr-109", "cmr-hard"])
def test_no_author_of_a_test_set_wrote_for_another(sets, name):
    others = {case.author for other in NAMES if other != name for case in sets[other]}
    assert not {case.author for case in sets[name]} & others


@pytest.mark.parametrize(("one", "other"), list(combinations(NAMES, 2)))
def test_no_text_and_no_near_duplicate_is_in_two_sets(sets, one, other):
    assert list(leaks(sets[one], sets[other])) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_report_is_written_twice(sets, name):
    assert list(copies(sets[name])) == []


def test_texts_alike_are_no_copies_where_the_diagnosis_is_another(sets):
    case = sets["cmr-109"][0]
    copy = case.model_copy(update={"id": "copy"})
    assert [(leak.one, leak.other) for leak in copies([case, copy])] == [(case.id, "copy"), ("copy", case.id)]
    assert case.gold.diagnosis != "aortic"
    twin = copy.model_copy(update={"gold": case.gold.model_copy(update={"diagnosis": "aortic"})})
    assert list(copies([case, twin])) == []


def test_a_copy_is_found_whatever_its_numbers_and_case(sets):
    case = sets["cmr-109"][0]
    copy = case.model_copy(update={"id": "copy", "text": case.text.upper().replace("2", "3")})
    assert [(leak.one, leak.other) for leak in leaks([copy], sets["cmr-109"])] == [("copy", case.id)]


@pytest.mark.skipif(not REAL.exists(), reason="the real texts are not part of the repository")
def test_no_real_text_is_in_the_training_set(sets):
    rows = map(json.loads, REAL.read_text("utf-8").splitlines())
    real = [
        Case.model_validate({"id": row["id"], "language": "en", "text": row["text"], "gold": {}})
        for row in rows
    ]
    assert list(leaks(real, sets["cmr-train"])) == []


@pytest.mark.parametrize(("name", "settled"), [("cmr-109", 2), ("cmr-hard", 0)])
def test_every_report_of_a_test_set_was_read_twice_and_the_readers_agree(sets, name, settled):
    first, second = readings(SETS / name)
    assert len(second) == len(sets[name])
    kappas = {one.part: one.kappa for one in agreements(first, second)}
    assert kappas["diagnosis"] is not None
    assert min(kappa for kappa in kappas.values() if kappa is not None) > 0.9
    assert len(list(differences(first, second))) == settled


@pytest.mark.parametrize("name", NAMES)
def test_every_line_follows_the_published_json_schema(name):
    check = jsonschema.Draft202012Validator(json.loads((SETS / "report.schema.json").read_text("utf-8")))
    for line in (SETS / name / "reports.jsonl").read_text("utf-8").splitlines():
        assert not list(check.iter_errors(json.loads(line)))


def test_the_published_json_schema_is_that_of_the_code():
    assert json.loads((SETS / "report.schema.json").read_text("utf-8")) == case_schema()
