"""The prompts as data: complete for their schema, without orphans, unambiguous and short."""

import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from extractor.folding import fold
from extractor.report import Report
from extractor.terms import Terms
from schemas.cmr_report_v1 import Findings
from schemas.registry import all_versions, get

REFS = [entry.ref for entry in all_versions()]
LISTED = [
    ("cmr-report@1", "measurements." + name) for name in ("lvef", "rvef", "lvedvi", "t2_star", "native_t1")
]

FINDINGS = ["findings." + name for name in Findings.model_fields]
EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str) -> dict[str, Any]:
    return tomllib.loads((files("prompts") / f"{name}.toml").read_text("utf-8"))


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


@pytest.mark.parametrize("ref", REFS)
def test_a_prompt_names_its_schema_and_version(ref: str) -> None:
    prompt = load(ref)
    assert prompt["schema"] == ref
    assert prompt["version"] == 1
    assert set(prompt) == {"schema", "version", "words", "labels", "fields"}


@pytest.mark.parametrize("ref", REFS)
def test_every_field_has_an_entry_and_every_entry_a_field(ref: str) -> None:
    assert list(load(ref)["fields"]) == [path for path, _, _ in leaves(get(ref).model)]


@pytest.mark.parametrize("ref", REFS)
def test_every_label_has_a_meaning_and_every_meaning_a_label(ref: str) -> None:
    kinds = (kind for _, kind, _ in leaves(get(ref).model))
    enums = {kind for kind in kinds if isinstance(kind, type) and issubclass(kind, StrEnum)}
    assert {kind.__name__: [label.value for label in kind] for kind in enums} == {
        name: list(meanings) for name, meanings in load(ref)["labels"].items()
    }
    assert all(meaning.strip() for meanings in load(ref)["labels"].values() for meaning in meanings.values())


@pytest.mark.parametrize("ref", REFS)
def test_cues_are_short_and_unique_in_their_schema(ref: str) -> None:
    cues = [field["cue"] for field in load(ref)["fields"].values()]
    assert len({cue.casefold() for cue in cues}) == len(cues)
    for cue in cues:
        assert 1 <= words(cue) <= 4
        assert cue == cue.strip()
        assert ":" not in cue


@pytest.mark.parametrize("ref", REFS)
def test_every_field_has_terms_and_none_is_empty_or_repeated(ref: str) -> None:
    prompt = load(ref)
    for path, _, _ in leaves(get(ref).model):
        field = prompt["fields"][path]
        assert set(field) == {"cue", "meaning", "terms"}, path
        terms = [term.lower() for term in field["terms"]]
        assert terms, path
        assert len(set(terms)) == len(terms), path
        assert all(term and term == term.strip() for term in terms), path


@pytest.mark.parametrize("path", FINDINGS)
def test_no_term_of_a_finding_is_needless(path: str) -> None:
    """One word of a sentence is enough, so a longer term that holds a shorter one finds nothing more."""
    terms = load("cmr-report@1")["fields"][path]["terms"]
    for i, term in enumerate(terms):
        others = Terms({path: tuple(terms[:i] + terms[i + 1 :])})
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


def test_meanings_keep_to_their_word_limits() -> None:
    for ref in REFS:
        prompt = load(ref)
        for path, field in prompt["fields"].items():
            assert words(field["meaning"]) <= (6 if path.startswith("measurements.") else 12), path
        for meanings in prompt["labels"].values():
            assert all(words(meaning) <= 25 for meaning in meanings.values())


@pytest.mark.parametrize(("ref", "limit"), [("cmr-diagnosis@1", 240), ("cmr-report@1", 490)])
def test_the_whole_prompt_is_short_because_every_report_attends_to_it(ref: str, limit: int) -> None:
    """Words stand in for tokens: with Qwen2.5's tokenizer cmr-report@1's 468 words are 876 tokens."""
    prompt = load(ref)
    lines = [load("extract@1")["instructions"]]
    lines += [f"{field['cue']}: {field['meaning']}" for field in prompt["fields"].values()]
    for meanings in prompt["labels"].values():
        lines += [f"{label}: {meaning}" for label, meaning in meanings.items()]
    assert words("\n".join(lines)) <= limit
