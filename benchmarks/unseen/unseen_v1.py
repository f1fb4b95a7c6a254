"""unseen@1: as cmr-diagnosis@3's primary diagnosis, with four that no training report is labelled with."""

from datetime import date

from schemas.cmr_diagnosis_v3 import Diagnosis as Known
from schemas.fields import Schema
from schemas.version import SchemaVersion, with_labels

NEW = ("pulmonary_hypertension", "athletes_heart", "chagas", "transplant_rejection")

Diagnosis = with_labels(Known, *NEW, before="other_cardiomyopathy")


class UnseenV1(Schema):
    diagnosis: Diagnosis  # type: ignore[valid-type]


VERSION = SchemaVersion(
    "unseen",
    1,
    UnseenV1,
    date(2026, 11, 28),
    "stable",
    "As cmr-diagnosis@3's primary, with four diagnoses that training never named.",
)
