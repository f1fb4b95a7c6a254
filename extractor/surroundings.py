"""What stands around a report's terms and numbers: what a sentence leads to, whose attribute a term is, which ventricle.

All positions are of the folded text (`extractor.folding`).
"""

import re
from bisect import bisect_left, bisect_right
from dataclasses import replace
from typing import Final

from extractor.chambers import Chambers, Side
from extractor.folding import words
from extractor.lexicon import ATTRIBUTE_WORDS, CURRENT_WORDS, SHARE_WORDS
from extractor.page import Page, Ventricle
from extractor.report import Report
from extractor.terms import Mention, Terms

_NEAR: Final = 40  # characters between a thing and its attribute
_FAR: Final = 80  # characters between a ventricle and the number that it alone names
_WORD: Final = 12  # characters of an answer that is a word alone
_BESIDE: Final = 24  # characters of a ventricle's name
_NOW: Final = re.compile(rf"(?:{CURRENT_WORDS}),? [<>~]?[0-9]")
_SIDE_BEHIND: Final = re.compile(r" (?:on|for) the (left|right)(?![^\W_]| [av])")
_PAIR_BEHIND: Final = re.compile(r" ?[(\[](?:(lv?|vi) ?/ ?(?:rv?|vd)|(?:rv?|vd) ?/ ?(?:lv?|vi))[)\]]")
_ATTRIBUTE: Final = re.compile(rf"(?:{ATTRIBUTE_WORDS})(?:[ -](?:{ATTRIBUTE_WORDS}))?|{SHARE_WORDS}")
_SHARE: Final = words(SHARE_WORDS)
_CLAUSE_END: Final = re.compile(r"[;.,](?=\s)|\n")
_SENTENCE_END: Final = re.compile(r"[;.](?=\s)|\n")


class Surroundings(Page):
    """A page in which a question and its answer are one sentence, and a ventricle alone may name a number."""

    def __init__(self, report: Report, terms: Terms) -> None:
        """Join sentences first: the ventricles that a sentence speaks of depend on where it ends."""
        super().__init__(report, terms)
        self._sides = terms.sides
        joined = self._joined()
        if len(joined) < len(self._bounds):
            self._bounds, self._sentence_starts = joined, [start for start, _ in joined]
            self._chambers = Chambers(self.lower, joined)
        self.owned: dict[int, tuple[str, ...]] = {}
        """By its start, a term that is another thing's attribute ("pericardium thickened") and the fields that it named."""
        for m, mention in enumerate(self._mentions):
            if _ATTRIBUTE.fullmatch(self.lower, mention.start, mention.end) and self._owned(m):
                self.owned[mention.start] = mention.fields
                self._mentions[m] = replace(mention, fields=("",), bare=False)

    def _joined(self) -> list[tuple[int, int]]:
        """Join what dots, a question or "now" lead to: "LVEF ..... 48 %", "T1? Short. 847 ms", "EF was 43. Now 52."."""
        joined: list[tuple[int, int]] = []
        leads = False
        for start, end in self._bounds:
            leads = leads or (bool(joined) and _NOW.match(self.lower, start, end) is not None)
            joined[-1 if leads else len(joined) :] = [(joined[-1][0] if leads else start, end)]
            leads = leads and end - start <= _WORD and self.lower[end : end + 1] != "\n"
            leads = leads or self.lower[max(start, end - 3) : end].rstrip().endswith(("?", "..", "\u2026"))
        return joined

    def _owned(self, m: int) -> bool:
        """Say whether an attribute is of what no field asks for: "pericardium thickened", "RV wall", "RF: fraction"."""
        start, last = self._mentions[m].start, self._mentions[m - 1] if m else None
        share = _SHARE.match(self.lower, start) is not None
        end = _SENTENCE_END if share else _CLAUSE_END
        scope = start - len(end.split(self.lower[max(0, start - _NEAR) : start])[-1])
        asked = share or any(self._sides.get(field) == "right" for field in self._mentions[m].fields)
        topic = self._chambers.topics[max(0, bisect_right(self._sentence_starts, start) - 1)]
        free = self.lower.endswith(("free ", "freie ", "libre "), 0, start)
        if free and topic.side == "right" and not asked:
            return True
        if last and last.end > scope:
            return last.fields == ("",)
        markers = self._chambers.between(scope, start)
        return not asked and bool(markers) and markers[-1].side in ("right", "atrium")

    def ventricle(self, mention: Mention, i: int) -> Ventricle | None:
        """Return the ventricle that the context gives a term for a number: "55 % on the right" comes first."""
        side = _SIDE_BEHIND.match(self.lower, self.spans[i][1]) if mention.bare else None
        if side:
            return Ventricle("left" if side[1] == "left" else "right", sure=True)
        return super().ventricle(mention, i)

    def pair(self, i: int) -> tuple[Side, Side] | None:
        """Return the order of "LV/RV", also behind ("62/57 % (L/R)"), or of both ventricles before a list: "VI y VD: FE 60 y 55 %"."""
        behind = _PAIR_BEHIND.match(self.lower, self.spans[i + 1][1]) if self.numbers[i].link else None
        if behind:
            return ("left", "right") if behind[1] else ("right", "left")
        order = super().pair(i)
        if order or self.numbers[i].link != "list":
            return order
        markers = self._chambers.between(self._bounds[self.sentence(i)][0], self.spans[i][0])
        sides = [marker.side for marker in markers[-2:]]
        if sides[-1:] == ["both"]:
            return "left", "right"
        together = set(sides) == {"left", "right"} and markers[-1].start - markers[-2].end < _BESIDE
        return (sides[0], sides[1]) if together else None

    def spoken_of(self, i: int) -> Side | None:
        """Return the ventricle that alone is named before a number, in its sentence or by its heading."""
        start, k = self.spans[i][0], self.sentence(i)
        first = max(self._bounds[k][0], start - _FAR)
        markers = self._chambers.between(first, start)
        topic = self._chambers.topics[k]
        place = markers[-1].end if markers else first
        if bisect_left(self._starts, place) < bisect_left(self._starts, start):
            return None  # a term stands between
        if markers:
            return markers[-1].side
        return topic.side if topic.sure else None

    def beside_ventricle(self, i: int) -> bool:
        """Say whether a ventricle stands right before a number, as in "EF 58. RV 51."."""
        start = self.spans[i][0]
        markers = self._chambers.between(start - _BESIDE, start)
        return bool(markers) and self.lower[markers[-1].end : start].strip(" :=") == ""
