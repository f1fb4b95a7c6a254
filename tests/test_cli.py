"""The `extractor` command as a person at a terminal sees it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import httpx
import orjson
import pytest
from click.testing import CliRunner, Result

import extractor.pipeline
from extractor import __version__
from extractor.cli import main
from extractor.errors import StoreError
from extractor.pipeline import Extractor
from extractor.result import Extraction, FieldResult, Provenance, Usage
from extractor.table import console, plain, result
from schemas import registry
from schemas.fields import Evidence, Quantity

CANARY = "Xylocanary"
REPORT = "Normal left ventricle, LVEF 62 %. No oedema. No late gadolinium enhancement."
SHORT = ["--schema", "cmr-diagnosis@1"]


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin, prog_name="extractor")


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "report.txt"
    path.write_text(REPORT)
    return str(path)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tiny_extractor: Extractor) -> list[tuple[Any, ...]]:
    """Let the command use the session's engine, and leave it open; return what it was asked to open."""
    calls: list[tuple[Any, ...]] = []

    def open_extractor(model: str | None, urls: Sequence[str]) -> Any:
        calls.append((model, tuple(urls)))
        return SimpleNamespace(extract=tiny_extractor.extract, engine=SimpleNamespace(close=lambda: None))

    monkeypatch.setattr(extractor.pipeline, "open_extractor", open_extractor)
    return calls


# --- without a model ---


def test_every_command_explains_itself():
    def walk(command: click.Command, path: tuple[str, ...]) -> None:
        answer = run(*path, "--help")
        assert answer.exit_code == 0
        assert command.help
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help
        if isinstance(command, click.Group):
            for name, below in command.commands.items():
                assert f"  {name} " in answer.output
                walk(below, (*path, name))

    walk(main, ())


def test_version():
    assert run("--version").output == f"extractor {__version__}\n"


def test_light_commands_import_nothing_heavy():
    code = (
        "import sys; from extractor.cli import main; main(['schemas', 'list'], standalone_mode=False);"
        "print(sorted({'vllm', 'torch', 'transformers', 'litestar', 'outlines', 'numpy'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_schemas_are_listed_and_shown():
    listed = run("schemas", "list").output
    assert all(version.ref in listed for version in registry.all_versions())
    shown = run("schemas", "show", "cmr-report").output
    assert "findings.lge_pattern" in shown
    assert "subendocardial" in shown
    as_json = run("schemas", "show", "cmr-report@1", "--json").output
    assert orjson.loads(as_json) == registry.get("cmr-report@1").model.model_json_schema()


def test_models_are_listed():
    listed = run("models", "list")
    assert listed.exit_code == 0, listed.output
    assert "qwen2.5-coder-1.5b-cmr" in listed.output
    assert "default" in listed.output


@pytest.mark.parametrize("command", ["pull", "verify"])
def test_an_unknown_model_is_one_line_and_exit_code_1(command):
    answer = run("models", command, "nope")
    assert answer.exit_code == 1
    assert answer.stderr.startswith("extractor: ")
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["extract"],
        ["extract", "x.txt", "--decode", "guess"],
        ["extract", "x.txt", "--schema", "nope@1"],
        ["extract", "x.txt", "--schema", "cmr-report@99"],
        ["schemas", "show", "nope"],
        ["serve", "--port", "70000"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(arguments):
    assert run(*arguments).exit_code == 2


def test_an_unknown_schema_names_the_known_ones():
    answer = run("extract", "x.txt", "--schema", "nope@1")
    assert "cmr-report@1" in answer.stderr


def test_files_that_cannot_be_read_are_named_without_loading_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr(extractor.pipeline, "open_extractor", None)
    (tmp_path / "latin.txt").write_bytes("Ödem".encode("latin-1"))
    files = [str(tmp_path / "gone.txt"), str(tmp_path / "latin.txt"), str(tmp_path)]
    answer = run("extract", *files)
    assert answer.exit_code == 1
    assert answer.stdout == ""
    for line, file in zip(answer.stderr.splitlines(), files, strict=True):
        assert line.startswith(f"{file}: ")
    assert "Byte 0 is not valid UTF-8." in answer.stderr


# --- errors at the process boundary ---


def test_a_file_whose_name_is_not_utf8_is_read_and_named(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/m\xfcller.txt")
    Path(name).write_text("")
    answer = CliRunner().invoke(main, ["extract", name, "--json"])
    assert orjson.loads(answer.stdout)["id"].endswith("m\ufffdller.txt")
    assert "m\ufffdller.txt: The report holds no text." in answer.stderr


def test_a_full_disk_is_said_to_be(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run(
            [sys.executable, "-m", "extractor", "extract", str(tmp_path / "empty.txt"), "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert answer.returncode == 1
    assert "The disk is full" in answer.stderr


def test_an_error_on_purpose_is_one_line(report, monkeypatch):
    def missing(*_: Any) -> None:
        raise StoreError("There are no weights.", code="weights_missing", fix="Run: extractor models pull")

    monkeypatch.setattr(extractor.pipeline, "open_extractor", missing)
    answer = run("extract", report)
    assert answer.exit_code == 1
    assert answer.stderr == "extractor: There are no weights. Run: extractor models pull\n"


@pytest.mark.parametrize("debug", [False, True])
def test_an_unexpected_error_never_shows_its_message(report, monkeypatch, debug):
    def broken(*_: Any) -> None:
        raise ValueError(CANARY)

    monkeypatch.setattr(extractor.pipeline, "open_extractor", broken)
    if debug:
        monkeypatch.setenv("EXTRACTOR_DEBUG", "1")
    else:
        monkeypatch.delenv("EXTRACTOR_DEBUG", raising=False)
    answer = run("extract", report)
    assert answer.exit_code == 1
    assert CANARY not in answer.output
    assert "unexpected ValueError" in answer.stderr
    assert ("test_cli.py" in answer.stderr) is debug


@pytest.mark.parametrize("verbose", [False, True])
def test_only_results_and_messages_reach_the_terminal(verbose):
    code = f"""
import os, sys
from extractor.terminal import own_terminal
with own_terminal(verbose={verbose}) as (results, messages):
    os.write(1, b"noise 1\\n"); print("noise 2"); os.write(2, b"noise 3\\n"); print("noise 4", file=sys.stderr)
    print("result", file=results, flush=True); print("message", file=messages)
print("after")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["result", "after"]
    noise = [f"noise {n}" for n in range(1, 5)] if verbose else []
    assert sorted(done.stderr.splitlines()) == sorted(["message", *noise])


# --- tables ---


def drawn(extraction: Extraction, monkeypatch: pytest.MonkeyPatch, width: int = 80) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    out = console(sys.stdout)
    with out.capture() as captured:
        out.print(result(extraction))
    return captured.get()


def a_result(**fields: FieldResult) -> Extraction:
    return Extraction(
        id="a.txt",
        schema="cmr-report@1",
        data={},
        fields={name.replace("__", "."): field for name, field in fields.items()},
        provenance=Provenance(
            extractor="0",
            schema="cmr-report@1",
            prompt="p@1",
            decode="choice",
            model="tiny",
            weights_sha256="0" * 64,
            precision="bfloat16",
            adapter=None,
            engine="vllm",
        ),
        usage=Usage(prompt_tokens=1, cached_tokens=0, output_tokens=0, parts=1),
    )


def test_a_table_shows_what_is_said_and_folds_what_is_not(monkeypatch):
    ejection = Quantity(text="58.0%", value=58.0, unit="%", start=0, end=5)
    shown = drawn(
        a_result(
            findings__lge=FieldResult(
                value="present",
                probability=0.93,
                status="answered",
                evidence=Evidence(sentence=0, text="LGE\nin the septum " + "x" * 99, start=0, end=116),
            ),
            measurements__lvef=FieldResult(value=ejection, probability=1.0, status="forced"),
            findings__oedema=FieldResult(value="not_stated", probability=0.8, status="answered"),
            measurements__t1=FieldResult(value="not_stated", probability=1.0, status="implied"),
        ),
        monkeypatch,
    )
    lines = [line.strip() for line in shown.splitlines() if line.strip()]
    assert lines[0] == "a.txt   cmr-report@1 · tiny · choice"
    assert lines[2].split()[:4] == ["lge", "present", "0.93", "LGE"]
    assert lines[2].endswith("…")
    assert lines[3].split() == ["lvef", "58", "%", "—"]
    assert lines[4] == "not stated: oedema, t1"
    assert max(map(len, shown.splitlines())) <= 80


def test_a_report_cannot_steer_the_terminal(monkeypatch):
    evidence = Evidence(sentence=0, text="\x1b[31m[bold]LGE[/bold]\x07\u202e", start=0, end=9)
    field = FieldResult(value="present", probability=0.5, status="answered", evidence=evidence)
    shown = drawn(a_result(lge=field), monkeypatch)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[bold]LGE[/bold]" in shown
    assert plain("a\n b\tc") == "a b c"


def test_the_runner_up_is_shown_with_a_distribution(monkeypatch):
    options = {"absent": 0.2, "present": 0.7, "uncertain": 0.1}
    field = FieldResult(value="present", probability=0.7, status="answered", distribution=options)
    assert "absent 0.20" in drawn(a_result(lge=field), monkeypatch)


# --- with the tiny model, in this process ---


@pytest.mark.engine
def test_json_is_what_the_api_returns_one_object_a_line(report, tmp_path, opened):
    (tmp_path / "empty.txt").write_text(" \n")
    names = [report, str(tmp_path / "gone.txt"), str(tmp_path / "empty.txt"), "-"]
    answer = run("extract", *names, "--json", *SHORT, stdin=REPORT)
    lines = [orjson.loads(line) for line in answer.stdout.splitlines()]
    assert [line["id"] for line in lines] == names
    for line in (lines[0], lines[3]):
        assert Extraction.model_validate(line).schema_ == "cmr-diagnosis@1"
    for line in lines[1:3]:
        assert line.keys() == {"id", "error"}
    assert answer.exit_code == 1
    assert [line.partition(": ")[0] for line in answer.stderr.splitlines()] == names[1:3]
    assert opened == [(None, ())]


@pytest.mark.engine
@pytest.mark.parametrize("decode", ["choice", "grammar"])
def test_a_report_becomes_a_table(report, opened, decode):
    answer = run("extract", report, "--decode", decode, "--model", "tiny", "--url", "http://a", *SHORT)
    assert answer.exit_code == 0, answer.stderr
    assert f"{report}   cmr-diagnosis@1" in answer.stdout
    assert "diagnosis" in answer.stdout
    assert opened == [("tiny", ("http://a",))]


# --- the real command, with the tiny model ---


@pytest.mark.engine
@pytest.mark.slow
def test_nothing_but_results_reaches_the_terminal(report, tiny_model_dir):
    model = ["--model", str(tiny_model_dir)]
    command = [sys.executable, "-m", "extractor", "extract", report, "--json", *model, *SHORT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert Extraction.model_validate_json(line).id == report


@pytest.mark.engine
@pytest.mark.slow
def test_the_server_answers_and_logs_no_text(tiny_model_dir):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    model = ["--model", str(tiny_model_dir)]
    command = [sys.executable, "-m", "extractor", "serve", "--port", str(port), "--verbose", *model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                _ready(client)
                body = {"text": f"{CANARY}. {REPORT}", "id": CANARY, "schema": "cmr-diagnosis@1"}
                assert client.post("/extract", json=body).status_code == 200
                assert client.post("/extract", json={**body, "decode": CANARY}).status_code == 400
                assert client.post(f"/{CANARY}", json=body).status_code == 404
        finally:
            server.terminate()
            printed, _ = server.communicate(timeout=60)
    assert "POST /extract 200" in printed
    assert CANARY not in printed


def _ready(client: httpx.Client) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end:
        try:
            answer = client.get("/health/ready")
            if answer.status_code == 200:
                return
            assert answer.json()["code"] == "model_loading", answer.text
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail("the server did not get ready")
