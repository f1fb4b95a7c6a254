"""Text without case and diacritics, so that one spelling of a term finds "Ejektionsfraktion", "EYECCIÓN" and "eyección"."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Folded:
    """`plain` keeps case but no diacritics, `lower` has neither; both have the same length.

    `index[i]` is the position in the original of their character i, so that spans can be given back.
    """

    plain: str
    lower: str
    index: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the original's span of a non-empty folded span."""
        return self.index[start], self.index[end - 1] + 1


@lru_cache(maxsize=4096)
def _plain(char: str) -> str:
    """Return one character without its diacritics, or nothing for a combining mark."""
    return "".join(c for c in unicodedata.normalize("NFD", char) if not unicodedata.combining(c))[:1]


def fold(text: str) -> Folded:
    """Fold a text. Linear, and the identity on positions unless the text holds combining marks."""
    if text.isascii():
        return Folded(text, text.lower(), range(len(text)))
    kept = [(i, plain) for i, char in enumerate(text) if (plain := _plain(char))]
    # Some letters have a lower case of two characters ("İ"): only the first one is kept, so lengths agree.
    lower = "".join(plain.lower()[:1] for _, plain in kept)
    return Folded("".join(plain for _, plain in kept), lower, [i for i, _ in kept])


def words(expression: str) -> re.Pattern[str]:
    """Compile alternatives of the lexicon to match whole words of a `lower` text."""
    return re.compile(rf"(?<![^\W_])(?:{expression})(?![^\W_])")
