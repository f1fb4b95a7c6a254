"""What a number stands for: a measurement, a normal limit, a name, a dose, an earlier study's value.

Each rule looks only at a window of the number's own sentence, its bracket and its table column, so the whole is
linear in the length of the report. A rule that is wrong costs an option, so they ask for explicit words.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from extractor import lexicon as words_of
from extractor.folding import Folded, words
from extractor.prior import Place, Sections, is_difference, is_prior
from extractor.quantities import Kind, Number, find
from extractor.sentences import Sentence
from extractor.tables import Tables
from extractor.units import UNIT, read

_FILLERS = rf"(?:[^\w;,()\[\]]*(?:{words_of.NORMAL_FILLERS})(?![^\W_]))*[^\w;,()\[\]]*$"
_STRONG: Final = re.compile(rf"(?<![^\W_])(?:{words_of.NORMAL_STRONG})(?![^\W_]){_FILLERS}")
_WEAK: Final = re.compile(rf"(?<![^\W_])(?:{words_of.NORMAL_WEAK})(?![^\W_]){_FILLERS}")
_COLON: Final = re.compile(r"(?<![^\W_])(?:normal|norm|n)\s?[:=]\s?[<>≤≥]*\s?$")
_WITHIN: Final = re.compile(r"(?<![^\W_])(?:within|in|im|innerhalb|en|dentro)(?: [^\W\d_]{1,4}){0,2} $")
_LABEL: Final = re.compile(rf"(?<![^\W_])(?:{words_of.LABEL_WORDS})\s?[:.#-]{{0,2}}\s?$|#\s?$")
# A grade of transmurality: "transmural (over 75 %)", "subendocardial, < 50 %", but not "subendocardial, > 10 % of LV mass".
_GRADE: Final = re.compile(
    r"(?:transmural|subendo)[^.;%0-9]{0,60}(?:(?:over|above|(?:more|less) than|under|up to|uber|unter|bis|mehr als|"
    r"weniger als|ma[sy](?:or)? (?:al|del?)|menor (?:al|del?)|menos del?) |[<>≤≥]=? ?)[0-9]+ ?%?$|"
    r"(?:depth|tiefe|transmuralit[a-z]*|transmuralidad)[ :=]{1,3}[0-9]+ ?%?$"
)
_OF: Final = re.compile(r" ?%? ?(?:of|der|d\.|des|de|del)\s")
_DEPTH: Final = re.compile(
    r" ?%?(?: ?[-\u2013] ?[0-9]{1,3} ?%)? ?(?:percent )?(?:of |der |del |de la |de l.|van de |dello )?(?:the )?"
    r"(?:myocardial |full )?(?:wall|thickness|depth|transmural|subendo|wanddicke|wandstarke|espesor|grosor|epaisseur|"
    r"spessore|wanddikte)"
)
_AGE: Final = re.compile(rf"(?<![^\W_])(?:{words_of.AGE_WORDS})\s?:?\s?$")
_AGE_BEHIND: Final = re.compile(r"[- ]?(?:year|yr|jahrig|j\.|jahre|anos|y/?o\b)")
_ACQUISITION: Final = re.compile(
    rf"(?<![^\W_])(?:{words_of.ACQUISITION_WORDS})(?![^\W_])[^\w;]*(?:of|von|de)?\s*$"
)
_AGENT: Final = words(words_of.AGENT_WORDS)
_HEADER: Final = words(words_of.REFERENCE_HEADER)
_REFERENCES: Final = re.compile(words_of.NORMAL_STRONG)
_ITEM: Final = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,2})?")
_LINE_OPENING: Final = re.compile(r"(?:^|[\n\r])[ \t(]*$")
_OPENING: Final = re.compile(r"(?:^|[\n\r.;])[ \t]*$")
_ONLY_COMPARATORS: Final = re.compile(r"[\s<>≤≥=]*")
_FEW_WORDS: Final = re.compile(r"(?: [^\W\d_]+(?:-[^\W\d_]+)?){1,5} ")  # "71 ml in systole [26-82]"
_NOT_CLAUSE: Final = re.compile(r"[;,.](?=\s)")
_DOSES: Final = frozenset({"mL", "mg", "mmol", "mmol/kg", "mL/kg", "mL/s"})
_OF_A_VENTRICLE: Final = re.compile(
    r"(?<![^\W_])(?:[lr]v[a-z]*|v[id]|[a-z]*(?:edv|esv|vtd|vts|tdv|tsv)[a-z]*|[a-z]*(?:diastol|systol|sistol)[a-z]*|masse?|masa)(?![^\W_])"
)
_MODALITY: Final = words(words_of.OTHER_MODALITY)
_THIS: Final = words(words_of.THIS_MODALITY)
_CLAUSE_BREAK: Final = re.compile(
    r"[;,.](?=\s)|[()\[\]\n]| (?:but|while|whereas|aber|wahrend|pero|mientras) "
)
_MODALITY_OPENS: Final = re.compile(
    rf"[^\w\n]{{0,4}}(?:{words_of.OTHER_MODALITY})(?![^\W_])(?! ?(?:{words_of.NO_VIEW}))[^:\n]{{0,20}}:"
)
_MODALITY_BEHIND: Final = re.compile(
    rf" (?:by|on|in|at|from|im|in der|laut|nach|por|en) (?:the |la |el )?(?:{words_of.OTHER_MODALITY})(?![^\W_])|"
    rf" ?[(\[](?:{words_of.OTHER_MODALITY})[)\]]"
)
_COMPARED: Final = re.compile(rf"(?<![^\W_])(?:{words_of.COMPARED_WITH}) (?:the |der |dem |la |el )?$")
_COMPARES: Final = words(words_of.COMPARES)
_NO_VIEW: Final = re.compile(rf" ?(?:{words_of.NO_VIEW})(?![^\W_])")
_NEVER: Final[dict[str, Kind]] = {
    "T": "acquisition",
    "years": "age",
    "months": "age",
    "mmol/kg": "dose",
    "mL/kg": "dose",
}


def numbers(text: str, folded: Folded, sentences: Sequence[Sentence]) -> tuple[Number, ...]:
    """Return every number of a report in reading order, with positions in `text` itself."""
    tables = Tables(folded.plain)
    found = find(folded, tables)
    brackets = _brackets(folded.lower, found)
    bounds = [(bisect_left(folded.index, s.start), bisect_left(folded.index, s.end)) for s in sentences]
    starts = [start for start, _ in bounds]
    sections = Sections(folded.lower, bounds)
    for i, number in enumerate(found):
        k = bisect_right(starts, number.start) - 1
        start, end = bounds[k] if k >= 0 else (0, len(folded.lower))
        place = Place(folded.lower, start, end, brackets.get(i))
        change = is_difference(place, number)  # "by 10 % to 45 %" is no range either
        kind = "label" if change else _kind(place, tables, found, i)
        prior = is_prior(place, found, i) or k in sections.prior
        prior = prior or sections.prior_column(folded.lower, tables.at(number.start))
        found[i] = replace(
            number,
            kind=kind,
            is_prior=prior,
            is_range_bound=number.is_range_bound and kind == "value",
            link=None if change else number.link,
        )
        if kind == "reference" and i:
            found[i - 1] = _unit_from_reference(folded.plain, found, i, place)
    return tuple(_restore(text, folded, number) for number in found)


def _restore(text: str, folded: Folded, number: Number) -> Number:
    start, end = folded.span(number.start, number.end)
    return replace(number, text=text[start:end], start=start, end=end)


def _kind(place: Place, tables: Tables, found: list[Number], i: int) -> Kind:
    number, previous = found[i], found[i - 1] if i else None
    joined = previous.link if previous else None
    kind: Kind | None = None
    if number.kind == "label":
        kind = "age" if _AGE_BEHIND.match(place.lower, number.end) else "label"
    elif joined == "spread":
        kind = "spread"
    elif previous and joined == "range" and previous.kind != "value":
        kind = previous.kind
    elif _is_reference(place, tables, found, i):
        kind = "reference"
    elif number.unit is None or number.unit == "segments":
        listed = previous is not None and joined in ("list", "range", "pair") and previous.kind == "label"
        kind = _name(place, number) or ("label" if listed else None)
    if kind is None and number.unit == "%" and _is_grade(place, number):
        kind = "label"  # it measures no extent
    if kind is None and _of_other_modality(place, number):
        kind = "elsewhere"
    kind = kind or _NEVER.get(number.unit or "")
    if kind is None and _ACQUISITION.search(place.before(number.start, 40)):
        kind = "acquisition"
    return kind or ("dose" if number.unit in _DOSES and _is_dose(place, number) else "value")


def _of_other_modality(place: Place, number: Number) -> bool:
    """Say whether the clause says that a number is of an echocardiogram or the like: "EF by echo 38 %", "38 % (echo)", or
    its sentence does at once: "Echo: EF 50 %, IVS 14 mm".
    """
    opening = _MODALITY_OPENS.match(place.lower, place.start, number.start)
    if opening and not _THIS.search(place.lower, opening.end(), number.start):
        return True
    before = place.before(number.start, 80)
    before = before if place.bracket else _CLAUSE_BREAK.split(before)[-1]
    named = [
        match.end()
        for match in _MODALITY.finditer(before)
        if not _NO_VIEW.match(before, match.end())
        and not (_COMPARED.search(before, 0, match.start()) and _COMPARES.search(before, match.end()))
    ]
    if named:
        return _THIS.search(before, named[-1]) is None
    return _MODALITY_BEHIND.match(place.lower, number.end, place.end) is not None


def _is_grade(place: Place, number: Number) -> bool:
    """Say whether a percentage is of the wall's thickness."""
    if _DEPTH.match(place.lower, number.end):
        return True
    if number.value not in (25, 50, 75, 100):  # the grades
        return False
    before = _GRADE.search(place.lower, max(place.start, number.start - 80), number.end)
    return before is not None and not _OF.match(place.lower, number.end)


def _name(place: Place, number: Number) -> Kind | None:
    """Say whether a number without a unit names or counts something rather than measuring it."""
    before = place.before(number.start, 40)
    if number.unit is None and re.fullmatch("(?:19|20)[0-9]{2}", number.text):
        return "date"
    if _AGE.search(before) or (number.unit is None and _AGE_BEHIND.match(place.lower, number.end)):
        return "age"
    digits = number.text.isdigit()
    if number.unit is None and digits and (len(number.text) > 5 or _LABEL.search(before)):
        return "label"
    if number.unit is None and (number.value == 0 or _numbers_an_item(place.lower, number)):
        return "label"  # "LGE 0": none
    # "5/17 segments": of how many.
    return (
        "label" if number.value in (16, 17) and place.lower[number.start - 1 : number.start] == "/" else None
    )


def _numbers_an_item(lower: str, number: Number) -> bool:
    """Recognise the numbers of a list: "3. LGE", "(3) LGE", "4.2 LGE", and on a line of its own "03 LGE"."""
    if not _ITEM.fullmatch(number.text):
        return False
    before, after = lower[max(0, number.start - 8) : number.start], lower[number.end : number.end + 2]
    if number.text.isdigit() and after[:1] in (".", ")") and _OPENING.search(before):
        return True
    return _LINE_OPENING.search(before) is not None and re.match(r"[).]| [^\W\d_]", after) is not None


def _is_reference(place: Place, tables: Tables, found: list[Number], i: int) -> bool:
    number = found[i]
    limit = number.link == "range" or number.comparator != ""
    cell = tables.at(number.start)
    if cell and cell.header:
        header = place.lower[slice(*cell.header)].strip(" .:*[]()")
        # "normal" above a number is another row's finding unless a limit stands below it.
        if (
            header in words_of.COLUMN_OF_NORMALS
            or _REFERENCES.fullmatch(header)
            or (limit and _HEADER.search(header))
        ):
            return True
    before = place.before(number.start, 60)
    strong = _STRONG.search(before)
    # "LVEF within normal limits: 62 %" gives the value, not a limit.
    if strong and (limit or place.bracket or not _WITHIN.search(before, 0, strong.start())):
        return True
    weak = _WEAK.search(before) or _COLON.search(before)
    if weak and (place.bracket or (limit and not _only_number(place, found, i))):
        return True
    return limit and _follows_value(place, found, i)


def _only_number(place: Place, found: list[Number], i: int) -> bool:
    """Say whether a range is all that its sentence says of its unit, as in "LVEF normal, 55-60 %"."""
    if found[i].comparator:
        return False
    pair = {i, i + 1} if found[i].link == "range" else {i}
    return not any(
        place.start <= other.start < place.end and other.unit in (None, found[i].unit)
        for j, other in enumerate(found[max(0, i - 6) : i + 8], max(0, i - 6))
        if j not in pair and other.kind == "value"
    )


def _follows_value(place: Place, found: list[Number], i: int) -> bool:
    """Recognise "143 ml (106-214)", "98 ml/m² (<105)" and "143 ml 106-214": a range right behind a value."""
    if not i or found[i - 1].kind != "value" or found[i - 1].link:
        return False
    number, previous = found[i], found[i - 1]
    if None not in (number.unit, previous.unit) and number.unit != previous.unit:
        return False
    last = found[i + 1] if number.link == "range" and i + 1 < len(found) else number
    if place.bracket is None:
        gap = place.lower[previous.end : number.start]
        return number.link == "range" and 0 < len(gap) < 40 and not UNIT.sub("", gap).strip(" \t|")
    opening, closing = place.bracket
    alone = _ONLY_COMPARATORS.fullmatch(place.lower, opening + 1, number.start) and closing - last.end < 12
    gap = place.lower[previous.end : opening]
    if not alone:
        return False
    if number.link == "range" and number.unit is None and previous.unit and _FEW_WORDS.fullmatch(gap):
        return True
    return len(gap) < 12 and not re.search(r"[^\s]", UNIT.sub("", gap))


def _unit_from_reference(text: str, found: list[Number], i: int, place: Place) -> Number:
    """Return the number before a normal range, with the range's unit where it has none: "143 (106-214) ml"."""
    number, value = found[i], found[i - 1]
    if value.unit is not None or value.kind != "value" or place.bracket is None:
        return value
    if text[value.end : place.bracket[0]].strip():
        return value
    behind = UNIT.match(text, min(len(text), place.bracket[1] + 2))
    return replace(value, unit=number.unit or (read(behind) if behind else None))


def _is_dose(place: Place, number: Number) -> bool:
    """Say whether a contrast or stress agent stands in the number's own clause, and no ventricle whose volume it may be."""
    before = _NOT_CLAUSE.split(place.lower[max(place.start, number.start - 40) : number.start])[-1]
    if _OF_A_VENTRICLE.search(before):
        return False
    after = _NOT_CLAUSE.split(place.lower[number.end : min(place.end, number.end + 40)])[0]
    return _AGENT.search(before) is not None or _AGENT.search(after) is not None


_BRACKETS: Final = re.compile(r"[()\[\]{}\n]")


def _brackets(text: str, found: list[Number]) -> dict[int, tuple[int, int]]:
    """Return the innermost closed bracket around each number that has one, on one line."""
    inner: dict[int, tuple[int, int]] = {}
    opened: list[tuple[int, list[int]]] = []
    i = 0
    for match in _BRACKETS.finditer(text):
        while i < len(found) and found[i].start < match.start():
            if opened:
                opened[-1][1].append(i)
            i += 1
        if match.group() in "([{":
            opened.append((match.start(), []))
        elif match.group() == "\n":
            opened.clear()
        elif opened:
            start, members = opened.pop()
            inner.update((member, (start, match.start())) for member in members)
    return inner
