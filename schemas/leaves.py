"""A schema's fields as a flat list of paths, from its JSON Schema: what diffs and migrations work on."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel

from schemas.fields import NOT_STATED, Evidence, Measure

Kind = Literal["category", "list", "quantity", "evidence", "presence"]
Node = Mapping[str, Any]


@dataclass(frozen=True)
class Leaf:
    """One field that holds an answer. A nested model that may be null is one too, of the kind `presence`.

    `labels` gives each closed answer's JSON value: of a list, those of its items; of a quantity or evidence,
    those that stand where there is no span. `size` is a list's least and greatest length. `asked_when` is the
    field that opens the question, with the labels that do. `inside` names the nullable models around the
    field.
    """

    path: str
    kind: Kind
    labels: Mapping[str, Any]
    size: tuple[int, int] | None = None
    measure: Measure | None = None
    asked_when: tuple[str, frozenset[str]] | None = None
    required: bool = True
    meaning: str = ""
    inside: tuple[str, ...] = ()

    def label_of(self, value: Any) -> str | None:
        """Return the label of a JSON value; None for a span."""
        return next(
            (label for label, own in self.labels.items() if (type(own), own) == (type(value), value)), None
        )


@cache
def leaves(model: type[BaseModel]) -> Mapping[str, Leaf]:
    """Return the model's leaves by path, in the schema's order."""
    document = model.model_json_schema()
    return {leaf.path: leaf for leaf in _walk(document, document.get("$defs", {}), "", ())}


def flatten(model: type[BaseModel], data: Node) -> dict[str, Any]:
    """Return the answer at every leaf of valid `data`, by path; leaves inside a null model have none."""
    values: dict[str, Any] = {}
    for path, leaf in leaves(model).items():
        if all(values.get(group) for group in leaf.inside):
            value: Any = data
            for name in path.split("."):
                value = value[name]
            values[path] = value is not None if leaf.kind == "presence" else value
    return values


def nest(model: type[BaseModel], values: Node) -> dict[str, Any]:
    """Return the data whose leaves have these `values`: `flatten` the other way round."""
    data: dict[str, Any] = {}
    for path, leaf in leaves(model).items():
        if path in values:
            *above, name = path.split(".")
            place = data
            for group in above:
                place = place.setdefault(group, {})
            present: dict[str, Any] | None = {} if values[path] else None
            place[name] = present if leaf.kind == "presence" else values[path]
    return data


def _walk(node: Node, defs: Node, path: str, inside: tuple[str, ...]) -> Iterator[Leaf]:
    for name, given in node["properties"].items():
        here = f"{path}.{name}" if path else name
        arms = list(_arms(given, defs))
        group = next((arm for arm in arms if "properties" in arm and not _is_span(arm, given)), None)
        if group is None:
            required = name in node.get("required", ())
            yield replace(_leaf(here, given, arms, defs), required=required, inside=inside)
        elif any(arm.get("type") == "null" for arm in arms):
            labels = {"yes": True, "no": False}
            yield Leaf(here, "presence", labels, meaning=given.get("description", ""), inside=inside)
            yield from _walk(group, defs, here, (*inside, here))
        else:
            yield from _walk(group, defs, here, inside)


def _arms(node: Node, defs: Node) -> Iterator[Node]:
    """Yield what a field may be: the arms of a union, each with its reference resolved."""
    if "$ref" in node:
        node = defs[node["$ref"].rpartition("/")[2]]
    if "anyOf" in node:
        for arm in node["anyOf"]:
            yield from _arms(arm, defs)
    else:
        yield node


def _is_span(arm: Node, field: Node) -> bool:
    return "x-unit" in field or set(arm["properties"]) == set(Evidence.model_fields)


def _leaf(path: str, given: Node, arms: list[Node], defs: Node) -> Leaf:
    items = next((arm for arm in arms if arm.get("type") == "array"), None)
    kind: Kind = "category"
    size = measure = gate = None
    if items is not None:
        kind, size = "list", (items.get("minItems", 0), items["maxItems"])
        arms = list(_arms(items["items"], defs))
    elif "x-unit" in given:
        kind = "quantity"
        measure = Measure(given["x-unit"], given["x-minimum"], given["x-maximum"], given["x-study"])
    elif any("properties" in arm for arm in arms):
        kind = "evidence"
    for name, labels in given.get("x-asked-when", {}).items():
        gate = (".".join([*path.split(".")[:-1], name]), frozenset(labels))
    return Leaf(path, kind, _labels(arms), size, measure, gate, meaning=given.get("description", ""))


def _labels(arms: list[Node]) -> dict[str, Any]:
    """Name every closed answer as `extractor.compile` does."""
    labels = {_label(value): value for arm in arms for value in _values(arm)}
    if any(arm.get("type") == "null" for arm in arms):
        labels["null" if NOT_STATED in labels else NOT_STATED] = None
    return labels


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _values(arm: Node) -> list[Any]:
    if "const" in arm:
        return [arm["const"]]
    if arm.get("type") == "boolean":
        return [True, False]
    if arm.get("type") == "integer" and "enum" not in arm:
        low = arm.get("minimum", arm.get("exclusiveMinimum", -1) + 1)
        return list(range(low, arm.get("maximum", arm.get("exclusiveMaximum", 0) - 1) + 1))
    return list(arm.get("enum", ()))
