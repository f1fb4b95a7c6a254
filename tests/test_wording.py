"""The second reader, which counts words: what it says, how it is mixed with the model, and what ships."""

import json
import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

import training.calibrate
from eval.baselines import Words
from eval.cases import SETS
from eval.gold import book, form
from extractor.calibration import Calibrations, find_calibrations
from extractor.errors import StoreError
from extractor.pipeline import Extractor, Job
from extractor.plan import bind
from extractor.report import Report
from extractor.result import Extraction
from extractor.store import default_id, manifest
from extractor.wording import (
    FILE,
    FINDINGS,
    FLOOR,
    NUMBER,
    QUOTED,
    REPORT,
    RIGHT,
    SURE,
    Asked,
    Bound,
    Linear,
    Wording,
    find_wording,
    load,
    of_finding,
    of_findings,
    of_number,
    of_report,
    save,
)
from schemas.fields import Quantity
from tests.test_calibration import ALL, Hashing
from training.calibrate import calibrate
from training.wording import wording

REF = "cmr-report@1"
TEXT = "LVEF 60 %. No oedema. Extensive subendocardial LGE of the septum."
STATUSES = ("present", "absent", "uncertain", "not_stated")


def bound(text: str, ref: str = REF) -> Bound:
    terms = book(ref).terms(form(ref))
    return Bound(ref, bind(form(ref), Report.parse(text), terms), terms)


def chances(own: Wording, text: str, ref: str = REF) -> dict[str, dict[str, float]]:
    return own.chances(bound(text, ref), bound(text, own.basis))


def said(text: str, path: str, ref: str = REF) -> dict[str, float]:
    found = find_wording(None)
    assert found is not None
    return chances(found, text, ref)[path]


def linear(classes: tuple[str, ...], **weights: tuple[float, ...]) -> Linear:
    rows = np.array(list(weights.values()), np.float32)
    columns = {name: i for i, name in enumerate(weights)}
    return Linear(classes, columns, rows, np.zeros(len(classes), np.float32))


def small() -> Wording:
    """A reader of one word: oedema's name alone makes it present, and every report is Fabry's or normal."""
    classifiers = {
        "report evidence": linear((QUOTED, "passed over"), **{"=septum": (1.0, 0.0)}),
        "finding evidence": linear((QUOTED, "passed over"), **{"<extensive": (1.0, 0.0)}),
        "diagnosis": linear(("normal", "fabry", "lvnc"), **{"=lvef": (0.0, 2.0, 1.0)}),
        "status": linear(STATUSES, oedema=(3.0, 0.0, 0.0, -30.0)),
    }
    statuses = {one: [one] for one in STATUSES}
    five = ("ischaemic", "dcm", "hcm", "amyloidosis", "indeterminate")
    diseases = {"normal": ["normal"], "other": ["fabry", "lvnc"], **{one: [] for one in five}}
    fields = {"diagnosis": Asked("diagnosis", diseases), "findings.oedema": Asked("status", statuses)}
    return Wording("small sha256:0", {"diagnosis": 0.5, "status": 1.0}, REF, classifiers, {REF: fields})


def larger() -> Wording:
    """The same, sure that the number before "then" is the LVEF, and with more to say of Fabry's disease from 60 % on."""
    own = small()
    number = linear(("another", RIGHT), **{"lvef": (2.0, 0.0), "lvef >then": (0.0, 90.0)})
    steps = linear(("normal", "fabry", "lvnc"), **{"measurements.lvef 4": (0.0, 2.0, 0.0)})
    fields = {**own.asked[REF], "measurements.lvef": Asked(NUMBER, {})}
    more = {**own.classifiers, NUMBER: number, FINDINGS: steps}
    return replace(own, weights={**own.weights, NUMBER: 0.5}, classifiers=more, asked={REF: fields})


# --- what is counted ---


def test_a_report_is_its_words_pairs_and_pieces_whatever_their_case_and_accents():
    found = of_report("Fibrosis SEPTAL, no isquémica")
    assert {"=fibrosis", "=fibrosis septal", "=no isquemica", " fib", "squem"} <= found
    assert of_report("FIBROSIS septal, no isquemica") == found


def test_a_finding_is_what_stands_around_its_own_terms():
    found = of_finding("findings.lge", ["LGE"], ["No LGE."])
    assert {"lge", "#1", "@lge", "<no", "lge <no", "no @", "<0no"} <= found
    oedema = of_finding("findings.oedema", ["oedema"], ["Extensive oedema, 12 mm."])
    assert {"<extensive", ">0", "oedema >mm"} <= oedema


def test_a_findings_words_are_told_by_stem_and_by_clause_too():
    found = of_finding(
        "findings.oedema", ["oedema"], ["Normal size, without relevant oedema of walls; thickened."]
    )
    assert {"<relev*", "[without", "]walls", "oedema [relevant", ">thick*", "<normal"} <= found
    assert not {"[normal", "]thickened", "[size", "<size*"} & found


def test_a_number_is_what_stands_around_it_and_between_it_and_its_term():
    report = Report.parse("LVEF, biplane:\n45 %, before 60 %.")
    options = [
        Quantity(text=report.text[a:b], value=0, unit="%", start=a, end=b) for a, b in ((15, 19), (28, 32))
    ]
    first, second = (of_number("measurements.lvef", ["LVEF"], report, options, i) for i in (0, 1))
    assert {
        "lvef",
        "in %",
        "lvef #0 of 2",
        "term lvef",
        "gap biplane",
        "gap |",
        "gap 4",
        "lines 1",
        "<0|",
    } <= first
    assert {">before", "lvef >before"} <= first
    assert {"<before", "#1 of 2", "gap 8", "<0before"} <= second
    assert "no term" in of_number("measurements.ecv", ["ECV"], report, options, 0)


def test_a_number_is_found_in_a_text_whose_letters_hold_marks_of_their_own():
    plain, marked = Report.parse("o o o EF 45 % now"), Report.parse("o\u0308 o\u0308 o\u0308 EF 45 % now")
    found = []
    for report in (plain, marked):
        start = report.text.index("45 %")
        one = Quantity(text="45 %", value=45, unit="%", start=start, end=start + 4)
        found.append(of_number("measurements.lvef", ["EF"], report, [one], 0))
    assert found[0] == found[1]


def test_findings_tell_their_chances_and_numbers_the_step_that_they_stand_on():
    chances = {"findings.lge": {"present": 0.75, "absent": 0.25}}
    numbers = {"measurements.lvef": 35.0, "measurements.lvesv": 90.0}
    assert of_findings(chances, numbers) == {
        "findings.lge present": 0.75,
        "findings.lge absent": 0.25,
        "measurements.lvef 1": 1.0,
    }


def test_chances_are_a_softmax_over_what_is_known_scaled_to_length_one():
    one = linear(("a", "b"), x=(1.0, 0.0), y=(1.0, 0.0))
    assert one.chances({"x", "never seen"})["a"] == pytest.approx(1 / (1 + math.exp(-1)))
    assert one.chances(["y", "x"])["a"] == pytest.approx(1 / (1 + math.exp(-math.sqrt(2))))
    assert one.chances(["x", "y"]) == one.chances(["y", "x"])
    assert one.chances(set()) == {"a": 0.5, "b": 0.5}
    assert one.weighed({"x": 0.5, "never seen": 9.0})["a"] == pytest.approx(1 / (1 + math.exp(-0.5)))


# --- how it is mixed ---


def read(own: Wording | None, text: str = TEXT, found: Calibrations | None = None) -> Extraction:
    (one,) = Extractor(Hashing(), found, own).extract([Job(text, REF, distribution=True)])
    assert isinstance(one, Extraction)
    return one


@pytest.mark.parametrize(("path", "weight"), [("findings.oedema", 1.0), ("diagnosis", 0.5)])
def test_it_is_a_pool_of_both_with_the_classifiers_weight_of_the_file(path, weight):
    own = small()
    alone, both = read(None).fields[path].distribution, read(own).fields[path].distribution
    assert alone
    assert both
    words = chances(own, TEXT)[path]
    pooled = {label: p * words[label] ** weight for label, p in alone.items()}
    assert both == pytest.approx({label: p / sum(pooled.values()) for label, p in pooled.items()})
    assert math.fsum(both.values()) == pytest.approx(1)


def test_a_label_that_holds_several_diseases_has_the_chances_of_all_and_none_is_ruled_out():
    found = chances(small(), "LVEF 60 %. Oedema.")
    own = small().classifiers["diagnosis"].chances({"=lvef"})
    assert found["diagnosis"]["hcm"] == pytest.approx(FLOOR, rel=0.01)
    assert found["diagnosis"]["other"] == pytest.approx(own["fabry"] + own["lvnc"], rel=0.01)
    assert found["findings.oedema"]["not_stated"] == pytest.approx(FLOOR, rel=0.01)
    assert [math.fsum(one.values()) for one in found.values()] == pytest.approx([1, 1])


def test_a_diagnosis_is_told_by_words_and_by_findings_and_numbers():
    own, text = larger(), "LVEF 62 % then 50 %. Oedema."
    words, both = (chances(one, text)["diagnosis"] for one in (small(), own))
    findings = own.classifiers[FINDINGS].weighed({"measurements.lvef 4": 1.0})
    other = words["other"] * (findings["fabry"] + findings["lvnc"])
    assert both["other"] == pytest.approx(other / (other + words["normal"] * findings["normal"]), rel=0.01)
    closed = own.findings(bound("Extensive LGE."))
    assert closed["findings.oedema not_stated"] == 1
    assert not any(name.startswith("measurements") for name in closed)


TWO = "LVEF 50 % then 60 %. No oedema. LGE of the septum."


def test_of_what_it_is_sure_the_model_is_not_asked():
    text = f"{TWO} {TWO}"
    alone, both = read(small(), text), read(larger(), text)
    path = "measurements.lvef"
    assert both.fields[path].value["text"] == "50 %"
    assert both.fields[path].distribution == pytest.approx(chances(larger(), text)[path])
    assert both.fields[path].probability > SURE
    assert alone.fields[path].distribution != pytest.approx(both.fields[path].distribution)
    assert both.usage.prompt_tokens < alone.usage.prompt_tokens
    assert both.fields["findings.oedema"] == alone.fields["findings.oedema"]  # of which it is not sure


def test_the_model_is_always_asked_for_the_diagnosis():
    own = small()
    sure = linear(("normal", "fabry", "lvnc"), **{"=lvef": (90.0, 0.0, 0.0)})
    own = replace(own, classifiers={**own.classifiers, REPORT: sure})
    assert chances(own, TEXT)["diagnosis"]["normal"] > SURE
    assert "diagnosis" not in own.says(bound(TEXT), bound(TEXT)).sure


def test_what_it_is_sure_of_is_not_shifted_by_a_calibration():
    shift = {"findings.oedema": dict.fromkeys(STATUSES, 0.0) | {"absent": 9.0}}
    found = Calibrations(
        {REF: ALL.model_copy(update={"schema_": REF, "wording": "small sha256:0", "shifts": shift})}
    )
    own = small()
    sure = replace(
        own, classifiers={**own.classifiers, "status": linear(STATUSES, oedema=(90.0, 0.0, 0.0, 0.0))}
    )
    assert read(own, TEXT, found).fields["findings.oedema"].value == "absent"
    assert read(sure, TEXT, found).fields["findings.oedema"].value == "present"


def test_what_it_does_not_speak_of_is_the_models_alone():
    alone, both = read(None), read(small())
    assert both.fields["findings.lge"] == alone.fields["findings.lge"]
    silent = read(small(), "LVEF 60 %.")
    assert silent.fields["findings.oedema"].status == "forced"


def test_the_result_says_that_it_was_heard():
    assert read(small()).provenance.wording == "small sha256:0"
    assert read(None).provenance.wording is None
    assert Extractor(Hashing(), None, small()).heard(REF, "grammar") is None


class Site(BaseModel):
    oedema: Literal["present", "absent", "not_stated"]


def test_a_sites_own_schema_is_calibrated_by_what_was_fitted_without_it():
    with_it, without = ALL.model_copy(update={"set_": "with"}), ALL.model_copy(update={"set_": "without"})
    found = Calibrations({"cmr-report@2": with_it, "unheard": without})
    heard = Extractor(Hashing(), found, small())
    assert heard.calibration("Site", "choice") == without
    assert heard.calibration(REF, "choice") == with_it
    assert Extractor(Hashing(), found).calibration("Site", "choice") == with_it
    (one,) = heard.extract([Job("Oedema of the septum.", Site)])
    assert isinstance(one, Extraction)
    assert one.provenance.calibration == str(without)
    assert one.provenance.wording is None


def test_evidence_is_the_sentence_that_says_it_and_is_worded_as_evidence_is():
    text = "Oedema was sought. Extensive oedema of the septum. LVEF 60 %."
    found = read(small(), text)
    assert found.fields["findings.oedema"].evidence is not None
    assert found.fields["findings.oedema"].evidence.text == "Extensive oedema of the septum."
    assert found.fields["diagnosis"].evidence is not None
    shown = small().says(bound(text), bound(text)).evidence
    assert shown["findings.oedema"] == dict.fromkeys(("present", "absent", "uncertain", "not_stated"), 1)
    assert found.fields["diagnosis"].evidence.sentence == shown["diagnosis"][found.fields["diagnosis"].value]


def test_the_model_is_not_asked_where_the_evidence_is():
    text = "Oedema was sought. Extensive oedema of the septum. LVEF 60 %."
    alone, both = read(None, text), read(small(), text)
    assert both.usage.prompt_tokens < alone.usage.prompt_tokens


def test_it_can_be_scored_alone():
    (found,) = Words(REF, small()).answer(["LVEF 60 %. Extensive oedema."])
    assert found.answers["findings.oedema"].value == "present"
    assert found.answers["diagnosis"].value == "other"
    assert math.fsum((found.answers["diagnosis"].distribution or {}).values()) == pytest.approx(1)
    assert "findings.lge" not in found.answers
    (silent,) = Words(REF, small()).answer(["LVEF 60 %."])
    assert (silent.answers["findings.oedema"].value, silent.answers["findings.oedema"].status) == (
        "not_stated",
        "forced",
    )


# --- the file ---


def test_it_is_read_as_it_was_written(tmp_path):
    own = small()
    save(tmp_path, replace(own, name="small"))
    found = load(tmp_path)
    assert found is not None
    assert found.name.startswith("small sha256:")
    assert found.asked == own.asked
    assert read(found).fields == read(own).fields


@pytest.mark.parametrize("damage", [lambda stored: stored[:99], lambda _: b"not a zip", lambda _: b""])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, damage):
    (tmp_path / FILE).write_bytes(damage(_shipped().read_bytes()))
    with pytest.raises(StoreError, match=f"{tmp_path.name}/{FILE}") as error:
        load(tmp_path)
    assert "python -m training wording" in (error.value.fix or "")


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError, match="Is a directory"):
        find_wording(str(tmp_path))


def test_a_folder_without_the_file_has_none(tmp_path):
    assert find_wording(str(tmp_path)) is None


# --- fitting ---


@pytest.fixture
def few(tmp_path):
    """Twenty fully labelled reports of the training set."""
    (tmp_path / "few").mkdir()
    with (SETS / "cmr-train" / "reports.jsonl").open("rb") as lines:
        (tmp_path / "few" / "reports.jsonl").write_bytes(b"".join(islice(lines, 20)))
    return tmp_path / "few"


def test_the_command_fits_what_the_pipeline_reads_and_calibrations_know_it(few, tmp_path, monkeypatch):
    monkeypatch.setattr(training.calibrate, "open_engine", lambda *_: Hashing())
    model, set_ = tmp_path / "model", ["--set", str(few)]

    def fit() -> str:
        answer = CliRunner().invoke(wording, [*set_, "--out", str(model)])
        assert answer.exit_code == 0, answer.output
        return answer.stderr

    def fitted(*options: str) -> list[str]:
        answer = CliRunner().invoke(calibrate, [*set_, "--out", str(model), *options])
        assert answer.exit_code == 0, answer.output
        return list(json.loads((model / "calibration.json").read_text()))

    assert "status:" in fit()
    once = (model / FILE).read_bytes()
    found = find_wording(str(model))
    assert found is not None
    assert found.name.startswith("few sha256:")
    assert fitted("--schema", "cmr-diagnosis@1") == ["cmr-diagnosis@1"]
    assert fitted("--schema", REF, "--unheard") == ["cmr-diagnosis@1", "unheard"]
    calibrations = find_calibrations(str(model), found)
    assert calibrations is not None
    assert calibrations.root["cmr-diagnosis@1"].wording == str(found)
    assert calibrations.root["unheard"].wording is None
    with pytest.raises(StoreError, match=r"cmr-diagnosis@1 was fitted with another wording\.npz"):
        find_calibrations(str(model))
    # Another wording: what was fitted with the one before goes.
    lines = (few / "reports.jsonl").read_bytes().splitlines(keepends=True)
    (few / "reports.jsonl").write_bytes(b"".join(lines[:16]))
    fit()
    assert (model / FILE).read_bytes() != once
    assert fitted("--schema", "cmr-diagnosis@3") == ["unheard", "cmr-diagnosis@3"]


def test_a_set_without_quotes_and_doubt_teaches_what_it_can(few, tmp_path):
    cases = [json.loads(line) for line in (few / "reports.jsonl").read_text("utf-8").splitlines()]
    for case in cases:
        case["evidence"] = {}
        case["gold"]["findings"] = {k: v for k, v in case["gold"]["findings"].items() if v == "present"}
        case["gold"]["diagnosis"] = "dcm"
    (few / "reports.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases), "utf-8")
    answer = CliRunner().invoke(wording, ["--set", str(few), "--out", str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    assert "diagnosis: every example is the same" in answer.stderr
    found = find_wording(str(tmp_path))
    assert found is not None
    own = read(found, "No oedema. Extensive LGE. Oedema of the septum.")
    assert own.fields["findings.lge"].evidence is not None  # the model is asked
    assert "diagnosis" not in found.asked[REF]


# --- what ships ---


def _shipped() -> Path:
    own = manifest()[default_id()].adapter
    assert own is not None
    return own.path / FILE


def test_what_ships_was_fitted_on_the_training_set_and_its_calibrations_with_it():
    found = find_wording(None)
    assert found is not None
    assert found.name.startswith("cmr-train sha256:")
    calibrations = find_calibrations(None, found)
    assert calibrations is not None
    assert "unheard" in calibrations.root
    assert calibrations.root[REF].wording == str(found)


@pytest.mark.parametrize(
    ("ref", "fields"),
    [("cmr-report@1", 36), ("cmr-report@2", 36), ("cmr-diagnosis@1", 1), ("cmr-diagnosis@3", 1)],
)
def test_what_ships_speaks_of_every_label_of_its_fields(ref, fields):
    found = find_wording(None)
    assert found is not None
    asked = found.asked[ref]
    assert len(asked) == fields
    labels = {leaf.path: [o.label for o in leaf.options] for leaf in form(ref).leaves() if leaf.path in asked}  # type: ignore[union-attr]
    for path, one in asked.items():
        assert set(one.labels) == (set() if one.by == NUMBER else set(labels[path]))
        assert {of for classes in one.labels.values() for of in classes} <= {
            *found.classifiers[one.by].classes
        }


@pytest.mark.parametrize(
    ("text", "path", "label"),
    [
        ("No LGE, oedema or effusion.", "findings.lge", "absent"),
        ("No oedema, extensive subendocardial LGE.", "findings.lge", "present"),
        ("No oedema, extensive subendocardial LGE.", "findings.oedema", "absent"),
        ("No oedema, extensive subendocardial LGE.", "findings.lge_pattern", "subendocardial"),
        ("An apical thrombus cannot be excluded.", "findings.thrombus", "uncertain"),
        ("Kein Perikarderguss.", "findings.pericardial_effusion", "absent"),
        ("Sin derrame pericárdico. Trombo en el ápex.", "findings.thrombus", "present"),
        ("LV dilated. Apical thrombus. No oedema.", "findings.thrombus", "present"),
        ("LV dilated. Apical thrombus. No oedema.", "findings.oedema", "absent"),
        ("Septales Ödem. Kein Thrombus.", "findings.oedema", "present"),
        ("Septales Ödem. Kein Thrombus.", "findings.thrombus", "absent"),
        (
            "Transmural enhancement of the anterior wall and apex with an akinetic thinned territory.",
            "diagnosis",
            "ischaemic",
        ),
    ],
)
def test_what_ships_tells_denial_doubt_and_finding_apart(text, path, label):
    chances = said(text, path)
    assert max(chances, key=lambda one: chances[one]) == label


@pytest.mark.parametrize(
    ("text", "path", "number"),
    [
        ("LVEF 45 %, improved from 31 % in 2019.", "measurements.lvef", "45 %"),
        ("Ejection fraction, previously 31 %, has come up to 45 %.", "measurements.lvef", "45 %"),
        ("FEVI 45 % (vs 31 % previa).", "measurements.lvef", "45 %"),
    ],
)
def test_what_ships_tells_todays_number_from_an_older_one(text, path, number):
    chances = said(text, path)
    assert max(chances, key=lambda one: chances[one]) == number
