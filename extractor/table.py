"""Results and schemas as tables for people. Report text goes in as plain text, never as markup or escape codes."""

import os
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from extractor.result import Extraction, FieldResult
from schemas.fields import NOT_STATED, Quantity
from schemas.version import SchemaVersion

if TYPE_CHECKING:
    from extractor.store import Listed
    from schemas.diff import Change

_PIPE_WIDTH = 120
_VALUE_WIDTH = 40


def console(file: TextIO) -> Console:
    """Return a console on `file`, as wide as the terminal, or 120 columns where there is none."""
    width = None if file.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(file=file, highlight=False, width=width)


def plain(text: str) -> str:
    """Return `text` on one line, with everything that could steer a terminal taken out."""
    return "".join(char if char.isprintable() else " " for char in " ".join(text.split()))


def result(extraction: Extraction) -> RenderableType:
    """Draw one report's result: a row for each field that says something or is for review, one line for the others."""
    names = short_names(extraction.fields)
    said = {
        path: field
        for path, field in extraction.fields.items()
        if field.review or field.value not in (NOT_STATED, [])
    }
    silent = _silent(extraction.fields, said)
    origin = extraction.provenance
    head = Text.assemble(
        (plain(extraction.id or "report"), "bold"),
        (f"   {origin.schema_} · {origin.model} · {origin.decode}", "dim"),
    )
    parts: list[RenderableType] = [head]
    if said:
        parts.append(_fields({names[path]: field for path, field in said.items()}))
    if silent:
        parts.append(Padding(Text("not stated: " + ", ".join(silent), style="dim"), (0, 0, 0, 1)))
    return Group(*parts, "")


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Name each path by as few of its last parts as no other path ends in: `lge`, `previous.lvef`."""
    paths = list(paths)
    ends = Counter(end for path in paths for end in _ends(path))
    return {path: next((end for end in _ends(path) if ends[end] == 1), path) for path in paths}


def _ends(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[i:]) for i in reversed(range(len(parts)))]


def _silent(paths: Iterable[str], said: Container[str]) -> list[str]:
    """Name what says nothing: a whole part of the schema where nothing in it does."""
    paths = list(paths)
    speaking = {above for path in paths if path in said for above in _above(path)}
    silent = [
        next((above for above in _above(path) if above not in speaking), path)
        for path in paths
        if path not in said
    ]
    names = short_names(dict.fromkeys([*silent, *(path for path in paths if path in said)]))
    return [names[path] for path in dict.fromkeys(silent)]


def _above(path: str) -> list[str]:
    """Return the parts of the schema that hold a field, the largest first."""
    parts = path.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _fields(fields: Mapping[str, FieldResult]) -> Table:
    table = _table("field")
    table.add_column("value", max_width=_VALUE_WIDTH)
    table.add_column("prob.", justify="right")
    runners_up = any(field.distribution for field in fields.values())
    if runners_up:
        table.add_column("next likely")
    table.add_column("evidence", no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
    for name, field in fields.items():
        row: list[RenderableType] = [name, Text(value(field.value), "bold"), _probability(field)]
        if runners_up:
            row.append(_runner_up(field))
        table.add_row(*row, Text(plain(field.evidence.text) if field.evidence else ""))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", expand=True)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def value(answer: Any) -> str:
    """Return a field's value as a person writes it: `58 %`, `present`, `yes`, `a, b`."""
    match answer:
        case bool():
            return "yes" if answer else "no"
        case None:
            return "none"
        case Quantity():
            return f"{answer.value:g} {answer.unit}"
        case {"value": float() | int() as number, "unit": str() as unit}:
            return f"{number:g} {unit}"
        case list() | tuple():
            return ", ".join(map(value, answer)) or "none"
    return str(answer)


def _probability(field: FieldResult) -> Text:
    """Show certainty that was not the model's as a dash: there was nothing to ask."""
    if field.status != "answered":
        return Text("—", "dim")
    style = "green" if field.probability >= 0.9 else "yellow" if field.probability >= 0.6 else "red"
    return Text.assemble(("review ", "bold") if field.review else "", (f"{field.probability:.2f}", style))


def _runner_up(field: FieldResult) -> Text:
    others = sorted((field.distribution or {}).items(), key=lambda item: -item[1])[1:2]
    return Text(" ".join(f"{plain(label)} {probability:.2f}" for label, probability in others), "dim")


def model_list(models: "Sequence[Listed]") -> Table:
    table = _table("model", "state", "memory", "context", "licence")
    table.add_column("name", ratio=1, no_wrap=True, overflow="ellipsis")
    for model in models:
        state = "on GPU servers" if model.gpu else "here" if model.pulled else "not pulled"
        notes = [word for word, said in (("default", model.default), ("untested", not model.tested)) if said]
        table.add_row(
            model.id,
            Text(", ".join([state, *notes]), "green" if model.pulled else ""),
            f"{model.memory_gib:g} GiB",
            str(model.context),
            model.licence,
            model.name,
        )
    return table


def versions(entries: tuple[SchemaVersion, ...]) -> Table:
    table = _table("schema", "status", "released")
    table.add_column("", ratio=1)
    for entry in sorted(entries, key=lambda entry: (entry.name, entry.version)):
        days = [
            f"{word} {day}" for word, day in (("since", entry.deprecated), ("until", entry.sunset)) if day
        ]
        state = " ".join([entry.status, *days])
        table.add_row(entry.ref, state, entry.released.isoformat(), entry.summary)
    return table


def changes(differences: "Sequence[Change]") -> Table:
    """Draw what differs between two schema versions: the fields and labels, and whom each change breaks."""
    table = _table("change", "field")
    table.add_column("", ratio=1)
    table.add_column("breaks")
    for change in differences:
        what = ": ".join(filter(None, (", ".join(change.labels), change.detail)))
        table.add_row(change.kind, change.field, what, " and ".join(change.breaks) or "nobody")
    return table


def schema(entry: SchemaVersion) -> RenderableType:
    """Draw a schema's fields with their allowed values."""
    table = _table("field")
    table.add_column("values", ratio=1)
    table.add_column("meaning", ratio=1, style="dim")
    document = entry.model.model_json_schema()
    for path, allowed, meaning in _walk(document, document.get("$defs", {}), ""):
        table.add_row(path, allowed, meaning)
    head = Text.assemble((entry.ref, "bold"), (f"   {entry.status}, {entry.released.isoformat()}", "dim"))
    return Group(head, Text(entry.summary), table)


def _walk(node: dict[str, Any], defs: dict[str, Any], path: str) -> list[tuple[str, str, str]]:
    rows = []
    for name, given in node.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        field = _resolve(given, defs)
        if "properties" in field and not _is_measured(field):
            rows += _walk(field, defs, below)
        else:
            rows.append((below, _allowed(field, defs), given.get("description", "")))
    return rows


def _resolve(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return defs[reference.rpartition("/")[2]] if reference else node


def _is_measured(node: dict[str, Any]) -> bool:
    return {"value", "unit", "start", "end"} <= set(node.get("properties", {}))


def _allowed(node: dict[str, Any], defs: dict[str, Any]) -> str:
    node = _resolve(node, defs)
    if _is_measured(node):
        return "a number of the report"
    if "anyOf" in node:
        return ", ".join(_allowed(choice, defs) for choice in node["anyOf"])
    if "enum" in node:
        return ", ".join(map(value, node["enum"]))
    if "const" in node:
        return value(node["const"])
    if "items" in node:
        return f"list of: {_allowed(node['items'], defs)}"
    return str(node.get("type", "any"))
