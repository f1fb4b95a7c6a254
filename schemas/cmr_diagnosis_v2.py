"""cmr-diagnosis@2: as @1, with three more categories."""

from datetime import date
from enum import StrEnum

from pydantic import Field

from schemas.cmr_diagnosis_v1 import Diagnosis as FiveDiagnoses
from schemas.fields import Schema
from schemas.version import Migration, SchemaVersion, added


class Diagnosis(StrEnum):
    """The leading diagnosis that the findings support, out of eight, or `other`, or `indeterminate`.

    The eight are those of a 2026 study by the group of Amirrajab et al.: @1's five, hypertensive heart disease,
    myocarditis and pericardial constriction.
    """

    NORMAL = "normal"
    ISCHAEMIC = "ischaemic"
    DCM = "dcm"
    HCM = "hcm"
    AMYLOIDOSIS = "amyloidosis"
    HYPERTENSIVE = "hypertensive"
    MYOCARDITIS = "myocarditis"
    PERICARDIAL_CONSTRICTION = "pericardial_constriction"
    OTHER = "other"
    INDETERMINATE = "indeterminate"


class CmrDiagnosisV2(Schema):
    """The diagnosis category alone, out of eight."""

    diagnosis: Diagnosis = Field(description="The leading diagnosis that the report's findings support.")


VERSION = SchemaVersion(
    "cmr-diagnosis",
    2,
    CmrDiagnosisV2,
    date(2026, 11, 23),
    "stable",
    "One of eight diagnoses, or other.",
    older="cmr-diagnosis@1",
    down=Migration(labels={"diagnosis": added(Diagnosis, FiveDiagnoses, "other")}),
    up=Migration(
        refused={"diagnosis": {"other": "@1's other may be hypertensive, myocarditis or constriction here"}}
    ),
)
