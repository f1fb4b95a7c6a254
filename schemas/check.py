"""Whether schema versions hold together: names, dates, and migrations that leave no field and no label out.

Every function returns its problems as sentences that begin with the version's name; none means that all is
well.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from schemas import lock, registry
from schemas.leaves import Leaf, leaves
from schemas.migrate import Way, step
from schemas.version import Migration, SchemaVersion

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def problems(versions: Iterable[SchemaVersion]) -> list[str]:
    """Return what is wrong with all known versions, the lock of the package's own included."""
    known = {entry.ref: entry for entry in versions}
    found = lock.problems([entry for entry in known.values() if entry in registry.BUILT_IN])
    return found + [problem for entry in known.values() for problem in version_problems(entry, known)]


def version_problems(entry: SchemaVersion, known: Mapping[str, SchemaVersion]) -> list[str]:
    """Return what is wrong with one version beside the `known` ones, by reference."""
    found = [*_own(entry)]
    if entry.older is not None:
        older = known.get(entry.older)
        if older is None:
            found.append(f"older names {entry.older}, which is not known. Known: {', '.join(known)}.")
        else:
            found += _link(entry, older, known)
    return [f"{entry.ref}: {problem}" for problem in found]


def _own(entry: SchemaVersion) -> Iterator[str]:
    if not _NAME.fullmatch(entry.name) or entry.version < 1:
        yield "its name is small letters, digits and hyphens, and its version 1 or more."
    if entry.deprecated and entry.deprecated < entry.released:
        yield "it is deprecated before it is released."


def _link(entry: SchemaVersion, older: SchemaVersion, known: Mapping[str, SchemaVersion]) -> Iterator[str]:
    if older.released > entry.released:
        yield f"it is released before {older.ref}, which it calls older."
    if entry.status != "draft" and older.status == "draft":
        yield f"it is released, and {older.ref} is still a draft."
    line = [entry.ref, older.ref]
    while (above := known.get(known[line[-1]].older or "")) and line.count(line[-1]) == 1:
        line.append(above.ref)
    if len(set(line)) < len(line):
        yield "its line of older versions goes in a circle."
    for name, migration, source, target in (
        ("down", entry.down, entry, older),
        ("up", entry.up, older, entry),
    ):
        if migration:
            found = migration_problems(source, target, migration)
            yield from (f"{name}, {problem}" for problem in found)
    if entry.down and entry.up:
        yield from _there_and_back(step(older, entry, entry.up), step(entry, older, entry.down))


def migration_problems(source: SchemaVersion, target: SchemaVersion, migration: Migration) -> list[str]:
    """Return the fields and labels that a migration leaves out, and those that it names in vain."""
    theirs, ours = leaves(source.model), leaves(target.model)
    way = step(source, target, migration)
    found = [*_orphans(migration, theirs, ours)]
    for path, leaf in ours.items():
        if path in way:
            origin = theirs[way[path].path]
            found += [f"{path}: {problem}" for problem in _unfit(origin, leaf, way[path])]
            if not set(origin.inside) <= {way[group].path for group in leaf.inside if group in way}:
                found.append(f"{path}: {origin.path} may be missing, and this may not.")
        else:
            fix = f'Name its source: moved={{"{path}": …}}.'
            found.append(f"{path}: nothing in {source.ref} fills it. {fix}")
    return found


def _unfit(origin: Leaf, leaf: Leaf, way: Way) -> Iterator[str]:
    if origin.kind != leaf.kind:
        yield f"it is a {leaf.kind}, and {origin.path} a {origin.kind}."
    elif origin.measure and leaf.measure:
        for name in ("unit", "study"):
            theirs, own = getattr(origin.measure, name), getattr(leaf.measure, name)
            if theirs != own:
                yield f"its {name} is {own}, and that of {origin.path} {theirs}: one is not the other."
    left = [label for label in origin.labels if label not in way.labels and label not in way.refused]
    if left:
        fix = "Map it in labels, or say why not in refused."
        yield f"{', '.join(left)} of {origin.path} has no label here. {fix}"


def _orphans(migration: Migration, theirs: Mapping[str, Leaf], ours: Mapping[str, Leaf]) -> Iterator[str]:
    for path, origin in migration.moved.items():
        if path not in ours:
            yield f"moved names {path}, which is no field."
        if origin not in theirs:
            yield f"moved takes {path} from {origin}, which is no field."
    for part, given in (("labels", migration.labels), ("refused", migration.refused)):
        for path, labels in given.items():
            source = theirs.get(migration.moved.get(path, path))
            if path not in ours or source is None:
                yield f"{part} names {path}, which is not filled."
            else:
                unknown = [label for label in labels if label not in source.labels]
                yield from (f"{part} of {path} names {one}, no label of {source.path}." for one in unknown)
    for path, mapped in migration.labels.items():
        own = ours[path].labels if path in ours else {}
        yield from (
            f"labels of {path} makes {to} of {label}, no label of it."
            for label, to in mapped.items()
            if to not in own
        )
        twice = mapped.keys() & migration.refused.get(path, {}).keys()
        yield from (f"{path} both maps and refuses {label}." for label in sorted(twice))


def _there_and_back(up: Mapping[str, Way], down: Mapping[str, Way]) -> Iterator[str]:
    """`up` invents nothing: what went up comes down as it was, and could become nothing else."""
    for path, way in down.items():
        risen = up.get(way.path)
        if risen is None or risen.path != path:
            yield f"up, {way.path}: what goes up from {path} does not come down to it."
            continue
        both = risen.then(way).labels
        for label, to in both.items():
            if label != to:
                yield f"up, {way.path}: {label} goes up and comes down as {to}."
            elif list(way.labels.values()).count(label) > 1:
                several = ", ".join(name for name, below in way.labels.items() if below == label)
                yield f"up, {way.path}: {label} may be any of {several} there. Refuse it: refused={{…}}."


def pairs(versions: Iterable[SchemaVersion]) -> list[tuple[SchemaVersion, SchemaVersion]]:
    """Return every version with the one it was made from, or else with the one before it of the same name."""
    known = {entry.ref: entry for entry in versions}
    found = []
    for entry in known.values():
        before = [
            other for other in known.values() if other.name == entry.name and other.version < entry.version
        ]
        older = known.get(entry.older or "") or max(before, key=lambda other: other.version, default=None)
        if older:
            found.append((older, entry))
    return found
