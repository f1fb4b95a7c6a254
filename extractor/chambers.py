"""Which ventricle a bare "EF" or "EDV" belongs to: the words around it, the section above it, the table's column."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from extractor import lexicon as words_of
from extractor.folding import words
from extractor.tables import Cell

Side = Literal["left", "right", "atrium", "both"]

_SIDES: Final = re.compile(
    rf"(?<![^\W_])(?:(?P<both>{words_of.BIVENTRICULAR_WORDS})|(?P<left>{words_of.LEFT_WORDS})|"
    rf"(?P<right>{words_of.RIGHT_WORDS})|(?P<atrium>{words_of.ATRIUM_WORDS}))(?![^\W_])"
)
_SHORT: Final = re.compile(
    rf"(?<![^\W_])(?:(?P<left>{words_of.LEFT_SHORT}|{words_of.LEFT_WORDS})|"
    rf"(?P<right>{words_of.RIGHT_SHORT}|{words_of.RIGHT_WORDS}))(?![^\W_])"
)
_INSERTION: Final = words(words_of.INSERTION_WORDS)
_OTHER: Final = re.compile(rf"[\s#*_•-]*(?:{words_of.OTHER_HEADINGS})[*_]*\s*(?::|$)")
_PAIR: Final = re.compile(
    r"(?<![^\W_])(?:(?:lv|vi|vg|left|links|izquierdo)\s?/\s?(?:rv|vd|right|rechts|derecho)|"
    r"(?:rv|vd|right|rechts|derecho)\s?/\s?(?:lv|vi|vg|left|links|izquierdo))(?![^\W_])"
)
_RIGHT_HEART: Final = words(words_of.RIGHT_HEART_WORDS)
_OTHER_PART: Final = words(words_of.OTHER_PARTS)
_LEFT_HEART: Final = words(f"{words_of.LEFT_WORDS}|{words_of.LEFT_HEART_WORDS}|{words_of.VENTRICULAR_TERMS}")
_HEADING: Final = re.compile(
    rf"[\w \t()/*_-]{{0,24}}:(?!\s?[<>≤≥~]?\s?[0-9])|(?: ?\([a-z]{{2,3}}\))?[ \t]?(?:[-\u2013] )?(?:(?:{words_of.HEADING_WORDS})(?: (?:and|und|y|&) (?:{words_of.HEADING_WORDS}))?)?[\s*_#.-]*$"
)
_LEFT: Final = words(words_of.LEFT_WORDS)
_UNREMARKABLE: Final = words(words_of.UNREMARKABLE)
_NO_SIZE: Final = re.compile(words_of.NO_SIZE)
_SIDE_WORDS: Final[dict[Side, str]] = {"left": words_of.LEFT_WORDS, "right": words_of.RIGHT_WORDS}
_NORMAL: Final = {
    side: re.compile(
        rf"\W*(?:(?:the|der|die|el) )?(?<![^\W_])(?:{own})(?: ventric[a-z]*)?\W+"
        rf"(?:(?:is|ist|es|looks|appears|erscheint|otherwise|entirely|ganz|sonst) ){{0,2}}(?:{words_of.NORMAL_WORDS})\W*"
    )
    for side, own in _SIDE_WORDS.items()
}
_ALONE: Final[dict[Side, str]] = {"left": words_of.LEFT_ALONE, "right": words_of.RIGHT_ALONE}
_GOES_ON: Final[dict[Side, re.Pattern[str]]] = {
    side: re.compile(
        rf"\W*(?:(?:and|und|y|the|der|el) ){{0,2}}(?<![^\W_])(?:{own})\W{{1,3}}(?:(?:of|von|del?) )?[<>~]?\W?[0-9]"
    )
    for side, own in _ALONE.items()
}
_PARTS: Final = re.compile(words_of.PARTS_OF_SENTENCE)
_REACH: Final = (
    4  # sentences that a sentence about one ventricle speaks for; a heading speaks until the next one
)


@dataclass(frozen=True)
class Marker:
    """A word that names a chamber."""

    start: int
    end: int
    side: Side


@dataclass(frozen=True)
class Topic:
    """The ventricle that earlier sentences speak of; `sure` where a heading says so."""

    side: Side | None
    sure: bool


def side_of(text: str) -> Side | None:
    """Return the ventricle that a folded term or field name carries itself ("rvef", "feivd"), if exactly one."""
    found = {match.lastgroup for match in _SIDES.finditer(text)} & {"left", "right"}
    if found == {"left"}:
        return "left"
    return "right" if found == {"right"} else None


def side_of_cell(text: str) -> Side | None:
    """Return the ventricle named by a table's heading, where "Left" alone is enough."""
    found = {match.lastgroup for match in _SHORT.finditer(text)}
    if found == {"left"}:
        return "left"
    return "right" if found == {"right"} else None


def right_heart(lower: str) -> bool:
    """Whether a folded text may say something of the right ventricle: it names it, or several chambers together."""
    return _RIGHT_HEART.search(lower) is not None or any(
        _named(match) in ("right", "both") and not _insertion(lower, match)
        for match in _SIDES.finditer(lower)
    )


def parts(lower: str) -> list[str]:
    """The parts of a folded sentence, less what holds a word of size and says nothing of it."""
    return [_NO_SIZE.sub(" ", part) for part in _PARTS.split(lower)]


def unremarkable_right(part: str) -> bool:
    """Whether a part of a sentence calls the right ventricle normal as a whole: "RV: normal"."""
    return right_heart(part) and _UNREMARKABLE.search(part) is not None


def normal_as_a_whole(part: str, side: Side) -> bool:
    """Whether a part of a sentence says no more than that a ventricle is normal, which speaks of its size and function."""
    return _NORMAL[side].fullmatch(part) is not None if side in _NORMAL else False


def goes_on(part: str, side: Side) -> bool:
    """Whether a part of a sentence is no more than a ventricle's number for what was named before: "EF: LV 45 %, RV 30 %"."""
    return _GOES_ON[side].match(part) is not None if side in _GOES_ON else False


def elsewhere(lower: str) -> bool:
    """Whether a folded text is about another part of the heart than the left ventricle: "LA mildly dilated"."""
    return _OTHER_PART.search(lower) is not None and _LEFT_HEART.search(lower) is None


def about(part: str, side: Side) -> bool:
    """Whether what a part of a sentence says of size, walls or function may be said of that ventricle.

    "RV small, LA mildly dilated" says nothing of a dilated ventricle, "FEVI 68 %; AI dilatada" nothing of a left one.
    """
    if side == "left":
        return not elsewhere(part)
    return right_heart(part) or not (_OTHER_PART.search(part) or _LEFT.search(part))


class Chambers:
    """The chamber words of one folded text, found by position."""

    def __init__(self, lower: str, bounds: Sequence[tuple[int, int]]) -> None:
        self._lower = lower
        self.pairs: list[tuple[int, int]] = [match.span() for match in _PAIR.finditer(lower)]
        self.markers = [
            Marker(match.start(), match.end(), side)
            for match in _SIDES.finditer(lower)
            if (side := _named(match)) and not _insertion(lower, match)
        ]
        self._starts = [marker.start for marker in self.markers]
        self.topics = self._topics(bounds)

    def between(self, start: int, end: int) -> list[Marker]:
        """Return the markers that lie wholly inside a span, in order."""
        inside = self.markers[bisect_left(self._starts, start) : bisect_left(self._starts, end)]
        return [marker for marker in inside if marker.end <= end]

    def pair(self, start: int, end: int) -> tuple[Side, Side] | None:
        """Return the order of the last "LV/RV" or "RV/LV" inside a span."""
        i = bisect_left(self.pairs, (end, 0)) - 1
        if i < 0 or self.pairs[i][0] < start or self.pairs[i][1] > end:
            return None
        first = self._lower[self.pairs[i][0]]
        return (
            ("left", "right")
            if first in "lvi" and not self._lower.startswith("vd", self.pairs[i][0])
            else ("right", "left")
        )

    def column(self, cell: Cell | None) -> Side | None:
        """Return the ventricle named by a cell's row or column."""
        if cell is None:
            return None
        parts = [self._lower[slice(*cell.label)], self._lower[slice(*cell.header)] if cell.header else ""]
        sides = {side for side in map(side_of_cell, parts) if side}
        return sides.pop() if len(sides) == 1 else None

    def _topics(self, bounds: Sequence[tuple[int, int]]) -> list[Topic]:
        topics: list[Topic] = []
        topic, since, last = Topic(None, False), 0, 0
        for start, end in bounds:
            blank = self._lower.count("\n", last, start) > 1
            since += 1
            if not topic.sure and (blank or since > _REACH):
                topic = Topic(None, False)
            if _OTHER.match(self._lower, start, end):
                topic = Topic(None, False)
            opening = self._opening(start, end)
            if opening is not None and not (topic.sure and opening.side == topic.side):
                topic, since = opening, 0
            topics.append(topic)
            last = end
        return topics

    def _opening(self, start: int, end: int) -> Topic | None:
        """Return the topic that a sentence sets: a ventricle among its first words."""
        markers = self.between(start, min(end, start + 60))
        if not markers or self._lower.count(" ", start, markers[0].start) > 3:
            return None
        first = markers[0]
        rest = self._lower[first.end : min(end, first.end + 25)]
        if (
            any(other.side != first.side and other.start - first.end < 8 for other in markers[1:])
            or first.side == "both"
        ):
            return Topic(None, False)
        # "RV:", "Right ventricle (cine):", or a line that holds nothing else
        heading = _HEADING.match(rest) is not None
        ventricle = first.side in ("left", "right")
        return Topic(first.side if ventricle else None, heading and ventricle)


def _insertion(lower: str, match: re.Match[str]) -> bool:
    around = lower[max(0, match.start() - 25) : match.end() + 20]
    return _INSERTION.search(around) is not None


def _named(match: re.Match[str]) -> Side | None:
    for side in ("both", "left", "right", "atrium"):
        if match.lastgroup == side:
            return side
    return None
