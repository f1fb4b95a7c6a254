"""Numbers of an earlier study: "45 % (previously 38 %)", "vs. 38 % in 2019", a section under "Vergleich:".

They stay options, since only the whole text can say which study a field asks about, but they come last.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from extractor import lexicon as words_of
from extractor.folding import words
from extractor.quantities import Number
from extractor.tables import Cell

_PRIOR: Final = re.compile(
    rf"(?<![^\W_])(?:{words_of.PRIOR_WORDS})(?![^\W_])(?!\.? (?:{words_of.EVENT_WORDS})(?![^\W_]))"
)
_EVENT_BEFORE: Final = re.compile(rf"(?<![^\W_])(?:{words_of.EVENT_WORDS})(?: [^\W\d_]{{1,12}})? $")
_AS_BEFORE: Final = re.compile(r"(?<![^\W_])(?:unchanged|stable|similar|same) (?:from|to|as)(?: the)? $")
_STUDY: Final = re.compile(
    rf"(?:\.? (?:{words_of.STUDY_WORDS})(?![^\W_])|(?<=untersuchung)|(?<=befund)|(?<=vu))"
)
_VERSUS: Final = words(words_of.VERSUS_WORDS)
_PLAIN_VERSUS: Final = frozenset({"vs", "versus"})
_CURRENT: Final = words(words_of.CURRENT_WORDS)
_STABLE: Final = words(words_of.STABLE_WORDS)
_CHANGE: Final = re.compile(words_of.CHANGE_WORDS)
_CLAUSE: Final = re.compile(r"[;,](?=\s)|[()\[\]]")
_YEAR_BEHIND: Final = re.compile(
    rf"\s?\(?(?:(?:in|im|en|from|vom|von|de|del) )?(?:(?:the|el|ano|jahr|year) )?(?:(?:{words_of.MONTHS}) )?(?:del? )?"
    r"(?:[0-9]{1,2}/)?(?:19|20)[0-9]{2}(?![0-9]|\s?:)"
)
_YEAR_BEFORE: Final = re.compile(r"(?:19|20)[0-9]{2}\)? ?: ?[^0-9:;.]{0,25}$")
_FROM: Final = re.compile(r"(?<![^\W_])(?:from|von|del?|desde)(?: [^\W\d_]{1,12})? $")
_TO_FROM: Final = re.compile(
    r" (?:to|auf|al?|hasta) (?:[^\W\d_]{1,12} )?[<>~]? ?[0-9]+(?:[.,][0-9]+)? ?%?[^\W\d_]{0,2} (?:from|von|desde)(?: [^\W\d_]{1,12})? $"
)
_BY: Final = re.compile(r"(?<![^\W_])(?:by|um|un) (?:[^\W\d_]{1,12} )?$")
_TO: Final = re.compile(r" (?:to|auf|al?|hasta) (?:[^\W\d_]{1,12} )?[<>~]? ?[0-9]")
_SCOPE_BEHIND: Final = re.compile(r"[ (]{0,3}([^;,.)0-9]*)([;,.)0-9]|$)")
_HEADING: Final = re.compile(rf"[\s#*_]*(?:{words_of.PRIOR_HEADINGS})[*_]*\s*(?::|(?<!\.)$)")
_DATE: Final = re.compile(
    r"(?<![0-9])(?:[0-9]{1,2}[./-][0-9]{1,2}[./-]|(?P<month>[0-9]{1,2})[./-])?(?P<year>(?:19|20)[0-9]{2})(?![0-9])"
)
_OTHER_HEADING: Final = re.compile(r"[\s#*_]*[^\s:.,;][^:.,;\n]{1,40}:")
_SECTION: Final = re.compile(rf"[\s#*_]*(?:{words_of.OTHER_HEADINGS})[*_]*\s*:")
_NONE: Final = re.compile(rf"\W*(?:{words_of.NONE_WORDS})(?![^\W_])")


@dataclass(frozen=True)
class Place:
    """A number's surroundings in the folded text: its sentence and, where it stands in one, its bracket."""

    lower: str
    start: int
    end: int
    bracket: tuple[int, int] | None

    def before(self, position: int, width: int) -> str:
        """Return up to `width` characters before a position, inside the sentence and the bracket."""
        return self.lower[
            max(self.start, position - width, self.bracket[0] + 1 if self.bracket else 0) : position
        ]


def is_prior(place: Place, found: Sequence[Number], i: int) -> bool:
    """Judge number `i` by the words of its clause."""
    number, lower, start, end, bracket = found[i], place.lower, place.start, place.end, place.bracket
    left = lower[max(start, number.start - 100) : number.start]
    right = lower[number.end : min(end, number.end + 60)]
    if number.link == "range" or (i and found[i - 1].link == "range"):
        if _FROM.search(left) and _CHANGE.search(
            lower, max(start, number.start - 100), min(end, number.end + 60)
        ):
            return True
    elif (
        _FROM.search(left)
        and (_TO.match(right) or _TO_FROM.search(left))
        and _CHANGE.search(lower, max(start, number.start - 100), end)
    ):
        return True
    if _YEAR_BEFORE.search(left) or _year_behind(right):
        return True
    inside = lower[bracket[0] + 1 : number.start] if bracket and number.start - bracket[0] < 100 else None
    return _announced(left, inside, found[max(0, i - 1) : i], number) or _called_prior_behind(right)


def is_difference(place: Place, number: Number) -> bool:
    """Judge whether a number is by how much another changed: "fell by 10 % to 45 %"."""
    left = place.lower[max(place.start, number.start - 100) : number.start]
    if not _BY.search(left):
        return False
    right = place.lower[number.end : min(place.end, number.end + 60)]
    return _TO.match(right) is not None and (_CHANGE.search(left) or _CHANGE.search(right)) is not None


def _year_behind(right: str) -> bool:
    match = _YEAR_BEHIND.match(right)
    # "38 % in 2019" and "38 % (2019)", but not a range "38 % 2019"
    return match is not None and bool(match.group().strip()) and match.group().strip()[0] not in "12"


def _announced(left: str, inside: str | None, before: Sequence[Number], number: Number) -> bool:
    """Look for "previously", "vs." and the like in front of a number."""
    scope = inside if inside is not None else _CLAUSE.split(left)[-1]
    if inside is not None and not _PRIOR.search(inside) and not _VERSUS.search(inside):
        # As in: Voruntersuchung 2019 (LVEF 38 %, LVEDV 250 ml).
        scope = _CLAUSE.split(left[: max(0, len(left) - len(inside) - 1)])[-1]
        if re.search(r"[0-9]\s?(?:%|m|g|l)", scope):
            return False
    current = [match.end() for match in _CURRENT.finditer(scope)]
    scope = scope[current[-1] :] if current else scope
    priors = [match for match in _PRIOR.finditer(scope) if not _EVENT_BEFORE.search(scope, 0, match.start())]
    versus = list(_VERSUS.finditer(scope))
    measured_before = bool(before) and before[0].unit == number.unit and number.start - before[0].end < 80
    if priors:
        opening = bool(versus) and versus[0].start() < priors[-1].start() and not measured_before
        study = _STUDY.match(scope, priors[-1].end()) is not None
        # "Compared with the previous study LVEF is 45 %" speaks of today.
        stable = _STABLE.search(scope, priors[-1].end()) or _AS_BEFORE.search(scope, 0, priors[-1].start())
        return not (opening and study) and not stable
    if versus and measured_before and versus[-1].group() not in _PLAIN_VERSUS:
        between = scope[versus[-1].end() :]
        return len(between) < 30 and not re.search(r"normal|rest|stress|ruhe|predict|reposo", between)
    return False


def _called_prior_behind(right: str) -> bool:
    """Look for "38 % previously", "38 % in der Voruntersuchung (2019)"; "45 % (previously 38 %)" is no such case."""
    scope = _SCOPE_BEHIND.match(right)
    if scope is None or (match := _PRIOR.search(scope[1])) is None or match.start() > 25:
        return False
    announces = scope[2].isdigit() and not re.match("(?:19|20)[0-9]{2}(?![0-9])", right[scope.end(1) :])
    return not announces and not _STABLE.search(scope[1]) and not _VERSUS.search(scope[1])


class Sections:
    """Which sentences (`prior`, by index) stand under a heading such as "Comparison:"."""

    def __init__(self, lower: str, bounds: Sequence[tuple[int, int]]) -> None:
        self.prior: set[int] = set()
        opened = -1
        state = ""  # "line": until the line ends; "block": until a blank line or a heading
        last = 0
        for k, (start, end) in enumerate(bounds):
            between = lower[last:start]
            heading = _HEADING.match(lower, start, end)
            if (state == "line" and "\n" in between) or (
                state == "block" and between.count("\n") > 1 and last != opened
            ):
                state = ""
            if heading:
                alone = heading.end() == end
                state = "" if _NONE.match(lower, heading.end(), end) else "block" if alone else "line"
                opened = end
            elif state and (_CURRENT.search(lower, start, end) or self._ends(lower, start, end, state)):
                state = ""
            if state:
                self.prior.add(k)
            last = end

    @staticmethod
    def _ends(lower: str, start: int, end: int, state: str) -> bool:
        other = _OTHER_HEADING.match(lower, start, end)
        ends = other is not None and (state == "line" or other.end() == end)
        return ends or _SECTION.match(lower, start, end) is not None

    @staticmethod
    def prior_column(lower: str, cell: Cell | None) -> bool:
        """Say whether a table cell stands in the column of an earlier study: "previous", or "05/2024" beside "today"."""
        if cell is None or cell.header is None:
            return False
        start, end = cell.header
        if _PRIOR.search(lower, start, end):
            return True
        date = _DATE.fullmatch(lower, start, end)
        if date is None:
            return False
        row = lower.rfind("\n", 0, start) + 1, (lower.find("\n", end) + 1 or len(lower) + 1) - 1
        return _CURRENT.search(lower, *row) is not None or any(
            _month(date) < _month(other) for other in _DATE.finditer(lower, *row)
        )


def _month(date: re.Match[str]) -> tuple[str, str]:
    """The year, and the month where it stands alone before it: in "03/04/2024" nothing says which one it is."""
    return date["year"], (date["month"] or "").zfill(2)
