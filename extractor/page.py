"""A report laid out for naming its numbers: where they stand, and which terms and ventricles stand around them.

All positions are of the folded text (`extractor.folding`).
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from extractor.chambers import Chambers, Side
from extractor.report import Report
from extractor.tables import Cell, Tables
from extractor.terms import Mention, Terms

_LOOK_BACK: Final = 6  # terms; bounds the work in a sentence that is one long list
_JOINED: Final = re.compile(r"\s?(?:/|,|&|(?:, ?)?(?:and|und|y|e|et))\s?")
_STROKE: Final = re.compile(r"\s?/\s?(?:vs|gs|sw)\s?/\s?")
_CLAUSE: Final = re.compile(r"[,;](?=\s)")
# What may stand between a term and a number that has no unit.
_DIRECT: Final = re.compile(
    r"[\s:=~≈<>≤≥(\[|]*(?:(?:of|is|was|at|approximately|approx\.?|about|ca\.?|circa|aprox\.?|von|ist|betragt|betrug|"
    r"bei|mit|de|del|es|fue|era|calculated|measured|gemessen|%|lv|rv|vi|vd)[\s:=~≈<>≤≥)|]*){0,4}"
)
_BEHIND: Final = re.compile(
    r"[)\]]?[\s-]?(?:(?:of|for|in|the|de|del|der|des|die|la|el)\s){0,3}(?:[a-z]{4,}(?:ed|en|ida)\s)?"  # "22 % reduced EF"
)
_BRACKET_SIDE: Final = re.compile(
    r"\s?[(\[]\s?(?:(?P<left>lv|vi|left|links)|(?P<right>rv|vd|right|rechts))\s?[)\]]"
)
_TITLE_REST: Final = re.compile(r"\s?(?:[(\[][^()\[\]]{1,12}[)\]])?\s?:?")


@dataclass(frozen=True)
class Ventricle:
    """The ventricle that a bare term means; not `sure` where it was only mentioned some way off."""

    side: Side
    sure: bool


class Page:
    """The geometry of one report. Numbers are known by their index in `report.numbers`."""

    def __init__(self, report: Report, terms: Terms) -> None:
        folded = report.folded
        self.lower = folded.lower
        self.numbers = report.numbers
        self.spans = [
            (bisect_left(folded.index, n.start), bisect_left(folded.index, n.end)) for n in report.numbers
        ]
        self._heads: list[int] = []  # of each number, the first one of the range or list in which it stands
        for i in range(len(self.numbers)):
            joined = i > 0 and self.numbers[i - 1].link in ("range", "pair", "list")
            self._heads.append(self._heads[-1] if joined else i)
        self._bounds = [
            (bisect_left(folded.index, s.start), bisect_left(folded.index, s.end)) for s in report.sentences
        ]
        self._sentence_starts = [start for start, _ in self._bounds]
        self._tables = Tables(folded.plain)
        self._chambers = Chambers(folded.lower, self._bounds)
        self._mentions = list(terms.find(folded.lower, self._chambers.pairs))
        self._starts = [mention.start for mention in self._mentions]
        self.spoken = frozenset(field for mention in self._mentions for field in mention.fields)

    def cell(self, i: int) -> Cell | None:
        return self._tables.at(self.spans[i][0])

    def sentence(self, i: int) -> int:
        """Return the index of the sentence in which a number stands."""
        return max(0, bisect_right(self._sentence_starts, self.spans[i][0]) - 1)

    # --- terms ----------------------------------------------------------------------------------------------------

    def before(self, i: int) -> Iterator[Mention]:
        """Yield the terms that could name a number from before or above it, nearest first."""
        start, k, cell = self.spans[i][0], self.sentence(i), self.cell(i)
        first = cell.start if cell else self._bounds[k][0]
        last = bisect_left(self._starts, start)
        for m in range(last - 1, max(-1, last - 1 - _LOOK_BACK), -1):
            if self._starts[m] < first:
                break
            yield self._mentions[m]
        if cell:
            # Two columns of names and values: "LV ESV | 40 ml | LV EF | 62 %".
            beside = [span for span in cell.row[1:] if span[1] < cell.start][-1:]
            for span in [*beside, cell.label, *([cell.header] if cell.header else [])]:
                if span[0] < start:
                    inside = self._mentions[
                        bisect_left(self._starts, span[0]) : bisect_left(self._starts, span[1])
                    ]
                    yield from reversed(inside[-_LOOK_BACK:])
        elif k and not re.search(r"[^\W\d_]", self.lower[self._bounds[k][0] : start]):
            yield from self._title(k - 1)

    def _title(self, k: int) -> Iterator[Mention]:
        """Yield the term that fills the line above, or closes it with a colon."""
        start, end = self._bounds[k]
        m = bisect_left(self._starts, end) - 1
        if (
            m >= 0
            and self._starts[m] >= start
            and _TITLE_REST.fullmatch(self.lower, self._mentions[m].end, end)
        ):
            yield self._mentions[m]

    def behind(self, i: int) -> Mention | None:
        """Return the term right behind a number ("12 mm septal thickness"), unless it names the next number."""
        for _ in range(
            _LOOK_BACK
        ):  # "183 ml / 103 ml/m² at end-diastole", "183 ml (103 ml/m²) at end-diastole"
            if i + 1 < len(self.numbers) and (self.numbers[i].link == "pair" or self._added(i)):
                i += 1
        (start, end), cell = self.spans[i], self.cell(i)
        m = bisect_right(self._starts, start)  # a term may begin with the number's own unit: "% LV mass"
        limit = cell.end if cell else self._bounds[self.sentence(i)][1] if self._bounds else len(self.lower)
        if m == len(self._mentions) or self._mentions[m].end > limit:
            return None
        mention = self._mentions[m]
        if mention.start >= end and not _BEHIND.fullmatch(self.lower, end, mention.start):
            return None
        return None if self._names(mention, i, i + 1, limit) else mention

    def _added(self, i: int) -> bool:
        """Say whether the next number stands in a bracket right behind number `i`, in another unit."""
        following = self.numbers[i + 1].unit
        opening = self.lower[self.spans[i][1] : self.spans[i + 1][0]].strip()
        return opening == "(" and following is not None and following != self.numbers[i].unit

    def _names(self, mention: Mention, i: int, j: int, limit: int) -> bool:
        """Say whether a term between numbers `i` and `j` belongs to `j`, rather than `j` only adding to `i` in brackets."""
        following = self.spans[j][0] if j < len(self.spans) else limit
        if following >= limit or not _DIRECT.fullmatch(self.lower, mention.end, following):
            return False
        one, other = self.numbers[i], self.numbers[j]
        added = re.search(r"[(\[{]", self.lower[mention.end : following]) is not None
        return not (added and one.unit and (other.kind == "reference" or other.unit not in (None, one.unit)))

    def run(self, i: int) -> list[Mention | None]:
        """Return the terms joined by slashes or commas ("LVEDV/LVESV") that a number's row last spoke of.

        None among them stands for a stroke volume that is no term elsewhere: "VTD/VTS/VS".
        """
        cell = self.cell(i)
        row = cell.row[0][0] if cell else self._bounds[self.sentence(i)][0]
        m = bisect_left(self._starts, self.spans[i][0]) - 1
        found: list[Mention | None] = []
        while m >= 0 and self._starts[m] >= row and len(found) < _LOOK_BACK:
            gap = self.lower[self._mentions[m].end : self._starts[m + 1]] if found else "/"
            if not (over := _STROKE.fullmatch(gap)) and not _JOINED.fullmatch(gap):
                break
            found[:0] = [self._mentions[m], None] if over else [self._mentions[m]]
            m -= 1
        return found

    def said(self, i: int) -> list[Mention]:
        """Return the terms of a number's sentence before it, in order, the last ones of a long one."""
        last = bisect_left(self._starts, self.spans[i][0])
        first = bisect_left(self._starts, self._bounds[self.sentence(i)][0])
        return self._mentions[max(first, last - 2 * _LOOK_BACK) : last]

    def direct(self, mention: Mention, i: int) -> bool:
        """Say whether a term stands directly before a number, or before the list in which it stands."""
        i = self._heads[i]
        start, cell = self.spans[i][0], self.cell(i)
        if cell and not cell.start <= mention.start < cell.end:
            return not re.search(r"[^\W\d_]", self.lower[cell.start : start])
        return mention.end <= start and _DIRECT.fullmatch(self.lower, mention.end, start) is not None

    # --- ventricles -----------------------------------------------------------------------------------------------

    def pair(self, i: int) -> tuple[Side, Side] | None:
        """Return the order of "LV/RV" in a number's row before it."""
        cell = self.cell(i)
        return self._chambers.pair(
            cell.row[0][0] if cell else self._bounds[self.sentence(i)][0], self.spans[i][0]
        )

    def ventricle(self, mention: Mention, i: int) -> Ventricle | None:
        """Return the ventricle that the context gives a term for a number; None where the term needs none."""
        start, end = self.spans[i]
        between = [
            marker
            for marker in self._chambers.between(mention.start, start)
            if marker.end > mention.end and marker.side != "both"
        ]
        if mention.side is not None:
            # "LVEF 45 %, RV 50 %": the term is over where the other ventricle begins.
            return Ventricle(between[-1].side, True) if between and between[-1].side != "atrium" else None
        if not mention.bare:
            return None
        if bracket := _BRACKET_SIDE.match(self.lower, end):
            return Ventricle("left" if bracket.lastgroup == "left" else "right", True)
        if between:
            return Ventricle(between[-1].side, True)
        if side := self._chambers.column(self.cell(i)):
            return Ventricle(side, True)
        return self.earlier(mention, i)

    def at_head(self, i: int, mention: Mention) -> Ventricle | None:
        """Return the ventricle right before a list of numbers, of a bare term: "EDV/ESV: LV 143/88, RV 131/74"."""
        start = self.spans[i][0]
        markers = self._chambers.between(mention.end, start) if mention.bare else []
        if markers and markers[-1].side in ("left", "right") and start - markers[-1].end <= 2:
            return Ventricle(markers[-1].side, sure=True)
        return None

    def earlier(self, mention: Mention, i: int) -> Ventricle | None:
        """Return the ventricle of a bare term by the words before it, or by its section."""
        if not mention.bare:
            return None
        k = self.sentence(i)
        start = self._bounds[k][0]
        before = self._chambers.between(start, mention.start) if mention.start >= start else []
        if before and mention.start - before[-1].end <= 2 and before[-1].side != "both":
            return Ventricle(before[-1].side, True)
        before = [marker for marker in before if marker.side in ("left", "right")]
        topic = self._chambers.topics[k]
        if before:
            headed = topic.sure and topic.side == before[-1].side
            return _weighed(
                before[-1].side, headed or not _CLAUSE.search(self.lower, before[-1].end, mention.start)
            )
        return _weighed(topic.side, topic.sure) if topic.side else Ventricle("left", True)


def _weighed(side: Side, sure: bool) -> Ventricle:  # noqa: FBT001
    """Doubt only the right ventricle: the left one is what a bare term means anyway."""
    return Ventricle(side, sure or side == "left")
