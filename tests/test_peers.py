"""The comparison with other tools, without their engines: what goes wrong in a peer is a row, and pages are kept."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.peers.__main__ import options
from benchmarks.peers.lines import Line, peak_gib, read_lines, supervise
from benchmarks.peers.plot import draw
from benchmarks.peers.runs import LEVELS, Run, measure, plan, wanted
from benchmarks.peers.table import END, START, between, percentile, section
from benchmarks.peers.task import SCHEMA, Answer, Task, chosen, judged
from benchmarks.peers.who import DEFAULT, PEERS
from benchmarks.peers.with_vllm import TRIES, Retried
from schemas.fields import NOT_STATED

READ = {"event": "read", "level": 1, "burst": 0, "report": "a", "cluster": "a", "seconds": 2.0}
READ |= {"valid": True, "diagnosis": True, "findings": [3, 4], "tokens": 400, "tries": 1, "gib": 1.5}
BURST = {"event": "burst", "level": 1, "burst": 0, "reports": 1, "seconds": 2.0, "gib": 1.5}


@pytest.fixture(scope="module")
def task():
    return Task()


def script(*lines: Line, end: str = "") -> list[str]:
    """A peer's process: prints lines, then does what `end` says."""
    return ["-c", f"import os, time\nprint({chr(10).join(map(json.dumps, lines))!r}, flush=True)\n{end}"]


def run(tmp_path: Path, name: str, command: Sequence[str], limit: float = 20.0) -> Run:
    supervise(command, tmp_path / f"{name}.jsonl", limit)
    return Run.load(name, tmp_path / f"{name}.jsonl")


def test_percentiles_are_values_that_were_measured():
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.95) == 3
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile([7], 0.5) == 7


def test_only_what_stands_between_the_marks_is_written():
    page = f"before\n{START}\nold\n{END}\nafter\n"
    new = between(page, "| new |")
    assert new == f"before\n{START}\n| new |\n{END}\nafter\n"
    assert between(new, "| new |") == new
    for wrong in ("no marks", f"{END}\n{START}", page + page):
        with pytest.raises(ValueError, match="once each"):
            between(wrong, "x")


def test_the_page_of_this_package_has_the_marks():
    page = options([]).page
    assert "other" in between(page.read_text("utf-8"), "other")


def test_no_report_is_sent_twice_and_every_peer_gets_the_same():
    _, (first, *cases) = chosen("cmr-109", wanted(alone=2, rounds=1))
    bursts = list(plan(cases, alone=2, rounds=1))
    assert [level for level, _ in bursts] == [1, 1, 16, 4]
    sent = [case.id for _, burst in bursts for case in burst]
    assert len({first.id, *sent}) == wanted(2, 1) == len(sent) + 1
    assert [case.id for case in chosen("cmr-109", 23)[1]] == [first.id, *sent]
    with pytest.raises(ValueError, match="130 reports"):
        chosen("cmr-109", 1000)


def test_a_peer_that_fails_dies_or_takes_too_long_is_a_row_and_hides_no_other(tmp_path):
    cut = json.dumps(READ | {"level": 16, "burst": 1})
    runs = [
        run(tmp_path, "choice", script(READ, BURST, {"event": "end"}, end="os._exit(3)")),
        run(tmp_path, "vllm", script(READ | {"seconds": 30.0}, BURST | {"seconds": 30.0}, end="raise ValueError('no | schema')")),
        run(tmp_path, "llama.cpp", script(end=f"os.kill(os.getpid(), {signal.SIGKILL.value})")),
        run(tmp_path, "retry", script(READ, BURST, end=f"print({cut!r}, flush=True)\nprint('{{\"ev', end='', flush=True)\ntime.sleep(60)"), 1.0),
    ]  # fmt: skip
    assert [one.note for one in runs] == [
        "",
        "failed: ValueError: no | schema",
        "killed by SIGKILL",
        "stopped after 1 s",
    ]
    assert list(runs[3].seconds(1)) == ["a"], "what was measured before the end counts"
    assert not runs[3].seconds(16), "a burst that was cut off does not"
    assert runs[0].rate(1) == 30
    written = section(runs, "benchmarks.svg")
    rows = [line for line in written.splitlines() if line.startswith("| ") and PEERS["vllm"].title in line]
    assert "15.00 (15.00 to 15.00)" in rows[0]
    assert "no / schema" in rows[0]
    tables = [line for line in written.splitlines() if line.startswith("|")]
    assert len(tables) == 2 * (2 + len(runs))
    draw(runs, tmp_path / "a.svg")
    draw(runs, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_what_libraries_print_is_no_line(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text('loading\n[1]\n3\n{"no": "event"}\n{"event": "end"}\n')
    assert read_lines(file) == [{"event": "end"}]


def test_an_answer_that_is_gold_agrees_with_gold(tmp_path):
    annotated, cases = chosen("cmr-109", 22)

    class Perfect:
        weights = "none"

        def warm(self, case):
            pass

        def read(self, cases):
            return (Answer(case, 1.0, annotated.gold(case, SCHEMA), valid=True, tokens=9) for case in cases)

    lines = [{"event": "ready", "weights": "none", "n": 22}]
    measure(Perfect(), annotated, SCHEMA, plan(cases, alone=2, rounds=1), lines.append)
    (tmp_path / "choice.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = Run.load("choice", tmp_path / "choice.jsonl")
    assert {level: len(found.seconds(level)) for level in LEVELS} == {1: 2, 16: 16, 4: 4}
    (row,) = [line for line in section([found], "x").splitlines() if "| 22 |" in line]
    assert row.count("1.00 (") == 3
    assert "1.00 to" not in row
    assert 0.01 < peak_gib() < 100


def test_white_space_does_not_matter_and_another_option_does(task):
    _, (case,) = chosen("cmr-109", 1)
    request = task.request(case)
    longest = {"diagnosis": "hcm", "findings": {}, "measurements": {}}
    findings = request.schema["properties"]["findings"]
    for variant in findings.get("anyOf", [findings]):  # more than one where something is asked behind a gate
        longest["findings"] = {name: one["enum"][0] for name, one in variant["properties"].items()}
    fields = request.schema["properties"]["measurements"]["properties"]
    longest["measurements"] = {name: one["enum"][0] for name, one in fields.items()}
    valid, values = judged(request.grammar, json.dumps(longest, indent=2))
    assert valid
    assert values["diagnosis"] == "hcm"
    numbers = [value for path, value in values.items() if path.startswith("measurements.")]
    assert all(value == NOT_STATED or isinstance(value, float) for value in numbers)
    assert judged(request.grammar, json.dumps(longest | {"diagnosis": "flu"})) == (False, {})
    assert judged(request.grammar, '{"diagnosis": "hcm"') == (False, {})


def test_a_free_answer_is_asked_for_again_with_what_is_wrong(task):
    _, (case,) = chosen("cmr-109", 1)
    talk = Retried(task, case)
    said = {leaf.path: NOT_STATED for leaf in task.form.leaves()} | {
        "diagnosis": "flu",
        "measurements.lvef": "31 %",
    }
    assert not talk.hear("I would say:")
    assert not talk.hear(json.dumps(said))
    *_, complaint = talk.messages()
    assert "diagnosis: Value error, must be of: normal" in complaint["content"]
    assert "lvef" not in complaint["content"]
    assert talk.values["measurements.lvef"] == 31
    assert talk.hear(f"```json\n{json.dumps(said | {'diagnosis': 'HCM'})}\n```")
    assert talk.valid
    assert talk.values["diagnosis"] == "hcm"
    hopeless = Retried(task, case)
    assert [hopeless.hear("no") for _ in range(TRIES)] == [False, False, True]
    assert not hopeless.valid


def test_one_peer_by_itself_prints_lines_only(tmp_path):
    """In a process of its own: a library that prints does not reach the lines."""
    code = (
        "from benchmarks.peers.lines import own_output\nemit = own_output()\n"
        "print('hello')\nemit({'event': 'end'})\n"
    )
    supervise(["-c", code], tmp_path / "one.jsonl", 60)
    (line,) = (tmp_path / "one.jsonl").read_text().splitlines()
    assert json.loads(line)["event"] == "end"
    assert "hello" in (tmp_path / "one.err").read_text()


def test_the_default_peers_are_known():
    assert set(DEFAULT) | {"choice-base"} == set(PEERS)
    assert options(["--one", "vllm"]).one == "vllm"
    assert options([]).page.name == "benchmarks.md"
