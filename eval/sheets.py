"""Tables as people keep them: CSV, XLSX or JSON lines, read and written alike."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from extractor.batch.formats import Xlsx
from extractor.errors import InputError

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    """Return the rows by column name; an empty cell is None. The separator of a CSV is found out.

    Raises:
        InputError: it is missing, of another kind, not UTF-8, or has no heading.
    """
    readers = {".csv": _csv, ".tsv": _csv, ".xlsx": _xlsx, ".jsonl": _jsonl}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise _unreadable(path, "is neither .csv, .tsv, .xlsx nor .jsonl", "Save it as one of these.")
    try:
        return reader(path)
    except UnicodeDecodeError:
        fix = "Save it as UTF-8; a spreadsheet calls that CSV UTF-8."
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}", "Check its name.") from None
    except (ValueError, KeyError, csv.Error) as error:
        raise _unreadable(path, f"is broken ({type(error).__name__})", "Save it again.") from None
    raise _unreadable(path, "is not UTF-8", fix)


def _unreadable(path: Path, what: str, fix: str) -> InputError:
    return InputError(f"{path.name} {what}.", code="table_unreadable", fix=fix)


def _csv(path: Path) -> list[Row]:
    text = path.read_text("utf-8-sig")
    heading = text.partition("\n")[0]
    separator = max("\t;,", key=heading.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[Row] = []
    for row in reader:
        if None in row:  # what stands beyond the last heading
            raise _unreadable(
                path,
                f"has more cells than headings in row {len(rows) + 1}",
                f'Put cells that hold "{separator}" in quotation marks.',
            )
        rows.append({name: value or None for name, value in row.items() if name})
    return rows


def _jsonl(path: Path) -> list[Row]:
    rows = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError
    return rows


def _xlsx(path: Path) -> list[Row]:
    from zipfile import BadZipFile

    try:
        lines = list(Xlsx(path).lines())
    except BadZipFile:
        raise ValueError from None
    heading = [str(cell) if cell is not None else "" for cell in (lines[0] if lines else ())]
    cells = (zip(heading, [*line, *[None] * len(heading)], strict=False) for line in lines[1:])
    rows = ({name: cell for name, cell in line if name} for line in cells)
    return [row for row in rows if any(cell not in (None, "") for cell in row.values())]


def write(path: Path, rows: Sequence[Mapping[str, Any]], choices: Mapping[str, Sequence[str]]) -> None:
    """Write rows as CSV or XLSX; `choices` are a column's allowed labels, which XLSX offers as a list.

    Report text may begin with a sign that a spreadsheet takes for a formula: it is written as text.
    """
    if path.suffix.lower() == ".xlsx":
        _write_xlsx(path, rows, choices)
    elif path.suffix.lower() == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    else:
        raise _unreadable(path, "is neither .csv nor .xlsx", "Name it so.")


def _plain(value: Any) -> Any:
    return f" {value}" if isinstance(value, str) and value[:1] in "=+-@\t" and value else value


def _write_xlsx(path: Path, rows: Sequence[Mapping[str, Any]], choices: Mapping[str, Sequence[str]]) -> None:
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    book = Workbook()
    sheet = book.worksheets[0]
    labels = book.create_sheet("labels")
    for column, name in enumerate(rows[0], 1):
        letter = get_column_letter(column)
        sheet.cell(1, column, name).font = Font(bold=True)
        sheet.column_dimensions[letter].width = 80 if name == "text" else 18
        for line, row in enumerate(rows, 2):
            cell = sheet.cell(line, column, row[name])
            cell.alignment = Alignment(wrap_text=name == "text", vertical="top")
            if isinstance(row[name], str):
                cell.data_type = "s"
        if name in choices:
            for line, label in enumerate((name, *choices[name]), 1):
                labels.cell(line, column, label)
            allowed = f"labels!${letter}$2:${letter}${1 + len(choices[name])}"
            offered = DataValidation("list", formula1=f"={allowed}", allow_blank=True)
            sheet.add_data_validation(offered)
            offered.add(f"{letter}2:{letter}{1 + len(rows)}")
    sheet.freeze_panes = "C2"
    book.save(path)
