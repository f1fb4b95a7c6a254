"""A progress bar with time left, or on something that is no terminal a line now and then."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """Shows the run that is going on; see `eval.run.Progress`."""

    def __init__(self, bars: Progress, console: Console) -> None:
        self._bars = bars
        self._console = console
        self._task = bars.add_task("", total=None, visible=False)
        self._what, self._total, self._done = "", 0, 0

    def start(self, what: str, total: int, done: int) -> None:
        self._what, self._total, self._done = what, total, done
        self._bars.reset(self._task, description=what, total=total, completed=done, visible=True)
        self._say(f"{done} of {total} there" if done else f"{total} reports")

    def advance(self, reports: int) -> None:
        before, self._done = self._done, self._done + reports
        self._bars.advance(self._task, reports)
        if 10 * before // self._total < 10 * self._done // self._total:
            left = next(iter(self._bars.tasks)).time_remaining
            self._say(f"{self._done} of {self._total}" + (f", {left:.0f} s left" if left else ""))

    def _say(self, state: str) -> None:
        if not self._console.is_terminal:
            self._console.print(f"{self._what}: {state}", highlight=False)


@contextmanager
def shown(file: TextIO) -> Iterator[Bar]:
    """Show progress on `file` as long as the block lasts."""
    console = Console(file=file)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield Bar(bars, console)
