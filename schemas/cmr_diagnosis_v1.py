"""cmr-diagnosis@1: one diagnosis category for one cardiac-MRI report."""

from datetime import date
from enum import StrEnum

from pydantic import Field

from schemas.fields import Schema
from schemas.version import SchemaVersion


class Diagnosis(StrEnum):
    """The leading diagnosis that the findings support.

    The five diseases follow Amirrajab et al. (arXiv 2506.00060) and that group's later work. `other` is any
    further disease; `indeterminate` is a report from which no category can be chosen, so it takes the place
    that `not_stated` has elsewhere. The criteria that separate them are in `prompts/`.
    """

    NORMAL = "normal"
    ISCHAEMIC = "ischaemic"
    DCM = "dcm"
    HCM = "hcm"
    AMYLOIDOSIS = "amyloidosis"
    OTHER = "other"
    INDETERMINATE = "indeterminate"


class CmrDiagnosisV1(Schema):
    """The diagnosis category alone: the task of Amirrajab et al."""

    diagnosis: Diagnosis = Field(description="The leading diagnosis that the report's findings support.")


VERSION = SchemaVersion(
    "cmr-diagnosis", 1, CmrDiagnosisV1, date(2026, 11, 23), "stable", "One of five diagnoses, or other."
)
