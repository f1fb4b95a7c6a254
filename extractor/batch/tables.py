"""A table of reports: which columns hold the text and the id, and its rows."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from extractor.batch.formats import Kind, Record
from extractor.batch.rows import Row, printable, text_of, unreadable
from extractor.errors import InputError, ReportError

TEXT = ("text", "report", "report_text", "befund", "befundtext", "informe")
"""Names of columns that hold the reports where nobody says which does; `text` goes before the others."""

_HEADING = re.compile(r"[^\W\d](?:[^\n.!?]|\.(?=\w)){0,39}")


class Table:
    """Rows of a table, with the columns that hold their text and their id."""

    def __init__(self, kind: Kind, text: str | None, id_: str | None) -> None:
        self.kind = kind
        with _readable(kind.path):
            columns = kind.columns()
        found = id_ or next(iter(_called(columns, "id")), None)
        self.id = _column(columns, found, "--id") if found else None
        self.text = _column(columns, text or _text_column(columns, self.id), "--text")

    def fingerprint(self) -> dict[str, Any]:
        with _readable(self.kind.path):
            seen = self.kind.path.stat()
        return {
            "file": printable(self.kind.path.name),
            "size": seen.st_size,
            "mtime": seen.st_mtime_ns,
            "text": self.text,
            "id": self.id,
        }

    def count(self) -> int | None:
        with _readable(self.kind.path):
            return self.kind.count()

    def rows(self, wanted: Callable[[int], bool]) -> Iterator[Row]:
        names = [self.text, *([self.id] if self.id else [])]
        with _readable(self.kind.path):
            for position, record in enumerate(self.kind.records(names)):
                if wanted(position):
                    yield self._row(position, record)

    def _row(self, position: int, record: Record) -> Row:
        number = str(position + 1)
        if isinstance(record, ReportError):
            return Row(position, number, record)
        given = record.get(self.id) if self.id else None
        if isinstance(given, bytes):
            given = given.decode("utf-8", "replace")
        id_ = number if given in (None, "") else str(given).encode("utf-8", "replace").decode()
        return Row(position, id_, text_of(record.get(self.text)))


class _readable:  # noqa: N801  it reads as a statement
    """Turns what a parser raises into one error; parsers' own messages may quote a report."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # pyarrow's errors are ValueErrors and OSErrors, openpyxl's are these.
        if isinstance(error, (OSError, ValueError, LookupError, csv.Error, BadZipFile)):
            raise unreadable(self.path, error) from None


def _called(columns: Sequence[str], *names: str) -> list[str]:
    return [column for column in columns if column.casefold() in names]


def _text_column(columns: Sequence[str], id_: str | None) -> str:
    """Find the text's column by its name, or as the only one. A first line that is a report is no heading."""
    found = _called(columns, "text") or _called(columns, *TEXT)
    others = [column for column in columns if column != id_]
    if not found and _headings(columns):
        found = others
    if len(found) == 1:
        return found[0]
    raise _no_column(columns, "Which column holds the reports is not clear.", "--text")


def _column(columns: Sequence[str], name: str, option: str) -> str:
    if columns.count(name) > 1:
        raise _no_column(columns, "There are several columns of that name.", option)
    if name not in columns:
        raise _no_column(columns, "There is no such column.", option)
    return name


def _headings(columns: Sequence[str]) -> bool:
    """Tell headings from a first line that is a report already."""
    return bool(columns) and all(_HEADING.fullmatch(column) for column in columns)


def _no_column(columns: Sequence[str], what: str, option: str) -> InputError:
    known = f"Columns: {', '.join(columns)}." if _headings(columns) else "The first line must hold headings."
    return InputError(what, code="batch_column", field=option, fix=f"Name it with {option} COLUMN. {known}")
