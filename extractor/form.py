"""A schema as a tree of closed questions, before any report is known. `extractor.compile` makes it from a Pydantic model."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from schemas.fields import NOT_STATED, Measure

Kind = Literal["category", "member", "quantity", "evidence", "presence"]


@dataclass(frozen=True)
class Option:
    """One allowed answer: what the model reads and writes, and what stands for it in the result."""

    label: str
    value: Any

    @property
    def stated(self) -> bool:
        """False for `not_stated` and null: nothing was said, so there is no evidence to look for."""
        return self.value is not None and self.value != NOT_STATED

    @property
    def literal(self) -> str:
        """The JSON text of this option in `grammar` decoding: spans are written by their label alone."""
        value = self.label if isinstance(self.value, dict) else self.value
        return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Gate:
    """Ask only where the question at `path` was answered with one of `labels`."""

    path: str
    labels: frozenset[str]


@dataclass(frozen=True)
class Leaf:
    """One field of the schema before a report is known. `options` is empty where the report supplies them."""

    path: str
    kind: Kind
    options: tuple[Option, ...] = ()
    labels_of: str | None = None
    measure: Measure | None = None
    gate: Gate | None = None
    otherwise: Option | None = None


@dataclass(frozen=True)
class Members:
    """A bounded list of labels: one yes/no question a label, then the likeliest allowed set; empty behind a shut gate."""

    path: str
    labels: tuple[Option, ...]
    low: int
    high: int
    labels_of: str | None = None
    gate: Gate | None = None

    def member(self, label: Option) -> str:
        """The path of the question whether a label is in the list: `lge_segments[apex]`."""
        return f"{self.path}[{label.label}]"


@dataclass(frozen=True)
class Group:
    """A nested model. `presence` is set where the model is optional."""

    path: str
    children: tuple[tuple[str, "Node"], ...]
    presence: Leaf | None = None


Node = Leaf | Members | Group

YES, NO = Option("yes", True), Option("no", False)


@dataclass(frozen=True)
class Form:
    """A compiled schema: the tree of its fields."""

    model: type[BaseModel]
    root: Group

    def leaves(self) -> Iterator[Leaf | Members]:
        """Every field that can be asked, in the schema's order."""
        return _walk(self.root)


def _walk(group: Group) -> Iterator[Leaf | Members]:
    if group.presence:
        yield group.presence
    for _, node in group.children:
        if isinstance(node, Group):
            yield from _walk(node)
        else:
            yield node
