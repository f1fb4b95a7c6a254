"""What is done already, on disk: a run that is killed at any moment loses no row and reads none twice.

    {"batch": {"input": {…}, "schema": "…", …}}     what the run is of; a run of anything else is refused
    {"batch": {"model": {…}}}
    {"row": 0, "record": {…}}                       a finished row, by its position in the input

Lines are only ever added, and reach the disk before their rows count as done. A last line that was cut off is
dropped when the file is opened again.
"""

import fcntl
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import orjson

from extractor.batch.rows import unwritable
from extractor.errors import InputError

_BEGINS: Final = b'{"batch":'
_NONE: Final = -1


class Journal:
    """An open journal, locked for this process. In memory it takes 8 bytes a row.

    Raises:
        InputError: another process has it, it cannot be written, or the file is no journal.
    """

    def __init__(self, path: Path, *, restart: bool = False) -> None:
        self.path = path
        self.facts: dict[str, Any] = {}
        self.done = 0
        self.failed = 0
        self._places = array("q")  # where in the file each row's line begins
        self._file = _locked(path)
        try:
            self._check()
            if restart:
                self._file.truncate(0)
            self._load()
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        with suppress(OSError):  # what was to be kept is: `append` has seen to it, or said why not
            self._file.close()

    def agree(self, **facts: Any) -> None:
        """Write down what this run is of, where no row is done yet.

        Raises:
            InputError: the rows that are done are of something else.
        """
        changed = [name for name, value in facts.items() if self.facts.get(name, value) != value]
        if changed and self.done:
            raise InputError(
                f"The output was begun with another {changed[0]}.",
                code="batch_changed",
                field=changed[0],
                fix="Go on as it was begun, name another OUTPUT, or begin again with --restart.",
            )
        known, self.facts = self.facts, self.facts | facts
        if changed:
            self._file.truncate(0)
        if self.facts != known:
            self._add([{"batch": self.facts}])

    def has(self, position: int) -> bool:
        return position < len(self._places) and self._places[position] != _NONE

    def append(self, records: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Keep finished rows. When this returns they are on the disk."""
        records = list(records)
        places = self._add([{"row": position, "record": record} for position, record in records])
        for place, (position, record) in zip(places, records, strict=True):
            self._note(position, place, record)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield every row's record in the input's order."""
        for place in self._places:
            self._file.seek(place)
            yield orjson.loads(self._file.readline())["record"]

    def finish(self) -> None:
        """Remove the file: the output is written."""
        self.path.unlink()

    def _check(self) -> None:
        start = self._file.read(len(_BEGINS))
        if start != _BEGINS[: len(start)]:
            fix = "Move it away, or name another OUTPUT."
            raise InputError(f"{self.path.name} is no journal of a batch.", code="batch_journal", fix=fix)

    def _load(self) -> None:
        self._file.seek(0)
        end = 0
        for line in self._file:
            entry = _entry(line)
            if entry is None:
                break
            if "row" in entry:
                self._note(entry["row"], end, entry["record"])
            else:
                self.facts |= entry["batch"]
            end += len(line)
        self._file.seek(end)
        self._file.truncate()

    def _note(self, position: int, place: int, record: Mapping[str, Any]) -> None:
        if self.has(position):
            return
        missing = position + 1 - len(self._places)
        self._places.extend([_NONE] * missing)
        self._places[position] = place
        self.done += 1
        self.failed += bool(record.get("error"))

    def _add(self, entries: list[dict[str, Any]]) -> list[int]:
        """Write lines at the end, wait for the disk, and return where each begins."""
        place = self._file.seek(0, os.SEEK_END)
        places = []
        try:
            for entry in entries:
                places.append(place)
                place += self._file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise unwritable(self.path, error) from None
        return places


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return a whole line's entry; None for one that was cut off, or that the disk lost."""
    try:
        entry = orjson.loads(line) if line.endswith(b"\n") else None
    except orjson.JSONDecodeError:
        return None
    known = isinstance(entry, dict) and ("batch" in entry or {"row", "record"} <= entry.keys())
    return entry if known else None


def _locked(path: Path) -> BinaryIO:
    while True:
        try:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        except OSError as error:
            raise unwritable(path, error) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except OSError:
            file.close()
            raise InputError(
                f"Another process is writing {path.name}.",
                code="batch_locked",
                fix="Wait for it, or name another OUTPUT.",
            ) from None
        file.close()  # the run that had it has finished and removed it: begin a new one
