"""The formats of tables, each read from front to back: CSV, TSV, JSON lines, Parquet and XLSX."""

import csv
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson

from extractor.batch.rows import needed
from extractor.errors import ReportError
from extractor.report import Report

Record = dict[str, Any] | ReportError
"""A row's cells by column, or why it has none."""

_FIELD_LIMIT = 2**24  # characters; a text beyond it is a quote that was never closed
_CELLS = 256  # rows of a Parquet file that are decoded at a time


class Kind(Protocol):
    """One file format. Blank rows count nowhere."""

    path: Path

    def columns(self) -> list[str]: ...

    def count(self) -> int | None: ...

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Yield every row's cells, at least those of the columns `names`."""
        ...


def _broken(what: str, fix: str) -> ReportError:
    return ReportError(what, code="row_broken", fix=fix)


class _Csv:
    """UTF-8 with a heading; the separator is the one that the heading has most of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        csv.field_size_limit(_FIELD_LIMIT)

    def columns(self) -> list[str]:
        with self._open() as file:
            return next(self._reader(file), [])

    def count(self) -> int:
        return sum(1 for _ in self.records(()))

    def records(self, names: Sequence[str]) -> Iterator[Record]:  # noqa: ARG002  all cells stand in one line
        with self._open() as file:
            reader = self._reader(file)
            columns: list[str] = next(reader, [])
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    yield _broken("The row is no valid CSV.", "Double the quotes inside a quoted text.")
                    continue
                if any(cells[len(columns) :]):
                    what = f"The row has {len(cells)} cells under {len(columns)} headings."
                    yield _broken(what, "Quote a text that holds the separator.")
                elif any(cells):
                    yield {name: _as_read(cell) for name, cell in zip(columns, cells, strict=False)}

    def _open(self) -> Any:
        # Wrong bytes pass as lone surrogates, so that they are an error of their row and not of the file.
        return self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")

    def _reader(self, file: Any) -> Any:
        heading = file.readline()
        file.seek(0)
        return csv.reader(file, delimiter=max(",;\t", key=heading.count), strict=True)


def _as_read(cell: str) -> str | bytes:
    """Give a cell that is not UTF-8 back as the bytes that it is."""
    return cell if cell.isascii() or _valid(cell) else cell.encode("utf-8", "surrogateescape")


def _valid(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Jsonl:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: int | None = None

    def columns(self) -> list[str]:
        """All names that any line has: what is null is often left out. Counts the lines as well."""
        names: dict[str, None] = {}
        self._seen = 0
        for record in self.records(()):
            self._seen += 1
            if isinstance(record, dict):
                names.update(dict.fromkeys(record))
        return list(names)

    def count(self) -> int | None:
        return self._seen

    def records(self, names: Sequence[str]) -> Iterator[Record]:  # noqa: ARG002  a line is read whole
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                line = line if number else line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901
                if line.strip():
                    yield self._record(line)

    @staticmethod
    def _record(line: bytes) -> Record:
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            found = None
        if isinstance(found, dict):
            return found
        try:
            Report.from_bytes(line, max_chars=len(line))
        except ReportError as error:
            if error.code == "report_not_utf8":
                return error
        return _broken("The line is no JSON object.", "Write one object a line.")


class _Parquet:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._parquet = needed("pyarrow.parquet", "pyarrow")

    def columns(self) -> list[str]:
        with self._open() as file:
            return list(file.schema_arrow.names)

    def count(self) -> int:
        with self._open() as file:
            return int(file.metadata.num_rows)

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        with self._open() as file:
            for batch in file.iter_batches(_CELLS, columns=list(names), use_threads=False):
                columns = [self._cells(batch.column(name)) for name in names]
                yield from (dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True))

    def _open(self) -> Any:
        # Buffered: a row group may hold all rows, and is not to be read whole.
        return self._parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=2**20)

    @staticmethod
    def _cells(column: Any) -> list[Any]:
        """Texts as bytes: a file may hold some that are not UTF-8, and only their rows are to fail."""
        pyarrow = needed("pyarrow", "pyarrow")
        if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
            column = column.cast(pyarrow.large_binary())
        return list(column.to_pylist())


class Xlsx:
    """The first sheet. openpyxl keeps all different texts of a workbook in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._openpyxl = needed("openpyxl", "openpyxl")
        self._seen: int | None = None

    def columns(self) -> list[str]:
        return next(((self._names(cells)) for cells in self.lines()), [])

    def count(self) -> int | None:
        return self._seen and self._seen - 1

    def records(self, names: Sequence[str]) -> Iterator[Record]:  # noqa: ARG002  a sheet is read by rows
        lines = self.lines()
        columns = self._names(next(lines, ()))
        for cells in lines:
            if any(cell not in (None, "") for cell in cells):
                yield dict(zip(columns, cells, strict=False))

    def lines(self) -> Iterator[tuple[Any, ...]]:
        """Yield the cells of every row, the headings first."""
        unescape = needed("openpyxl.utils.escape", "openpyxl").unescape  # "_x000D_" is a carriage return
        with warnings.catch_warnings(action="ignore"):
            book = self._openpyxl.load_workbook(self.path, read_only=True, data_only=True)
        try:
            sheet = book.worksheets[0]
            self._seen = sheet.max_row
            sheet.reset_dimensions()  # some programs write a wrong size, which would hide cells
            for cells in sheet.iter_rows(values_only=True):
                yield tuple(unescape(cell) if isinstance(cell, str) else cell for cell in cells)
        finally:
            book.close()

    @staticmethod
    def _names(cells: Sequence[Any]) -> list[str]:
        return ["" if cell is None else str(cell) for cell in cells]


TABLES: dict[str, Callable[[Path], Kind]] = {
    ".csv": _Csv,
    ".tsv": _Csv,
    ".jsonl": _Jsonl,
    ".parquet": _Parquet,
    ".xlsx": Xlsx,
}
