"""Replay: every system on every set, each finished report kept at once; what is there already is not asked again."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from eval.answers import About, Record, Run
from eval.gold import AnnotatedSet
from eval.systems import Outcome, System


class Progress(Protocol):
    """Told of work to come and of work done, in reports."""

    def start(self, what: str, total: int, done: int) -> None: ...
    def advance(self, reports: int) -> None: ...


def replay(  # noqa: PLR0913  what is asked of whom, and where it goes
    system: System,
    annotated: AnnotatedSet,
    ref: str,
    out: Path,
    *,
    repeats: int = 1,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Answer the set's reports that this run has no answer to, and return the run with all of them.

    With `repeats`, every report is read again in other company: in reverse order, then in order, and so on, in
    batches of another size. A report that failed stays failed; an engine that fails ends the run.

    Raises:
        ExtractorError: the engine failed. What was finished before is kept.
    """
    run = Run.start(out, _about(system, annotated, ref))
    todo = list(_todo(run, annotated, repeats, limit))
    total = repeats * len(annotated.cases[:limit])
    if progress:
        progress.start(f"{system.name}, {annotated.name}", total, total - len(todo))
    for repeat in range(repeats):
        texts = [(id_, text) for id_, text, number in todo if number == repeat]
        size = max(1, system.batch - 3 * (repeat % 2))
        for start in range(0, len(texts), size):
            batch = texts[start : start + size]
            began = time.perf_counter()
            outcomes = system.answer([text for _, text in batch])
            seconds = (time.perf_counter() - began) / len(batch)
            for (id_, text), outcome in zip(batch, outcomes, strict=True):
                run.add(_record(run.key(text, repeat), id_, repeat, outcome, seconds))
            if progress:
                progress.advance(len(batch))
    return run


def _todo(
    run: Run, annotated: AnnotatedSet, repeats: int, limit: int | None
) -> Iterator[tuple[str, str, int]]:
    for repeat in range(repeats):
        cases = annotated.cases[:limit]
        for case in reversed(cases) if repeat % 2 else cases:
            if run.key(case.text, repeat) not in run.records:
                yield case.id, case.text, repeat


def _record(key: str, case: str, repeat: int, outcome: Outcome, seconds: float) -> Record:
    return Record(
        key=key,
        case=case,
        repeat=repeat,
        answers=dict(outcome.answers),
        error=outcome.error,
        seconds=round(seconds, 4),
        prompt_tokens=outcome.usage.prompt_tokens,
        cached_tokens=outcome.usage.cached_tokens,
        output_tokens=outcome.usage.output_tokens,
    )


def _about(system: System, annotated: AnnotatedSet, ref: str) -> About:
    return About(
        system=system.name,
        kind=system.kind,
        set=annotated.name,
        folder=str(annotated.folder.resolve()),
        schema_ref=ref,
        decode=system.decode,
        maker=system.maker,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
    )


def machine() -> str:
    """The processor and how many of its cores this process may use."""
    info = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").is_file() else ""
    names = (line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name"))
    return f"{next(names, 'unknown processor')}, {len(os.sched_getaffinity(0))} cores"
