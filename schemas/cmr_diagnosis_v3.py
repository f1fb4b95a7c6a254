"""cmr-diagnosis@3: a primary diagnosis out of 21 diseases, and how certainly and since when the report names each."""

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field, create_model

from schemas.cmr_diagnosis_v2 import Diagnosis as EightDiagnoses
from schemas.fields import Schema, When
from schemas.version import Migration, SchemaVersion, added


class Diagnosis(StrEnum):
    """The leading diagnosis that the findings support.

    `ischaemic` is infarction as well as ischaemic cardiomyopathy; `lvnc` excessive trabeculation; `acm`
    arrhythmogenic cardiomyopathy of either ventricle; `eosinophilic_emf` eosinophilic endomyocarditis and
    endomyocardial fibrosis; `pericarditis` pericardial inflammation without constriction; `restrictive` and
    `other_cardiomyopathy` are for what no category before them names; `other` is any further disease;
    `indeterminate` is a report from which no category can be chosen.
    """

    NORMAL = "normal"
    ISCHAEMIC = "ischaemic"
    DCM = "dcm"
    HCM = "hcm"
    AMYLOIDOSIS = "amyloidosis"
    HYPERTENSIVE = "hypertensive"
    MYOCARDITIS = "myocarditis"
    PERICARDIAL_CONSTRICTION = "pericardial_constriction"
    PERICARDITIS = "pericarditis"
    ACM = "acm"
    SARCOIDOSIS = "sarcoidosis"
    TAKOTSUBO = "takotsubo"
    LVNC = "lvnc"
    FABRY = "fabry"
    IRON_OVERLOAD = "iron_overload"
    EOSINOPHILIC_EMF = "eosinophilic_emf"
    RESTRICTIVE = "restrictive"
    VALVULAR = "valvular"
    CONGENITAL = "congenital"
    MASS_OR_THROMBUS = "mass_or_thrombus"
    AORTIC = "aortic"
    OTHER_CARDIOMYOPATHY = "other_cardiomyopathy"
    OTHER = "other"
    INDETERMINATE = "indeterminate"


class Certainty(StrEnum):
    """How certainly the report names a disease; `excluded` where it denies it, `not_stated` where it does not name it."""

    DEFINITE = "definite"
    PROBABLE = "probable"
    POSSIBLE = "possible"
    EXCLUDED = "excluded"
    NOT_STATED = "not_stated"


class Acuity(StrEnum):
    """Whether a disease is acute (or subacute), chronic (or healed), or both, as the report says."""

    ACUTE = "acute"
    CHRONIC = "chronic"
    ACUTE_ON_CHRONIC = "acute_on_chronic"
    NOT_STATED = "not_stated"


class Condition(Schema):
    """What the report says of one disease in the current study."""

    certainty: Certainty = Field(description="How certainly the report names the disease.")
    acuity: Annotated[Acuity, When("certainty", "definite", "probable", "possible")] = Field(
        description="Whether the disease is acute or chronic."
    )


def conditions(diagnoses: type[StrEnum]) -> type[Schema]:
    """Return the model that asks for a `Condition` of each disease in `diagnoses`."""
    diseases = [label.value for label in diagnoses if label not in ("normal", "other", "indeterminate")]
    asked = {name: (Condition, Field(description=f"What the report says of {name}.")) for name in diseases}
    made: type[Schema] = create_model(
        "Conditions",
        __base__=Schema,
        __doc__="Each disease that the report may name, the primary one included.",
        **asked,  # type: ignore[call-overload]
    )
    return made


Conditions = conditions(Diagnosis)


class CmrDiagnosisV3(Schema):
    """The primary diagnosis, and every disease that the report names, with its certainty and acuity."""

    primary: Diagnosis = Field(description="The leading diagnosis that the report's findings support.")
    conditions: Conditions = Field(  # type: ignore[valid-type]
        description="What the report says of each disease, the primary one included."
    )


VERSION = SchemaVersion(
    "cmr-diagnosis",
    3,
    CmrDiagnosisV3,
    date(2026, 11, 23),
    "stable",
    "Primary diagnosis out of 21 diseases; certainty and acuity of each disease named.",
    older="cmr-diagnosis@2",
    down=Migration(
        moved={"diagnosis": "primary"}, labels={"diagnosis": added(Diagnosis, EightDiagnoses, "other")}
    ),
)
