"""Which of a report's numbers may answer a field: its closed set of options.

    candidates(report, {"lvef": Wanted(Measure("%", 3, 90), ("LVEF", "EF"))})["lvef"]

A number is an option where its unit converts to the field's, the converted value is plausible, and it isn't a normal
limit, a date, a dose or a name (`Number.kind`). Beyond that its surroundings must name it: a number that is only of
the right size is no option, for a value that nobody stated is worse than a missing one. What names something that no
field asks for (`lexicon.OTHER_MEASURES`: a stroke volume, a diameter) is no option either, nor is what an attribute
of it names ("pericardium thickened, 7 mm", "RV wall 8 mm": `lexicon.ATTRIBUTE_WORDS`).

How a number finds its term, within its sentence, line or table row (`extractor.claims`):

* the nearest term before it, if the units agree; behind it where none stands before ("12 mm septal thickness"), or
  where that one is taken ("182 ml (92 ml/m²) at end-diastole and 104 ml at end-systole");
* by position in a pair: "LVEDV/LVESV 180/95 ml", "LVEF and RVEF are 45 % and 50 %", "EF LV/RV: 45/50 %";
* in a table: the cell beside it, its row's first cell, else its column's heading; on a line of its own: the heading
  above it; a row without a first cell goes on from the row above;
* across a sentence's end the term from which dots, a question or "now" lead to it: "LVEF ..... 48 %", "EF was 43. Now 52";
* where only a ventricle is named, a number with a unit ("RV 54 %", "VI dilatado, 128 ml/m²") is the first of the
  ventricle's fields in the schema that has such a unit; right behind the ventricle one without is a percentage.

A bare term that both ventricles share ("EF", "EDV") goes to the ventricle named in a bracket behind the number,
between the two, in the table's column, before it in the sentence, or by the section ("Right ventricle:"),
in this order; behind both ventricles a list of two is one for each ("VI y VD normales, FE 60 y 55 %"). Without any of
these it means the left ventricle, as it does in every report. Where the right one was only mentioned in another
clause or an earlier sentence, the left one's field keeps the number as well unless it has one of its own.

A field that the report speaks of, and that has no number, takes those with a fitting unit that are nobody's. Whether
one of them is meant, the model says.

A field that has no number of its own study takes one of the other study, as what dates a number is only probable:
a previous study's field only where the report tells of an earlier study and has several numbers for the field.

A number without a unit answers only where a term stands before it, directly ("LVEF 55", "EF: 0.55") or not far off
("EF noch 55"), or for a ratio. Where a term is shared by a volume and its index, a number without a unit is first of
all the volume.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extractor.claims import Claim, Claims, Rank
from extractor.errors import SchemaError
from extractor.folding import words
from extractor.lexicon import CURRENT_WORDS, EARLIER_WORDS, OTHER_MEASURES, PRIOR_WORDS, VERSUS_WORDS
from extractor.quantities import Number
from extractor.report import Report
from extractor.terms import compiled
from extractor.units import canonical, convert
from schemas.fields import Measure, Quantity

_MOST: Final = 8  # options of one field
_DATED: Final = words(f"{PRIOR_WORDS}|{VERSUS_WORDS}|{CURRENT_WORDS}|{EARLIER_WORDS}")
_OTHER: Final = ""  # a field that nobody asked for: it takes the numbers that `OTHER_MEASURES` name


@dataclass(frozen=True)
class Wanted:
    """A measurement field: what it accepts, and the words by which reports name it, in any language.

    Without terms (a site's own schema) every number of a fitting unit that no other field claims is an option.
    """

    measure: Measure
    terms: tuple[str, ...] = ()


def candidates(report: Report, measures: Mapping[str, Wanted]) -> dict[str, tuple[Quantity, ...]]:
    """Return every field's options, best first. The order is only meant for ties.

    The same text printed twice is two options with different spans.
    Raises `SchemaError` (code `unit_unknown`) where a measure's unit isn't known to `extractor.units`.
    """
    fields = [_Field(name, wanted, _unit(name, wanted.measure)) for name, wanted in measures.items()]
    values = {
        (i, field.name): value
        for i, number in enumerate(report.numbers)
        if number.kind == "value"
        for field in fields
        if (value := field.fitting(number)) is not None
    }
    measured = {(i, _OTHER) for i, number in enumerate(report.numbers) if number.kind == "value"}
    terms = compiled(((_OTHER, OTHER_MEASURES), *((field.name, field.wanted.terms) for field in fields)))
    units = {field.name: field.unit for field in fields} | {_OTHER: ""}
    naming = Claims(report, terms, units, frozenset({*values, *measured}))
    claims = naming.all()
    named = {i for (i, name), claim in claims.items() if claim.rank is Rank.NAMED and name != _OTHER}
    nobodys = sorted({i for i, _ in values} - named)
    dated = (
        any(number.is_prior for number in report.numbers) or _DATED.search(report.folded.lower) is not None
    )
    options: dict[str, tuple[Quantity, ...]] = {}
    for field in fields:
        own = {i: claim for (i, name), claim in claims.items() if name == field.name}
        free = [i for i in nobodys if (i, field.name) in values and field.takes_unnamed(report.numbers[i])]
        if field.wanted.measure.study != "previous":
            free += naming.left_over(field.name)
        order = _ordered(report.numbers, own, free, field.wanted.measure.study)
        if field.wanted.measure.study == "previous" and not (dated and len(order) > 1):
            order = [i for i in order if report.numbers[i].is_prior]
        options[field.name] = tuple(
            field.quantity(report.numbers[i], values[i, field.name]) for i in order[:_MOST]
        )
    return options


def _unit(field: str, measure: Measure) -> str:
    unit = canonical(measure.unit)
    if unit is None:
        raise SchemaError(
            f"The unit {measure.unit!r} is not known.",
            code="unit_unknown",
            field=field,
            fix="Use a unit of extractor.units, such as mL, mL/m2, %, g, mm, cm2, ms, L/min or ratio.",
        )
    return unit


@dataclass(frozen=True)
class _Field:
    """A wanted field with its unit in canonical spelling."""

    name: str
    wanted: Wanted
    unit: str

    def fitting(self, number: Number) -> float | None:
        """Return a number's value in the field's unit, if it converts and is plausible."""
        value = convert(number.value, number.unit, self.unit)
        if value is None and number.unit is None:
            value = number.value  # its unit is the field's, if the field's term stands directly before it
        return (
            value
            if value is not None and self.wanted.measure.low <= value <= self.wanted.measure.high
            else None
        )

    def takes_unnamed(self, number: Number) -> bool:
        """Say whether a fitting number that no term names may answer this field: only where it has no terms."""
        return not self.wanted.terms and (number.unit is not None or self.unit == "ratio")

    def quantity(self, number: Number, value: float) -> Quantity:
        return Quantity(
            text=number.text, value=value, unit=self.wanted.measure.unit, start=number.start, end=number.end
        )


def _ordered(
    numbers: Sequence[Number], own: Mapping[int, Claim], nobodys: Sequence[int], study: str
) -> list[int]:
    """Order a field's numbers, best first; one that a term names in the right study shuts out the doubtful others."""

    def other_study(i: int) -> bool:
        return numbers[i].is_prior != (study == "previous")

    claimed = {i: (claim.rank, claim.distance) for i, claim in own.items()}
    ranks = dict.fromkeys(nobodys, (Rank.NOBODY, 0)) | claimed
    if any(rank is Rank.NAMED and not other_study(i) for i, (rank, _) in ranks.items()):
        ranks = {i: r for i, r in ranks.items() if r[0] is not Rank.OTHER_SIDE and not other_study(i)}
    # Where nothing dates a number, an earlier study's is rather the further one behind a term.
    turn = -1 if study == "previous" else 1
    return sorted(
        ranks,
        key=lambda i: (other_study(i), turn * ranks[i][0], numbers[i].is_range_bound, turn * ranks[i][1], i),
    )
