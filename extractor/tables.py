"""Tables inside plain text: rows whose cells stand apart by bars, tabs or runs of spaces.

    Parameter      LV      RV      Normal
    EF (%)         45      50      57-77

A number in such a row means what its row's first cell and its column's heading say.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

from extractor.sentences import lines

_SEPARATORS: Final = (re.compile(r"\|"), re.compile(r"\t+"), re.compile(r" {2,}"))
Span = tuple[int, int]

_RULE: Final = re.compile(r"[\s|:=+_-]*")
_WIDEST: Final = 12  # cells of a row that goes on from the row above
_LONGEST_CELL: Final = 60  # characters; anything longer is prose with a stray tab


@dataclass(frozen=True)
class Cell:
    """One cell: its span, its row's first cell (`label`) and its column's topmost cell (`header`), as spans."""

    start: int
    end: int
    label: Span
    header: Span | None
    row: tuple[Span, ...]


class Tables:
    """The cells of a text, found by position."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._cells: list[Cell] = []
        block: list[list[Span]] = []
        kind = -1
        blank = False
        for start, end in lines(text):
            if block and _RULE.fullmatch(text, start, end):
                blank = blank or not text[start:end].strip()
                continue
            found, row = _row(text, start, end)
            # A table goes on behind a blank line, unless what stands there is a heading of its own.
            new = blank and not self._numeric((start, end))
            blank = False
            if found != kind or not row or new:
                self._close(block, kind)
                block, kind = [], found
            if row:
                block.append(row)
        self._close(block, kind)
        self._starts = [cell.start for cell in self._cells]

    def at(self, position: int) -> Cell | None:
        """Return the cell that holds a position, if it stands in a table at all."""
        i = bisect_right(self._starts, position) - 1
        return self._cells[i] if i >= 0 and position < self._cells[i].end else None

    def _close(self, block: list[list[Span]], kind: int) -> None:
        header = block[0] if len(block) > 1 else None
        wide = header if kind == 2 and header and not any(map(self._numeric, header)) else None
        label: Span | None = None
        for i, row in enumerate(block):
            whole = tuple(row)
            goes_on = label is not None and self._continues(row, label, block[i - 1])
            label = label if goes_on and label else row[0]
            for column, (start, end) in enumerate(row):
                if start < end:
                    head = _head(header, row, column) if header is not None and i else None
                    if head is None and wide and i:
                        head = self._above(wide, (start, end))
                    if header is not None and goes_on:
                        head = next(
                            (span for span in header[:_WIDEST] if self._overlap(span, (start, end))), head
                        )
                    self._cells.append(Cell(start, end, label, head, whole))

    def _continues(self, row: list[Span], label: Span, above: list[Span]) -> bool:
        """Say whether a row has no first cell, but a number below the row above: the index below its volume."""
        if len(row) > _WIDEST or not self._text[row[0][0] : row[0][0] + 1].isdigit():
            return False
        return self._left(row[0]) > self._left(label) and self._overlap(row[0], above[above[0] == label])

    def _numeric(self, span: Span) -> bool:
        return any(character.isdigit() for character in self._text[slice(*span)])

    def _above(self, header: list[Span], cell: Span) -> Span | None:
        """Return the heading that begins last before a cell: "LEFT VENTRICLE" over two columns, names and values."""
        return next((span for span in reversed(header) if self._left(span) <= self._left(cell)), None)

    def _left(self, span: Span) -> int:
        return span[0] - self._text.rfind("\n", 0, span[0])

    def _overlap(self, one: Span, other: Span) -> bool:
        """Say whether two cells stand one above the other."""
        left, right = self._left(one), self._left(other)
        return left < right + other[1] - other[0] and right < left + one[1] - one[0]


def _head(header: list[Span], row: list[Span], column: int) -> Span | None:
    """Return the heading above a cell. An empty corner made of spaces is lost: then columns count from the right."""
    if len(header) == len(row):
        return header[column]
    return header[column - 1] if len(header) == len(row) - 1 and column else None


def _row(text: str, start: int, end: int) -> tuple[int, list[Span]]:
    """Return the kind of separator and the cells' spans, or (-1, []) where the line is no row."""
    line = _strip(text, start, end)
    for kind, separator in enumerate(_SEPARATORS):
        cuts = [match.span() for match in separator.finditer(text, *line)]
        if not cuts:
            continue
        starts = [line[0], *(after for _, after in cuts)]
        ends = [*(before for before, _ in cuts), line[1]]
        cells = [_strip(text, a, b) for a, b in zip(starts, ends, strict=True)]
        if kind == 0:  # "| a | b |": the outer bars enclose nothing
            cells = cells[line[0] == cuts[0][0] : len(cells) - (line[1] == cuts[-1][1])]
        prose = any(b - a > _LONGEST_CELL or (kind == 2 and text[b - 1] == ".") for a, b in cells)
        return (-1, []) if prose or len(cells) < 2 else (kind, cells)
    return -1, []


def _strip(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip(" "))
    return start, max(start, start + len(piece.strip(" ")))
