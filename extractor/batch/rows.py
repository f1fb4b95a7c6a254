"""Where reports come from, one row a report, and never more of them in memory than are being read."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from extractor.errors import ExtractorError, InputError, ReportError
from extractor.report import Report


@dataclass(frozen=True)
class Row:
    """One report, or why there is none. `position` counts from 0 in the input's order."""

    position: int
    id: str
    text: str | ExtractorError = field(repr=False)


class Source(Protocol):
    """An input that can be read again from its start and then has the same rows at the same positions."""

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells this input from another or a changed one."""
        ...

    def count(self) -> int | None:
        """Return how many rows there are, as far as that can be found out without reading every cell."""
        ...

    def rows(self, wanted: Callable[[int], bool]) -> Iterator[Row]:
        """Yield the rows at the wanted positions, in order."""
        ...


def open_source(path: Path, text: str | None = None, id_: str | None = None) -> Source:
    """Open a table or a folder. `text` and `id_` name a table's columns; without them they are found.

    Raises:
        InputError: it is of another kind or broken, a column is missing or cannot be told from others, or what
            reads this kind is not installed.
    """
    from extractor.batch.documents import Folder
    from extractor.batch.formats import TABLES
    from extractor.batch.tables import Table

    if path.is_dir():
        if text or id_:
            raise InputError(
                "A folder has no columns.", code="batch_column", fix="Leave out --text and --id."
            )
        return Folder(path)
    kind = TABLES.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"INPUT is neither a folder nor {', '.join(TABLES)}.",
            code="batch_input",
            fix="Save it as one of these.",
        )
    return Table(kind(path), text, id_)


def unreadable(path: Path, error: Exception) -> InputError:
    """Say what is wrong with an input as a whole, without the message of its parser, which may quote it."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return InputError(
        f"{path.name} cannot be read ({why}).", code="batch_input", fix="Check the file, or save it again."
    )


def unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path.name} cannot be written: {error.strerror}.",
        code="batch_unwritable",
        fix="Make room or correct OUTPUT; the same command then goes on.",
    )


def printable(name: str) -> str:
    """Return a file's name as UTF-8 can hold it: bytes that are none become replacement characters."""
    return os.fsencode(name).decode("utf-8", "replace")


def needed(module: str, package: str) -> Any:
    """Import what an extra installs.

    Raises:
        InputError: the package is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise InputError(
            f"This kind of file needs the package {package}.",
            code="batch_extra_missing",
            fix="In a copy of the repository: pip install '.[batch]'.",
        ) from None


def text_of(cell: object) -> str | ReportError:
    """Return a cell's text; what Unicode allows of it is checked where the report is read."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, bytes):
        try:
            return Report.from_bytes(cell).text
        except ReportError as error:
            return error
    return ReportError(
        f"The text is of the type {type(cell).__name__}.",
        code="report_not_text",
        field="text",
        fix="Name the column that holds the report with --text.",
    )
