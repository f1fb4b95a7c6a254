"""How well two readers of a set agree: the author's gold against a second reading made without seeing it.

A set's folder holds the second reading as `second_reading.jsonl`, lines of `{"id": …, "gold": {…}}`, as it was before
any disagreement was settled, and the author's values of that time as `first_reading.jsonl` where settling changed them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.metrics import cohen_kappa_score

from eval.cases import Case, Gold, read


@dataclass(frozen=True)
class Difference:
    """One field on which the two readers differ."""

    id: str
    path: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Agreement:
    """`n` pairs of values of one part of the schema; kappa is Cohen's (1960), None where it is not defined."""

    part: str
    n: int
    same: int
    kappa: float | None


def readings(folder: Path) -> tuple[list[Case], list[Case]]:
    """Return a set's cases twice: with the first reader's gold, and with the second's; only those that both read.

    Raises `ValueError` or `OSError` where a file is missing or wrong.
    """
    cases = {case.id: case for case in read(folder)}
    first = {id_: case.gold for id_, case in cases.items()} | _golds(folder / "first_reading.jsonl")
    second = _golds(folder / "second_reading.jsonl")
    ids = [id_ for id_ in cases if id_ in second]
    return tuple(
        [cases[id_].model_copy(update={"gold": golds[id_]}) for id_ in ids] for golds in (first, second)
    )  # type: ignore[return-value]


def _golds(file: Path) -> dict[str, Gold]:
    if not file.exists():
        return {}
    rows = map(json.loads, file.read_text("utf-8").splitlines())
    return {row["id"]: Gold.model_validate(row["gold"]) for row in rows}


def differences(first: Sequence[Case], second: Sequence[Case]) -> Iterator[Difference]:
    """Yield every field on which two readings of the same cases differ."""
    for one, other in zip(first, second, strict=True):
        theirs = other.values()
        for path, value in one.values().items():
            if path in theirs and _plain(value) != _plain(theirs[path]):
                yield Difference(one.id, path, value, theirs[path])


def agreements(first: Sequence[Case], second: Sequence[Case]) -> list[Agreement]:
    """Return the agreement by part of the schema: every finding of every report is one pair, and so on."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    for one, other in zip(first, second, strict=True):
        theirs = other.values()
        for path, value in one.values().items():
            pairs.setdefault(_part(path, value), []).append((str(_plain(value)), str(_plain(theirs[path]))))
    return [_agreement(part, given) for part, given in pairs.items()]


def _part(path: str, value: Any) -> str:
    """Segments are sets and numbers are no categories: they stand apart from the findings."""
    head, _, rest = path.partition(".")
    return (
        "segments"
        if isinstance(value, list)
        else f"{head} ({rest.rpartition('.')[2]})"
        if head == "conditions"
        else head
    )


def _agreement(part: str, pairs: Sequence[tuple[str, str]]) -> Agreement:
    same = sum(a == b for a, b in pairs)
    ones, others = zip(*pairs, strict=True)
    categories = len({*ones, *others}) > 1 and part not in ("segments", "measurements", "previous")
    return Agreement(part, len(pairs), same, float(cohen_kappa_score(ones, others)) if categories else None)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(value)
    return round(float(value), 3) if isinstance(value, (int, float)) else value


def table(folder: Path) -> str:
    """Return a set's agreement as a Markdown table."""
    first, second = readings(folder)
    lines = [
        f"{len(first)} reports read twice.",
        "",
        "| part | n | same | Cohen's kappa |",
        "|---|---|---|---|",
    ]
    for one in agreements(first, second):
        kappa = "" if one.kappa is None else f"{one.kappa:.2f}"
        lines.append(f"| {one.part} | {one.n} | {one.same} ({one.same / one.n:.1%}) | {kappa} |")
    return "\n".join(lines)
