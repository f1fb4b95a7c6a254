"""What a person sees while gigabytes move: a bar on a terminal, a few lines in a log, or nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Advance = Callable[[int], None]
"""Told how many more bytes are done."""

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""`with progress("joining parts", total_bytes) as advance:` brackets one long step; 0 if its length is unknown."""


def ignore(_done: int) -> None:
    """Advance nothing."""


@contextmanager
def silent(_step: str, _total: int) -> Iterator[Advance]:
    """Show nothing: for a server or a test."""
    yield ignore


@contextmanager
def on_stderr(step: str, total: int) -> Iterator[Advance]:
    """Draw a bar if stderr is a terminal, else print a line at the start, every quarter and the end."""
    with (_bar if sys.stderr.isatty() else _lines)(step, total) as advance:
        yield advance


@contextmanager
def _bar(step: str, total: int) -> Iterator[Advance]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(step, total=total or None)
        yield lambda done: bars.advance(task, done)


@contextmanager
def _lines(step: str, total: int) -> Iterator[Advance]:
    started = time.monotonic()
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        quarter = 4 * done // total
        done += more
        if quarter < 4 * done // total < 4:
            print(f"{step}: {100 * done // total}%", file=sys.stderr, flush=True)

    size = f": {total / 1e6:,.0f} MB" if total else ""
    print(f"{step}{size}", file=sys.stderr, flush=True)
    yield advance
    print(f"{step}: done in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
