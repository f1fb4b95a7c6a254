"""Every number of a report, with its unit and with what it stands for: a measurement, a normal limit, a date, ...

Spans are of the original text. A number's span covers the number, a comparator before it and the unit behind it
where they are adjacent ("54,3 %", ">60%", "22mm"); where the unit stands elsewhere ("LVEDV (ml): 143", "180/95 ml",
a table's heading) the unit is known but the span is the number alone.

A measured range ("40-45 %") gives both of its bounds, each a number that stands in the report; their midpoint does
not, so nobody is offered it. Decimal and thousands separators: whichever of "." and "," is followed by one or two
digits in this report is its decimal separator; without such evidence "1,050" is read the English way, and three
digits before "ms" are always thousands, as no relaxation time is printed to the microsecond.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

from extractor.folding import Folded
from extractor.lexicon import INDEX_HEADER, MONTHS
from extractor.tables import Tables
from extractor.units import GAP, UNIT, UNKNOWN, canonical, read

Kind = Literal["value", "reference", "spread", "date", "age", "label", "dose", "acquisition", "elsewhere"]
"""`reference` is a normal range or limit, `spread` the part behind ±, `label` a name: segment 7, Fig. 2, 17-segment,
`acquisition` how the images were made: TE, slice thickness, field strength, `elsewhere` measured by echo or catheter. Only a `value` can be an answer."""

Link = Literal["pair", "size", "range", "spread", "list"]
"""How a number is joined to the next: 180/95, 31 x 7, 40-45, 52 ± 3, "16, 17 and 19"."""


@dataclass(frozen=True)
class Number:
    """A number as written, with its unit: `report.text[start:end] == text`.

    `is_range_bound`: one end of a measured range. `is_prior`: of an earlier study. `link`: how the next number
    is joined to this one.
    """

    text: str
    value: float
    unit: str | None
    start: int
    end: int
    kind: Kind = "value"
    comparator: str = ""
    is_range_bound: bool = False
    is_prior: bool = False
    link: Link | None = None


_DAY, _MONTH, _YEAR = "(?:0?[1-9]|[12][0-9]|3[01])", "(?:0?[1-9]|1[0-2])", "(?:19|20)[0-9]{2}"
_DATES: Final = re.compile(
    rf"(?<![0-9.,/-])(?:{_DAY}\.{_MONTH}\.(?:{_YEAR}|[0-9]{{2}})|(?<=(?:am|om) ){_DAY}\.{_MONTH}\.|"
    rf"(?:{_DAY}/{_MONTH}|{_MONTH}/{_DAY})/(?:{_YEAR}|[0-9]{{2}}(?!\s?(?:m|%|cm|g)))|{_MONTH}[/.]{_YEAR}|"
    rf"{_YEAR}-(?:0[1-9]|1[0-2])(?:-{_DAY})?|{_DAY}-{_MONTH}-{_YEAR}|"
    r"(?:[01]?[0-9]|2[0-4]):[0-5][0-9](?::[0-5][0-9])?(?:\s?(?:h|uhr|am|pm)\b)?|"
    rf"{_DAY}(?:\.|st|nd|rd|th)?(?: de)? (?:{MONTHS})\b\.?,?(?: del?)? {_YEAR}|(?<=(?:am|om|on|el) ){_DAY}\.?(?: de)? (?:{MONTHS})\b)"
    rf"(?![0-9])|\b(?:{MONTHS})\.? {_DAY}(?:st|nd|rd|th)?,? {_YEAR}\b"
)
_NUMBER: Final = re.compile(
    r"(?:(?<!\w)|(?<=[0-9][xX])|(?<=[A-Za-z]{3}))(?<![0-9][.,])(?:"
    r"[0-9]{1,3}(?:[\u2009\u202f'\u2019][0-9]{3})+(?:[.,][0-9]{1,6})?|"
    # "1 168 ms": a plain space only where a relaxation time must be meant
    r"[12][ \u00a0][0-9]{3}(?=\s?(?:(?:±|\+/-|[-\u2013]|[aà]|to|bis)\s?(?:[12][ \u00a0])?[0-9]{1,4}\s?)?ms\b)|"
    r"[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]{1,6}|[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]{1,6}|"
    r"[0-9]{1,3}(?:\.[0-9]{3}){2,4}|[0-9]{1,3}(?:,[0-9]{3}){2,4}|"
    r"[0-9]{1,12}[.,][0-9]{1,8}|[0-9]{1,12}|(?<=[\s(=])\.[0-9]{1,3})(?![0-9]|[.,][0-9])"
)
_ADJACENT: Final = re.compile(rf"{GAP}{{0,2}}[-\u2011]?{GAP}?")
_ASIDE: Final = re.compile(rf"{GAP}{{0,2}}(?:[(\[|]|\t| ){GAP}{{0,6}}")
_BEFORE: Final = re.compile(
    r"(?:[(\[]\s?|\b(?:in|en) )([^\s()\[\]:=|]{1,12})\s?[)\]]?[ \t:=|]{0,8}\Z|(?<![0-9])\s(%)[ \t:=|]{0,8}\Z"
)
_COMPARATOR: Final = re.compile(r"(?:[<>]=|=[<>]|[<>≤≥~≈\u223c])[ \u00a0]?$")
_SIGN: Final = re.compile(r"[^\s0-9%²][ \t(\[=:]{1,3}[-\u2212\u2013]$|[(\[=:][-\u2212\u2013]$")
_LINKS: Final[tuple[tuple[Link, re.Pattern[str]], ...]] = (
    ("spread", re.compile(r"\s?(?:±|\+/-)\s?")),
    ("pair", re.compile(r"\s?/\s?")),
    ("size", re.compile(r"\s?(?:[xX\u00d7*]|by|mal|por)\s?")),
    ("range", re.compile(r"\s?(?:[-\u2013\u2014\u2011\u2212]|to|bis|a|hasta|until)\s?")),
    ("list", re.compile(r"\s?(?:,|;|&|(?:, )?(?:and|und|y|e|or|oder|o|bzw\.?))\s?")),
)
_BETWEEN: Final = re.compile(r"(?:between|zwischen|entre) $")
_INDEXED: Final = re.compile(INDEX_HEADER, re.IGNORECASE)
_UNIT_AND_INDEX: Final = re.compile(
    r"[\s,(\[]([A-Za-z]{1,3})\s?[(\[]\s?([A-Za-z]{1,3}\s?/\s?[^()\[\]]{1,6})[)\]]$"
)
_PER_BODY: Final = ("mL", "g")
_NAME_AND_UNIT: Final = re.compile(
    r"[\s|]*[A-Za-z-]+(?: [A-Za-z-]+)?\s?[(\[][A-Za-z]{1,3}[)\]][\s|]{2}[0-9./\s|]*$"
)
_NAMED_IN: Final = 100  # characters from a line's start to its value
_BODY_SURFACE: Final = (1.2, 2.7)  # m2
_LABEL_TAIL: Final = re.compile(r"(?![xX\u00d7][0-9])(?:[^\W\d_]|[-\u2011][^\W\d_])")


def find(folded: Folded, tables: Tables) -> list[Number]:
    """Return every number in reading order, in the positions of `folded`, all of kind `value` or `label`.

    `extractor.roles` says what each stands for and brings the positions back to the original text.
    """
    matches = list(_bare(folded))
    decimal = _decimal_separator(folded.plain, matches)
    found: list[Number] = []
    for match in matches:
        if not found or match.start() >= found[-1].end:  # the 1 of "2.6:1" is part of its unit
            found.append(_number(folded.plain, match, decimal))
    return [_thousands(number) for number in _share_units(folded.plain, tables, _linked(folded.lower, found))]


def _bare(folded: Folded) -> Iterator[re.Match[str]]:
    """Yield the matches of numbers that are no part of a date or a time."""
    dates = _DATES.finditer(folded.lower)
    date = next(dates, None)
    for match in _NUMBER.finditer(folded.plain):
        while date is not None and date.end() <= match.start():
            date = next(dates, None)
        if date is None or match.end() <= date.start():
            yield match


def _decimal_separator(text: str, matches: list[re.Match[str]]) -> str | None:
    """Return the separator that this report puts before one or two decimals, if it does so at all."""
    votes = {".": 0, ",": 0}
    for match in matches:
        body = match.group()
        # "1.5 T" is written with a point in every language.
        if (
            len(body) > 2
            and (body[-2] in votes or body[-3] in votes)
            and text[match.end() : match.end() + 2].strip() != "T"
        ):
            votes["." if "." in body[-3:] else ","] += 1
    if votes["."] == votes[","]:
        return None
    return max(votes, key=lambda separator: votes[separator])


def _value(body: str, decimal: str | None, unit: str | None) -> float:
    """Read a number's digits. See the module's docstring for the ambiguous ones."""
    body = re.sub("[ \u00a0\u2009\u202f'\u2019]", "", body)
    separators = [char for char in body if char in ".,"]
    if not separators:
        return float(body)
    if len(set(separators)) == 2:  # the last one is the decimal separator
        decimal = separators[-1]
    elif len(separators) > 1:
        decimal = None
    elif len(body) - body.index(separators[0]) == 4 and body[0] not in "0.,":  # 1.050 or 1,050
        if unit == "ms" or decimal not in (None, separators[0]):
            decimal = None
        elif decimal is None:
            decimal = "."
    else:
        decimal = separators[0]
    return float("".join("." if char == decimal else "" if char in ".," else char for char in body))


def _thousands(number: Number) -> Number:
    """Read "1,010 ± 35 ms" again, now that its unit is known."""
    body = number.text[len(number.comparator) :].strip()
    if number.unit != "ms" or not re.fullmatch("[1-9][.,][0-9]{3}", body):
        return number
    return replace(number, value=_value(body, None, "ms"))


def _number(text: str, match: re.Match[str], decimal: str | None) -> Number:
    start, end = match.span()
    unit, unit_end = _unit_behind(text, end)
    value = _value(match.group(), decimal, unit)
    # "T1", "4-chamber", "CO2"; but "LVEF55%" is a slip of the space bar.
    attached = _LABEL_TAIL.match(text, end) or re.match(r"[^\W\d_](?<![xX])", text[max(0, start - 1) : start])
    if text[end : end + 1] == "-" and unit == "segments":
        unit, unit_end = None, end  # "17-segment model"
    label = unit is None and attached is not None
    comparator = _COMPARATOR.search(text, max(0, start - 3), start)
    if comparator:
        start = comparator.start()
    elif _SIGN.search(text, max(0, start - 5), start):
        start, value = start - 1, -value
    return Number(
        text=text[start:unit_end],
        value=value,
        unit=unit,
        start=start,
        end=unit_end,
        kind="label" if label else "value",
        comparator=comparator.group().strip() if comparator else "",
    )


def _unit_behind(text: str, end: int) -> tuple[str | None, int]:
    """Return the unit behind a number and the end of its span: behind the unit where nothing stands between."""
    adjacent = _ADJACENT.match(text, end)
    match = UNIT.match(text, adjacent.end() if adjacent else end)
    if match:
        unknown = UNKNOWN.match(text, match.end())
        return (text[match.start() : unknown.end()], unknown.end()) if unknown else (read(match), match.end())
    aside = _ASIDE.match(text, end)
    match = UNIT.match(text, aside.end()) if aside else None
    # "143 [ml]" and "| 143 | ml |", but not "55 (g...": the bracket or the cell must hold the unit alone.
    if match and re.compile(rf"{GAP}*(?:[)\]|\t\n\r]|$)").match(text, match.end()):
        return read(match), end
    return None, end


def _linked(lower: str, numbers: list[Number]) -> list[Number]:
    """Say of each number how it is joined to the next one."""
    linked = list(numbers)
    for i, (number, following) in enumerate(pairwise(numbers)):
        gap = lower[number.end : following.start]
        if len(gap) > 12 or number.kind == "label":
            continue
        link = next((link for link, pattern in _LINKS if pattern.fullmatch(gap)), None)
        if link == "list" and _BETWEEN.search(lower, max(0, number.start - 10), number.start):
            link = "range"
        if link == "range" and number.value >= following.value:
            link = None
        if link == "range":
            linked[i + 1] = replace(following, is_range_bound=True)
            linked[i] = replace(linked[i], is_range_bound=True)
        linked[i] = replace(linked[i], link=link)
    return linked


def _share_units(text: str, tables: Tables, numbers: list[Number]) -> list[Number]:
    """Give numbers the unit that stands once for several: behind the last, before the first, in a table's heading."""
    shared = list(numbers)
    for i in range(len(shared) - 2, -1, -1):
        number = shared[i]
        if number.link and number.unit is None and number.kind == "value" and not _is_year(number):
            shared[i] = replace(number, unit=shared[i + 1].unit)
    for i, number in enumerate(shared):
        if number.unit is not None or number.kind != "value":
            continue
        previous = shared[i - 1] if i else None
        if previous and _indexes(text, previous, number):
            shared[i] = replace(number, unit="1/m2")
            continue
        unit = _unit_before(text, number) or _unit_of_row(text, tables, number)
        if unit is None and previous and previous.link in ("pair", "range", "size", "spread"):
            unit = previous.unit
        shared[i] = replace(number, unit=unit)
    return shared


def _indexes(text: str, value: Number, number: Number) -> bool:
    """Say whether a number is the one before it per body surface: "182 ml (94)", and behind "EDV [ml]" "168 / 87"."""
    if value.unit not in _PER_BODY or not number.value:
        return False
    bracketed = (
        text[value.end : number.start].strip() in ("(", "[") and text[number.end : number.end + 1] in ")]"
    )
    line = text.rfind("\n", max(0, value.start - _NAMED_IN), value.start) + 1
    paired = value.link == "pair" and line > 0 and _NAME_AND_UNIT.match(text, line, value.start) is not None
    return (bracketed or paired) and _BODY_SURFACE[0] < value.value / number.value < _BODY_SURFACE[1]


def _is_year(number: Number) -> bool:
    return number.unit is None and re.fullmatch("(?:19|20)[0-9]{2}", number.text) is not None


def _unit_before(text: str, number: Number) -> str | None:
    match = _BEFORE.search(text, max(0, number.start - 28), number.start)
    unit = canonical(match[1] or match[2]) if match else None
    return None if unit == "segments" else unit  # "in segments 2 and 3" names them


def _unit_of_row(text: str, tables: Tables, number: Number) -> str | None:
    cell = tables.at(number.start)
    if cell is None:
        return None
    indexed = any(_INDEXED.fullmatch(text, *span) for span in (cell.label, cell.header) if span)
    if re.search(r"[^\W\d_]", text[cell.start : cell.end]):
        return "1/m2" if indexed else None
    for start, end in [*cell.row[:12], *([cell.header] if cell.header else [])]:
        piece = text[start:end]
        if two := _UNIT_AND_INDEX.search(piece):  # "VTD ml (ml/m²)" over "121 (71)"
            return canonical(two[2 if text[number.start - 1] in "([" else 1])
        match = re.search(r"[(\[]\s?([^()\[\]]{1,12}|%[^()\[\]]{1,20})[)\]]$", piece)
        unit = canonical("%" if match[1][0] == "%" else match[1]) if match else None
        unit = unit or (canonical(piece) if piece and piece != "1" else None)
        if unit:
            return f"{unit}/m2" if indexed and unit in _PER_BODY else unit
    return "1/m2" if indexed else None
