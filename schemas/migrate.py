"""Carry data from one schema version to another, along the `older` links between them.

    migrate({"diagnosis": "myocarditis"}, get("cmr-diagnosis@2"), get("cmr-diagnosis@1"))
    # {"diagnosis": "other"}

A result goes down by each newer version's `down` and up by its `up`, from the one to the other's nearest
common version, also across families. Labels are mapped, quantities and evidence carried whole. What cannot be
carried is an error: nothing is guessed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from schemas import registry
from schemas.leaves import Leaf, flatten, leaves, nest
from schemas.version import Migration, SchemaVersion

_INVALID = {"missing": "it is missing", "extra_forbidden": "a key is here that the schema lacks"}


class MigrationError(ValueError):
    """Data of `source` that `target` cannot hold, and why.

    `field` is its path in the source, `label` the answer that stands there where it is a label of the schema.
    No key and no value that the caller sent is ever named.
    """

    def __init__(  # noqa: PLR0913  each is one thing to know
        self,
        source: SchemaVersion,
        target: SchemaVersion,
        reason: str,
        *,
        field: str | None = None,
        label: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.source, self.target = source.ref, target.ref
        self.field, self.label, self.reason = field, label, reason
        self.fix = fix or f"Read the report again with {target.ref}."
        place = " ".join(filter(None, (field, label and f"({label})")))
        super().__init__(
            ": ".join(filter(None, (f"{source.ref} to {target.ref}", place, f"{reason}. {self.fix}")))
        )


@dataclass(frozen=True)
class Way:
    """How one field of the target is filled: from the source's field `path`, label by label.

    `labels` gives the target's label for the source's, `refused` the reason why a label has none.
    """

    path: str
    labels: Mapping[str, str]
    refused: Mapping[str, str]

    def then(self, further: "Way") -> "Way":
        """Return the way that goes on from this one's field by `further`."""
        labels = {label: further.labels[to] for label, to in self.labels.items() if to in further.labels}
        refused = {label: further.refused[to] for label, to in self.labels.items() if to in further.refused}
        return Way(self.path, labels, {**self.refused, **refused})


def step(source: SchemaVersion, target: SchemaVersion, migration: Migration) -> dict[str, Way]:
    """Return the way to each field of `target` that `migration` fills from `source`."""
    theirs = leaves(source.model)
    return {
        path: _way(theirs[origin], leaf, migration)
        for path, leaf in leaves(target.model).items()
        if (origin := migration.moved.get(path, path)) in theirs
    }


def _way(origin: Leaf, leaf: Leaf, migration: Migration) -> Way:
    given, refused = migration.labels.get(leaf.path, {}), migration.refused.get(leaf.path, {})
    kept = {label: given.get(label, label) for label in origin.labels if label not in refused}
    return Way(origin.path, {label: to for label, to in kept.items() if to in leaf.labels}, refused)


def ways(source: SchemaVersion, target: SchemaVersion) -> dict[str, Way]:
    """Return how each field of `target` is filled from a result of `source`, where it is filled.

    Raises `MigrationError` where the two have no version in common, or nothing says how a result goes up.
    """
    down, up = lineage(source), lineage(target)
    refs = [entry.ref for entry in up]
    meeting = next((entry for entry in down if entry.ref in refs), None)
    if meeting is None:
        raise MigrationError(source, target, "neither version was made from the other")
    found = {
        path: Way(path, {label: label for label in leaf.labels}, {})
        for path, leaf in leaves(source.model).items()
    }
    for here, there, migration in _steps(down, up, meeting.ref):
        if migration is None:
            reason = f"{there.ref} asks what {here.ref} does not answer"
            raise MigrationError(source, target, reason)
        further = step(here, there, migration)
        found = {path: found[way.path].then(way) for path, way in further.items() if way.path in found}
    return found


def lineage(entry: SchemaVersion) -> list[SchemaVersion]:
    """Return the version and those it was made from, newest first, as far as they are known."""
    known = {one.ref: one for one in registry.all_versions()}
    chain = [entry]
    while (older := known.get(chain[-1].older or "")) and older not in chain:
        chain.append(older)
    return chain


def _steps(
    down: Sequence[SchemaVersion], up: Sequence[SchemaVersion], meeting: str
) -> Iterator[tuple[SchemaVersion, SchemaVersion, Migration | None]]:
    lower = [entry.ref for entry in down].index(meeting)
    for newer, older in pairwise(down[: lower + 1]):
        yield newer, older, newer.down
    upper = [entry.ref for entry in up].index(meeting)
    for newer, older in reversed(list(pairwise(up[: upper + 1]))):
        yield older, newer, newer.up


def migrate(data: Mapping[str, Any], source: SchemaVersion, target: SchemaVersion) -> dict[str, Any]:
    """Return `data`, a result's JSON data under `source`, as data under `target`.

    A list's labels are mapped one by one, each kept once, in the order of the target's labels. A quantity
    stays as it is, in its unit. Fields that the target lacks are dropped.

    Raises `MigrationError`: the data is not valid under `source`, or holds what `target` cannot say.
    """
    values = flatten(source.model, _validated(data, source, target))
    found = ways(source, target)
    filled: dict[str, Any] = {}
    for path, leaf in leaves(target.model).items():
        if not all(filled.get(group) for group in leaf.inside):
            continue
        way = found.get(path)
        if way is None or way.path not in values:
            raise MigrationError(source, target, f"nothing in {source.ref} fills {path}")
        filled[path] = _Move(source, target, leaves(source.model)[way.path], leaf, way).value(
            values[way.path]
        )
    return nest(target.model, filled)


def _validated(data: Mapping[str, Any], source: SchemaVersion, target: SchemaVersion) -> dict[str, Any]:
    try:
        return source.model.model_validate(data).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        reason = _INVALID.get(first["type"], "this value is not allowed")
        place = _known_place(first["loc"], source)
        fix = f"Compare it with: extractor schemas show {source.ref}"
        raise MigrationError(source, target, reason, field=place, fix=fix) from None


def _known_place(loc: Sequence[int | str], source: SchemaVersion) -> str | None:
    """Return the part of an error's place that the schema names: the rest may be the caller's own keys."""
    known = list(leaves(source.model))
    places = (".".join(map(str, loc[:length])) for length in range(len(loc), 0, -1))
    return next(
        (place for place in places if any(f"{path}.".startswith(f"{place}.") for path in known)), None
    )


@dataclass(frozen=True)
class _Move:
    """One field on its way from `origin` to `leaf`."""

    source: SchemaVersion
    target: SchemaVersion
    origin: Leaf
    leaf: Leaf
    way: Way

    def value(self, value: Any) -> Any:
        if self.leaf.kind == "list":
            return self._list(value)
        label = self.origin.label_of(value)
        if label is not None:
            return self.leaf.labels[self._label(label)]
        if (self.origin.kind, _unit(self.origin)) != (self.leaf.kind, _unit(self.leaf)):
            raise self._refusal("it is another kind of answer there")
        bounds = self.leaf.measure
        if bounds and not bounds.low <= value["value"] <= bounds.high:
            raise self._refusal(f"the number is outside {bounds.low:g} to {bounds.high:g} {bounds.unit}")
        return value

    def _label(self, label: str) -> str:
        if label not in self.way.labels:
            reason = self.way.refused.get(label, "no label there means it")
            raise self._refusal(reason, label)
        return self.way.labels[label]

    def _list(self, values: Sequence[Any]) -> list[Any]:
        if self.origin.kind != "list":
            raise self._refusal("it is another kind of answer there")
        taken = {self._label(self.origin.label_of(value) or "") for value in values}
        low, high = self.leaf.size or (0, 0)
        if not low <= len(taken) <= high:
            raise self._refusal(f"{len(taken)} labels, where {low} to {high} may stand")
        return [value for label, value in self.leaf.labels.items() if label in taken]

    def _refusal(self, reason: str, label: str | None = None) -> MigrationError:
        return MigrationError(self.source, self.target, reason, field=self.origin.path, label=label)


def _unit(leaf: Leaf) -> tuple[str, str] | None:
    return (leaf.measure.unit, leaf.measure.study) if leaf.measure else None
