"""`python -m eval` as a person uses it: a set, systems, kept answers, tables and the page."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

import eval.cli
import extractor
import prompts
import schemas
from eval import answers
from eval.answers import FAILED, Run
from eval.baselines import Keywords, Majority, TfIdf
from eval.free import FreeRunning, parse, read
from eval.gold import form, load, under
from eval.makers import language_model
from eval.run import replay
from eval.systems import LanguageModel, System
from extractor.engine.base import Chat, EngineInfo
from extractor.engine.local import LocalEngine
from extractor.errors import EngineError, InputError, NotFoundError
from extractor.pipeline import Extractor

REF = "cmr-report@1"
CANARY = "Xylocanary"


def case(number: int, diagnosis: str, text: str, *, language: str = "en", **gold) -> dict[str, Any]:
    return {
        "id": f"case-{number}",
        "language": language,
        "text": text,
        "gold": {"diagnosis": diagnosis} | gold,
        "evidence": {"diagnosis": [text]} | ({"findings.lge": ["LGE"]} if "LGE" in text else {}),
    }


CASES = [
    case(
        1,
        "hcm",
        "LVEF 69 %. Wall 22 mm, asymmetric. Patchy LGE. <b>&amp; HCM</b>",
        findings={"lge": "present", "lge_pattern": "patchy", "lv_hypertrophy": "severe"},
        measurements={"lvef": 69, "max_wall_thickness": 22},
    ),
    case(2, "normal", "LVEF 62 %. No LGE. Normal.", findings={"lge": "absent"}, measurements={"lvef": 62}),
    case(3, "dcm", "LVEF 31 %, früher 45 %. Dilatiert.", language="de", measurements={"lvef": 31}),
    case(4, "normal", "Normal study, EF 60 %.", measurements={"lvef": 60}),
]


def write_set(folder: Path, cases: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in cases]
    (folder / "reports.jsonl").write_text("".join(lines), "utf-8")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_set(tmp_path / "out/sets/mine", CASES)
    write_set(tmp_path / "out/sets/cmr-train-mine", CASES[:3])
    return tmp_path / "out"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(eval.cli.main, [str(one) for one in arguments], prog_name="python -m eval")


# --- the command ---


def test_baselines_alone_give_the_table_and_the_files(out, monkeypatch):
    monkeypatch.setattr(eval.cli, "TRAIN", "cmr-train-mine")
    answer = run("--no-model", "--sets", "mine", "--out", out)
    assert answer.exit_code == 0, answer.stderr
    names = [line.split("|")[1].strip() for line in answer.stdout.splitlines() if line.startswith("| ")]
    assert names[2:] == ["majority class", "TF-IDF + logistic regression", "keyword rules"]
    results = json.loads((out / "report/results.json").read_text())
    (made,) = results["sets"]
    keywords = made["runs"][2]
    assert keywords["reports"] == 4
    assert keywords["measurements"]["stated"]["value"] == 1
    assert keywords["measurements"]["results"]["invented"] == 0
    assert keywords["evidence"]["value"] == 1
    assert {one["field"] for one in made["comparisons"] if one["headline"]} == {"diagnosis"}
    assert (out / "report/results.md").read_text() in answer.stdout
    assert CASES[0]["text"] not in (out / "report/results.json").read_text()


def test_the_page_needs_nothing_but_itself_and_shows_the_mistakes(out):
    run("--no-model", "--sets", "mine", "--out", out, "--baselines", "keywords")
    page = (out / "report/report.html").read_text()

    class Page(HTMLParser):
        tags: list[str] = []  # noqa: RUF012
        open: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            self.tags.append(tag)
            for name, value in attrs:
                if name.endswith(("src", "href")):
                    assert value.startswith("#"), value
            if tag not in ("meta", "path", "use", "br", "rect", "circle"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            if tag not in ("meta", "path", "use", "br", "rect", "circle"):
                assert self.open.pop() == tag

    parsed = Page()
    parsed.feed(page)
    assert not parsed.open
    assert "svg" in parsed.tags
    assert not {"script", "link", "img", "image", "iframe", "object"} & set(parsed.tags)
    assert "url(http" not in page
    assert "@import" not in page
    assert "measured elsewhere, on other data" in page
    assert "&lt;b&gt;&amp;amp; HCM&lt;/b&gt;" in page, "a report's own markup is shown, not used"
    for picture in page.split("<svg")[1:]:
        ET.fromstring("<svg" + picture.split("</svg>")[0] + "</svg>")  # noqa: S314  our own


def test_runs_are_reported_and_compared_again(out, monkeypatch):
    monkeypatch.setattr(eval.cli, "TRAIN", "cmr-train-mine")
    run("--no-model", "--sets", "mine", "--out", out)
    first = (out / "report/results.json").read_text()
    folders = sorted((out / "runs/mine").iterdir())
    assert len(folders) == 3
    again = run("report", *folders, "--out", out)
    assert again.exit_code == 0, again.stderr
    figures = {one["run"]: one for one in json.loads(first)["sets"][0]["runs"]}
    assert {
        one["run"]: one for one in json.loads((out / "report/results.json").read_text())["sets"][0]["runs"]
    } == figures
    compared = run("compare", *folders[:2], "--out", out)
    assert compared.exit_code == 0, compared.stderr
    assert "| diagnosis | 4 |" in compared.stdout
    assert run("compare", folders[0], "--out", out).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sets", "nope"], "--sets: No set has that name"),
        (["--schema", "nope@1"], "schema: No schema has that name"),
        (["--decode", "guess"], "known: choice, grammar"),
        (["--baselines", "guess"], "known: majority"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(out, arguments, said):
    answer = run(
        "--no-model", "--out", out, *(["--sets", "mine"] if "--sets" not in arguments else []), *arguments
    )
    assert answer.exit_code != 0
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_broken_set_names_its_lines_and_not_their_text(out):
    file = write_set(out / "sets/broken", CASES) / "reports.jsonl"
    file.write_text(file.read_text() + json.dumps(case(9, CANARY, CANARY)) + "\n")
    answer = run("--no-model", "--sets", "broken", "--out", out)
    assert "line 5" in answer.stderr
    assert CANARY not in answer.output


# --- what is kept ---


class Counting(Keywords):
    """The keyword rules, noting what they were asked; slow where a test wants to stop them."""

    def __init__(self, schema: str, pause: float = 0) -> None:
        super().__init__(schema)
        self.asked: list[str] = []
        self.pause = pause

    batch = 1

    def answer(self, texts):
        time.sleep(self.pause)
        self.asked += texts
        return super().answer(texts)


def test_finished_reports_are_not_asked_again(out):
    mine = load("mine", out)
    first, second = Counting(REF), Counting(REF)
    assert len(replay(first, mine, REF, out, limit=2).records) == 2
    done = replay(second, mine, REF, out)
    assert second.asked == [one["text"] for one in CASES[2:]]
    assert list(done.of({one["id"]: one["text"] for one in CASES})) == [one["id"] for one in CASES]


def test_a_changed_text_is_asked_again_and_its_old_answer_is_not_scored(out):
    replay(Counting(REF), load("mine", out), REF, out)
    changed = [*CASES[:3], case(4, "normal", "Normal study, EF 64 %.", measurements={"lvef": 64})]
    write_set(out / "sets/mine", changed)
    again = Counting(REF)
    done = replay(again, load("mine", out), REF, out)
    assert again.asked == ["Normal study, EF 64 %."]
    assert len(done.records) == 5
    assert done.of({"case-4": changed[3]["text"]})["case-4"].answers["measurements.lvef"].value == 64


def test_a_torn_last_line_is_dropped_and_its_report_asked_again(out):
    mine = load("mine", out)
    folder = replay(Counting(REF), mine, REF, out).folder
    file = folder / "answers.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    again = Counting(REF)
    replay(again, mine, REF, out)
    assert again.asked == [CASES[3]["text"]]
    assert [json.loads(line)["case"] for line in file.read_text().splitlines()] == [
        one["id"] for one in CASES
    ]


def test_kill_9_loses_nothing_that_was_finished(out):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom test_eval_runs import Counting, REF\n"
        "from eval.gold import load\nfrom eval.run import replay\n"
        "out = Path(sys.argv[2]); replay(Counting(REF, 0.3), load('mine', out), REF, out)"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(out)]
    with subprocess.Popen(command) as child:
        end = time.monotonic() + 60
        while time.monotonic() < end and sum(len(f.read_text().splitlines()) for f in _answers(out)) < 2:
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
    (file,) = _answers(out)
    kept = len(file.read_text().splitlines())
    assert 2 <= kept < 4
    again = Counting(REF)
    done = replay(again, load("mine", out), REF, out)
    assert len(again.asked) == 4 - kept
    assert len(done.records) == 4
    assert _answers(out) == [file]


def _answers(out: Path) -> list[Path]:
    return list(out.glob("runs/mine/*/answers.jsonl"))


INFO = EngineInfo("m", "0" * 64, "int8", None, "vllm 1 cpu", 8192, 32, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"weights_sha256": "1" * 64},
        {"precision": "bf16"},
        {"adapter": "a"},
        {"engine": "vllm 2 cpu"},
    ],
)
def test_another_model_is_another_run(change):
    assert language_model(replace(INFO, **change), REF, "choice") != language_model(INFO, REF, "choice")


def test_another_schema_or_decoding_is_another_run():
    made = [
        language_model(INFO, *one) for one in ((REF, "choice"), (REF, "grammar"), ("cmr-report@2", "choice"))
    ]
    assert len({answers.fingerprint(one) for one in made}) == 3


@pytest.mark.parametrize(
    ("package", "file"),
    [(prompts, "cmr-report@1.toml"), (extractor, "decode/choice.py"), (schemas, "fields.py")],
)
def test_a_changed_prompt_or_code_is_another_run(package, file, tmp_path, monkeypatch):
    """A comment more is enough: nobody has to judge whether a change could matter."""
    before = language_model(INFO, REF, "choice")
    copy = Path(
        shutil.copytree(package.__path__[0], tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    )
    monkeypatch.setattr(package, "__path__", [str(copy)])
    assert language_model(INFO, REF, "choice") == before
    with (copy / file).open("a") as opened:
        opened.write("\n# changed\n")
    assert language_model(INFO, REF, "choice") != before


def test_a_page_or_a_route_does_not_make_answers_stale(tmp_path, monkeypatch):
    before = language_model(INFO, REF, "choice")
    copy = Path(
        shutil.copytree(
            extractor.__path__[0], tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__")
        )
    )
    monkeypatch.setattr(extractor, "__path__", [str(copy)])
    (copy / "api/routes.py").write_text("")
    assert language_model(INFO, REF, "choice") == before


class Down:
    """An engine whose server has gone."""

    info = replace(INFO, chat=Chat())

    def encode(self, text):
        return list(text.encode())

    def score(self, asks):
        raise EngineError("No server answers.", code="engine_unreachable")

    def generate(self, jobs):
        return []

    def close(self):
        pass


def test_an_engine_that_fails_ends_the_run_and_no_report_counts_as_failed(out):
    mine = load("mine", out)
    system = LanguageModel(Extractor(Down()), "cmr-diagnosis@1", "choice")
    with pytest.raises(EngineError, match="No server answers"):
        replay(system, mine, "cmr-diagnosis@1", out)
    (folder,) = (out / "runs/mine").iterdir()
    assert not Run.load(folder).records


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(NotFoundError, match="no folder of a run"):
        Run.load(tmp_path)


# --- baselines ---


def test_keyword_rules_know_denial_language_and_degree():
    (found,) = Keywords("cmr-report@2").answer(
        ["No oedema, but extensive LGE. Severely dilated left ventricle. Kein Perikarderguss. LVEF 31 %."]
    )
    values = {path: given.value for path, given in found.answers.items()}
    assert values["findings.oedema"] == "absent"
    assert values["findings.lge"] == "present"
    assert values["findings.lv_dilatation"] == "severe"
    assert values["findings.pericardial_effusion"] == "absent"
    assert values["measurements.lvef"] == 31
    assert values["measurements.ecv"] == "not_stated"


def test_learned_baselines_learn(out):
    train = load("mine", out)
    (majority,) = Majority(REF, train).answer(["whatever"])
    assert majority.answers["diagnosis"].value == "normal"
    assert majority.answers["diagnosis"].probability == 0.5
    (tfidf,) = TfIdf(REF, train).answer([CASES[2]["text"]])
    assert tfidf.answers["diagnosis"].value == "dcm"
    assert sum((tfidf.answers["diagnosis"].distribution or {}).values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ('{"diagnosis": "HCM", "measurements": {"lvef": "31,5 %"}}', ("hcm", 31.5)),
        ('Sure!\n```json\n{"diagnosis": "hcm", "measurements.lvef": 31}\n```', ("hcm", 31)),
        ('{"diagnosis": "heart failure", "measurements.lvef": "reduced"}', (FAILED, FAILED)),
        ('{"diagnosis": "normal", "measurements": {"lvef": {"value": 0.5, "unit": "g"}}}', ("normal", 0.5)),
        ('{"measurements": {"lvef": "not_stated"}}', (FAILED, "not_stated")),
    ],
)
def test_free_text_is_read_generously(written, values):
    leaves = {leaf.path: leaf for leaf in form(REF).leaves()}
    found = parse(written)
    assert found is not None
    assert (read(leaves["diagnosis"], found), read(leaves["measurements.lvef"], found)) == values


def test_free_text_without_an_object():
    assert parse("The diagnosis is HCM {probably}.") is None
    assert parse("{}") is None


# --- a real engine with a tiny random model ---


@pytest.mark.engine
def test_a_language_model_is_replayed_scored_and_repeatable(tiny_extractor: Extractor, out):
    mine = load("mine", out)
    assert isinstance(tiny_extractor.engine, LocalEngine)
    systems: list[tuple[System, int]] = [
        (LanguageModel(tiny_extractor, REF, "choice"), 2),
        (FreeRunning(tiny_extractor.engine, REF, max_tokens=16), 1),
    ]
    runs = [replay(system, mine, REF, out, repeats=repeats) for system, repeats in systems]
    from eval.report import write

    results = write([(one, mine) for one in runs], out / "report")
    choice, free = results["sets"][0]["runs"]
    assert choice["measurements"]["results"]["invented"] == 0
    assert choice["failed"] == {}
    assert choice["repeatability"]["changed"] == 0
    assert choice["calibration"]["diagnosis"]["n"] == 4
    assert choice["evidence"]["value"] == 1, "any sentence is a piece of the whole text"
    assert choice["speed"]["seconds_mean"] > 0
    assert free["failed"] == {"not_json": 4}, "a random model writes no JSON, and that counts"
    assert free["diagnosis"]["accuracy"]["value"] == 0
    kept = (runs[0].folder / "answers.jsonl").read_text()
    assert "asymmetric" not in kept, "answers hold offsets, not report text"
    assert len(kept.splitlines()) == 8


def test_labels_of_another_schema_are_refused():
    with pytest.raises(InputError, match="does not have"):
        under({"diagnosis": "danon"}, REF)
