"""Read a Pydantic model's fields into the tree of `extractor.plan`, or refuse with the field's path and the reason."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

import annotated_types as at
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from extractor.errors import SchemaError
from extractor.form import NO, YES, Form, Gate, Group, Leaf, Members, Node, Option
from schemas.fields import NOT_STATED, Evidence, Measure, Quantity, When

T = TypeVar("T")

MAX_OPTIONS = 1000
"""A question with more options than this is a text field in disguise."""


def compile_form(model: type[BaseModel]) -> Form:
    """Compile any Pydantic model made of enums, literals, booleans, bounded integers, nested models, optional
    fields, bounded lists of labels, quantities and evidence.

    Raises:
        SchemaError: anything else, with the field's dotted path and the reason.
    """
    return Form(model, _group(model, "", ()))


def _refuse(path: str, reason: str, fix: str) -> NoReturn:
    raise SchemaError(reason, code="schema_unsupported", field=path or "(the model itself)", fix=fix)


def _group(model: type[BaseModel], path: str, above: tuple[type[BaseModel], ...]) -> Group:
    if model in above:
        _refuse(path, "the model contains itself", "Unroll it to a fixed depth.")
    if issubclass(model, (Quantity, Evidence)):
        _refuse(path, f"{model.__name__} is a field's type, not a model to nest", "Use it as a field.")
    if model.model_config.get("extra") == "allow":
        _refuse(path, 'extra="allow" leaves the set of keys open', 'Set extra="forbid".')
    checks = model.__pydantic_decorators__
    if checks.field_validators or checks.model_validators or checks.validators or checks.root_validators:
        _refuse(
            path, "validators cannot be compiled into a grammar", "Express the rule in types or with When."
        )
    if model.__pydantic_root_model__:
        _refuse(path, "root models have no named fields", "Put the value in a field.")
    if not model.model_fields:
        _refuse(path, "the model has no fields", "Add a field.")
    children: list[tuple[str, Node]] = []
    for name, info in model.model_fields.items():
        here = f"{path}.{name}" if path else name
        if info.alias or info.validation_alias or info.serialization_alias:
            _refuse(here, "aliases give one field two names", "Name the field as it should be written.")
        node = _node(_Slot(here, info.annotation, _metadata(info)), (*above, model))
        children.append((name, _gated(node, info, path, children)))
    return Group(path, tuple(children))


@dataclass(frozen=True)
class _Slot:
    """A field's place, its type with `Annotated` and `| None` still on, and its metadata."""

    path: str
    type: Any
    metadata: tuple[Any, ...]


def _metadata(info: FieldInfo) -> tuple[Any, ...]:
    return tuple(
        part for item in info.metadata for part in (item if isinstance(item, at.Interval) else (item,))
    )


def _find(slot: "_Slot", kind: type[T]) -> T | None:
    return next((item for item in slot.metadata if isinstance(item, kind)), None)


def _node(slot: _Slot, above: tuple[type[BaseModel], ...]) -> Node:
    """Compile one field. Unions are flattened: a union of labels is one closed set."""
    arms = list(_arms(slot.type))
    nullable = NoneType in arms
    kinds = [arm for arm in arms if arm is not NoneType]
    spans = [arm for arm in kinds if arm in (Quantity, Evidence)]
    models = [
        arm for arm in kinds if isinstance(arm, type) and issubclass(arm, BaseModel) and arm not in spans
    ]
    if spans:
        return _span(slot, spans, [arm for arm in kinds if arm not in spans], nullable=nullable)
    if models:
        if len(kinds) > 1:
            _refuse(
                slot.path,
                "a union of models has no closed set of keys",
                "Use one model with optional fields.",
            )
        group = _group(models[0], slot.path, above)
        presence = Leaf(slot.path, "presence", (YES, NO)) if nullable else None
        return Group(group.path, group.children, presence)
    if any(get_origin(arm) in (list, set, frozenset, tuple) for arm in kinds):
        return _members(slot, kinds, nullable=nullable)
    options = [option for arm in kinds for option in _labels(slot, arm)]
    return Leaf(slot.path, "category", _closed(slot, options, nullable=nullable), _enum_name(kinds))


def _arms(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        for arm in get_args(annotation):
            yield from _arms(arm)
    else:
        yield annotation


def _enum_name(kinds: list[Any]) -> str | None:
    return next((arm.__name__ for arm in kinds if isinstance(arm, type) and issubclass(arm, Enum)), None)


def _labels(slot: _Slot, arm: Any) -> list[Option]:
    """The options that one arm of a field's type allows."""
    if get_origin(arm) is Annotated:
        inner, *metadata = get_args(arm)
        return _labels(_Slot(slot.path, inner, tuple(metadata)), inner)
    if get_origin(arm) is Literal:
        return [option for value in get_args(arm) for option in _literal(slot, value)]
    if arm is bool:
        return [Option("true", True), Option("false", False)]
    if isinstance(arm, type) and issubclass(arm, Enum):
        return [option for member in arm for option in _literal(slot, member.value)]
    if arm is int:
        return _integers(slot)
    name = getattr(arm, "__name__", str(arm))
    _refuse(
        slot.path,
        f"{name} is not a closed set",
        "Use an enum, Literal, bool, bounded int, Quantity or Evidence.",
    )


def _literal(slot: _Slot, value: Any) -> list[Option]:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return [Option(str(value).lower(), value)]
    if value is None:
        return [Option("null", None)]
    if not isinstance(value, (str, int)):
        _refuse(slot.path, f"a label of type {type(value).__name__}", "Use text or integer labels.")
    if isinstance(value, str) and not value.strip():
        _refuse(slot.path, "an empty label", "Give every label a name.")
    return [Option(str(value), value)]


def _integers(slot: _Slot) -> list[Option]:
    ge, gt, le, lt = _find(slot, at.Ge), _find(slot, at.Gt), _find(slot, at.Le), _find(slot, at.Lt)
    if _find(slot, at.MultipleOf):
        _refuse(slot.path, "multiple_of is not supported", "List the values in a Literal.")
    lows: list[Any] = [*([ge.ge] if ge else []), *([gt.gt + 1] if gt else [])]  # type: ignore[operator]
    highs: list[Any] = [*([le.le] if le else []), *([lt.lt - 1] if lt else [])]  # type: ignore[operator]
    if not lows or not highs:
        _refuse(slot.path, "an integer without both bounds is not a closed set", "Add Field(ge=…, le=…).")
    low, high = max(lows), min(highs)
    if not high - low < MAX_OPTIONS:
        _refuse(slot.path, f"{high - low + 1} integers are too many", f"Bound it to {MAX_OPTIONS} values.")
    return [Option(str(value), value) for value in range(low, high + 1)]


def _closed(slot: _Slot, options: list[Option], *, nullable: bool) -> tuple[Option, ...]:
    labels = [option.label for option in options]
    if nullable and not any(option.value is None for option in options):
        options = [*options, Option("null" if NOT_STATED in labels else NOT_STATED, None)]
    if not options:
        _refuse(slot.path, "no value is allowed", "Widen the bounds or add a label.")
    if len(options) > MAX_OPTIONS:
        _refuse(slot.path, f"{len(options)} options are too many", f"Keep it to {MAX_OPTIONS}.")
    if len({option.label for option in options}) < len(options):
        _refuse(slot.path, "two options read the same", "Give every option a label of its own.")
    return tuple(options)


def _span(slot: _Slot, spans: list[Any], rest: list[Any], *, nullable: bool) -> Leaf:
    options = [option for arm in rest for option in _labels(slot, arm)]
    if len(spans) > 1 or any(option.value != NOT_STATED for option in options):
        _refuse(
            slot.path, "a span's only other value is not_stated or null", "Use Measured, or Evidence | None."
        )
    absent = _closed(slot, options, nullable=nullable) if options or nullable else ()
    if spans[0] is Evidence:
        return Leaf(slot.path, "evidence", absent)
    measure = _find(slot, Measure)
    if measure is None:
        _refuse(
            slot.path, "a quantity without its unit and range", 'Annotate it: Measure("%", low=3, high=90).'
        )
    if not absent:
        _refuse(slot.path, "a quantity that may not be missing", "Use Measured: a report can be silent.")
    return Leaf(slot.path, "quantity", absent, measure=measure)


def _members(slot: _Slot, kinds: list[Any], *, nullable: bool) -> Members:
    if len(kinds) > 1 or nullable or get_origin(kinds[0]) is not list:
        _refuse(
            slot.path, "only a plain list of labels is supported", "Use list[SomeEnum]; empty means none."
        )
    longest = _find(slot, at.MaxLen)
    shortest = _find(slot, at.MinLen)
    if longest is None:
        _refuse(slot.path, "a list without a bound", "Add Field(max_length=…).")
    (item,) = get_args(kinds[0])
    inner = _Slot(slot.path, item, ())
    options = _closed(
        inner, [option for arm in _arms(item) for option in _labels(inner, arm)], nullable=False
    )
    low = shortest.min_length if shortest else 0
    if low > len(options):
        _refuse(slot.path, f"at least {low} of {len(options)} labels", "Lower min_length.")
    return Members(slot.path, options, low, longest.max_length, _enum_name(list(_arms(item))))


def _gated(node: Node, info: FieldInfo, path: str, before: list[tuple[str, Node]]) -> Node:
    when = next((item for item in info.metadata if isinstance(item, When)), None)
    if when is None:
        return node
    if not (isinstance(node, Members) or (isinstance(node, Leaf) and node.kind == "category")):
        _refuse(
            node.path,
            "When is for categories and lists of them",
            "Put it on an enum, literal, boolean, integer or list field.",
        )
    source = dict(before).get(when.field)
    if not isinstance(source, Leaf) or source.kind != "category":
        _refuse(
            node.path, f"When names {when.field!r}, no category before it in its model", "Reorder or rename."
        )
    unknown = set(when.values) - {option.label for option in source.options}
    if unknown or not when.values:
        _refuse(node.path, f"When lists values that {when.field!r} cannot take", "Use its labels.")
    gate = Gate(f"{path}.{when.field}" if path else when.field, frozenset(when.values))
    if isinstance(node, Members):
        if node.low:
            _refuse(node.path, "When on a list that may not be empty", "Drop min_length.")
        return replace(node, gate=gate)
    otherwise = next((option for option in node.options if option.label == when.otherwise), None)
    if otherwise is None:
        _refuse(
            node.path, f"When falls back to {when.otherwise!r}, not a label of the field", "Set otherwise=…"
        )
    return replace(node, gate=gate, otherwise=otherwise)
