"""The load test, for two seconds a load with the tiny model: it prints what the docs promise."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.engine
@pytest.mark.slow
def test_no_load_breaks_the_service_and_too_much_is_refused(tiny_model_dir):
    options = ["--model", str(tiny_model_dir), "--seconds", "3", "--max-waiting", "4"]
    command = [sys.executable, "-m", "benchmarks.load", *options, "--schema", "cmr-diagnosis@1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    head, _, *rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    names = [name.strip() for name in head.strip("|").split("|")]
    table = {
        cells[0]: dict(zip(names, cells, strict=True))
        for cells in ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    }
    assert list(table) == ["4 callers", "1x", "2x", "5x"]
    for row in table.values():
        assert row["errors"] == "0"
        assert float(row["read, 1/s"]) > 0
        assert float(row["p50, s"]) <= float(row["p95, s"])
    assert int(table["5x"]["429"]) > 0
