"""What the wording's classifiers count: words, as names of features."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Final

from extractor.folding import fold
from extractor.report import Report
from extractor.terms import compiled, spoken
from schemas.fields import Quantity

STEPS: Final[Mapping[str, Sequence[float]]] = {
    "lvef": (35, 45, 52, 60),
    "rvef": (35, 45, 50),
    "lvedvi": (75, 95, 110, 130),
    "lvedv": (150, 200, 240),
    "rvedvi": (95, 110, 130),
    "max_wall_thickness": (12, 15, 18),
    "lv_mass_index": (60, 80, 100),
    "native_t1": (950, 1020, 1060, 1100),
    "t2": (52, 58),
    "t2_star": (20,),
    "ecv": (28, 32, 40),
}
"""Where numbers are cut for the diagnosis, in the units of cmr-report@1: near limits of normal (Kawel-Boehm et al. 2020, JCMR
22:87, tables of adults) and of what the prompts' criteria name (wall 15 mm, ECV 40 %, T2* 20 ms), with grades beyond.
"""

_WORD: Final = re.compile(r"\w\w+")
_TOKEN: Final = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)?|[%?<>≥≤;:(),.]")
_LAYOUT: Final = re.compile(rf"{_TOKEN.pattern}|[|/\[\]=\n-]")  # of tables as well
_PIECES: Final = (3, 4, 5)  # characters of a part of a word, where it begins or ends with a space
_AROUND: Final = 12  # words before and behind a term
_CLOSE: Final = 3  # of which those have their place told
_STEM: Final = 5  # letters: endings differ, in German and Spanish above all
_BEFORE, _BEHIND = 160, 100  # characters around a number that are looked at
_NEAR_BEFORE, _NEAR_BEHIND = 6, 5  # words around a number that are told in runs
_MOST: Final = 8  # words from a term to its number that are told, or counted


def of_report(text: str) -> set[str]:
    """Name what a whole text holds: its words, pairs of them, and the parts of each."""
    lower = fold(text).lower
    words = _WORD.findall(lower)
    pieces = {
        padded[i : i + size]
        for padded in (f" {word} " for word in set(lower.split()))
        for size in _PIECES
        for i in range(len(padded) - size + 1)
    }
    return pieces | {f"={word}" for word in words} | set(_runs(words, 2, "="))


def of_finding(path: str, terms: Sequence[str], sentences: Sequence[str]) -> set[str]:
    """Name the words around each mention of a finding in the sentences that speak of it, their stems, and those of its own
    clause, alone and with the finding's own name; and how many sentences they are.
    """
    name = path.rpartition(".")[2]
    finder = compiled(((path, tuple(terms)),))
    found = {name, f"#{min(len(sentences), 4)}"}
    for text in map(spoken, sentences):
        for mention in finder.find(text, []):
            before = _tokens(text[: mention.start])[-_AROUND:]
            behind = _tokens(text[mention.end :])[:_AROUND]
            around = [*before, "@", *behind]
            either = {f"<{word}" for word in before} | {f">{word}" for word in behind}
            either |= {f"<{word[:_STEM]}*" for word in before if len(word) > _STEM}
            either |= {f">{word[:_STEM]}*" for word in behind if len(word) > _STEM}
            either |= {f"[{word}" for word in takewhile(_in_clause, reversed(before))}
            either |= {f"]{word}" for word in takewhile(_in_clause, behind)}
            either |= {"@" + " ".join(_tokens(text[mention.start : mention.end])), *_runs(around, 2)}
            found |= either | {f"{name} {one}" for one in either} | set(_runs(around, 3))
            found |= set(_placed(before, behind))
    return found


def of_number(
    path: str, terms: Sequence[str], report: Report, options: Sequence[Quantity], i: int
) -> set[str]:
    """Name what stands around the `i`-th of the numbers that may answer a field, and between the field's nearest term before
    it and itself: each alone and with the field's own name.
    """
    name, number, lower = path.rpartition(".")[2], options[i], report.folded.lower
    start, end = (bisect_left(report.folded.index, place) for place in (number.start, number.end))
    first = max(0, start - _BEFORE)
    before = _tokens(lower[first:start], _LAYOUT)[-_AROUND:]
    behind = _tokens(lower[end : end + _BEHIND], _LAYOUT)[:_MOST]
    around = [*before[-_NEAR_BEFORE:], "@", *behind[:_NEAR_BEHIND]]
    found = {f"<{word}" for word in before} | {f">{word}" for word in behind} | set(_placed(before, behind))
    found |= {*_runs(around, 2), *_runs(around, 3)}
    found |= {"in " + " ".join(re.findall(r"[^\W\d]+|%", number.text.casefold())), f"#{i} of {len(options)}"}
    mentions = compiled(((path, tuple(terms)),)).find(lower[first:start], [])
    nearest = max(mentions, key=lambda one: one.end, default=None)
    if nearest is None:
        found.add("no term")
    else:
        term = _tokens(lower[first + nearest.start : first + nearest.end])
        gap = _tokens(lower[first + nearest.end : start], _LAYOUT)
        found |= {"term " + " ".join(term), f"gap {min(len(gap), _MOST)}", f"lines {min(gap.count('|'), 2)}"}
        found |= {f"gap {word}" for word in gap[:_MOST]}
    return {name} | found | {f"{name} {one}" for one in found}


def of_findings(chances: Mapping[str, Mapping[str, float]], numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the chance of each finding's labels, and 1 for the step that a number stands on."""
    values = {f"{path} {label}": p for path, own in chances.items() for label, p in own.items()}
    for path, number in numbers.items():
        if steps := STEPS.get(path.rpartition(".")[2]):
            values[f"{path} {bisect_right(steps, number)}"] = 1.0
    return values


def _in_clause(word: str) -> bool:
    return word not in ",;:."


def _placed(before: Sequence[str], behind: Sequence[str]) -> Iterator[str]:
    yield from (f"<{place}{word}" for place, word in enumerate(before[: -_CLOSE - 1 : -1]))
    yield from (f">{place}{word}" for place, word in enumerate(behind[:_CLOSE]))


def _runs(words: Sequence[str], size: int, mark: str = "") -> Iterator[str]:
    return (mark + " ".join(words[i : i + size]) for i in range(len(words) - size + 1))


def _tokens(text: str, tokens: re.Pattern[str] = _TOKEN) -> list[str]:
    """Words and signs; one number is like another."""
    found = tokens.findall(text)
    return ["0" if word[0].isdigit() else "|" if word == "\n" else word for word in found]
