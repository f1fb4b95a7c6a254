"""What a schema version says of itself, beside the fields it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Literal

from schemas.fields import Schema

Status = Literal["draft", "stable", "deprecated"]

Labels = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Migration:
    """How every field of one version is filled from a result of another. What nothing is filled from is dropped.

    A field of the target takes the field of the same path, or the one that `moved` names (target path to source
    path), and of the same label, or the one that `labels` names (target path, then source label to target label).
    `refused` holds, for a target path, the source labels that no label of the target means, each with the reason:
    a result that holds one stays as it is. `schemas check` proves that every label has one of these three ways.
    """

    moved: Mapping[str, str] = field(default_factory=dict)
    labels: Labels = field(default_factory=dict)
    refused: Labels = field(default_factory=dict)


def added(newer: type[StrEnum], older: type[StrEnum], becomes: str) -> dict[str, str]:
    """Map every label that `newer` has and `older` lacks to one label of `older`."""
    known = {label.value for label in older}
    return {label.value: becomes for label in newer if label.value not in known}


def with_labels(labels: type[StrEnum], *new: str, before: str | None = None) -> type[StrEnum]:
    """Return an enum of the same name with `new` labels, in front of the label `before` or at the end.

    The name stays, so that what a prompt file says of the enum's labels stays true of them.

    Raises `ValueError` where a label exists already or `before` does not.
    """
    values = [label.value for label in labels]
    if len({*values, *new}) < len(values) + len(new):
        raise ValueError(f"a label of {labels.__name__} exists already")
    if before not in (None, *values):
        raise ValueError(f"{labels.__name__} has no label {before!r}")
    place = len(values) if before is None else values.index(before)
    ordered = [*values[:place], *new, *values[place:]]
    names = {label.value: label.name for label in labels}
    members = [(names.get(value, value.upper()), value) for value in ordered]
    return StrEnum(labels.__name__, members)  # type: ignore[return-value]  # mypy reads it as a label


@dataclass(frozen=True)
class SchemaVersion:
    """One version of a schema, named `cmr-report@1` in requests, results and prompts.

    `draft` versions may still change; a released one is `stable`, then `deprecated` from a day on, and may have a
    `sunset`, the first day on which it need not be served any more. `older` is the version that `down` leads to and
    `up`, where it loses and invents nothing, comes from. `prompts` is the folder of its prompt file, where that is
    not the package's own.

    Raises `ValueError` where these contradict each other.
    """

    name: str
    version: int
    model: type[Schema]
    released: date
    status: Status
    summary: str
    older: str | None = None
    down: Migration | None = None
    up: Migration | None = None
    deprecated: date | None = None
    sunset: date | None = None
    prompts: Path | None = None

    def __post_init__(self) -> None:
        if (self.status == "deprecated") != (self.deprecated is not None):
            raise ValueError("a deprecated version, and no other, has the day `deprecated`")
        if self.sunset and (self.deprecated is None or self.sunset < self.deprecated):
            raise ValueError("`sunset` comes after `deprecated`")
        if (self.older is None) != (self.down is None) or (self.up and not self.down):
            raise ValueError("`older` needs `down`, and `up` needs both")

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"
