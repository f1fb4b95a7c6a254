"""A hospital's own table of reports and labels becomes a set: `python -m eval import`.

    python -m eval import ours.csv --name ours --map text=Befund --map diagnosis=Diagnose --label HOCM=hcm

A column named as a field needs no `--map`. A field that no column maps to is not scored. An empty cell of a
diagnosis is a report that nobody labelled; of any other field it is `not_stated`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eval.cases import Case
from eval.gold import form
from eval.sheets import Row, read
from extractor.errors import InputError
from extractor.form import Leaf, Members
from schemas.fields import NOT_STATED

ABOUT = ("id", "case_id", "language", "style", "variant", "text")
SET_SCHEMA = "cmr-report@2"
"""Whose fields the format of a set has; a set of any other schema has `own` gold."""


@dataclass(frozen=True)
class Mapped:
    """How a table is read: columns by field, labels by theirs, the rows wanted, what stands for a missing column, and whose
    fields they are.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    language: str = "other"
    schema: str = SET_SCHEMA

    @cached_property
    def fields(self) -> dict[str, Leaf | Members]:
        """The fields that a column can hold gold for."""
        return {leaf.path: leaf for leaf in form(self.schema).leaves()}


@dataclass(frozen=True)
class Imported:
    """What became of the rows: kept, not wanted by `--where`, without exactly one label for their diagnosis."""

    folder: Path
    kept: int
    unwanted: int
    ambiguous: int
    labelled: tuple[str, ...]


def import_table(path: Path, name: str, mapped: Mapped, root: Path) -> Imported:
    """Write the set `name` below `root` and say what became of the rows.

    Raises:
        InputError: a column is missing, or a cell is no label or number of its field; all such cells are named, by row
            and column and without what they hold.
    """
    rows = read(path)
    columns = _columns(rows, mapped, path)
    wanted = [(n, row) for n, row in enumerate(rows, 2) if _wanted(row, mapped.where)]
    cases, wrong, ambiguous = [], [], 0
    rows_of: dict[str, int] = {}
    for number, row in wanted:
        try:
            case = _case(row, columns, mapped, number)
        except WrongCell as error:
            wrong.append(f"row {number}, column {error.column}: {error.what}")
            continue
        if case is None:
            ambiguous += 1
        elif (first := rows_of.setdefault(case["id"], number)) != number:
            wrong.append(f"row {number}, column {columns['id']}: the same id as row {first}")
        else:
            cases.append(case)
    if wrong:
        more = f" (and {len(wrong) - 10} more)" if len(wrong) > 10 else ""
        raise InputError(
            f"{path.name}: " + "; ".join(wrong[:10]) + more,
            code="import_invalid",
            fix="Correct the cells, or name the label with --label THEIRS=OURS.",
        )
    if not cases:
        raise InputError(
            f"{path.name} has no row to keep.", code="import_empty", fix="Check --where and --map."
        )
    labelled = tuple(field for field in columns if field in mapped.fields)
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(case, ensure_ascii=False) + "\n" for case in cases]
    (folder / "reports.jsonl").write_text("".join(lines), "utf-8")
    about = {"labelled": labelled} | ({} if mapped.schema == SET_SCHEMA else {"schema": mapped.schema})
    (folder / "set.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    return Imported(folder, len(cases), len(rows) - len(wanted), ambiguous, labelled)


class WrongCell(Exception):  # noqa: N818  it reads as what it is
    """A cell that cannot be read. Never holds what stands in it."""

    def __init__(self, column: str, what: str) -> None:
        super().__init__(what)
        self.column = column
        self.what = what


def _columns(rows: Sequence[Row], mapped: Mapped, path: Path) -> dict[str, str]:
    there = list(dict.fromkeys(name for row in rows for name in row))
    known = {*ABOUT, *mapped.fields}
    for target, column in mapped.columns.items():
        if target not in known:
            fix = f"Fields: {', '.join([*ABOUT, *mapped.fields])}."
            raise InputError(f"There is no field {target}.", code="import_field", field="--map", fix=fix)
        if column not in there:
            fix = f"Columns: {', '.join(there)}."
            raise InputError(
                f"{path.name} has no column {column}.", code="import_column", field="--map", fix=fix
            )
    for column in mapped.where:
        if column not in there:
            fix = f"Columns: {', '.join(there)}."
            raise InputError(
                f"{path.name} has no column {column}.", code="import_column", field="--where", fix=fix
            )
    columns = {name: name for name in there if name in known} | dict(mapped.columns)
    if "text" not in columns or not set(columns) & set(mapped.fields):
        raise InputError(
            "A set needs a text and at least one labelled field.",
            code="import_column",
            field="--map",
            fix="Say where they are: --map text=COLUMN --map diagnosis=COLUMN",
        )
    return columns


def _wanted(row: Row, where: Mapping[str, str]) -> bool:
    return all(str(row.get(column)) == value for column, value in where.items())


def _case(row: Row, columns: Mapping[str, str], mapped: Mapped, number: int) -> dict[str, Any] | None:
    """One line of a set; None where a category has more than one label, as scoring needs one."""
    values: dict[str, Any] = {}
    fields = mapped.fields
    for path, column in columns.items():
        if path not in fields:
            continue
        cell = row.get(column)
        if isinstance(cell, list) and isinstance(fields[path], Leaf):
            if len(cell) != 1:
                return None
            (cell,) = cell
        values[path] = cell_value(fields[path], cell, column, mapped.labels)
    about = {name: row.get(columns[name]) for name in ABOUT if name in columns}
    case = {
        "id": str(about.get("id") or number),
        "case_id": str(about["case_id"]) if about.get("case_id") else None,
        "language": about.get("language") or mapped.language,
        "style": about.get("style") or "unknown",
        "variant": about.get("variant") or "unknown",
        "text": about.get("text"),
        "gold": _gold(values) if mapped.schema == SET_SCHEMA else {"own": _own(values, fields)},
    }
    try:
        Case.model_validate_json(json.dumps(case))
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        name = str(first["loc"][0])
        raise WrongCell(columns.get(name, name), first["msg"]) from None
    return case


def _gold(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nest values as a set's format has them; what is not stated is left out."""
    gold: dict[str, Any] = {"findings": None, "measurements": None, "previous": None}
    for path, value in values.items():
        part, _, name = path.rpartition(".")
        if part:
            gold[part] = gold[part] or {}
            if value not in (NOT_STATED, []):
                gold[part][name] = value
        elif value != NOT_STATED:
            gold[path] = value
    return gold


def _own(values: Mapping[str, Any], fields: Mapping[str, Leaf | Members]) -> dict[str, Any]:
    """Gold in the schema's own values. An empty cell of a category that cannot be `not_stated` is left out: nobody
    labelled it.
    """
    gold: dict[str, Any] = {}
    for path, value in values.items():
        leaf = fields[path]
        labels = {option.label: option.value for option in leaf.options} if isinstance(leaf, Leaf) else {}
        if value == NOT_STATED and value not in labels:
            continue
        gold[path] = labels[value] if isinstance(leaf, Leaf) and leaf.kind == "category" else value
    return gold


def cell_value(leaf: Leaf | Members, cell: Any, column: str, labels: Mapping[str, str]) -> Any:
    """Read a cell as a label, a list of labels or a number in the field's unit; raises `WrongCell`."""
    if isinstance(leaf, Members):
        items = cell if isinstance(cell, list) else re.split(r"[,;|]", str(cell)) if cell else []
        allowed = {option.label for option in leaf.labels}
        return [_label(item, allowed, column, labels) for item in items if str(item).strip()]
    if cell is None or str(cell).strip() == "":
        return NOT_STATED
    if leaf.measure:
        return _number(cell, column)
    return _label(cell, {option.label for option in leaf.options}, column, labels)


def _label(cell: Any, allowed: set[str], column: str, labels: Mapping[str, str]) -> str:
    written = str(cell).strip()
    plain = re.sub(r"[\s-]+", "_", labels.get(written, written).casefold())
    if plain not in allowed:
        raise WrongCell(column, f"not one of {', '.join(sorted(allowed))}")
    return plain


def _number(cell: Any, column: str) -> float | str:
    if str(cell).strip() == NOT_STATED:
        return NOT_STATED
    try:
        return float(str(cell).strip().replace(",", "."))
    except ValueError:
        raise WrongCell(column, "not a number") from None
