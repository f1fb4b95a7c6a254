"""What a peer measures, and what its lines say when it is over."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.peers.lines import Emit, Line, read_lines
from benchmarks.peers.task import Answer, Reader, agreement
from eval.cases import Case
from eval.gold import AnnotatedSet
from eval.run import machine

LEVELS = (1, 16, 4)
"""Reports at once, in the order they are measured: what is cut off by a time limit is the least missed."""

Burst = tuple[int, Sequence[Case]]


def plan(cases: Iterable[Case], alone: int, rounds: int) -> Iterator[Burst]:
    """Cut reports into bursts, no report twice: no cache of prompts or grammars may know one already."""
    rest = iter(cases)
    for level in LEVELS:
        for _ in range(alone if level == 1 else rounds):
            yield level, [next(rest) for _ in range(level)]


def wanted(alone: int, rounds: int) -> int:
    """How many reports `plan` takes, and one to warm up."""
    return 1 + alone + rounds * sum(level for level in LEVELS if level > 1)


def measure(
    reader: Reader, annotated: AnnotatedSet, schema: str, bursts: Iterable[Burst], emit: Emit
) -> None:
    """Send each burst when the one before is answered, and emit what comes back."""
    for number, (level, cases) in enumerate(bursts):
        where = {"level": level, "burst": number}
        start = time.perf_counter()
        for answer in reader.read(cases):
            emit({"event": "read", **where, **_read(answer, annotated, schema)})
        took = time.perf_counter() - start
        emit({"event": "burst", **where, "reports": len(cases), "seconds": took})


def _read(answer: Answer, annotated: AnnotatedSet, schema: str) -> Line:
    diagnosis, findings = agreement(annotated.gold(answer.case, schema), answer.values)
    return {
        "report": answer.case.id,
        "cluster": answer.case.cluster,
        "seconds": answer.seconds,
        "valid": answer.valid,
        "diagnosis": diagnosis,
        "findings": findings,
        "tokens": answer.tokens,
        "tries": answer.tries,
    }


def ready(reader: Reader, annotated: AnnotatedSet) -> Line:
    """The line that says what is measured, where and when."""
    return {
        "event": "ready",
        "weights": reader.weights,
        "machine": machine(),
        "date": str(datetime.now(UTC).date()),
        "set": annotated.name,
    }


@dataclass(frozen=True)
class Run:
    """What one peer's lines say. Only bursts that were answered in full count: of a burst that was cut off, only the
    fast answers are known. `note` says why a run ended early.
    """

    name: str
    about: Line
    reads: tuple[Line, ...]
    bursts: tuple[Line, ...]
    gib: float | None
    note: str

    @classmethod
    def load(cls, name: str, file: Path) -> "Run":
        lines = read_lines(file)
        bursts = [line for line in lines if line["event"] == "burst"]
        whole = {line["burst"] for line in bursts}
        return cls(
            name,
            about=next((line for line in lines if line["event"] == "ready"), {}),
            reads=tuple(line for line in lines if line["event"] == "read" and line["burst"] in whole),
            bursts=tuple(bursts),
            gib=max((line["gib"] for line in lines if "gib" in line), default=None),
            note=next((str(line["why"]) for line in lines if line["event"] == "stopped"), ""),
        )

    def seconds(self, level: int) -> dict[str, float]:
        """Latency by report, of those that were sent with so many at once."""
        return {str(line["report"]): float(line["seconds"]) for line in self.reads if line["level"] == level}

    def rate(self, level: int) -> float | None:
        """Reports a minute with so many at once."""
        bursts = [line for line in self.bursts if line["level"] == level]
        took = sum(line["seconds"] for line in bursts)
        return 60 * sum(line["reports"] for line in bursts) / took if bursts else None
