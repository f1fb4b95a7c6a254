"""The table of codes: whole, well-formed, and free of rows that nothing uses."""

import re
from collections.abc import Iterator

import pytest

from extractor import units
from schemas import codes, registry
from schemas.codes import Row
from schemas.fields import NOT_STATED
from schemas.leaves import leaves

ROWS = [row for rows in codes.table().values() for row in rows]
UCUM = {"%", "mL", "mL/m2", "g", "g/m2", "mm", "cm", "cm2", "m2", "ms", "L/min", "L/min/m2", "1"}


def asked() -> Iterator[str]:
    """Every key that a result of one of our own schemas can need."""
    for version in registry.BUILT_IN:
        for path, leaf in leaves(version.model).items():
            yield codes.field_key(path)
            if leaf.measure:
                yield f"unit.{leaf.measure.unit}"
            else:
                yield from (codes.label_key(path, label) for label in leaf.labels if label != NOT_STATED)


def test_every_label_field_and_unit_of_every_version_has_a_row():
    assert sorted(set(asked()) - set(codes.table())) == []


def test_no_row_is_an_orphan():
    extra = {f"unit.{name}" for name in ("cm", "cm2", "m2", "L/min", "L/min/m2", "ratio")} | {"report.cmr"}
    assert sorted(set(codes.table()) - set(asked())) == sorted(extra)


def test_every_unit_is_one_that_reports_are_read_in():
    written = [key.removeprefix("unit.") for key in codes.table() if key.startswith("unit.")]
    assert [units.canonical(unit) for unit in written] == written


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.key} {row.code}")
def test_a_row_is_well_formed(row: Row):
    assert row.display
    assert {codes.display(row.key)} == {row.display}, "one key has one name"
    if row.system == "none":
        assert (row.code, row.status) == ("", "")
        return
    assert row.status in {"verified", "unverified"}
    assert row.source or row.status == "unverified", "a verified code names where it was seen"
    assert row.source or row.note, "an unverified code says why"
    assert WELL_FORMED[row.system](row.code)


def test_none_stands_alone_and_no_code_is_given_twice():
    for key, rows in codes.table().items():
        assert len(rows) == 1 or all(row.system != "none" for row in rows), key
        assert len({(row.system, row.code) for row in rows}) == len(rows), key
        assert sum(row.status == "verified" and row.system == "sct" for row in rows) <= 1, key


def test_what_the_sources_contradict_or_call_narrower_is_not_verified():
    doubted = {"426856002", "16573007", "75403004", "281900007", "415295002", "281170005", "730605003"}
    assert doubted.isdisjoint(row.code for row in ROWS if row.status == "verified")


# --- code syntax ---

# Verhoeff: multiplication in the dihedral group D5, and the permutation of a digit by its place.
_D5 = [
    [(i + j) % 5 if i < 5 and j < 5 else
     (i + j - 5) % 5 + 5 if i < 5 else
     (i - j) % 5 + 5 if j < 5 else
     (i - j) % 5
     for j in range(10)]
    for i in range(10)
]  # fmt: skip
_ONCE = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def is_snomed(code: str) -> bool:
    """A concept of the international edition: 6 to 18 digits, partition 00, Verhoeff check digit."""
    sum_ = 0
    for place, digit in enumerate(map(int, reversed(code))):
        moved = digit
        for _ in range(place % 8):
            moved = _ONCE[moved]
        sum_ = _D5[sum_][moved]
    return bool(re.fullmatch(r"[1-9]\d{2,14}00\d", code)) and sum_ == 0


def is_loinc(code: str) -> bool:
    """Up to 7 digits, a hyphen, and a mod-10 (Luhn) check digit."""
    if not re.fullmatch(r"\d{1,7}-\d", code):
        return False
    digits, check = code.split("-")
    doubled = "".join(str(int(d) * 2) if i % 2 == 0 else d for i, d in enumerate(reversed(digits)))
    return (10 - sum(map(int, doubled)) % 10) % 10 == int(check)


def is_icd10(code: str) -> bool:
    return bool(re.fullmatch(r"[A-TV-Z]\d\d(\.\d)?", code))


WELL_FORMED = {"sct": is_snomed, "loinc": is_loinc, "icd10": is_icd10, "ucum": UCUM.__contains__}


@pytest.mark.parametrize(
    ("right", "code"),
    [(is_snomed, "233873004"), (is_snomed, "2667000"), (is_loinc, "8811-2"), (is_loinc, "18748-4")],
)
def test_the_check_digits_catch_a_slip_of_the_pen(right, code):
    assert right(code)
    digits = [place for place, char in enumerate(code) if char.isdigit()]
    for place in digits:
        other = str((int(code[place]) + 1) % 10)
        assert not right(code[:place] + other + code[place + 1 :])
