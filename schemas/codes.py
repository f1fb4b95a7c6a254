"""Terminology codes of labels, findings, measurements and units: the table `codes.csv` (see docs/codes.md).

A code may leave the system only where its row is `verified`: some source shows the code with a term that
means what the label means. All the others are kept for the reviewer, and go out as text.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, cast

System = Literal["sct", "icd10", "loinc", "ucum", "none"]

URLS: Final[dict[System, str]] = {
    "sct": "http://snomed.info/sct",
    "icd10": "http://hl7.org/fhir/sid/icd-10",
    "loinc": "http://loinc.org",
    "ucum": "http://unitsofmeasure.org",
}
"""The code systems by their FHIR addresses. `icd10` is the WHO's; rows name what GM and CM do otherwise."""

_LABELS_OF: Final = {
    "diagnosis": "diagnosis",
    "primary": "diagnosis",
    "lge_pattern": "lge_pattern",
    "lge_segments": "segment",
    "wall_motion_segments": "segment",
    "certainty": "certainty",
    "acuity": "acuity",
    "course": "course",
}
"""Which group of rows a field's labels stand in, by its name. All other fields are findings: `status`."""


@dataclass(frozen=True)
class Row:
    """One row: what we call a thing (`display`, our own words) and one code for it, or `none`.

    `source` is where the code was seen with its term, `note` what a reviewer should know.
    """

    key: str
    display: str
    system: System
    code: str
    status: Literal["verified", "unverified", ""]
    source: str
    note: str

    @property
    def url(self) -> str:
        """The code system's address in FHIR."""
        return URLS[self.system]


@cache
def table() -> dict[str, tuple[Row, ...]]:
    """Return the rows by key, in the table's order."""
    rows: dict[str, tuple[Row, ...]] = {}
    with (files("schemas") / "codes.csv").open(encoding="utf-8") as lines:
        for cells in csv.DictReader(lines):
            row = Row(**cast("dict[str, Any]", cells))
            rows[row.key] = (*rows.get(row.key, ()), row)
    return rows


def display(key: str) -> str | None:
    """Return what we call `key`; None where the table does not know it."""
    rows = table().get(key)
    return rows[0].display if rows else None


def verified(key: str) -> tuple[Row, ...]:
    """Return the rows of `key` whose codes may leave the system."""
    return tuple(row for row in table().get(key, ()) if row.status == "verified")


def field_key(path: str) -> str:
    """Return what a field of our own schemas asks about: `measurements.lvef` gives `measurement.lvef`."""
    match path.split("."):
        case ["findings", name]:
            return f"finding.{name}"
        case ["measurements", name]:
            return f"measurement.{name}"
        case ["previous", name] if name not in _LABELS_OF:
            return f"measurement.{name}"
        case ["conditions", disease, "certainty"]:
            return f"diagnosis.{disease}"
        case [*_, name]:
            return f"field.{name}"
    raise AssertionError(path)  # a split is never empty


def label_key(path: str, label: str) -> str:
    """Return the key of a label of our own schemas: `lge_segments` and `apex` give `segment.apex`."""
    return f"{_LABELS_OF.get(path.rpartition('.')[2], 'status')}.{label}"
