"""site-diagnosis@1: as cmr-diagnosis@2, with Danon disease."""

from datetime import date

from schemas.cmr_diagnosis_v2 import Diagnosis as EightDiagnoses
from schemas.fields import Schema
from schemas.version import Migration, SchemaVersion, added, with_labels

Diagnosis = with_labels(EightDiagnoses, "danon", before="other")


class SiteDiagnosisV1(Schema):
    diagnosis: Diagnosis


VERSION = SchemaVersion(
    "site-diagnosis",
    1,
    SiteDiagnosisV1,
    date(2026, 11, 25),
    "stable",
    "As cmr-diagnosis@2, with Danon disease.",
    older="cmr-diagnosis@2",
    down=Migration(labels={"diagnosis": added(Diagnosis, EightDiagnoses, "other")}),
)
