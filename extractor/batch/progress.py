"""How far a batch is, for hours or days: a bar on a terminal, a line a minute in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TextIO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from extractor.table import console

Told = Callable[[int, int], None]
"""Told how many rows are done in all, and how many of them failed."""

EVERY = 60.0
"""Seconds between the lines of a log."""

_WINDOW = 1800.0  # seconds whose speed says how long the rest takes: one step on a CPU can take minutes


@contextmanager
def shown(err: TextIO, total: int | None, done: int) -> Iterator[Told]:
    """Show how far the reading of `total` rows is, `done` of which an earlier run has read."""
    with (_bar if err.isatty() else _lines)(err, total, done) as told:
        yield told


@contextmanager
def _bar(err: TextIO, total: int | None, done: int) -> Iterator[Told]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    with Progress(*columns, console=console(err), speed_estimate_period=_WINDOW) as bars:
        task = bars.add_task("reading", total=total, completed=done, failed="")

        def told(now: int, failed: int) -> None:
            bars.update(task, completed=now, failed=f"{failed:,} failed" if failed else "")

        yield told


@contextmanager
def _lines(err: TextIO, total: int | None, done: int) -> Iterator[Told]:
    started = said = time.monotonic()

    def told(now: int, failed: int) -> None:
        nonlocal said
        time_now = time.monotonic()
        if time_now - said >= EVERY:
            said = time_now
            print(line(now, total, failed, now - done, time_now - started), file=err, flush=True)

    yield told


def line(now: int, total: int | None, failed: int, here: int, seconds: float) -> str:
    """Say that `now` rows are done, `here` of them by this process in so many `seconds`."""
    said = f"{now:,} of {total:,} rows" if total is not None else f"{now:,} rows"
    if failed:
        said += f", {failed:,} failed"
    if total is not None and here:
        said += f", {timedelta(seconds=round(max(0, total - now) * seconds / here))} left"
    return said
