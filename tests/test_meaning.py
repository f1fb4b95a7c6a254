"""The default model's real weights on the example reports, in a process whose network is cut off."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[1] / "examples"
OPPOSITES = "There is extensive late gadolinium enhancement of the septum. There is no myocardial oedema."
NUMBERS = "Left ventricular ejection fraction 38 %. Right ventricular ejection fraction 56 %. No gadolinium was given."


def rows() -> list[list[str]]:
    lines = (EXAMPLES / "README.md").read_text("utf-8").splitlines()
    cells = [[cell.strip().replace("`", "") for cell in line.split("|")[1:-1]] for line in lines]
    return [row for row in cells if len(row) == 8 and row[0].endswith(".txt")]


@pytest.fixture(scope="module")
def network_less() -> list[str]:
    """A prefix that runs a command in a network namespace of its own, with no way out."""
    prefix = ["unshare", "--map-root-user", "--net"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this system does not let the test cut its network")
    return prefix


@pytest.fixture(scope="module")
def answers(network_less: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("reports")
    for name, text in (("opposites", OPPOSITES), ("numbers", NUMBERS)):
        (folder / f"{name}.txt").write_text(text, "utf-8")
    files = [*(EXAMPLES / row[0] for row in rows()), *folder.glob("*.txt")]
    command = [*network_less, sys.executable, "-m", "extractor", "extract", "--json", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return {Path(one["id"]).name: one for one in map(json.loads, done.stdout.splitlines())}


def test_reports_are_read_with_the_network_cut_off(answers):
    assert len(answers) == len(rows()) + 2
    assert all(answer["provenance"]["model"] == "qwen2.5-coder-1.5b-cmr" for answer in answers.values())


def test_stated_measurements_are_read_and_none_is_invented(answers):
    right = stated = 0
    for file, *_, numbers in rows():
        gold = {name: float(value) for name, value in (pair.split() for pair in numbers.split(", ") if pair)}
        for name, found in answers[file]["data"]["measurements"].items():
            value = None if found == "not_stated" else found["value"]
            assert name in gold or value is None, f"{file}: {name} is not in the report"
            # A wrong number, such as a previous study's, is worse than none.
            assert value in (None, gold.get(name)), f"{file}: {name}"
            right += name in gold and value == gold[name]
        stated += len(gold)
    assert right >= 0.95 * stated, f"{right} of {stated}"


def test_two_findings_of_opposite_polarity_come_out_opposite(answers):
    findings = answers["opposites.txt"]["fields"]
    assert findings["findings.lge"]["value"] == "present"
    assert findings["findings.oedema"]["value"] == "absent"
    assert "enhancement" in findings["findings.lge"]["evidence"]["text"]
    assert "oedema" in findings["findings.oedema"]["evidence"]["text"]


def test_a_number_speaks_where_no_word_does(answers):
    findings = answers["numbers.txt"]["fields"]
    assert findings["findings.lv_systolic_dysfunction"]["value"] == "present"
    assert "38 %" in findings["findings.lv_systolic_dysfunction"]["evidence"]["text"]
    assert findings["findings.rv_systolic_dysfunction"]["value"] == "absent"


def test_without_contrast_nothing_is_said_of_late_enhancement(answers):
    assert answers["numbers.txt"]["fields"]["findings.lge"]["value"] == "not_stated"


def test_most_examples_get_their_diagnosis(answers):
    right = [answers[file]["data"]["diagnosis"] == diagnosis for file, _, diagnosis, *_ in rows()]
    assert sum(right) > len(right) / 2
