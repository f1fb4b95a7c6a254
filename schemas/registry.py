"""The schema versions this release knows. A released version never changes: to add one, add a line."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from schemas.cmr_diagnosis_v1 import CmrDiagnosisV1
from schemas.cmr_report_v1 import CmrReportV1
from schemas.fields import Schema

Status = Literal["draft", "stable", "deprecated"]


@dataclass(frozen=True)
class SchemaVersion:
    """One version of a schema, named `cmr-report@1` in requests, results and prompts."""

    name: str
    version: int
    model: type[Schema]
    released: date
    status: Status
    summary: str

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"


class UnknownSchema(KeyError):  # noqa: N818, it reads as the fact it states
    """No schema has this name and version. `known` lists every reference that would work."""

    def __init__(self, ref: str, known: tuple[str, ...]) -> None:
        super().__init__(ref)
        self.ref = ref
        self.known = known

    def __str__(self) -> str:
        return f"unknown schema {self.ref!r}; known: {', '.join(self.known)}"


_VERSIONS = (
    SchemaVersion(
        "cmr-diagnosis", 1, CmrDiagnosisV1, date(2026, 11, 23), "stable", "One diagnosis category a report."
    ),
    SchemaVersion(
        "cmr-report", 1, CmrReportV1, date(2026, 11, 23), "stable", "Diagnosis, 16 findings, 18 measurements."
    ),
)


def all_versions() -> tuple[SchemaVersion, ...]:
    """Return every version, by name and then from oldest to newest."""
    return tuple(sorted(_VERSIONS, key=lambda entry: (entry.name, entry.version)))


def get(ref: str) -> SchemaVersion:
    """Return the version that `ref` names: `cmr-report@1`, or `cmr-report` for the newest of that name.

    Raises `UnknownSchema`.
    """
    versions = all_versions()
    for entry in reversed(versions):
        if ref in (entry.ref, entry.name):
            return entry
    raise UnknownSchema(ref, tuple(entry.ref for entry in versions))
