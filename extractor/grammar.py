"""A plan as one JSON grammar: what `grammar` decoding may write, and how long it can get.

The grammar is a JSON Schema of this report's own closed options, turned into a regular expression by Outlines.
Gates are part of it: where a gate is shut, the only text allowed for its field is the fallback.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from outlines.types import JsonSchema
from outlines.types.dsl import to_regex

from extractor.errors import EngineError, SchemaError
from extractor.form import Gate, Group, Members, Node, Option
from extractor.lists import list_option
from extractor.plan import Plan

MAX_VARIANTS = 64
"""Gates multiply an object's variants in the grammar; more than this would make it unreadable and slow."""

NO_WHITESPACE = ""


@dataclass(frozen=True)
class Grammar:
    """`regex` matches exactly the JSON texts that `parse` accepts; `longest` is the longest of them in bytes.

    A token is at least one byte, so `longest` bounds the tokens that generation can need, whatever the tokenizer.
    """

    plan: Plan
    regex: str
    longest: int

    def parse(self, text: str) -> dict[str, Option]:
        """Return the option that `text` gives each question that it answers, by question path.

        Raises:
            EngineError: `text` is not in the grammar (cut off, or written by an engine without it).
        """
        if not re.fullmatch(self.regex, text):
            raise EngineError(
                "The model's text is not in the grammar.", code="decode_failed", fix="Retry the report."
            )
        return dict(_read(self.plan, self.plan.form.root, json.loads(text)))


def compile_grammar(plan: Plan) -> Grammar:
    """Compile a plan to its grammar. A few milliseconds; the schema is this report's, so it is not cached."""
    schema = json_schema(plan)
    return Grammar(plan, to_regex(JsonSchema(schema, whitespace_pattern=NO_WHITESPACE)), _longest(schema))


def json_schema(plan: Plan) -> dict[str, Any]:
    """The JSON Schema of everything that may be written about this report."""
    return _group(plan, plan.form.root)


def _group(plan: Plan, group: Group) -> dict[str, Any]:
    variants: list[dict[str, Any]] = [
        {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
        for properties in _variants(plan, group)
    ]
    arms = [*variants, {"type": "null"}] if group.presence else variants
    return arms[0] if len(arms) == 1 else {"anyOf": arms}


def _variants(plan: Plan, group: Group) -> Iterator[dict[str, Any]]:
    """One set of properties for each combination of open and shut gates that the answers can make."""
    gates = list(
        dict.fromkeys(node.gate for _, node in group.children if not isinstance(node, Group) and node.gate)
    )
    if 2 ** len(gates) > MAX_VARIANTS:
        raise SchemaError(
            f"{len(gates)} different When conditions in one model",
            code="schema_unsupported",
            field=group.path or "(the model itself)",
            fix="Split the model into nested ones.",
        )
    for states in itertools.product((True, False), repeat=len(gates)):
        open_ = dict(zip(gates, states, strict=True))
        properties = {name: _property(plan, node, open_) for name, node in group.children}
        if all(properties[name] is not None for name in properties):
            yield properties


def _property(plan: Plan, node: Node, open_: Mapping[Gate, bool]) -> dict[str, Any] | None:
    """The schema of one field where the gates stand as in `open_`; None where no value is possible."""
    if isinstance(node, Group):
        return _group(plan, node)
    if isinstance(node, Members):
        labels = () if node.gate and not open_[node.gate] else plan.open_labels(node)
        items = {"enum": [json.loads(option.literal) for option in labels or node.labels]}
        high = node.high if labels else 0
        return {"type": "array", "items": items, "minItems": node.low, "maxItems": high}
    options = plan.supplied.get(node.path, node.options)
    if node.gate and not open_[node.gate] and node.otherwise:
        options = (node.otherwise,)
    for gate, is_open in open_.items():
        if gate.path == node.path:
            options = tuple(option for option in options if (option.label in gate.labels) == is_open)
    return {"enum": [json.loads(option.literal) for option in options]} if options else None


def _longest(schema: Mapping[str, Any]) -> int:
    """Length in bytes of the longest text that the schema allows, written without white space."""
    if "anyOf" in schema:
        return max(_longest(arm) for arm in schema["anyOf"])
    if "enum" in schema:
        return max(len(json.dumps(value, ensure_ascii=False).encode()) for value in schema["enum"])
    if schema["type"] == "null":
        return len("null")
    if schema["type"] == "array":
        count: int = schema["maxItems"]
        return len("[]") + count * _longest(schema["items"]) + max(0, count - 1)
    keys = [len(json.dumps(key, ensure_ascii=False).encode()) + 1 for key in schema["properties"]]
    values = [_longest(value) for value in schema["properties"].values()]
    return len("{}") + sum(keys) + sum(values) + len(keys) - 1


def _read(plan: Plan, group: Group, data: dict[str, Any] | None) -> Iterator[tuple[str, Option]]:
    if group.presence:
        yield group.presence.path, group.presence.options[1 if data is None else 0]
    if data is None:
        return
    for name, node in group.children:
        if isinstance(node, Group):
            yield from _read(plan, node, data[name])
        elif isinstance(node, Members):
            yield node.path, list_option(data[name])
        else:
            options = plan.supplied.get(node.path, node.options)
            literal = json.dumps(data[name], ensure_ascii=False)
            yield node.path, next(option for option in options if option.literal == literal)
