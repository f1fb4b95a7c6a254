"""Whether a text that is scored was also learnt from: shared word runs between two sets, whatever their case and numbers."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from eval.cases import Case

RUN = 5
"""Words in a shingle."""

SHARED = 0.3
"""From this share of the shorter text's shingles on, two texts count as near-duplicates."""


@dataclass(frozen=True)
class Leak:
    """Two reports, by id, and the share of the shorter one's shingles that the other holds too."""

    one: str
    other: str
    shared: float


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """Every run of `RUN` words; numbers are all one word, so that copies with changed values are found as well."""
    words = re.findall(r"[^\W\d_]+|\d+(?:[.,]\d+)?", text.lower())
    plain = ["0" if word[0].isdigit() else word for word in words]
    return frozenset(tuple(plain[i : i + RUN]) for i in range(max(1, len(plain) - RUN + 1)))


def leaks(ones: Iterable[Case], others: Iterable[Case]) -> Iterator[Leak]:
    """Yield every near-duplicate between two sets; containment of shingles (Broder 1997), by an index of them."""
    known = [(case, shingles(case.text)) for case in others]
    holders: dict[tuple[str, ...], list[int]] = {}
    for i, (_, theirs) in enumerate(known):
        for shingle in theirs:
            holders.setdefault(shingle, []).append(i)
    for case in ones:
        own = shingles(case.text)
        common = Counter(i for shingle in own for i in holders.get(shingle, ()))
        for i, count in sorted(common.items()):
            other, theirs = known[i]
            share = count / min(len(own), len(theirs))
            if share >= SHARED and case.id != other.id:
                yield Leak(case.id, other.id, share)


def copies(cases: Iterable[Case]) -> Iterator[Leak]:
    """Yield the near-duplicates within a set, less twins: texts alike but for the findings that make the diagnosis another."""
    cases = list(cases)
    diagnosis = {case.id: case.gold.diagnosis for case in cases}
    for leak in leaks(cases, cases):
        if diagnosis[leak.one] == diagnosis[leak.other]:
            yield leak
