"""`extractor schemas` as a person at a terminal sees it."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from extractor.cli import main
from schemas import registry
from schemas.registry import get

CANARY = "Mrs Canary"


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["schemas", *arguments], input=stdin, prog_name="extractor")


def result(diagnosis: str = "myocarditis", schema: str = "cmr-diagnosis@2", **given: Any) -> dict[str, Any]:
    """What `extractor extract --json` prints for one report."""
    provenance: dict[str, Any] = {
        "extractor": "0",
        "schema": schema,
        "prompt": schema,
        "decode": "choice",
        "model": "tiny",
    }
    provenance |= {"weights_sha256": None, "precision": "bfloat16", "adapter": None, "engine": "vllm"}
    provenance |= {"wording": None, "calibration": None}
    field = {
        "value": diagnosis,
        "probability": 0.5,
        "status": "answered",
        "review": None,
        "evidence": None,
        "distribution": None,
    }
    usage = {"prompt_tokens": 1, "cached_tokens": 0, "output_tokens": 0, "parts": 1}
    whole = {"id": CANARY, "schema": schema, "data": {"diagnosis": diagnosis}, "fields": {"diagnosis": field}}
    return whole | {"provenance": provenance, "usage": usage} | given


def lines(answer: Result) -> list[Any]:
    return [orjson.loads(line) for line in answer.stdout.splitlines()]


def dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test add versions of its own."""
    monkeypatch.setattr("schemas.registry._added", [])


# --- list, show, diff, check, publish ---


@pytest.mark.usefixtures("added")
def test_versions_are_listed_in_order_with_their_status_and_days(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    old = replace(
        get("cmr-diagnosis@1"),
        name="ours",
        status="deprecated",
        deprecated=date(2027, 1, 2),
        sunset=date(2027, 3, 4),
    )
    registry.add(old)
    rows = [line.split() for line in run("list").stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == [version.ref for version in registry.all_versions()]
    assert rows[0][1:3] == ["stable", "2026-11-23"]
    assert " ".join(rows[-1][1:7]) == "deprecated since 2027-01-02 until 2027-03-04 2026-11-23"


def test_a_difference_is_a_table_and_a_summary(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    answer = run("diff", "cmr-diagnosis@1", "cmr-diagnosis@2")
    assert answer.exit_code == 0
    _, added, narrowed, said = answer.stdout.splitlines()
    assert added.split()[:3] == ["added", "diagnosis", "hypertensive,"]
    assert added.split()[-1] == "readers"
    assert narrowed.split()[:3] == ["narrowed", "diagnosis", "other:"]
    assert (
        said
        == "cmr-diagnosis@1 to cmr-diagnosis@2: 3 labels added, 1 label narrowed; breaks readers and writers"
    )


def test_a_difference_as_json_names_every_change():
    said = orjson.loads(run("diff", "cmr-diagnosis@2", "cmr-diagnosis@3", "--json").stdout)
    assert (said["from"], said["to"]) == ("cmr-diagnosis@2", "cmr-diagnosis@3")
    first = {"kind": "renamed", "field": "diagnosis", "labels": [], "detail": "is now primary"}
    assert said["changes"][0] == first | {"breaks": ["readers", "writers"]}
    assert sum(change["kind"] == "added" and not change["labels"] for change in said["changes"]) == 42


def test_all_versions_hold_together():
    answer = run("check")
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == f"{len(registry.all_versions())} versions: all well"
    for newer in registry.BUILT_IN:
        if newer.older:
            assert f"{newer.older} to {newer.ref}: " in answer.stdout


@pytest.mark.usefixtures("added")
def test_a_version_that_leaves_a_field_out_fails_the_check():
    registry.add(replace(get("cmr-report@2"), name="ours", version=1, older="cmr-diagnosis@3"))
    answer = run("check")
    assert answer.exit_code == 1
    assert "ours@1: down, primary: nothing in ours@1 fills it." in answer.stderr
    assert all(line.startswith("ours@1: ") for line in answer.stderr.splitlines())


def test_what_is_published_stays_as_it_is():
    answer = run("publish")
    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout == "Every released version is published.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff", "cmr-report@1"],
        ["diff", "cmr-report@1", "nope@1"],
        ["migrate", "--to", "nope@1", "-"],
        ["migrate", "-"],
        ["migrate", "--to", "cmr-report@1"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(arguments):
    assert run(*arguments).exit_code == 2


# --- migrate ---


def test_a_stored_result_is_printed_under_the_other_version():
    answer = run("migrate", "--to", "cmr-diagnosis@1", "-", stdin=dumps(result()))
    assert (answer.exit_code, answer.stderr) == (0, "")
    (moved,) = lines(answer)
    expected = result("other", "cmr-diagnosis@1")
    assert moved == expected | {"provenance": result()["provenance"]}


@pytest.mark.parametrize(
    "write", [lambda each: "\n".join(map(dumps, each)), lambda each: dumps({"results": each}), dumps]
)
def test_many_results_as_lines_or_as_a_list(write, tmp_path: Path):
    error = {"id": "b", "error": {"code": "report_empty"}}
    file = tmp_path / "results.json"
    file.write_text(write([result("hcm"), error, result("myocarditis")]))
    answer = run("migrate", "--to", "cmr-diagnosis@1", str(file))
    assert answer.exit_code == 0, answer.stderr
    first, second, third = lines(answer)
    assert second == error
    assert [first["data"], third["data"]] == [{"diagnosis": "hcm"}, {"diagnosis": "other"}]


def test_bare_data_needs_its_version():
    data = dumps({"diagnosis": "myocarditis"})
    answer = run("migrate", "--from", "cmr-diagnosis@2", "--to", "cmr-diagnosis@1", "-", stdin=data)
    assert lines(answer) == [{"diagnosis": "other"}]
    unnamed = run("migrate", "--to", "cmr-diagnosis@1", "-", stdin=data)
    assert unnamed.exit_code == 1
    assert "--from" in unnamed.stderr


def test_a_bad_record_is_named_by_file_and_line_and_the_rest_is_printed(tmp_path: Path):
    file = tmp_path / "results.jsonl"
    bad = [
        "nonsense",
        dumps([1]),
        dumps(result("other", "cmr-diagnosis@1")),
        dumps(result(CANARY)),
        dumps(result() | {CANARY: 1}),
        dumps(result(schema=CANARY)),
        dumps(result() | {"data": {CANARY: 1}}),
    ]
    file.write_text("\n".join([dumps(result("hcm")), *bad, dumps(result("dcm"))]))
    answer = run("migrate", "--to", "cmr-diagnosis@2", str(file), str(tmp_path / "gone.jsonl"))
    assert answer.exit_code == 1
    assert [moved["data"]["diagnosis"] for moved in lines(answer)] == ["hcm", "dcm"]
    *named, gone = answer.stderr.splitlines()
    starts = [f"{file}:{place}: " for place in ("2", "3: results[0]", "4", "5", "6", "7", "8")]
    assert all(line.startswith(start) for line, start in zip(named, starts, strict=True))
    assert "diagnosis: cmr-diagnosis@1 to cmr-diagnosis@2: other: " in named[2]
    assert gone.startswith(f"{tmp_path / 'gone.jsonl'}: The file cannot be read")
    assert CANARY not in answer.stderr
