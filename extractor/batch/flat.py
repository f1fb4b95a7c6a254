"""A result as one flat row: a column for every field of the schema, in its order."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from extractor.errors import SchemaError
from schemas.leaves import Leaf, flatten, leaves

Cells = Literal["text", "number", "whole", "flag", "labels"]
"""What a column holds: text, a decimal number, a whole one, true or false, several labels."""

HEAD: Mapping[str, Cells] = {"id": "text", "error": "text", "error_detail": "text"}
"""The columns before the fields. `error` is the machine word (`report_empty`), empty where the row was read."""

ASIDE: Mapping[str, Cells] = {"probability": "number", "review": "flag"}
"""What `probabilities` adds of each field, as columns FIELD.probability and FIELD.review."""


def columns(model: type[BaseModel], *, probabilities: bool) -> dict[str, Cells]:
    """Return every column with what it holds.

    Raises:
        SchemaError: a field has the name of a column that comes before the fields.
    """
    found: dict[str, Cells] = {}
    for path, leaf in leaves(model).items():
        if path in HEAD:
            raise SchemaError(
                "The field has the name of a column that every flat output has.",
                code="batch_column",
                field=path,
                fix="Write .jsonl, or rename the field.",
            )
        found[path] = _holds(leaf)
        if probabilities:
            found |= {f"{path}.{name}": holds for name, holds in ASIDE.items()}
    return {**HEAD, **found}


def row(model: type[BaseModel], answer: Mapping[str, Any], *, probabilities: bool) -> dict[str, Any]:
    """Flatten `answer`, a result or error as the API sends it.

    A measurement is its number in the schema's unit, evidence its sentence; both are null where nothing is
    stated. Fields inside a nested model that is null are null.
    """
    error = answer.get("error") or {}
    said = " ".join(filter(None, (error.get("detail"), error.get("fix")))) or None
    flat: dict[str, Any] = {"id": answer["id"], "error": error.get("code"), "error_detail": said}
    values = {} if error else flatten(model, answer["data"])
    for path, leaf in leaves(model).items():
        flat[path] = _cell(leaf, values[path]) if path in values else None
        if probabilities:
            said_of = answer.get("fields", {}).get(path, {})
            flat |= {f"{path}.{name}": said_of.get(name) for name in ASIDE}
    return flat


def _holds(leaf: Leaf) -> Cells:
    match leaf.kind:
        case "quantity":
            return "number"
        case "list":
            return "labels"
        case "presence":
            return "flag"
        case "evidence":
            return "text"
    kinds = {type(value) for value in leaf.labels.values() if value is not None}
    return "flag" if kinds == {bool} else "whole" if kinds == {int} else "text"


def _cell(leaf: Leaf, value: Any) -> Any:
    if leaf.kind in {"quantity", "evidence"}:
        return value["value" if leaf.kind == "quantity" else "text"] if isinstance(value, dict) else None
    if leaf.kind == "list":
        return [str(item) for item in value] if value is not None else None
    return leaf.label_of(value) if _holds(leaf) == "text" and value is not None else value
