"""A site's own schemas: added with two small files, refused with the place of the fault, never run unasked."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from importlib.resources import as_file, files
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import httpx
import pytest
from click.testing import CliRunner, Result

import extractor.pipeline
from extractor import prompt_file, site
from extractor.cli import main
from extractor.compile import compile_form
from extractor.errors import NotFoundError, SchemaError
from schemas import registry
from schemas.cmr_diagnosis_v1 import Diagnosis as FiveDiagnoses
from schemas.fields import Finding, Measure, Measured, Schema, When
from schemas.migrate import migrate
from schemas.version import with_labels

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "site"
PY, TOML = "site_diagnosis_v1.py", "site-diagnosis@1.toml"
BUILT_IN = [version.ref for version in registry.BUILT_IN]

README = (ROOT / "README.md").read_text("utf-8").partition("## Schemas\n")[2].partition("\n## ")[0]
PAGE = (ROOT / "docs" / "schemas.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


class Weak(Schema):
    lvef: Annotated[Measured, Measure("%", low=3, high=90)]
    diagnosis: Finding


class WeakAndWhy(Weak):
    why: Annotated[Finding, When("diagnosis", "present")]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test adds is gone after it."""
    monkeypatch.setattr(registry, "_added", [])
    monkeypatch.delenv("EXTRACTOR_SCHEMAS", raising=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "site", ignore=shutil.ignore_patterns("__pycache__")))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="extractor")


def known() -> list[str]:
    return [version.ref for version in registry.all_versions()]


# --- a category of one's own ---


def test_a_new_category_is_one_line_and_leaves_the_built_in_versions_alone(place):
    (version,) = site.load(place)
    assert known() == sorted([*BUILT_IN, "site-diagnosis@1"])
    labels = version.model.model_json_schema()["$defs"]["Diagnosis"]["enum"]
    older = registry.get("cmr-diagnosis@2")
    assert labels[-3:] == ["danon", "other", "indeterminate"]
    assert [label for label in labels if label != "danon"] == (
        older.model.model_json_schema()["$defs"]["Diagnosis"]["enum"]
    )
    assert migrate({"diagnosis": "danon"}, version, older) == {"diagnosis": "other"}
    assert migrate({"diagnosis": "hcm"}, version, older) == {"diagnosis": "hcm"}


@pytest.mark.parametrize("command", [["list"], ["show", "site-diagnosis"]])
def test_the_command_shows_it(place, command):
    assert "danon" not in run("schemas", "list").output.lower()
    shown = run("schemas", *command, "--schemas", str(place))
    assert shown.exit_code == 0, shown.output
    assert "danon" in shown.output.lower()


def test_the_check_passes_with_it(place):
    checked = run("schemas", "check", "--schemas", str(place))
    assert checked.exit_code == 0, checked.output


def test_the_environment_names_places_as_well(place, tmp_path, monkeypatch):
    second = tmp_path / "our second"
    second.mkdir()
    (second / "site_two_v1.py").write_text((place / PY).read_text().replace('"site-diagnosis"', '"site-two"'))
    monkeypatch.setenv("EXTRACTOR_SCHEMAS", os.pathsep.join([str(place), str(second)]))
    assert run("schemas", "list").exit_code == 0
    assert {"site-diagnosis@1", "site-two@1"} < set(known())


def test_a_site_builds_on_its_own_first_version(place):
    (place / "site_diagnosis_v2.py").write_text(blocks(PAGE, "python")[1])
    (place / "site-diagnosis@2.toml").write_text(
        'schema = "site-diagnosis@2"\nextends = "site-diagnosis@1"\n[labels.Diagnosis]\nuhl = "thin RV"\n'
    )
    before = list(sys.path)
    first, second = site.load(place)
    assert migrate({"diagnosis": "uhl"}, second, registry.get("cmr-diagnosis@2")) == {"diagnosis": "other"}
    assert (first.ref, second.ref) == ("site-diagnosis@1", "site-diagnosis@2")
    assert sys.path == before
    assert "site_diagnosis_v1" not in sys.modules


def test_no_file_of_a_site_hides_a_module(place):
    for name in ("_schemas", "_json"):
        (place / f"{name}.py").write_text("raise RuntimeError\n")
    (place / "schemas.py").write_text((place / PY).read_text())
    (place / PY).unlink()
    (version,) = site.load(place)
    assert sys.modules["schemas"].__file__ == str(ROOT / "schemas" / "__init__.py")
    assert version.ref == "site-diagnosis@1"


def test_the_pages_show_the_example_as_it_stands():
    assert blocks(PAGE, "python")[0] == (EXAMPLE / PY).read_text("utf-8")
    assert blocks(PAGE, "toml")[0] == blocks(README, "toml")[0] == (EXAMPLE / TOML).read_text("utf-8")
    for version in registry.BUILT_IN:
        assert f"| `{version.ref}` | {version.status} | {version.summary} |" in README


# --- nothing runs unasked ---


@pytest.fixture
def installed(place: Path, tmp_path: Path) -> Path:
    """A package beside its metadata, as pip leaves them, that says so when it is imported."""
    place.rename(tmp_path / "hospital")
    (tmp_path / "hospital" / "__init__.py").write_text("print('imported')\n")
    info = tmp_path / "hospital-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hospital\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[extractor.schemas]\nour-hospital = hospital\nour-path = os.path\n"
    )
    return tmp_path


def terminal(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "extractor", "schemas", "list", *arguments]
    paths = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | paths, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_an_installed_package_is_imported_only_when_it_is_named(installed):
    assert "imported" not in terminal(installed)
    named = terminal(installed, "--schemas", "our-hospital")
    assert "imported" in named
    assert "site-diagnosis@1" in named
    assert "our-path: its entry point names no package." in terminal(installed, "--schemas", "our-path")


def test_a_folder_is_run_only_when_it_is_named(place):
    with (place / PY).open("a") as file:
        file.write("print('imported')\n")
    assert "imported" not in terminal(place)
    assert "imported" in terminal(place, "--schemas", ".")


# --- what is wrong is named, with its place and its fix ---

CUTOFF = '[fields.diagnosis]\ncutoffs = [{ of = "lvef", below = 50, rules_out = ["normal"] }]\n'
SECOND = (PY, "site_second_v1.py")

FAULTS = {
    "syntax": ((PY, "class ", "clas "), "site_diagnosis_v1.py, line 12: Invalid syntax."),
    "raises": ((PY, "added(Diag", "added(Diagn"), "site_diagnosis_v1.py, line 24: NameError: "),
    "exits": ((PY, "class ", "raise SystemExit\nclass "), "site_diagnosis_v1.py, line 12: SystemExit"),
    "contradiction": ((PY, '"stable"', '"deprecated"'), "ValueError: a deprecated version, and no other"),
    "no VERSION": ((PY, "VERSION =", "RELEASE ="), "site_diagnosis_v1.py: No VERSION that is a SchemaVersion."),
    "name": ((PY, '"site-diagnosis"', '"Site diagnosis"'), "site_diagnosis_v1.py: its name is small letters"),
    "number": ((PY, "    1,", '    "1",'), "site_diagnosis_v1.py, version: "),
    "model": ((PY, "    SiteDiagnosisV1,", "    Diagnosis,"), "site_diagnosis_v1.py, model: "),
    "date": ((PY, "date(2026, 11, 25)", '"today"'), "site_diagnosis_v1.py, released: "),
    "status": ((PY, '"stable"', '"final"'), "site_diagnosis_v1.py, status: "),
    "taken": ((PY, '"site-diagnosis"', '"cmr-diagnosis"'), "site_diagnosis_v1.py: cmr-diagnosis@1 exists already."),
    "older": ((PY, 'older="cmr-diagnosis@2"', 'older="cmr@2"'), "site_diagnosis_v1.py: older names cmr@2, which is not known."),
    "itself": ((PY, 'older="cmr-diagnosis@2"', 'older="site-diagnosis@1"'), "goes in a circle"),
    "not closed": ((PY, "    diagnosis: Diag", "    note: str\n    diagnosis: Diag"), "site_diagnosis_v1.py, note: "),
    "not total": ((PY, 'added(Diagnosis, EightDiagnoses, "other")', "{}"), "site_diagnosis_v1.py: down, diagnosis: danon of diagnosis has no label here."),
    "TOML": ((TOML, "danon =", "danon"), "site-diagnosis@1.toml: No TOML: "),
    "other schema": ((TOML, '"site-diagnosis@1"', '"site-diagnosis@2"'), "site-diagnosis@1.toml, schema: "),
    "no schema": ((TOML, 'schema = "site-diagnosis@1"', ""), "site-diagnosis@1.toml, schema: "),
    "key": ((TOML, "version", "versoin"), "site-diagnosis@1.toml, versoin: There is no such key."),
    "kind": ((TOML, "danon = ", "danon = 5 #"), "site-diagnosis@1.toml, labels.Diagnosis.danon: "),
    "extends": ((TOML, "cmr-diagnosis@2", "cmr-diagnosis@9"), "site-diagnosis@1.toml: It extends cmr-diagnosis@9"),
    "extends itself": ((TOML, "cmr-diagnosis@2", "site-diagnosis@1"), "site-diagnosis@1.toml, extends: "),
    "enum": ((TOML, "labels.Diagnosis", "labels.Diagnoses"), "labels.Diagnoses: The schema has nothing of that name"),
    "label": ((TOML, "danon", "dannon"), "labels.Diagnosis.dannon: The schema has nothing of that name. Nearest: danon"),
    "word": ((TOML, "[labels.", '[words.Diagnosis]\ndanon = "other"\n[labels.'), "words.Diagnosis.other: "),
    "field": ((TOML, "[labels.", '[fields.diagnose]\ncue = "x"\n[labels.'), "fields.diagnose: The schema has nothing"),
    "field's key": ((TOML, "[labels.", '[fields.diagnosis]\nclue = "x"\n[labels.'), "fields.diagnosis.clue: "),
    "cut-off's number": ((TOML, "[labels.", f"{CUTOFF.replace('normal', 'dcm')}[labels."), '"diagnosis".cutoffs.of.lvef: The schema has nothing'),
    "cut-off's bounds": ((TOML, "[labels.", f"{CUTOFF.replace('below = 50, ', '')}[labels."), "it needs at_least, below or both"),
    "cut-off's key": ((TOML, "[labels.", f"{CUTOFF.replace('below', 'under')}[labels."), "Use one of: of, at_least, below, rules_out."),
    "field's like": ((TOML, "[labels.", '[fields.diagnosis]\nlike = "x"\n[labels.'), '"diagnosis".like.x: '),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "says"), FAULTS.values(), ids=FAULTS)
def test_one_fault_loads_nothing_and_is_named(place, edit, says):
    (place / "a_good_one_v1.py").write_text((place / PY).read_text().replace('"site-', '"good-'))
    name, old, new = edit
    text = (place / name).read_text()
    assert old in text
    (place / name).write_text(text.replace(old, new, 1))
    answer = run("schemas", "list", "--schemas", str(place))
    assert answer.exit_code == 1
    (line,) = answer.stderr.splitlines()
    assert line.startswith("extractor: site")
    assert says.lower() in line.lower()
    assert known() == BUILT_IN


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("site-diagnosis@2.toml", 'schema = "site-diagnosis@2"', "no schema of this folder has that name"),
        ("site-two.py", "", "not a module's name"),
        ("site_diagnosis_v1b.py", (EXAMPLE / PY).read_text(), "site-diagnosis@1 exists already"),
    ],
)
def test_a_file_too_many_is_named(place, name, text, says):
    (place / name).write_text(text)
    with pytest.raises(SchemaError, match=says) as caught:
        site.load(place)
    assert str(caught.value).startswith(name)
    assert known() == BUILT_IN


def test_two_fields_asked_alike_are_refused(place):
    (place / PY).write_text(
        (place / PY)
        .read_text()
        .replace("    diagnosis: Diagnosis", "    diagnosis: Diagnosis\n    second: Diagnosis")
    )
    with (place / TOML).open("a") as file:
        file.write('[fields.second]\ncue = "diagnosis"\n')
    with pytest.raises(SchemaError, match=r"fields\.second: it reads the same as diagnosis"):
        site.load(place)


def test_a_field_that_others_wait_for_has_no_cutoffs(tmp_path):
    (tmp_path / "own@1.toml").write_text(f'schema = "own@1"\n{CUTOFF.replace("normal", "absent")}')
    prompt_file.check(tmp_path, {"own@1": compile_form(Weak)})
    says = r'"diagnosis".cutoffs: why is asked by its answer, before its number'
    with pytest.raises(SchemaError, match=says):
        prompt_file.check(tmp_path, {"own@1": compile_form(WeakAndWhy)})


def test_prompt_files_that_extend_each_other_are_refused(place):
    (place / "base@1.toml").write_text('schema = "base@1"\nextends = "site-diagnosis@1"\n')
    (place / TOML).write_text('schema = "site-diagnosis@1"\nextends = "base@1"\n')
    with pytest.raises(SchemaError, match="comes back to a file before it"):
        site.load(place)


@pytest.mark.parametrize("where", ["gone", "gone/deeper", PY])
def test_no_such_place_is_a_wrong_command_line(place, where):
    with pytest.raises(NotFoundError):
        site.load(place / where)
    answer = run("schemas", "list", "--schemas", str(place / where))
    assert answer.exit_code == 2
    assert where in answer.stderr


def test_a_colon_too_many_does_not_run_the_current_folder(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("EXTRACTOR_SCHEMAS", f"{EXAMPLE}{os.pathsep}")
    assert run("schemas", "list").exit_code == 2


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="no schema file is here"):
        site.load(tmp_path)


def test_the_check_of_prompt_files_accepts_our_own(tmp_path):
    with as_file(files("prompts")) as ours:
        for path in ours.glob("cmr-*.toml"):
            shutil.copy(path, tmp_path)
    forms = {version.ref: compile_form(version.model) for version in registry.BUILT_IN}
    prompt_file.check(tmp_path, forms)


# --- the line that widens an enum ---


def test_labels_are_added_where_they_are_wanted():
    wider = with_labels(FiveDiagnoses, "danon", "uhl", before="other")
    assert [label.value for label in wider][-4:] == ["danon", "uhl", "other", "indeterminate"]
    assert [label.value for label in with_labels(FiveDiagnoses, "danon")][-1] == "danon"
    assert wider.__name__ == "Diagnosis"
    assert issubclass(wider, StrEnum)
    assert wider["DCM"] == FiveDiagnoses.DCM


@pytest.mark.parametrize(("new", "before"), [(["hcm"], None), (["a", "a"], None), (["danon"], "othr")])
def test_a_label_twice_or_beside_nothing_is_refused(new, before):
    with pytest.raises(ValueError, match="Diagnosis"):
        with_labels(FiveDiagnoses, *new, before=before)


# --- over HTTP ---

TEXT = "Massive hypertrophy, LGE spares the septum. LVEF 45 %."


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    site.load(EXAMPLE)
    with httpx.Client(base_url=request.getfixturevalue("api_url"), timeout=120) as client:
        yield client


@pytest.mark.engine
def test_one_report_is_answered_under_the_new_version_and_the_old(served):
    assert "site-diagnosis@1" in [item["ref"] for item in served.get("/schemas").json()["schemas"]]
    shown = served.get("/schemas/site-diagnosis/1").json()
    assert "danon" in shown["json_schema"]["$defs"]["Diagnosis"]["enum"]
    new, old = (
        served.post("/extract", json={"text": TEXT, "schema": ref, "distribution": True}).json()
        for ref in ("site-diagnosis@1", "cmr-diagnosis@2")
    )
    assert (new["schema"], old["schema"]) == ("site-diagnosis@1", "cmr-diagnosis@2")
    assert new["provenance"]["prompt"].endswith(" site-diagnosis@1")
    assert set(new["fields"]["diagnosis"]["distribution"]) - {"danon"} == set(
        old["fields"]["diagnosis"]["distribution"]
    )
    carried = migrate(new["data"], registry.get("site-diagnosis@1"), registry.get("cmr-diagnosis@2"))
    registry.get("cmr-diagnosis@2").model.model_validate(carried)


@pytest.mark.engine
def test_the_readmes_commands_do_what_they_say(request, tmp_path, monkeypatch, tiny_extractor):
    engine = SimpleNamespace(close=lambda: None)
    opened = SimpleNamespace(extract=tiny_extractor.extract, engine=engine)
    monkeypatch.setattr(extractor.pipeline, "open_extractor", lambda *_: opened)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    lines = [line.partition("  #")[0].strip() for line in blocks(README, "sh")[0].splitlines()]
    said = {}
    for line in lines:
        command, _, file = line.partition(" > ")
        if command.startswith(".venv/bin/extractor") and " serve " not in command:
            registry._added.clear()
            answer = run(*shlex.split(command)[1:])
            assert answer.exit_code == 0, answer.output
            said[command.split()[1:3][-1]] = answer.stdout
            if file:
                Path(file).write_text(answer.stdout)
    assert "all well" in said["check"]
    assert "danon" in said["diff"]
    assert '"schema":"cmr-diagnosis@2"' in said["migrate"]
    url = request.getfixturevalue("api_url")
    for line, ref in zip(lines[-2:], ("site-diagnosis@1", "cmr-diagnosis@2"), strict=True):
        asked = shlex.split(line.replace("localhost:8000", url))
        printed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert f'"schema":"{ref}"' in printed
