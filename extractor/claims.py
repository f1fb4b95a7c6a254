"""Which field's term names a number (the rules are told in `extractor.candidates`)."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from extractor.chambers import Chambers, Side
from extractor.report import Report
from extractor.tables import Cell, Tables
from extractor.terms import Mention, Terms

_FAR: Final = 80  # characters between a term and its number; further apart the claim is weak
_LOOK_BACK: Final = 6  # terms; bounds the work in a sentence that is one long list
_JOINED: Final = re.compile(r"\s?(?:/|,|&|(?:, ?)?(?:and|und|y|e|et))\s?")
_CLAUSE: Final = re.compile(r"[,;](?=\s)")
_DIRECT: Final = re.compile(
    r"[\s:=~≈<>≤≥(\[|]*(?:(?:of|is|was|at|approximately|approx\.?|about|ca\.?|circa|aprox\.?|von|ist|betragt|betrug|bei|mit|"
    r"de|del|es|fue|era|calculated|measured|gemessen|%|lv|rv|vi|vd)[\s:=~≈<>≤≥)|]*){0,4}"
)
_BEHIND: Final = re.compile(r"\s?(?:(?:of|for|in|the|de|del|der|des|die|la|el)\s){0,3}")
_BRACKET_SIDE: Final = re.compile(
    r"\s?[(\[]\s?(?:(?P<left>lv|vi|left|links)|(?P<right>rv|vd|right|rechts))\s?[)\]]"
)


class Rank(IntEnum):
    """How well a number is named; lower is better."""

    NAMED = 0
    AGAIN = 1  # a further number of the same unit behind one term
    OTHER_SIDE = 2  # named by a bare term whose ventricle is only probable
    NOBODY = 3


@dataclass(frozen=True)
class Claim:
    """One field's claim to one number; `distance` in characters from the term."""

    rank: Rank
    distance: int


@dataclass(frozen=True)
class _Ventricle:
    side: Side
    sure: bool


class Claims:
    """The claims of all fields on one report's numbers, in folded positions throughout."""

    def __init__(
        self, report: Report, terms: Terms, units: Mapping[str, str], fitting: frozenset[tuple[int, str]]
    ) -> None:
        folded = report.folded
        self._lower = folded.lower
        self._terms, self._units, self._fitting = terms, units, fitting
        self._numbers = report.numbers
        self._spans = [
            (bisect_left(folded.index, n.start), bisect_left(folded.index, n.end)) for n in report.numbers
        ]
        self._bounds = [
            (bisect_left(folded.index, s.start), bisect_left(folded.index, s.end)) for s in report.sentences
        ]
        self._tables = Tables(folded.plain)
        self._chambers = Chambers(folded.lower, self._bounds)
        self._mentions = list(terms.find(folded.lower, self._chambers.pairs))
        self._starts = [mention.start for mention in self._mentions]
        self._claims: dict[tuple[int, str], Claim] = {}
        self._used: set[tuple[int, str, str | None]] = set()

    def all(self) -> dict[tuple[int, str], Claim]:
        """Return the claims by number and field."""
        sentences = [start for start, _ in self._bounds]
        done = -1
        for i in sorted({i for i, _ in self._fitting}):
            if i <= done:
                continue
            k = max(0, bisect_right(sentences, self._spans[i][0]) - 1)
            chain = self._chain(i)
            if not self._by_position(chain, k):
                for member in chain:
                    self._nearest(member, k)
            done = chain[-1]
        return self._claims

    def _chain(self, i: int) -> list[int]:
        """Return the numbers joined to `i` by a slash or a list, from `i` on."""
        chain = [i]
        while self._numbers[chain[-1]].link in ("pair", "list") and chain[-1] + 1 < len(self._numbers):
            chain.append(chain[-1] + 1)
        return chain

    # --- pairs ----------------------------------------------------------------------------------------------------

    def _by_position(self, chain: list[int], k: int) -> bool:
        """Give "180/95" to the terms of "LVEDV/LVESV", or to the ventricles of "LV/RV", one to one."""
        if len(chain) < 2:
            return False
        start = self._spans[chain[0]][0]
        cell = self._tables.at(start)
        row = cell.row[0][0] if cell else self._bounds[k][0]
        last = bisect_left(self._starts, start) - 1
        if last < 0 or self._starts[last] < row:
            return False
        order = self._chambers.pair(row, start) if len(chain) == 2 else None
        if order and self._mentions[last].side is None:
            for i, side in zip(chain, order, strict=True):
                self._claim(i, self._mentions[last], _Ventricle(side, True))
            return True
        run = [last]
        while run[0] > 0 and len(run) < len(chain) and self._consecutive(run[0] - 1):
            run.insert(0, run[0] - 1)
        longer = run[0] > 0 and self._consecutive(run[0] - 1) and self._starts[run[0] - 1] >= row
        if len(run) != len(chain) or longer or self._starts[run[0]] < row:
            return False
        for i, m in zip(chain, run, strict=True):
            mention = self._mentions[m]
            # Words between are about the others of the pair: only what stands before counts.
            self._claim(i, mention, self._earlier(mention, k) if mention.bare else None)
        return True

    def _consecutive(self, m: int) -> bool:
        gap = self._lower[self._mentions[m].end : self._mentions[m + 1].start]
        return _JOINED.fullmatch(gap) is not None

    # --- the nearest term -----------------------------------------------------------------------------------------

    def _nearest(self, i: int, k: int) -> None:
        start, end = self._spans[i]
        cell = self._tables.at(start)
        for mention in self._before(start, k, cell):
            ventricle = self._ventricle(mention, i, k, cell)
            fields = self._fields(i, mention, ventricle)
            if fields:
                used = all((mention.start, field, self._numbers[i].unit) in self._used for field in fields)
                if not (used and self._behind(i, end, k, cell)):
                    self._claim(i, mention, ventricle)
                return
        self._behind(i, end, k, cell)

    def _before(self, start: int, k: int, cell: Cell | None) -> Iterator[Mention]:
        """Yield the terms that could name a number, nearest first."""
        first = cell.start if cell else self._bounds[k][0]
        last = bisect_left(self._starts, start)
        for m in range(last - 1, max(-1, last - 1 - _LOOK_BACK), -1):
            if self._starts[m] < first:
                break
            yield self._mentions[m]
        if cell:
            for span in [cell.label, *([cell.header] if cell.header else [])]:
                if span[0] < start:
                    inside = self._mentions[
                        bisect_left(self._starts, span[0]) : bisect_left(self._starts, span[1])
                    ]
                    yield from reversed(inside[-_LOOK_BACK:])
        elif k and not re.search(r"[^\W\d_]", self._lower[self._bounds[k][0] : start]):
            yield from self._heading(k - 1)

    def _heading(self, k: int) -> Iterator[Mention]:
        """Yield the term that fills the line above, or closes it with a colon."""
        start, end = self._bounds[k]
        m = bisect_left(self._starts, end) - 1
        if m >= 0 and self._starts[m] >= start:
            rest = self._lower[self._mentions[m].end : end]
            if re.fullmatch(r"\s?(?:[(\[][^()\[\]]{1,12}[)\]])?\s?:?", rest):
                yield self._mentions[m]

    def _behind(self, i: int, end: int, k: int, cell: Cell | None) -> bool:
        """Claim "12 mm septal thickness" and "12 % of LV mass", unless that term has a number of its own behind it."""
        m = bisect_left(self._starts, end)
        limit = cell.end if cell else self._bounds[k][1]
        if m == len(self._mentions) or self._mentions[m].end > limit:
            return False
        mention = self._mentions[m]
        following = self._spans[i + 1][0] if i + 1 < len(self._spans) else len(self._lower)
        if not _BEHIND.fullmatch(self._lower, end, mention.start):
            return False
        if following < limit and _DIRECT.fullmatch(self._lower, mention.end, following):
            return False
        return self._claim(i, mention, self._ventricle(mention, i, k, cell))

    # --- claiming -------------------------------------------------------------------------------------------------

    def _fields(self, i: int, mention: Mention, ventricle: _Ventricle | None) -> list[str]:
        """Return the fields of a term that can take a number, whatever their side if `ventricle` is unsure."""
        number = self._numbers[i]
        fields = [field for field in mention.fields if (i, field) in self._fitting]
        if number.unit is None:
            if not self._direct(mention, i):
                fields = [field for field in fields if self._units[field] == "ratio"]
            absolute = [field for field in fields if not self._units[field].endswith("/m2")]
            fields = absolute or fields
        if ventricle is None:
            return fields
        if mention.side is not None:
            return fields if ventricle.side == mention.side else []
        return [
            f
            for f in fields
            if not ventricle.sure or self._terms.sides.get(f, ventricle.side) == ventricle.side
        ]

    def _claim(self, i: int, mention: Mention, ventricle: _Ventricle | None) -> bool:
        number, (start, end) = self._numbers[i], self._spans[i]
        distance = start - mention.end if mention.end <= start else mention.start - end
        fields = self._fields(i, mention, ventricle)
        for field in fields:
            key = (mention.start, field, number.unit)
            if ventricle and mention.bare:
                key = (mention.start, field + ventricle.side, number.unit)
            wrong = (
                ventricle
                and mention.side is None
                and self._terms.sides.get(field, ventricle.side) != ventricle.side
            )
            again = (key in self._used and not self._continues(i)) or distance > _FAR
            rank = Rank.OTHER_SIDE if wrong else Rank.AGAIN if again else Rank.NAMED
            self._claims[i, field] = Claim(rank, distance)
            if not number.is_prior:
                self._used.add(key)
        return bool(fields)

    def _continues(self, i: int) -> bool:
        """A range's upper bound and an earlier study's value belong to the term as much as the number before."""
        previous = self._numbers[i - 1] if i else None
        return self._numbers[i].is_prior or (
            previous is not None and previous.link in ("range", "pair", "size", "list")
        )

    def _direct(self, mention: Mention, i: int) -> bool:
        while i and self._numbers[i - 1].link in ("range", "pair", "list"):
            i -= 1
        start = self._spans[i][0]
        cell = self._tables.at(start)
        if cell and not cell.start <= mention.start < cell.end:
            return not re.search(r"[^\W\d_]", self._lower[cell.start : start])
        return mention.end <= start and _DIRECT.fullmatch(self._lower, mention.end, start) is not None

    # --- the ventricle --------------------------------------------------------------------------------------------

    def _ventricle(self, mention: Mention, i: int, k: int, cell: Cell | None) -> _Ventricle | None:
        """Return the ventricle that the context gives a term here; None where the term needs none."""
        start, end = self._spans[i]
        between = [marker for marker in self._chambers.between(mention.end, start) if marker.side != "both"]
        if mention.side is not None:
            # "LVEF 45 %, RV 50 %": the term is over where the other ventricle begins.
            return (
                _Ventricle(between[-1].side, True)
                if between and between[-1].side in ("left", "right")
                else None
            )
        if not mention.bare:
            return None
        if between:
            return _Ventricle(between[-1].side, True)
        if bracket := _BRACKET_SIDE.match(self._lower, end):
            return _Ventricle("left" if bracket.lastgroup == "left" else "right", True)
        if side := self._chambers.column(cell):
            return _Ventricle(side, True)
        return self._earlier(mention, k)

    def _earlier(self, mention: Mention, k: int) -> _Ventricle:
        before = (
            self._chambers.between(self._bounds[k][0], mention.start)
            if mention.start >= self._bounds[k][0]
            else []
        )
        if before and mention.start - before[-1].end <= 2:
            return _Ventricle(before[-1].side, True)
        before = [marker for marker in before if marker.side in ("left", "right")]
        if before:
            same_clause = not _CLAUSE.search(self._lower, before[-1].end, mention.start)
            return _Ventricle(before[-1].side, same_clause)
        topic = self._chambers.topics[k] if self._chambers.topics else None
        if topic and topic.side:
            return _Ventricle(topic.side, topic.sure)
        return _Ventricle("left", True)
