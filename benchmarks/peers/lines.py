"""A peer's run as lines of JSON in `.bench/NAME.jsonl`, written by its own process and watched by its parent.

    {"event": "ready", "weights": …, "machine": …, "date": …, "set": …}      loaded and warmed up
    {"event": "read", "level": 16, "burst": 0, "report": …, "seconds": …}    and what its answer was worth
    {"event": "burst", "level": 16, "burst": 0, "reports": 16, "seconds": …} all of a burst are answered
    {"event": "end"}                                                         or, by the parent: "stopped", with a "why"

Every line carries `gib`, the process's peak resident memory so far. Lines are flushed as they come, so a run that is
killed keeps what it measured.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

Line = dict[str, Any]
Emit = Callable[[Line], None]


def own_output() -> Emit:
    """Keep standard output for lines: whatever a library prints goes to standard error."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def emit(line: Line) -> None:
        print(json.dumps(line | {"gib": peak_gib()}), file=lines, flush=True)

    return emit


def peak_gib() -> float:
    """Peak resident memory of this process, mapped files of weights included, in GiB."""
    status = Path("/proc/self/status").read_text("ascii")
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kib) / 2**20


def supervise(command: Sequence[str], lines: Path, limit: float) -> None:
    """Run one peer's process for at most `limit` seconds; what ends it before its last line becomes a line."""
    lines.parent.mkdir(exist_ok=True)
    errors = lines.with_suffix(".err")
    why = f"stopped after {limit:.0f} s"
    with lines.open("wb") as out, errors.open("wb") as err:
        child = subprocess.Popen([sys.executable, *command], stdout=out, stderr=err, cwd=ROOT)
        try:
            why = _why(child.wait(limit), errors)
        except subprocess.TimeoutExpired:
            pass
        finally:
            child.kill()
            child.wait()
    if not any(line["event"] == "end" for line in read_lines(lines)):
        with lines.open("ab") as out:
            out.write(b"\n" + json.dumps({"event": "stopped", "why": why}).encode() + b"\n")


def _why(status: int, errors: Path) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    said = errors.read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
    return f"failed: {said[-1][:160]}"


def read_lines(file: Path) -> list[Line]:
    """The whole lines of a run; one that a kill cut off is left out."""
    found = []
    for text in file.read_text("utf-8", "replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "event" in line:
            found.append(line)
    return found
