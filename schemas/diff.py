"""What differs between two schema versions, and whom it breaks.

One rule for everything, on the results that each version can give:

- **readers** break where B can give a result that A cannot: they parse B's results and know only A;
- **writers** break where A can give a result that B cannot: what they hold or send is A's, and is checked
  under B.

So a label that only B has breaks readers; one that only A has breaks writers. A field that is added, removed
or renamed breaks both, since no schema here takes unknown or missing keys (a field with a default, which may
be left out, breaks readers alone where it is added). The same holds for the length of lists, a measurement's
range, whether a part may be missing, and when a field is asked: wider breaks readers, narrower breaks
writers. Another kind of answer, unit or study breaks both. A label that both have is narrower in B where B
has labels of its own for part of what it meant in A: then some of A's results say something else in B. A
field said in other words breaks neither.

Which field and which label of one version is which of the other is what their migrations say.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from schemas.fields import Measure
from schemas.leaves import Leaf, leaves
from schemas.migrate import lineage, ways
from schemas.version import SchemaVersion

Kind = Literal["added", "removed", "renamed", "widened", "narrowed", "changed", "reworded"]
Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Change:
    """One difference. `field` is its path in A, or in B if only B has it; `labels` are those it is about."""

    kind: Kind
    field: str
    detail: str
    readers: bool
    writers: bool
    labels: tuple[str, ...] = ()

    @property
    def breaks(self) -> tuple[str, ...]:
        """Whom it breaks: `readers`, `writers`, both or nobody."""
        return tuple(name for name in ("readers", "writers") if getattr(self, name))

    def to_json(self) -> dict[str, Any]:
        said = {"kind": self.kind, "field": self.field, "labels": list(self.labels), "detail": self.detail}
        return {**said, "breaks": list(self.breaks)}


@dataclass(frozen=True)
class _Link:
    """A field of both versions: its path in B, and the pairs of A's and B's labels that share a meaning."""

    path: str
    labels: Labels


def diff(a: SchemaVersion, b: SchemaVersion) -> list[Change]:
    """Return every difference from `a` to `b`, in the order of their fields."""
    ours, theirs = leaves(a.model), leaves(b.model)
    links = _links(a, b)
    changes: list[Change] = []
    for path, leaf in ours.items():
        if path in links:
            changes += _compared(leaf, theirs[links[path].path], links)
        elif _is_part(path, theirs):
            changes.append(Change("narrowed", path, "can no longer be null", readers=False, writers=True))
        else:
            changes.append(Change("removed", path, _kind(leaf), readers=True, writers=True))
    known = {link.path for link in links.values()}
    for path, leaf in theirs.items():
        if path in known:
            continue
        if _is_part(path, ours):
            changes.append(Change("widened", path, "can be null now", readers=True, writers=False))
        else:
            changes.append(Change("added", path, _kind(leaf), readers=True, writers=leaf.required))
    return changes


def summary(changes: Sequence[Change]) -> str:
    """Return the changes in one line: `1 field renamed, 3 labels added; breaks readers and writers`."""
    counts: Counter[tuple[str, str]] = Counter()
    for change in changes:
        counts["label" if change.labels else "field", change.kind] += len(change.labels) or 1
    said = [f"{count} {what}{'s' * (count > 1)} {kind}" for (what, kind), count in counts.items()]
    broken = [name for name in ("readers", "writers") if any(name in change.breaks for change in changes)]
    return f"{', '.join(said) or 'no difference'}; breaks {' and '.join(broken) or 'nobody'}"


def _is_part(path: str, others: Mapping[str, Leaf]) -> bool:
    return any(other.startswith(f"{path}.") for other in others)


def _kind(leaf: Leaf) -> str:
    names = {"list": "list of labels", "presence": "part that can be null"}
    return names.get(leaf.kind, leaf.kind) + (f", {leaf.measure.unit}" if leaf.measure else "")


def _links(a: SchemaVersion, b: SchemaVersion) -> dict[str, _Link]:
    """Return, for a field of `a`, the field of `b` that it is; each field at most once."""
    found: list[tuple[str, _Link]] = []
    if a.ref in [entry.ref for entry in lineage(b)]:
        for path, way in ways(b, a).items():
            found.append((path, _Link(way.path, frozenset((to, label) for label, to in way.labels.items()))))
    elif b.ref in [entry.ref for entry in lineage(a)]:
        for path, way in ways(a, b).items():
            found.append((way.path, _Link(path, frozenset(way.labels.items()))))
    linked = {path for path, _ in found}, {link.path for _, link in found}
    ours, theirs = leaves(a.model), leaves(b.model)
    for path in ours:
        if path in theirs and path not in linked[0] and path not in linked[1]:
            both = ours[path].labels.keys() & theirs[path].labels.keys()
            found.append((path, _Link(path, frozenset((label, label) for label in both))))
    once: dict[str, _Link] = {}
    for path, link in sorted(found, key=lambda one: one[0] != one[1].path):
        if path not in once and link.path not in [taken.path for taken in once.values()]:
            once[path] = link
    return once


def _compared(a: Leaf, b: Leaf, links: Mapping[str, _Link]) -> Iterator[Change]:
    if a.path != b.path:
        yield Change("renamed", a.path, f"is now {b.path}", readers=True, writers=True)
    if a.kind != b.kind:
        yield Change("changed", a.path, f"{_kind(a)} is now {_kind(b)}", readers=True, writers=True)
        return
    yield from _labels(a, b, links[a.path].labels)
    if a.size and b.size:
        yield from _bounds(a.path, "labels", a.size, b.size)
    if a.measure and b.measure:
        yield from _measure(a.path, a.measure, b.measure)
    yield from _asked(a, b, links)
    if a.required != b.required:
        kind: Kind = "narrowed" if b.required else "widened"
        detail = "must be there now" if b.required else "can be left out now"
        yield Change(kind, a.path, detail, readers=not b.required, writers=b.required)
    if a.meaning != b.meaning:
        yield Change("reworded", a.path, b.meaning or "no longer described", readers=False, writers=False)


def _labels(a: Leaf, b: Leaf, pairs: Labels) -> Iterator[Change]:
    of_a = {label: [to for to in b.labels if (label, to) in pairs] for label in a.labels}
    of_b = {label: [to for to in a.labels if (to, label) in pairs] for label in b.labels}
    lost = [label for label in a.labels if label not in b.labels]
    new = [label for label in b.labels if label not in a.labels]
    for label in lost[:]:
        (*others, to) = of_a[label] or [""]
        if not others and to in new and of_b[to] == [label]:
            lost.remove(label)
            new.remove(to)
            yield Change("renamed", a.path, f"is now {to}", readers=True, writers=True, labels=(label,))
    if lost:
        yield Change("removed", a.path, "", readers=False, writers=True, labels=tuple(lost))
    if new:
        yield Change("added", a.path, "", readers=True, writers=False, labels=tuple(new))
    for label in a.labels:
        apart = [to for to in of_a[label] if to != label]
        if label in b.labels and apart:
            detail = f"no longer means {', '.join(apart)}"
            yield Change("narrowed", a.path, detail, readers=False, writers=True, labels=(label,))
    for label in b.labels:
        taken = [to for to in of_b[label] if to != label]
        if label in a.labels and taken:
            detail = f"now also means {', '.join(taken)}"
            yield Change("widened", a.path, detail, readers=True, writers=False, labels=(label,))


def _measure(path: str, a: Measure, b: Measure) -> Iterator[Change]:
    for name in ("unit", "study"):
        was, now = getattr(a, name), getattr(b, name)
        if was != now:
            yield Change("changed", path, f"{name} {was} is now {now}", readers=True, writers=True)
    if a.unit == b.unit:
        yield from _bounds(path, a.unit, (a.low, a.high), (b.low, b.high))


def _bounds(path: str, unit: str, was: tuple[float, float], now: tuple[float, float]) -> Iterator[Change]:
    if was != now:
        detail = f"{was[0]:g} to {was[1]:g} {unit} is now {now[0]:g} to {now[1]:g}"
        yield _resized(
            path,
            detail,
            wider=now[0] < was[0] or now[1] > was[1],
            narrower=now[0] > was[0] or now[1] < was[1],
        )


def _resized(path: str, detail: str, *, wider: bool, narrower: bool) -> Change:
    kind: Kind = "changed" if wider and narrower else "widened" if wider else "narrowed"
    return Change(kind, path, detail, readers=wider, writers=narrower)


def _asked(a: Leaf, b: Leaf, links: Mapping[str, _Link]) -> Iterator[Change]:
    """Compare the gates, A's in B's names: a gate that only follows a renamed field is the same gate."""
    was, now = a.asked_when, b.asked_when
    if was and was[0] in links:
        link = links[was[0]]
        was = link.path, frozenset(to for label, to in link.labels if label in was[1])
    if was == now:
        return
    detail = f"asked {_when(was)}, now {_when(now)}"
    if was and now and was[0] == now[0]:
        yield _resized(a.path, detail, wider=bool(now[1] - was[1]), narrower=bool(was[1] - now[1]))
    else:
        yield _resized(a.path, detail, wider=was is not None, narrower=now is not None)


def _when(gate: tuple[str, frozenset[str]] | None) -> str:
    return f"where {gate[0]} is {' or '.join(sorted(gate[1]))}" if gate else "always"
