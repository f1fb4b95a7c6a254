"""Where a report names a measurement: whole words, whatever their case, accents and hyphens, the longest term first."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from extractor.chambers import Side, side_of
from extractor.folding import fold, words
from extractor.lexicon import CLAUSE_ENDS, DOUBT, NO_AGENT, NOT_LOOKED, VENTRICULAR_TERMS

# A word; the letters before a digit ("LVEF55%"), though not of "T1"; a sign that a term may hold ("T2*", "% LGE").
_TOKEN: Final = re.compile(r"[^\W\d_]{2,}(?=[0-9])|[^\W_]+|[*\u2217%]")
_GAP: Final = re.compile(r"\s{0,2}[-\u2010\u2011\u2013/('\u2019]?\s?")
_DOTTED: Final = frozenset(
    (*("max", "min", "li", "re", "ed", "es", "d"), *("enddiastol", "endsystol", "enddiast", "endsyst"))
)
_PURE_SIDE: Final = frozenset({"lv", "rv", "vi", "vd", "vg"})
_NOT_LOOKED: Final = re.compile(NOT_LOOKED)
_NO_AGENT: Final = words(NO_AGENT)
_DOUBT: Final = words(DOUBT)
_SUSPECTED: Final = re.compile(r"(?<![^\W_])v\. ?a\.")  # "V. a. Thrombus": its dots end no clause
_CLAUSE_END: Final = re.compile(CLAUSE_ENDS)
_VENTRICULAR: Final = re.compile(rf"(?<![^\W_])(?:{VENTRICULAR_TERMS})(?![^\W_])")


@dataclass(frozen=True)
class Mention:
    """A term at a place of the folded text, and the fields that list it.

    `side` is the ventricle that the term itself names. `bare` terms are those that both ventricles share. `stem` are the fields
    of the shorter term that it begins with: "LVEDV (index)" heads a volume, too.
    """

    start: int
    end: int
    fields: tuple[str, ...]
    side: Side | None
    bare: bool
    stem: tuple[str, ...] = ()


class _Node:
    __slots__ = ("fields", "next")

    def __init__(self) -> None:
        self.next: dict[str, _Node] = {}
        self.fields: list[str] = []


class Terms:
    """The terms of several fields, compiled into a trie of words: one pass over a report finds them all."""

    def __init__(self, terms: Mapping[str, tuple[str, ...]]) -> None:
        self._root = _Node()
        self.sides: dict[str, Side] = {}
        for field, written in terms.items():
            folded = [fold(term).lower for term in written]
            for term in folded:
                self._add(field, [match.group().replace("\u2217", "*") for match in _TOKEN.finditer(term)])
            side = _side_of_field(field, folded)
            if side:
                self.sides[field] = side

    def _add(self, field: str, tokens: list[str]) -> None:
        node = self._root
        for token in tokens:
            node = node.next.setdefault(token, _Node())
        if tokens and field not in node.fields:
            node.fields.append(field)

    def find(self, lower: str, barred: list[tuple[int, int]]) -> Iterator[Mention]:
        """Yield the leftmost longest mentions. No mention reaches into a `barred` span ("LV/RV")."""
        tokens = [(m.group().replace("\u2217", "*"), m.start(), m.end()) for m in _TOKEN.finditer(lower)]
        bars = iter([*barred, (len(lower) + 1, len(lower) + 1)])
        bar = next(bars)
        free: list[tuple[str, int, int] | None] = []
        for token in tokens:
            while bar[1] <= token[1]:
                bar = next(bars)
            free.append(None if token[2] > bar[0] else token)
        i = 0
        while i < len(free):
            length, fields = self._longest(lower, free, i)
            if length:
                yield self._mention(lower, free, i, i + length, fields)
            i += length or 1

    def mentioned(self, lower: str) -> bool:
        """Whether a text, as `spoken` gives it, holds any of the terms, other than to say that nobody looked."""
        return any(not _NOT_LOOKED.match(lower, mention.end) for mention in self.find(lower, []))

    def _longest(
        self, lower: str, tokens: list[tuple[str, int, int] | None], i: int, end: int | None = None
    ) -> tuple[int, list[str]]:
        node, best, fields, last = self._root, 0, [], 0
        for j in range(i, len(tokens) if end is None else end):
            token = tokens[j]
            if token is None or (j > i and not _joined(lower, tokens[j - 1], token)):
                break
            following = node.next.get(token[0])
            if following is None:
                # "T2" isn't the name of a T2*.
                if token[0] == "*" and best == j - i and token[1] == last:
                    return 0, []
                break
            node, last = following, token[2]
            if node.fields:
                best, fields = j - i + 1, list(node.fields)
        return best, fields

    def _mention(
        self, lower: str, tokens: list[tuple[str, int, int] | None], i: int, j: int, fields: list[str]
    ) -> Mention:
        """Make a mention of tokens `i` to `j`, less "LV" before or behind it: "EF LV 45 %, RV 50 %" is about both."""
        for a, b in ((i, j - 1), (i + 1, j)):
            dropped = tokens[j - 1 if b < j else i]
            if b > a and dropped and dropped[0] in _PURE_SIDE:
                length, shorter = self._longest(lower, tokens[:b][a:], 0)
                if length == b - a:
                    i, j, fields = a, b, shorter
                    break
        first, last = tokens[i], tokens[j - 1]
        if first and first[0] == "%":  # it may be the unit of the number before: "EF 60 % LV mass 112 g"
            fields = list(dict.fromkeys([*fields, *self._longest(lower, tokens[:j], i + 1)[1]]))
        start, end = first[1] if first else 0, last[2] if last else 0
        text = lower[start:end]
        side = side_of(text)
        bare = side is None and _VENTRICULAR.search(text) is not None
        return Mention(
            start, end, tuple(fields), side, bare, tuple(self._longest(lower, tokens, i, j - 1)[1])
        )


def _joined(lower: str, before: tuple[str, int, int] | None, token: tuple[str, int, int]) -> bool:
    if before is None:
        return False
    gap = lower[before[2] : token[1]]
    if token[0] == "index" and "/" in gap:
        return False  # a row "LVEDV / Index" holds the volume too
    if before[0] == "%" and "\n" in gap:
        return False  # the unit that ends a row begins no term: "LVEF 35 %", then "LV mass 136 g"
    return _GAP.fullmatch(gap) is not None or (before[0] in _DOTTED and gap.strip() == ".")


def _side_of_field(field: str, terms: list[str]) -> Side | None:
    """Return the ventricle of a field: named by its key, or by a quarter of its terms or more."""
    named = side_of(field.lower().replace(".", " ").replace("_", " "))
    if named:
        return named
    sides = [side_of(term) for term in terms]
    left, right = sides.count("left"), sides.count("right")
    if max(left, right) * 4 < len(terms) or left == right:
        return None
    return "left" if left > right else "right"


def spoken(text: str) -> str:
    """Return a text folded, and blank where it says that no contrast agent was given."""
    return _NO_AGENT.sub(lambda found: " " * len(found.group()), fold(text).lower)


def doubts(text: str, finders: Mapping[str, Terms]) -> set[str]:
    """Return what a text, as `spoken` gives it, says with doubt, of all that `finders` find: "thrombus cannot be excluded".

    A clause in which they find nothing speaks of the one before: "EF 51 %, borderline".
    """
    doubted: set[str] = set()
    text = _SUSPECTED.sub("verdacht auf", text)
    if _DOUBT.search(text):
        subject: set[str] = set()
        for clause in _CLAUSE_END.split(text):
            subject = {path for path, finder in finders.items() if finder.mentioned(clause)} or subject
            if _DOUBT.search(clause):
                doubted |= subject
    return doubted


@lru_cache(maxsize=512)
def compiled(terms: tuple[tuple[str, tuple[str, ...]], ...]) -> Terms:
    """Return the trie of a schema's terms, built once."""
    return Terms(dict(terms))
