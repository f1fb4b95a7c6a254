"""The prompts as data: complete for their schema, without orphans, unambiguous and short."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from extractor.compile import compile_form
from extractor.folding import fold
from extractor.form import Form, Leaf, Members
from extractor.plan import bind
from extractor.prompt import PromptBook, system_text
from extractor.report import Report
from extractor.terms import Terms
from schemas.cmr_diagnosis_v3 import Conditions
from schemas.cmr_report_v1 import Findings
from schemas.cmr_report_v2 import Segment
from schemas.fields import When
from schemas.registry import BUILT_IN, get

REFS = [entry.ref for entry in BUILT_IN]
LISTED = [
    ("cmr-report@1", "measurements." + name) for name in ("lvef", "rvef", "lvedvi", "t2_star", "native_t1")
]

FINDINGS = ["findings." + name for name in Findings.model_fields]
GENEROUS = [
    *(("cmr-report@1", path) for path in FINDINGS),
    *(("cmr-diagnosis@3", f"conditions.{name}.certainty") for name in Conditions.model_fields),
    *(("cmr-report@2", f"findings.lge_segments[{label.value}]") for label in Segment),
    *(("cmr-report@2", path) for path in ("acuity", "previous.course")),
]
EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> dict[str, Any]:
    return tomllib.loads((files("prompts") / f"{name}.toml").read_text("utf-8"))


@cache
def form(ref: str) -> Form:
    return compile_form(get(ref).model)


@cache
def book(ref: str) -> PromptBook:
    """A prompt with all that it extends."""
    return PromptBook.load(ref)


@cache
def terms(ref: str) -> dict[str, tuple[str, ...]]:
    return book(ref).terms(form(ref))


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield every question of a schema: its dotted path, type and marks."""
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, kind, info.metadata


def gold() -> list[dict[str, str]]:
    """The table of examples/README.md, a row a report."""
    lines = (EXAMPLES / "README.md").read_text("utf-8").splitlines()
    head, _, *rows = (
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")
    )
    return [dict(zip(head, row, strict=True)) for row in rows]


def words(text: str) -> int:
    return len(text.split())


def enums(ref: str) -> dict[str, list[str]]:
    """The labels of every enum that a schema asks with, singly or in a list, by its name."""
    kinds = [arm for _, kind, _ in leaves(get(ref).model) for arm in (kind, *get_args(kind))]
    return {
        kind.__name__: [label.value for label in kind]
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, StrEnum)
    }


def asked(ref: str, text: str) -> set[str]:
    """The questions that a report leaves to the model: those with more than one answer."""
    plan = bind(form(ref), Report.parse(text), terms(ref))
    return {question.path for question in plan.questions if len(question.options) > 1}


def named(text: str) -> set[str]:
    """The diseases of which the model is asked."""
    return {path.split(".")[1] for path in asked("cmr-diagnosis@3", text) if path.endswith(".certainty")}


def placed(text: str) -> set[str]:
    """The segments of which the model is asked."""
    return {path[:-1].split("[")[1] for path in asked("cmr-report@2", text) if "lge_segments[" in path}


@pytest.mark.parametrize("ref", REFS)
def test_a_prompt_names_its_schema_and_version(ref: str) -> None:
    prompt = load(ref)
    assert prompt["schema"] == ref
    assert prompt["version"] == 1
    assert {"schema", "version", "labels", "fields"} <= set(prompt)
    assert set(prompt) <= {"schema", "version", "extends", "words", "kinds", "labels", "terms", "fields"}


@pytest.mark.parametrize("ref", REFS)
def test_every_field_has_an_entry_and_every_entry_a_field(ref: str) -> None:
    paths = [path for path, _, _ in leaves(get(ref).model)]
    assert set(paths) <= set(book(ref).own["fields"])
    own = list(load(ref)["fields"])
    assert own == [path for path in paths if path in own]


@pytest.mark.parametrize("ref", REFS)
def test_every_label_has_a_meaning_and_every_entry_a_label(ref: str) -> None:
    labels = enums(ref)
    meanings = book(ref).own["labels"]
    for name, known in labels.items():
        assert all(meanings[name][label].strip() for label in known)
    for table in ("words", "labels", "terms"):
        for name, entries in load(ref).get(table, {}).items():
            assert list(entries) == [label for label in labels[name] if label in entries], (table, name)


@pytest.mark.parametrize("ref", REFS)
def test_no_word_begins_another_answer_of_its_question(ref: str) -> None:
    for leaf in form(ref).leaves():
        options = () if isinstance(leaf, Members) or leaf.kind != "category" else leaf.options
        said = [word for option in options for word in book(ref).said(leaf, option.label)]
        assert len(set(said)) == len(said)
        assert not [(a, b) for a in said for b in said if a != b and b.startswith(a)], leaf.path


@pytest.mark.parametrize("ref", REFS)
def test_every_schema_asks_for_the_same_diseases(ref: str) -> None:
    """What is no category of an older schema is a kind of its `other`, under the word that it has as a category."""

    def diseases(ref: str, path: str) -> set[str]:
        (leaf,) = (leaf for leaf in form(ref).leaves() if leaf.path == path)
        assert isinstance(leaf, Leaf)
        labels = [option.label for option in leaf.options]
        return {word for label in labels for word in book(ref).said(leaf, label)}

    path = "primary" if ref == "cmr-diagnosis@3" else "diagnosis"
    assert diseases(ref, path) == diseases("cmr-diagnosis@3", "primary")


def test_a_kind_that_is_a_category_is_no_kind() -> None:
    (leaf,) = (leaf for leaf in form("cmr-diagnosis@2").leaves() if leaf.path == "diagnosis")
    assert isinstance(leaf, Leaf)
    kinds = book("cmr-diagnosis@2").kinds(leaf, "other")
    assert "myocarditis" not in kinds
    assert {"takotsubo", "Fabry", "iron overload"} <= set(kinds)
    one = leaf.options[0]
    added = replace(
        leaf, options=(replace(one, label="fabry_disease"), replace(one, label="iron"), *leaf.options)
    )
    assert set(kinds) - set(book("cmr-diagnosis@2").kinds(added, "other")) == {"Fabry", "iron overload"}


@pytest.mark.parametrize("ref", REFS)
def test_cues_are_short_and_unique_in_their_schema(ref: str) -> None:
    cues = [book(ref).cue(leaf.path, form(ref)) for leaf in form(ref).leaves()]
    assert len({cue.casefold() for cue in cues}) == len(cues)
    for cue in cues:
        assert 1 <= words(cue) <= 4
        assert cue == cue.strip()
        assert ":" not in cue


@pytest.mark.parametrize("ref", REFS)
def test_every_question_has_terms_or_a_gate_and_none_is_empty_or_repeated(ref: str) -> None:
    for path, kind, metadata in leaves(get(ref).model):
        field = book(ref).own["fields"][path]
        assert {"cue", "meaning"} <= set(field) <= {"cue", "meaning", "terms", "like", "cutoffs"}, path
        assert not {"terms", "like"} <= set(field), path
        many = get_origin(kind) is list
        gated = not many and any(isinstance(mark, When) for mark in metadata)
        for question in [f"{path}[{label.value}]" for label in get_args(kind)[0]] if many else [path]:
            found = [term.lower() for term in terms(ref)[question]]
            assert found or gated, question
            assert len(set(found)) == len(found), question
            assert all(term and term == term.strip() for term in found), question


@pytest.mark.parametrize(("ref", "path"), GENEROUS)
def test_no_term_is_needless(ref: str, path: str) -> None:
    """One word of a sentence is enough, so a longer term that holds a shorter one finds nothing more."""
    found = terms(ref)[path]
    for i, term in enumerate(found):
        others = Terms({path: found[:i] + found[i + 1 :]})
        assert not any(others.find(fold(term).lower, [])), term


@pytest.mark.parametrize("row", gold(), ids=lambda row: row["report"])
def test_the_terms_of_a_finding_narrow_the_examples_sentences_without_losing_it(row: dict[str, str]) -> None:
    report = Report.parse((EXAMPLES / row["report"]).read_text("utf-8"))
    named = ", ".join(row[answer] for answer in ("present", "absent", "uncertain")).split(", ")
    paths = ["findings." + name for name in named if name]
    for path in [*paths, "findings.lge_pattern"] if row["LGE pattern"] else paths:
        terms = Terms({path: tuple(load("cmr-report@1")["fields"][path]["terms"])})
        found = [s for s in report.sentences if any(terms.find(fold(s.text).lower, []))]
        assert 1 <= len(found) <= max(2, len(report.sentences) // 4), path


@pytest.mark.parametrize(("ref", "path"), LISTED)
def test_a_measurements_own_cue_is_one_of_its_terms(ref: str, path: str) -> None:
    field = load(ref)["fields"][path]
    assert field["cue"].casefold() in {term.casefold() for term in field["terms"]}


def test_an_indexed_volume_is_also_found_by_the_plain_term() -> None:
    fields = load("cmr-report@1")["fields"]
    for volume in ("lvedv", "lvesv", "rvedv", "rvesv"):
        plain = set(fields[f"measurements.{volume}"]["terms"])
        indexed = set(fields[f"measurements.{volume}i"]["terms"])
        assert plain < indexed
        assert volume.upper() + "i" in indexed - plain


def test_the_ventricles_share_bare_terms_only() -> None:
    fields = load("cmr-report@1")["fields"]
    side_words = re.compile("left|right|links|rechts|izquierd|derech|gauche|droit|sinistr|destr|LV|RV")
    for name in ("{}ef", "{}edv", "{}esv", "{}edvi", "{}esvi"):
        left, right = (set(fields["measurements." + name.format(side)]["terms"]) for side in ("lv", "rv"))
        assert not [term for term in left & right if side_words.search(term)]


def test_reports_own_words_find_their_field_in_three_languages() -> None:
    fields = load("cmr-report@1")["fields"]
    expected = {
        "lvef": {"LV-EF", "FEVI", "linksventrikuläre Ejektionsfraktion"},
        "rvef": {"RV-EF", "FEVD", "fracción de eyección del ventrículo derecho"},
        "lvedv": {"LVEDV", "linksventrikuläres enddiastolisches Volumen", "VTDVI"},
        "rvesvi": {"RVESVi", "RVESV/KOF", "volumen telesistólico indexado"},
        "max_wall_thickness": {"maximum wall thickness", "maximale Wanddicke", "grosor parietal máximo"},
        "native_t1": {"native T1", "natives T1", "T1 nativo"},
        "lvedvi": {"IVTDVI"},
        "lvesvi": {"IVTSVI"},
        "rvedvi": {"IVTDVD"},
        "lv_mass_index": {"IMVI"},
        "lge_extent": {"of LV mass", "der LV-Masse", "de la masa del VI", "captación"},
    }
    for name, terms in expected.items():
        assert terms <= set(fields[f"measurements.{name}"]["terms"]), name


def test_the_instructions_are_short_and_the_templates_print_what_they_are_given() -> None:
    extract = load("extract@1")
    assert set(extract) == {
        "version",
        "instructions",
        "grammar_instructions",
        "category_heading",
        "member_heading",
        "quantity_heading",
        "evidence_heading",
        "presence_heading",
        "report_heading",
        "request",
        "cue_template",
        "evidence_template",
    }
    assert words(extract["instructions"]) <= 85  # about 120 tokens
    assert extract["cue_template"].format(cue="LVEF") == "LVEF:"
    assert extract["evidence_template"].format(cue="LGE").startswith("LGE ")
    assert "{" not in extract["instructions"] + extract["grammar_instructions"]


@pytest.mark.parametrize("ref", REFS)
def test_meanings_keep_to_their_word_limits(ref: str) -> None:
    for path, field in load(ref)["fields"].items():
        assert words(field.get("meaning", "")) <= (6 if path.startswith("measurements.") else 12), path
    for meanings in load(ref)["labels"].values():
        limit = 16 if len(enums(ref)["Diagnosis"]) > 20 else 25
        assert all(words(meaning) <= limit for meaning in meanings.values())


@pytest.mark.parametrize(
    ("ref", "limit"),
    [
        ("cmr-diagnosis@1", 400),
        ("cmr-diagnosis@2", 420),
        ("cmr-diagnosis@3", 450),
        ("cmr-report@1", 560),
        ("cmr-report@2", 700),
    ],
)
def test_the_whole_prompt_is_short_because_every_report_attends_to_it(ref: str, limit: int) -> None:
    """Words stand in for tokens: with Qwen2.5's tokenizer cmr-report@2's 699 words are 1,344 tokens."""
    assert words(system_text(form(ref), book(ref), "choice")) <= limit


def test_two_schemas_say_the_same_of_a_diagnosis() -> None:
    alone, report = book("cmr-diagnosis@3").own, book("cmr-report@2").own
    assert alone["words"]["Diagnosis"] == report["words"]["Diagnosis"]
    for enum in ("Diagnosis", "Certainty", "Acuity"):
        assert alone["labels"][enum] == report["labels"][enum]
    assert terms("cmr-diagnosis@3")["primary"] == terms("cmr-report@2")["diagnosis"]


def test_a_previous_studys_numbers_are_named_as_the_current_ones() -> None:
    found = terms("cmr-report@2")
    for name in ("lvef", "lvedv", "lvedvi", "rvef"):
        assert found[f"previous.{name}"] == found[f"measurements.{name}"]


@pytest.mark.parametrize(
    ("text", "diseases"),
    [
        ("No evidence of amyloidosis or hypertrophic cardiomyopathy.", {"amyloidosis", "hcm"}),
        ("Features favour ARVC over cardiac sarcoid.", {"acm", "sarcoidosis"}),
        ("Tako-Tsubo; the differential is MINOCA or an aborted STEMI.", {"takotsubo", "ischaemic"}),
        ("LVNC, otherwise repaired Fallot.", {"lvnc", "congenital"}),
        (
            "Z. n. Vorderwandinfarkt. Kein Anhalt für eine Perimyokarditis.",
            {"ischaemic", "myocarditis", "pericarditis"},
        ),
        ("Hypertensive Herzerkrankung, DD Morbus Fabry.", {"hypertensive", "fabry"}),
        ("Dilatative Kardiomyopathie, kein Thrombus.", {"dcm", "mass_or_thrombus"}),
        ("V. a. Löffler-Endokarditis oder restriktive Kardiomyopathie.", {"eosinophilic_emf", "restrictive"}),
        ("Pericarditis constrictiva.", {"pericarditis", "pericardial_constriction"}),
        (
            "Miocardiopatía por antraciclinas; se descarta hemocromatosis.",
            {"other_cardiomyopathy", "iron_overload"},
        ),
        ("Estenosis aórtica grave y aneurisma de aorta ascendente.", {"valvular", "aortic"}),
        ("Imp: LVH 16 mm, dilated RV, LV mass 130 g, apical ballooning, pericardial effusion, scar.", set()),
        ("Impression: normal study.", set()),
    ],
)
def test_the_model_is_asked_of_the_diseases_that_a_report_names(text: str, diseases: set[str]) -> None:
    assert named(text) == diseases


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("LGE in the inferolateral wall.", {"basal_inferolateral", "mid_inferolateral"}),
        ("LGE der mittleren Vorderwand.", {"basal_anterior", "mid_anterior", "apical_anterior"}),
        ("Realce en cara inferior basal.", {"basal_inferior", "mid_inferior", "apical_inferior"}),
        (
            "Narbe im Septum.",
            {
                "basal_anteroseptal",
                "basal_inferoseptal",
                "mid_anteroseptal",
                "mid_inferoseptal",
                "apical_septal",
            },
        ),
        ("Apical LGE.", {"apical_anterior", "apical_septal", "apical_inferior", "apical_lateral", "apex"}),
        ("Scar in S5 and S11.", {"basal_inferolateral", "mid_inferolateral"}),
        ("LGE in segments 7 and 13-14.", set(Segment)),
        ("Transmural infarct of the LAD territory.", set()),
    ],
)
def test_the_model_is_asked_of_the_segments_that_a_report_may_name(text: str, segments: set[str]) -> None:
    assert placed(text) == segments


@pytest.mark.parametrize("row", [row for row in gold() if row["diagnosis"] in Conditions.model_fields])
def test_the_model_is_asked_of_the_disease_of_an_example(row: dict[str, str]) -> None:
    assert row["diagnosis"] in named((EXAMPLES / row["report"]).read_text("utf-8"))


@pytest.mark.parametrize("label", Segment)
def test_a_segments_own_name_opens_it(label: Segment) -> None:
    assert label in placed(f"LGE: {label.replace('_', ' ')}.")


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("LV: volumen telediastólico 198 ml, fracción 41 %.", "lvef", 41),
        ("The LV gave an ejecton fraction of 63 %.", "lvef", 63),
        ("Function of LV 62 %.", "lvef", 62),
        ("Die linke Kammer wirft 64 % aus.", "lvef", 64),
        ("The RV empties to 70 ml.", "rvesv", 70),
        ("Bei einem enddiastolischen Volumen von 205 ml (110 ml/m²).", "lvedvi", 110),
        ("LVEF 59 % with volumes of 146 and 60 ml.", "lvesv", 60),
        ("Vielleicht 3 Prozent der Masse.", "lge_extent", 3),
        ("Bandes apicales, 31 % de la masse.", "lge_extent", 31),
        ("Inferior basal, 5% masa.", "lge_extent", 5),
        ("Patchy mid-wall signal, 16% LV mass.", "lge_extent", 16),
    ],
)
def test_the_terms_find_a_measurement(text: str, field: str, value: float) -> None:
    plan = bind(form("cmr-report@1"), Report.parse(text), terms("cmr-report@1"))
    question = next(q for q in plan.questions if q.path == f"measurements.{field}")
    assert value in [option.value["value"] for option in question.options if isinstance(option.value, dict)]
