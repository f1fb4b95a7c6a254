"""A released schema never changes; these tests fail where one has."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pytest

from schemas import lock
from schemas.cmr_diagnosis_v1 import CmrDiagnosisV1
from schemas.cmr_diagnosis_v2 import CmrDiagnosisV2
from schemas.fields import Finding, Measure, Measured, Schema, When
from schemas.registry import BUILT_IN, get
from schemas.version import SchemaVersion


def test_every_released_version_is_as_it_was_released() -> None:
    assert lock.problems(BUILT_IN) == []
    assert set(lock.released()) == {entry.ref for entry in BUILT_IN if entry.status != "draft"}


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: entry.ref)
def test_the_published_document_names_itself_and_is_the_models(entry: SchemaVersion) -> None:
    file = lock.HERE / "published" / f"{entry.ref}.json"
    published = json.loads(file.read_text("utf-8"))
    assert published.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert published.pop("$id") == f"urn:extractor:schema:{entry.ref}"
    assert published == entry.model.model_json_schema()


def test_a_changed_release_is_told_how_to_become_the_next_version() -> None:
    changed = [
        replace(entry, model=CmrDiagnosisV2) if entry.ref == "cmr-diagnosis@1" else entry
        for entry in BUILT_IN
    ]
    (problem,) = lock.problems(changed)
    assert problem.startswith("cmr-diagnosis@1: a released schema has changed.")
    for step in ("cmr_diagnosis_v2.py", 'older="cmr-diagnosis@1"', "down=", "extractor schemas publish"):
        assert step in problem


def a_field(low: float = 3, unit: str = "%", study: Any = "current", *gate: str) -> SchemaVersion:
    class Model(Schema):
        lge: Finding
        pattern: Annotated[Finding, When("lge", *(gate or ("present",)))]
        lvef: Annotated[Measured, Measure(unit, low=low, high=90, study=study)]

    return SchemaVersion("heart", 1, Model, date(2026, 1, 1), "stable", "Test.")


@pytest.mark.parametrize(
    "other", [a_field(4), a_field(3, "mL"), a_field(3, "%", "previous"), a_field(3, "%", "current", "absent")]
)
def test_units_ranges_studies_and_gates_are_locked_too(other: SchemaVersion, tmp_path: Path) -> None:
    assert lock.publish([a_field()], tmp_path) == ["heart@1"]
    assert lock.problems([a_field()], tmp_path) == []
    (problem,) = lock.problems([other], tmp_path)
    assert "heart@1: a released schema has changed" in problem


def test_a_release_that_is_gone_is_missed() -> None:
    (problem,) = lock.problems([entry for entry in BUILT_IN if entry.ref != "cmr-report@1"])
    assert problem.startswith("cmr-report@1: a released version is gone.")


def test_a_draft_is_neither_published_nor_locked(tmp_path: Path) -> None:
    draft = replace(a_field(), status="draft")
    assert lock.publish([draft], tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert lock.problems([draft], tmp_path) == []
    assert "not locked" in lock.problems([a_field()], tmp_path)[0]
    lock.publish([a_field()], tmp_path)
    assert "cannot be a draft again" in lock.problems([draft], tmp_path)[0]


def test_publishing_adds_and_never_overwrites(tmp_path: Path) -> None:
    lock.publish([a_field()], tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "published").iterdir()}
    newer = replace(a_field(4), version=2)
    assert lock.publish([a_field(4), newer], tmp_path) == ["heart@2"]
    after = {path.name: path.read_bytes() for path in (tmp_path / "published").iterdir()}
    assert after == before | {"heart@2.json": lock.text(newer).encode()}
    assert [problem.partition(":")[0] for problem in lock.problems([a_field(4), newer], tmp_path)] == [
        "heart@1"
    ]


def test_a_published_file_that_was_edited_is_named(tmp_path: Path) -> None:
    lock.publish([a_field()], tmp_path)
    file = tmp_path / "published" / "heart@1.json"
    file.write_text(file.read_text().replace("90", "95"))
    assert "heart@1: published/heart@1.json is not what was locked" in lock.problems([a_field()], tmp_path)[0]
    file.unlink()
    assert lock.problems([a_field()], tmp_path)


def test_deprecating_a_version_leaves_its_lock_alone() -> None:
    day = date(2027, 1, 1)
    old = replace(get("cmr-diagnosis@1"), status="deprecated", deprecated=day, sunset=day)
    assert lock.problems([old if entry.ref == old.ref else entry for entry in BUILT_IN]) == []
    assert old.model is CmrDiagnosisV1
