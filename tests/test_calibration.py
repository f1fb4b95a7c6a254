"""Calibrated probabilities and `review`, through the real pipeline on an engine that answers by hashing."""

import csv
import hashlib
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

import training.calibrate
from eval.cases import SETS
from eval.gold import AnnotatedSet, load
from eval.run import replay
from eval.scoring import score
from eval.systems import LanguageModel
from extractor import calibration, fhir
from extractor.batch.output import Output
from extractor.calibration import UNHEARD, Calibration, Calibrations, Fit, find_calibrations, kind, soften
from extractor.compile import compile_form
from extractor.engine.base import Ask, Chat, EngineInfo, Generated, Generation, Scores, normalise
from extractor.errors import StoreError
from extractor.pipeline import Extractor, Job
from extractor.result import Extraction
from extractor.store import default_id, entry, manifest
from extractor.store.manifest import Adapter
from extractor.table import console, result
from extractor.wording import find_wording
from schemas import registry
from schemas.fields import Evidence, Finding, Measure, Measured
from training.fitting import Row, Shifts, fit, held_out, shifted, shifts, temperature, threshold

REPORT = """Left ventricle: dilated, LVEDV 246 mL, LVEF 31 %. No oedema, no effusion.
Late enhancement: linear mid-wall septal LGE. RVEF 48 %. Previously LVEF 45 %. EF 33 % by another method."""


class Hashing:
    """An engine whose probabilities follow from the prompt's bytes alone."""

    info = EngineInfo("hashing", None, "none", None, "python", 10**6, 16, Chat())

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def score(self, asks: Sequence[Ask]) -> list[Scores]:
        return [self._score(ask) for ask in asks]

    def _score(self, ask: Ask) -> Scores:
        draw = random.Random(hash((ask.prompt, ask.options)))
        return Scores(normalise([draw.gauss(0, 3) for _ in ask.options]), len(ask.prompt), 0)

    def generate(self, jobs: Sequence[Generation]) -> list[Generated]:
        assert not jobs  # it writes nothing
        return []

    def close(self) -> None: ...


def calibrated(**kinds: Fit) -> Calibration:
    return Calibration(
        set="s",
        set_sha256="0" * 64,
        reports=9,
        schema="cmr-report@2",
        prompt="p@1",
        decode="choice",
        model="hashing",
        weights_sha256=None,
        adapter_sha256="a" * 64,
        made=date(2026, 11, 23),
        error=0.02,
        kinds=kinds,  # type: ignore[arg-type]
    )


def a_fit(temperature: float = 2.0, threshold: float | None = 0.45) -> Fit:
    return Fit(temperature=temperature, threshold=threshold, answers=99, wrong=9)


ALL = calibrated(conclusion=a_fit(3, 0.3), finding=a_fit(), quantity=a_fit(0.5, 0.9), list=a_fit(2, None))


def of(*found: Calibration) -> Calibrations:
    return Calibrations({one.schema_: one for one in found})


def read(found: Calibration | Calibrations | None, ref: str = "cmr-report@2") -> Extraction:
    found = of(found) if isinstance(found, Calibration) else found
    (read,) = Extractor(Hashing(), found).extract([Job(REPORT, ref, distribution=True)])
    assert isinstance(read, Extraction)
    return read


def kinds(ref: str) -> dict[str, str | None]:
    return {leaf.path: kind(leaf) for leaf in compile_form(registry.get(ref).model).leaves()}


# --- what is changed in a result ---


def test_no_value_changes_and_probabilities_still_sum_to_1():
    before, after = read(None), read(ALL)
    assert after.data == before.data
    moved = 0
    for path, field in after.fields.items():
        assert field.distribution is not None
        assert math.isclose(sum(field.distribution.values()), 1, abs_tol=1e-9)
        if field.status == "answered":
            moved += field.probability != before.fields[path].probability
        else:
            assert (field.probability, field.review) == (1.0, False)
    assert moved > 9
    assert after.provenance.calibration == str(ALL)


def test_what_is_less_probable_than_its_kinds_threshold_is_for_review():
    of, seen = kinds("cmr-report@2"), Counter[tuple[str | None, bool | None]]()
    for path, field in read(ALL).fields.items():
        if field.status == "answered":
            limit = ALL.kinds[of[path]].threshold  # type: ignore[index]
            assert field.review == (limit is None or field.probability < limit), path
            seen[of[path], field.review] += 1
    assert seen["finding", True]
    assert seen["finding", False]


def test_without_a_calibration_nothing_is_said_of_review():
    assert {field.review for field in read(None).fields.values()} == {None}
    assert read(None).provenance.calibration is None


def test_a_calibration_of_the_other_decoder_is_not_used():
    other = ALL.model_copy(update={"decode": "grammar"})
    assert read(other) == read(None)


def test_a_schema_is_calibrated_by_its_own_or_else_by_the_first():
    own = ALL.model_copy(update={"schema_": "cmr-diagnosis@3", "kinds": {"conclusion": a_fit(9, 0.9)}})
    both = of(ALL, own)
    assert read(both, "cmr-diagnosis@3") == read(own, "cmr-diagnosis@3")
    assert read(both) == read(ALL)
    assert read(both, "cmr-diagnosis@1") == read(ALL, "cmr-diagnosis@1")


def test_a_kind_without_a_fit_stays_as_it_was():
    after, before, of = read(calibrated(conclusion=a_fit())), read(None), kinds("cmr-report@2")
    for path, field in after.fields.items():
        assert (field.review is None) == (of[path] != "conclusion")
        if of[path] != "conclusion":
            assert field == before.fields[path]


class Site(BaseModel):
    lge: Finding
    transmural: bool
    diagnosis: Literal["a", "b"]
    segments: Annotated[list[Literal["apex", "base"]], Field(max_length=2)]
    ef: Annotated[Measured, Measure("%", low=3, high=90)]
    quote: Evidence | None


def test_every_schema_has_kinds():
    assert [kind(leaf) for leaf in compile_form(Site).leaves()] == [
        "finding", "conclusion", "conclusion", "list", "quantity", None,
    ]  # fmt: skip


# --- where it is shown ---


def test_the_table_marks_what_is_for_review_and_shows_it_where_nothing_is_stated():
    answer = read(ALL, "cmr-report@1")
    fields = answer.fields
    silent = {path for path, field in fields.items() if field.review and field.value == "not_stated"}
    assert silent
    out = console(sys.stdout)
    with out.capture() as captured:
        out.print(result(answer))
    lines = {line.split()[0]: line for line in captured.get().splitlines() if line.strip()}
    for path, field in fields.items():
        line = lines.get(path.rpartition(".")[2], "")
        assert (f"review {field.probability:.2f}" in line) == bool(field.review), path


def test_flat_files_have_a_column_for_review(tmp_path):
    answer = read(ALL, "cmr-report@1")
    output = Output(tmp_path / "out.csv", registry.get("cmr-report@1").model, probabilities=True)
    output.write([output.record("a", answer)], {})
    with output.path.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    told = {None: "", True: "true", False: "false"}
    assert {path: row[f"{path}.review"] for path in answer.fields} == {
        path: told[field.review] for path, field in answer.fields.items()
    }


@pytest.mark.parametrize("found", [ALL, None])
def test_fhir_says_what_is_for_review(found):
    answer = read(found, "cmr-report@1")
    said = [
        extension["valueBoolean"]
        for one in fhir.bundle([answer])["entry"]
        for extension in one["resource"].get("extension", [])
        if extension["url"] == "urn:extractor:fhir:review"
    ]
    stated = [field for field in answer.fields.values() if field.value != "not_stated"]
    assert said == [field.review for field in stated if field.review is not None]
    assert bool(said) == bool(found)


# --- the temperature ---

CHANCES = st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda p: max(p) > 1e-9)


@given(CHANCES, st.floats(0.05, 20))
def test_a_temperature_never_changes_the_order(chances, t):
    softened = soften(chances, t)
    assert math.isclose(sum(softened), 1, abs_tol=1e-9)
    assert max(softened) == softened[chances.index(max(chances))]
    by_chance = [p for _, p in sorted(zip(chances, softened, strict=True))]
    assert all(a <= b + 1e-12 for a, b in pairwise(by_chance))


def drawn(t: float, n: int = 4000) -> list[Row]:
    """Answers of a model that is `t` times too sure of itself, over three to six options."""
    random_ = np.random.default_rng(7)
    rows = []
    for i in range(n):
        logits = random_.normal(0, 2.5, size=random_.integers(3, 7))
        true, said = np.exp(logits), np.exp(logits * t)
        p = said / said.sum()
        right = int(random_.choice(len(p), p=true / true.sum()))
        rows.append(Row(str(i // 20), "finding", tuple(map(float, p)), int(p.argmax()), right))
    return rows


def favouring(lift: float, n: int = 400) -> list[Row]:
    """Answers of a model that says "silent" too readily, of `lge` more so than of `oedema`."""
    random_ = np.random.default_rng(3)
    rows = []
    for i in range(n):
        path, own = (("lge", 2 * lift), ("oedema", lift))[i % 2]
        logits = random_.normal(0, 2, size=3)
        right = int(random_.choice(3, p=np.exp(logits) / np.exp(logits).sum()))
        said = np.exp(logits + np.array([0, 0, own]))
        p = tuple(map(float, said / said.sum()))
        labels = ("present", "absent", "silent")
        rows.append(Row(str(i // 20), "finding", p, int(np.argmax(p)), right, path, labels))
    return rows


def share_right(rows: Sequence[Row]) -> float:
    return sum(row.taken == row.right for row in rows) / len(rows)


def test_a_label_that_a_model_favours_is_shifted_back_field_by_field():
    rows = favouring(2)
    by = shifts(rows).plain
    assert by["lge"]["silent"] - by["lge"]["present"] == pytest.approx(-4, abs=0.8)
    assert by["oedema"]["silent"] - by["oedema"]["present"] == pytest.approx(-2, abs=0.8)
    assert share_right([row for row, _ in held_out(rows)]) > share_right(rows) + 0.15


def test_shifted_rows_are_what_reading_gives():
    """The same arithmetic stands in reading and in fitting."""
    raw = read(None).fields["findings.lge"]
    labels = tuple(raw.distribution or ())
    shift = dict(zip(labels, (1.5, -2.0, 0.5, 3.0, 0.0, -1.0, 1.0), strict=False))
    found = read(ALL.model_copy(update={"kinds": {}, "shifts": {"findings.lge": shift}})).fields[
        "findings.lge"
    ]
    chances = tuple((raw.distribution or {}).values())
    (row,) = shifted(
        [Row("r", "finding", chances, 0, 0, "findings.lge", labels)], Shifts({"findings.lge": shift}, {})
    )
    assert tuple((found.distribution or {}).values()) == pytest.approx(row.probabilities)
    assert found.value == labels[row.taken]


def test_doubt_in_the_report_shifts_the_finding_that_it_is_about_and_no_other():
    even = dict.fromkeys(("present", "absent", "uncertain", "not_stated"), 0.0)
    doubt = even | {"uncertain": 50.0}
    paths = ("findings.lge", "findings.oedema")
    found = ALL.model_copy(
        update={
            "kinds": {},
            "schema_": "cmr-report@1",
            "shifts": dict.fromkeys(paths, even),
            "doubts": dict.fromkeys(paths, doubt),
        }
    )
    job = Job("LVEF 60 %. Septal LGE cannot be excluded. T2: no oedema.", "cmr-report@1")
    (plain,), (shifted_,) = (Extractor(Hashing(), one).extract([job]) for one in (None, of(found)))
    assert isinstance(plain, Extraction)
    assert isinstance(shifted_, Extraction)
    assert shifted_.fields["findings.lge"].value == "uncertain"
    assert shifted_.fields["findings.oedema"].probability == pytest.approx(
        plain.fields["findings.oedema"].probability
    )


def test_what_doubt_is_worth_is_learnt_from_doubted_answers():
    """A model that never says "silent" of what is doubted, though it is so."""
    rows = favouring(0)
    doubted = [replace(row, doubted=True, right=2) for row in rows[:40]]
    by = shifts([*doubted, *rows[40:]])
    for path in ("lge", "oedema"):
        assert by.doubts[path]["silent"] - by.doubts[path]["present"] > 2
        assert abs(by.plain[path]["silent"] - by.plain[path]["present"]) < 0.8


def test_shifts_are_for_the_schema_and_the_decoder_that_they_were_fitted_on():
    never = {"findings.lge": dict.fromkeys(("absent", "uncertain", "not_stated"), -50.0)}
    found = ALL.model_copy(update={"kinds": {}, "shifts": never, "schema_": "cmr-report@1"})
    assert read(found, "cmr-report@1").fields["findings.lge"].value == "present"
    assert read(found).fields["findings.lge"].probability == read(None).fields["findings.lge"].probability


@pytest.mark.parametrize("t", [0.5, 1.0, 2.5])
def test_the_temperature_of_an_overconfident_model_is_found(t):
    assert temperature(drawn(t)) == pytest.approx(t, rel=0.06)


def test_calibration_makes_probabilities_mean_what_they_say():
    rows = drawn(2.5)
    own = fit(rows)["finding"]
    sure = [soften(row.probabilities, own.temperature)[row.taken] for row in rows]
    share = sum(row.taken == row.right for row in rows) / len(rows)
    assert sum(sure) / len(sure) == pytest.approx(share, abs=0.02)
    assert sum(row.chance for row in rows) / len(rows) > share + 0.1


def test_a_few_answers_that_are_all_right_do_not_become_certain():
    rows = [Row("r", "conclusion", (0.8, 0.2), 0, 0)] * 3
    assert soften((0.8, 0.2), temperature(rows))[0] < 0.98


def test_an_answer_that_was_no_option_counts_as_wrong_and_moves_no_temperature():
    rows = drawn(1.0, 200)
    lost = replace(rows[0], right=None)
    assert temperature([*rows, lost]) == temperature(rows)
    assert fit([*rows, lost])["finding"].wrong == fit(rows)["finding"].wrong + 1
    assert temperature([lost]) == pytest.approx(1, abs=1e-3)


# --- the threshold ---


@pytest.mark.parametrize(
    ("right", "wrong", "passes"), [(23, 0, False), (24, 0, True), (72, 1, False), (73, 1, True)]
)
def test_how_many_answers_show_2_percent(right, wrong, passes):
    assert threshold([0.7] * (right + wrong), [True] * right + [False] * wrong) == (0.7 if passes else None)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9).map(bool)), max_size=200))
def test_the_threshold_is_the_smallest_that_is_good_enough(answers):
    chances, right = [p / 12 for p, _ in answers], [good for _, good in answers]

    def good_enough(t: float) -> bool:
        kept = [good for p, good in zip(chances, right, strict=True) if p >= t]
        return (kept.count(False) + 0.5) / (len(kept) + 1) <= 0.1

    assert threshold(chances, right, 0.1) == min(filter(good_enough, chances), default=None)


def test_the_threshold_serves_hard_reports_too_where_they_are_enough_to_tell():
    def rows(right: int, p: float, *, hard: bool, wrong: int = 0) -> list[Row]:
        return [Row("r", "finding", (p, 1 - p), 0, int(i < wrong), hard=hard) for i in range(right + wrong)]

    easy, hard = rows(400, 0.7, hard=False), [*rows(30, 0.7, hard=True, wrong=5), *rows(30, 0.9, hard=True)]
    of_all = fit([*easy, *[replace(row, hard=False) for row in hard]])["finding"]
    of_both = fit([*easy, *hard])["finding"]
    assert of_all.temperature == of_both.temperature
    assert of_all.threshold == pytest.approx(soften((0.7, 0.3), of_all.temperature)[0])
    assert of_both.threshold == pytest.approx(soften((0.9, 0.1), of_all.temperature)[0])
    few = [*easy, *hard[:23]]
    assert fit(few) == fit([replace(row, hard=False) for row in few])
    assert fit([*easy, *hard[:35]])["finding"].threshold is None


def test_a_report_is_never_judged_by_its_own_answers():
    good = [Row("good", "finding", (0.9, 0.1), 0, 0)] * 30
    bad = [Row("bad", "finding", (0.9, 0.1), 0, 1)] * 30
    assert fit([*good, *bad])["finding"].threshold is None
    review = {row.report: flag for row, flag in held_out([*good, *bad])}
    assert review == {"good": True, "bad": False}  # each by what the other shows


# --- from a set to a file ---


@pytest.fixture
def small(tmp_path: Path) -> AnnotatedSet:
    (tmp_path / "small").mkdir()
    with (SETS / "cmr-calibration" / "reports.jsonl").open("rb") as lines:
        (tmp_path / "small" / "reports.jsonl").write_bytes(b"".join(islice(lines, 3)))
    return load(str(tmp_path / "small"), tmp_path)


@pytest.mark.parametrize("ref", ["cmr-report@1", "cmr-report@2", "cmr-diagnosis@3"])
def test_answers_are_held_against_gold_as_the_evaluation_does(small, ref, tmp_path):
    extractor = Extractor(Hashing())
    rows = list(training.calibrate.answers(extractor, small, ref))
    run = replay(LanguageModel(extractor, ref, "choice"), small, ref, tmp_path)
    of = kinds(ref)
    judged = [one for one in score(run, small) if one.given.status == "answered"]
    assert Counter((row.kind, row.taken == row.right) for row in rows) == Counter(
        (of[one.path], one.right) for one in judged
    )
    assert [row.chance for row in rows] == [one.given.probability for one in judged]


def test_the_command_writes_what_the_pipeline_reads(small, tmp_path, monkeypatch):
    monkeypatch.setattr(training.calibrate, "open_engine", lambda *_: Hashing())
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    options = ["--set", str(small.folder), "--schema", "cmr-report@2", "--out", str(tmp_path)]
    answer = CliRunner().invoke(training.calibrate.calibrate, options)
    assert answer.exit_code == 0, answer.output
    found = find_calibrations(str(tmp_path))
    assert found is not None
    one = found.root["cmr-report@2"]
    assert (one.set_, one.reports, one.schema_) == ("small", 3, "cmr-report@2")
    assert one.adapter_sha256 == hashlib.sha256(b"weights").hexdigest()
    assert "| finding |" in answer.stdout
    assert {field.review for field in read(found).fields.values()} == {False, True}


def test_the_command_keeps_the_calibrations_of_other_schemas_and_drops_those_of_other_weights(
    small, tmp_path, monkeypatch
):
    monkeypatch.setattr(training.calibrate, "open_engine", lambda *_: Hashing())

    def calibrate(ref: str) -> list[str]:
        options = ["--set", str(small.folder), "--schema", ref, "--out", str(tmp_path)]
        assert CliRunner().invoke(training.calibrate.calibrate, options).exit_code == 0
        found = find_calibrations(str(tmp_path))
        return list(found.root) if found else []

    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    assert calibrate("cmr-report@1") == ["cmr-report@1"]
    assert calibrate("cmr-diagnosis@1") == ["cmr-report@1", "cmr-diagnosis@1"]
    assert calibrate("cmr-report@1") == ["cmr-report@1", "cmr-diagnosis@1"]
    (tmp_path / "adapter_model.safetensors").write_bytes(b"others")
    assert calibrate("cmr-diagnosis@1") == ["cmr-diagnosis@1"]


# --- the file ---


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    (tmp_path / calibration.FILE).write_text(of(ALL).text())
    assert find_calibrations(str(tmp_path)) == of(ALL)
    assert json.loads(of(ALL).text())["cmr-report@2"]["set"] == "s"


def test_a_folder_without_the_file_has_no_calibration(tmp_path):
    assert find_calibrations(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:40], "Invalid JSON"),
        (lambda text: text.replace('"decode":', '"mode":'), "decode"),
        (lambda text: text.replace('"temperature": 3.0', '"temperature": 0'), "kinds.conclusion.temperature"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, damage, said):
    (tmp_path / calibration.FILE).write_text(damage(of(ALL).text()))
    with pytest.raises(StoreError, match=f"{tmp_path.name}/calibration.json") as error:
        find_calibrations(str(tmp_path))
    assert said in error.value.detail
    assert "python -m training calibrate" in (error.value.fix or "")


@pytest.mark.parametrize("sha256", ["a" * 64, "b" * 64])
def test_a_stores_adapter_has_its_own_calibration(tmp_path, monkeypatch, sha256):
    adapter = Adapter(base=default_id(), folder="mine-1", sha256=sha256)
    adapted = entry(default_id()).model_copy(update={"adapter": adapter})
    monkeypatch.setattr(calibration, "entry", lambda _: adapted)
    monkeypatch.setattr(sys.modules[Adapter.__module__], "FOLDER", tmp_path)
    assert find_calibrations("mine") is None
    (tmp_path / "adapters/mine-1").mkdir(parents=True)
    (tmp_path / "adapters/mine-1" / calibration.FILE).write_text(of(ALL).text())
    if sha256 == ALL.adapter_sha256:
        assert find_calibrations("mine") == of(ALL)
    else:
        with pytest.raises(StoreError, match="another adapter"):
            find_calibrations("mine")


def test_every_shipped_calibration_is_of_its_adapter():
    for model_id in manifest():
        find_calibrations(model_id, find_wording(model_id))


def test_what_ships_is_of_its_models_weights_and_prompts():
    shipped = {
        model: found for model in manifest() if (found := find_calibrations(model, find_wording(model)))
    }  # refuses other weights
    assert default_id() in shipped
    for model, ref, one in ((m, ref, one) for m, found in shipped.items() for ref, one in found.root.items()):
        assert (one.model, ref) in ((model, one.schema_), (model, UNHEARD))
        assert set(one.shifts) <= {
            leaf.path for leaf in compile_form(registry.get(one.schema_).model).leaves()
        }
