"""Sentences of a report in English, German or Spanish: the closed set from which evidence is chosen.

Rules, not a model: a line break ends a sentence unless the line was only wrapped, a full stop ends one unless it
belongs to an abbreviation, an ordinal, an enumeration or a number. Where the rules doubt they join: a quote that
is too long still holds its evidence, half a quote may not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from extractor.folding import fold
from extractor.lexicon import ABBREVIATIONS, MONTHS, OPENERS, ORDINAL_NOUNS

LONGEST: Final = 600  # characters; a longer sentence is cut at a semicolon, a comma or a space

_BREAK: Final = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_END: Final = re.compile(
    r"(?:[.!?…](?![.!?…]))[\"'”\u2019»)\]]{0,2}(?=\s)|[^\W\d_]{4}\.(?=[A-ZÄÖÜÁÉÍÓÚÑ][a-zäöüß])|(?<=\s)(?=[•▪●‣]\s)"
)
_MONTH: Final = re.compile(rf"(?:{MONTHS})\b", re.IGNORECASE)
_BULLET: Final = re.compile(r"\s*(?:[-\u2013\u2014*•▪●‣·+>#|]|[0-9]{1,2}[.)]\s|[A-Za-z][.)]\s)")
_HEADING: Final = re.compile(r"\s*[^\s:|][^:|\n]{0,60}:(?=\s|$)")
_CELLS: Final = re.compile(r"\t|\||\S {3,}\S")
_CLOSES: Final = re.compile(r"[^()\n\r]*\)")
_ARTICLES: Final = frozenset({"d"})  # der, die, das
_FIRST_WORD: Final = re.compile(r"\s*(\S+)")


@dataclass(frozen=True)
class Sentence:
    """`report.text[start:end] == text`; sentences never overlap and come in order."""

    text: str
    start: int
    end: int


def split(text: str) -> tuple[Sentence, ...]:
    """Split a text so that every character but white space belongs to exactly one sentence."""
    cuts = sorted({0, len(text), *_line_cuts(text), *_stop_cuts(text)})
    pieces = (piece for start, end in pairwise(cuts) for piece in _shorten(text, start, end))
    return tuple(Sentence(text[start:end], start, end) for start, end in pieces)


def lines(text: str) -> list[tuple[int, int]]:
    """Return the span of every line, without its line break."""
    ends = [(match.start(), match.end()) for match in _BREAK.finditer(text)]
    starts = [0, *(after for _, after in ends)]
    return list(zip(starts, [*(before for before, _ in ends), len(text)], strict=True))


def _line_cuts(text: str) -> Iterator[int]:
    spans = lines(text)
    long = sorted((len(text[start:end].rstrip()) for start, end in spans), reverse=True)
    # A wrapped text has a right margin: at least three lines that nearly reach the longest.
    margin = long[0] if len(long) > 3 and long[2] >= 60 and long[0] <= long[2] + 12 else None
    for (start, end), (after, after_end) in pairwise(spans):
        if not _wrapped(text[start:end], text[after:after_end], margin):
            yield after


def _wrapped(line: str, following: str, margin: int | None) -> bool:
    """Say whether `following` only continues `line`: the writer's editor broke it, not the writer."""
    line, word = line.rstrip(), _FIRST_WORD.match(following)
    if word is None or len(line) < 40 or line[-1] in ".!?:;|":
        return False
    if (
        any(_CELLS.search(part) for part in (line, following))
        or _BULLET.match(following)
        or _HEADING.match(following)
    ):
        return False
    first = word[1][0]
    if first.islower() or (line[-1].islower() and (first.isdigit() or first == "(")):
        return True
    return margin is not None and len(line) + 1 + len(word[1]) > margin


def _stop_cuts(text: str) -> Iterator[int]:
    for match in _END.finditer(text):
        stop = match.group()
        dot = match.start() + stop.find(".")
        if "." not in stop or (_ends_sentence(text, dot, match.end()) and not _inside(text, match)):
            yield match.end()


def _inside(text: str, match: re.Match[str]) -> bool:
    """Say whether a full stop stands inside a short bracket, as in "(3.1 U. Wood)"."""
    before, after = text[max(0, match.start() - 60) : match.start()], text[match.end() : match.end() + 60]
    opened = _BREAK.split(before)[-1].rpartition("(")
    return bool(opened[1]) and ")" not in opened[2] and _CLOSES.match(after) is not None


def _ends_sentence(text: str, stop: int, end: int) -> bool:
    """Judge the full stop at `stop`; `end` is behind the brackets or quotes that follow it."""
    before = text[max(0, stop - 40) : stop]
    token = re.split(r"[\s(\[/]", before)[-1]
    following = text[end : end + 40].lstrip()
    if not token or not following:
        return True
    lower_follows = following[0].islower()
    if end > stop + 1:
        return not lower_follows
    counted = (
        re.search(r"(?<![A-Za-z])[0-9]\s?$", before[: len(before) - len(token)]) is not None
    )  # "49 ms.", "10 min."
    if fold(token).lower in ABBREVIATIONS and not counted:
        return _first_word(following) in OPENERS and following[0].isupper()
    # "1." opens a line or follows a finished statement: an enumeration, kept with what it numbers.
    enumerates = re.search(r"(?:^|[\n\r.;:!?])\s*$", before[: len(before) - len(token)]) is not None
    if len(token) == 1 and token.isalpha():
        # "z. B.", "V. a. Myokarditis", "b. Mitral valve", but "segment A. The"
        dotted = re.search(r"(?:^|\s)\w{1,2}\.\s*$", before[:-1]) is not None
        article = token in _ARTICLES and _first_word(following) not in OPENERS  # "11 % d. Masse"
        return not (dotted or enumerates or lower_follows or article or re.match(r"\w\.", following))
    if token.isdigit() and len(token) <= 2:
        ordinal = (
            lower_follows or _first_word(following) in ORDINAL_NOUNS or _MONTH.match(fold(following).lower)
        )
        return not (ordinal or enumerates)
    # Lower case follows: an abbreviation that isn't listed, unless a bracket, a percentage or a longer word
    # shows that a statement is complete; "RV ngr. (EDVI 72)", but not "thick. (B) Scar".
    bracket = re.match(r"\((?!\w\))", following) is not None
    return (
        not (lower_follows or bracket) or not token[-1].isalpha() or len(token) > 4 or following[1:2] == ")"
    )


def _first_word(text: str) -> str:
    word = re.match(r"[^\W\d_]*", text)
    return fold(word.group()).lower if word else ""


def _shorten(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the stripped span, cut into parts of at most `LONGEST` characters wherever that is possible."""
    while True:
        while start < end and text[start].isspace():
            start += 1
        if end - start <= LONGEST:
            break
        cut = _cut(text, start, start + LONGEST)
        if cut is None:
            break
        yield start, start + len(text[start:cut].rstrip())
        start = cut
    if start < end:
        yield start, start + len(text[start:end].rstrip())


_CUTS: Final = (
    re.compile(r".*;(?=\s)", re.DOTALL),
    re.compile(r".*,(?=\s)", re.DOTALL),
    re.compile(r".*[^\s\d<>≤≥~±](?=\s)", re.DOTALL),  # never between a number and its unit
)


def _cut(text: str, start: int, limit: int) -> int | None:
    for pattern in _CUTS:
        match = pattern.match(text, start, limit)
        if match and match.end() > start + LONGEST // 4:
            return match.end()
    return None
