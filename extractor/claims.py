"""Which field's term names a number (the rules are told in `extractor.candidates`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from extractor.chambers import Side
from extractor.page import Ventricle
from extractor.report import Report
from extractor.surroundings import Surroundings
from extractor.terms import Mention, Terms

_NEAR: Final = 40  # characters between a term and a number without a unit
_FAR: Final = 80  # characters between a term and its number; further apart the claim is weak


class Rank(IntEnum):
    """How well a number is named; lower is better."""

    NAMED = 0
    AGAIN = 1  # a further number of the same unit behind one term, or a term far off
    OTHER_SIDE = 2  # named by a bare term whose ventricle is only probable
    NOBODY = 3


@dataclass(frozen=True)
class Claim:
    """One field's claim to one number; `distance` in characters from the term."""

    rank: Rank
    distance: int


class Claims:
    """The claims of all fields on one report's numbers.

    `fitting` holds the pairs of number and field whose unit and range agree; `units` the fields' canonical units.
    """

    def __init__(
        self, report: Report, terms: Terms, units: Mapping[str, str], fitting: frozenset[tuple[int, str]]
    ) -> None:
        self._page = Surroundings(report, terms)
        self._sides, self._units, self._fitting = terms.sides, units, fitting
        self._claims: dict[tuple[int, str], Claim] = {}
        self._used: set[tuple[int, str, str | None]] = set()

    def all(self) -> dict[tuple[int, str], Claim]:
        """Return the claims by number and field."""
        done = -1
        for i in sorted({i for i, _ in self._fitting}):
            if i <= done:
                continue
            chain = self._chain(i)
            if not self._by_position(chain):
                units = [self._page.numbers[member].unit for member in chain]
                for k, member in enumerate(chain):
                    self._nearest(member, units[:k].count(units[k]))
            done = chain[-1]
        return self._claims

    def left_over(self, field: str) -> list[int]:
        """Return the numbers that are nobody's and fit a field, if it is spoken of and has none of its own."""
        if field not in self._page.spoken or any(name == field for _, name in self._claims):
            return []
        claimed = {i for i, _ in self._claims}
        free = [i for i, name in self._fitting if name == field and i not in claimed]
        return [
            i
            for i in sorted(free)
            if (number := self._page.numbers[i]).unit is not None
            and not number.is_prior
            and self._page.spoken_of(i) in (None, "both", self._sides.get(field))
        ]

    def _chain(self, i: int) -> list[int]:
        """Return the numbers joined to `i` by a slash or a list, from `i` on."""
        chain = [i]
        while self._page.numbers[chain[-1]].link in ("pair", "list") and chain[-1] + 1 < len(
            self._page.numbers
        ):
            chain.append(chain[-1] + 1)
        return chain

    def _by_position(self, chain: list[int]) -> bool:
        """Give "180/95" to the terms of "LVEDV/LVESV", or to the ventricles of "LV/RV", one to one."""
        if len(chain) < 2:
            return False
        order = self._page.pair(chain[0]) if len(chain) == 2 else None
        last = next(self._page.before(chain[0]), None)
        if order and last and last.side is None:
            for i, side in zip(chain, order, strict=True):
                self._claim(i, last, Ventricle(side, sure=True))
            return True
        run = self._run(chain) or self._volumes(chain, last)
        for i, mention in zip(chain, run, strict=False):
            if mention:
                # Words between are about the others of the pair: only what stands before counts.
                self._claim(
                    i, mention, self._page.at_head(chain[0], mention) or self._page.earlier(mention, i)
                )
        return bool(run)

    def _run(self, chain: list[int]) -> list[Mention | None]:
        """Return a list's terms: of a longer row those that fit it, "EDV/ESV/SV/EF 182/104/78 ml/43 %, indexed 94/54/40 ml/m²"."""
        terms, length = self._page.run(chain[0]), len(chain)
        windows = [terms[start : start + length] for start in range(len(terms) - length, -1, -1)]
        fitting = (window for window in windows if all(map(self._fits, chain, window)))
        return next(fitting, windows[0] if windows else [])

    def _fits(self, i: int, mention: Mention | None) -> bool:
        return mention is None or any((i, field) in self._fitting for field in mention.fields)

    def _volumes(self, chain: list[int], last: Mention | None) -> list[Mention | None]:
        """Return the terms of "68 and 31 ml/m²", of which the sentence spoke before: "EDV 120 ml, ESV 55 ml", or "volumes".

        A third number is the stroke volume.
        """
        units = {self._page.numbers[i].unit for i in chain}
        if len(chain) > 3 or len(units) > 1:
            return []
        if last and self._several(own := self._fields(chain[0], last, self._page.ventricle(last, chain[0]))):
            return [replace(last, fields=(field,)) for field in own[: len(chain)]]
        if not units <= {"mL/m2", "1/m2"}:
            return []
        spoken: dict[tuple[str, ...], Mention | None] = {}
        for mention in self._page.said(chain[0]):
            own = [field for field in mention.fields if field and (chain[0], field) in self._fitting]
            if own and not self._several(own):
                spoken.pop(mention.fields, None)
                spoken[mention.fields] = mention
        return list(spoken.values())[-2:] if len(spoken) > 1 else []

    def _nearest(self, i: int, nth: int) -> None:
        """Give a number, the `nth` of its unit in a list, to the nearest term before it that can take it, or right behind."""
        unit = self._page.numbers[i].unit
        behind = self._page.behind(i)
        spoken_of = self._page.spoken_of(i)
        for mention in self._page.before(i):
            ventricle = self._page.ventricle(mention, i)
            fields = self._fields(i, mention, ventricle)
            # A ventricle ends what is said of things that no field asks for: "RF 58 %, LV 141 ml/m²".
            if not fields or (spoken_of and not any(self._units[field] for field in fields)):
                continue
            used = self._page.numbers[i - 1 if i else 0].link != "range" and all(
                (mention.start, _taker(field, mention, ventricle), unit) in self._used for field in fields
            )
            # "volumes are 131 mL at end-diastole"
            open_to = used or self._several(fields)
            if not (open_to and behind and self._claim(i, behind, self._page.ventricle(behind, i))):
                self._claim(i, mention, ventricle)
            return
        if behind:
            self._claim(i, behind, self._page.ventricle(behind, i))
        elif unit is not None or self._page.beside_ventricle(i):
            self._unnamed(i, spoken_of, nth)

    def _unnamed(self, i: int, side: Side | None, nth: int) -> None:
        """Give a number that no term names to the ventricle's `nth` field of its unit, per part of the schema."""
        groups = list[str]()
        for field in self._units:
            group = field.rpartition(".")[0]
            if self._page.numbers[i].unit is None and self._units[field] != "%":
                continue
            if (i, field) in self._fitting and self._sides.get(field) == side is not None:
                groups.append(group)
                if groups.count(group) == nth + 1:
                    self._claims[i, field] = Claim(Rank.AGAIN, 0)

    def _fields(self, i: int, mention: Mention, ventricle: Ventricle | None) -> list[str]:
        """Return the fields of a term that can take a number, those of the other side too if the side is unsure."""
        fields = [field for field in mention.fields if (i, field) in self._fitting] or [
            field for field in mention.stem if (i, field) in self._fitting
        ]
        owned = self._page.owned.get(mention.start)
        if owned and not any((i, field) in self._fitting for field in owned):
            return []
        if self._loose(mention, i):
            fields = [field for field in fields if self._units[field]]
            if self._distance(mention, i) > _NEAR:
                fields = [field for field in fields if self._units[field] == "ratio"]
        elif self._page.numbers[i].unit is None:
            fields = [field for field in fields if not self._units[field].endswith("/m2")] or fields
        if ventricle is None:
            return fields
        if mention.side is not None:
            return fields if ventricle.side == mention.side else []
        return [field for field in fields if not ventricle.sure or not self._opposes(field, ventricle)]

    def _loose(self, mention: Mention, i: int) -> bool:
        """Say whether words stand between a term and a number without a unit."""
        if self._page.numbers[i].unit is not None or mention.start > self._page.spans[i][0]:
            return False
        return not self._page.direct(mention, i)

    def _several(self, fields: Sequence[str]) -> bool:
        """Say whether a term leaves open which field of one ventricle it names: "volumes"."""
        own = {(field.rpartition(".")[0], self._sides.get(field), self._units[field]) for field in fields}
        return len(own) < len(fields)

    def _opposes(self, field: str, ventricle: Ventricle) -> bool:
        return self._sides.get(field, ventricle.side) != ventricle.side

    def _claim(self, i: int, mention: Mention, ventricle: Ventricle | None) -> bool:
        number, distance = self._page.numbers[i], self._distance(mention, i)
        fields = self._fields(i, mention, ventricle)
        loose = self._loose(mention, i)
        for field in fields:
            key = (mention.start, _taker(field, mention, ventricle), number.unit)
            again = (key in self._used and not self._continues(i)) or distance > _FAR or loose
            rank = Rank.AGAIN if again else Rank.NAMED
            if ventricle and mention.side is None and self._opposes(field, ventricle):
                rank = Rank.OTHER_SIDE
            self._claims[i, field] = Claim(rank, distance)
            if not number.is_prior:
                self._used.add(key)
                if mention.start > self._page.spans[i][0]:  # "196 ml diastole, 114 systole"
                    self._used.update((key[0], _taker(f, mention, ventricle), None) for f in mention.fields)
        return bool(fields)

    def _distance(self, mention: Mention, i: int) -> int:
        start, end = self._page.spans[i]
        return start - mention.end if mention.end <= start else max(0, mention.start - end)

    def _continues(self, i: int) -> bool:
        """A range's upper bound and an earlier study's value belong to the term as much as the number before."""
        previous = self._page.numbers[i - 1] if i else None
        joined = previous is not None and previous.link in ("range", "pair", "size", "list")
        return joined or self._page.numbers[i].is_prior


def _taker(field: str, mention: Mention, ventricle: Ventricle | None) -> str:
    """Tell the ventricles apart: a bare term may take one number for each, "EF LV 45 %, RV 50 %"."""
    return field + ventricle.side if ventricle and mention.bare else field
