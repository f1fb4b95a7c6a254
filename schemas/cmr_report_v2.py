"""cmr-report@2: as @1, with 21 diseases, severity, AHA segments and the previous study's numbers."""

# mypy: disable-error-code="assignment"
# A graded finding takes the place of a plain one: readers of @2 are not readers of @1.

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.cmr_diagnosis_v1 import Diagnosis as FiveDiagnoses
from schemas.cmr_diagnosis_v3 import Acuity, Certainty, Diagnosis
from schemas.cmr_report_v1 import Findings as FindingsV1
from schemas.cmr_report_v1 import Measurements
from schemas.fields import Measure, Measured, Schema, When
from schemas.version import Migration, SchemaVersion, added


class GradedFinding(StrEnum):
    """What a report says of a finding that has degrees. `present` is present without a degree.

    In-between degrees ("mild to moderate") take the higher one.
    """

    MILD = "mild"
    MODERATE = "moderate"
    SEVERE = "severe"
    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    NOT_STATED = "not_stated"


class Segment(StrEnum):
    """The seventeen segments of the left ventricle (Cerqueira et al., AHA 2002, 10.1161/hc0402.102975), from 1 to 17."""

    BASAL_ANTERIOR = "basal_anterior"
    BASAL_ANTEROSEPTAL = "basal_anteroseptal"
    BASAL_INFEROSEPTAL = "basal_inferoseptal"
    BASAL_INFERIOR = "basal_inferior"
    BASAL_INFEROLATERAL = "basal_inferolateral"
    BASAL_ANTEROLATERAL = "basal_anterolateral"
    MID_ANTERIOR = "mid_anterior"
    MID_ANTEROSEPTAL = "mid_anteroseptal"
    MID_INFEROSEPTAL = "mid_inferoseptal"
    MID_INFERIOR = "mid_inferior"
    MID_INFEROLATERAL = "mid_inferolateral"
    MID_ANTEROLATERAL = "mid_anterolateral"
    APICAL_ANTERIOR = "apical_anterior"
    APICAL_SEPTAL = "apical_septal"
    APICAL_INFERIOR = "apical_inferior"
    APICAL_LATERAL = "apical_lateral"
    APEX = "apex"


class Course(StrEnum):
    """How the heart has changed since the previous study, as the report says."""

    IMPROVED = "improved"
    UNCHANGED = "unchanged"
    WORSENED = "worsened"
    NOT_STATED = "not_stated"


class Findings(FindingsV1):
    """What the report says of sixteen findings in the current study, eight of them with their severity.

    The segments are those that the report names, in words or numbers. A wall named without its level means the
    wall at every level; a territory without a wall names no segment.
    """

    lv_dilatation: GradedFinding = Field(description="The left ventricle is enlarged.")
    lv_systolic_dysfunction: GradedFinding = Field(
        description="Left ventricular systolic function is reduced."
    )
    rv_dilatation: GradedFinding = Field(description="The right ventricle is enlarged.")
    rv_systolic_dysfunction: GradedFinding = Field(
        description="Right ventricular systolic function is reduced."
    )
    lv_hypertrophy: GradedFinding = Field(description="Left ventricular wall thickness or mass is increased.")
    pericardial_effusion: GradedFinding = Field(
        description="The pericardial space holds more fluid than normal."
    )
    valve_disease: GradedFinding = Field(
        description="A valve is stenotic, regurgitant or replaced; the worst valve counts."
    )
    atrial_dilatation: GradedFinding = Field(
        description="The left or right atrium is enlarged; the larger degree counts."
    )
    wall_motion_segments: Annotated[
        list[Segment], Field(max_length=17), When("wall_motion_abnormality", "present", "uncertain")
    ] = Field(description="Segments of the left ventricle whose wall motion is abnormal.")
    lge_segments: Annotated[list[Segment], Field(max_length=17), When("lge", "present", "uncertain")] = Field(
        description="Segments of the left ventricle that show late gadolinium enhancement."
    )


class Previous(Schema):
    """What the report repeats from an earlier study; nothing of it stands under `findings` or `measurements`."""

    course: Course = Field(description="The change since the previous study.")
    lvef: Annotated[Measured, Measure("%", low=3, high=90, study="previous")] = Field(
        description="Left ventricular ejection fraction of the previous study."
    )
    lvedv: Annotated[Measured, Measure("mL", low=20, high=700, study="previous")] = Field(
        description="Left ventricular end-diastolic volume of the previous study."
    )
    lvedvi: Annotated[Measured, Measure("mL/m2", low=15, high=350, study="previous")] = Field(
        description="Left ventricular end-diastolic volume of the previous study, indexed to body surface area."
    )
    rvef: Annotated[Measured, Measure("%", low=3, high=90, study="previous")] = Field(
        description="Right ventricular ejection fraction of the previous study."
    )


class CmrReportV2(Schema):
    """A whole cardiac-MRI report, the current study kept apart from a previous one."""

    diagnosis: Diagnosis = Field(description="The leading diagnosis that the report's findings support.")
    certainty: Certainty = Field(description="How certainly the report names the leading diagnosis.")
    acuity: Acuity = Field(description="Whether the leading diagnosis is acute or chronic.")
    findings: Findings = Field(description="What the report says of each finding in the current study.")
    measurements: Measurements = Field(description="The current study's numbers.")
    previous: Previous = Field(description="What the report says of a previous study.")


_TO_STATUS = dict.fromkeys(("mild", "moderate", "severe"), "present")
_GRADED = [name for name, info in Findings.model_fields.items() if info.annotation is GradedFinding]

VERSION = SchemaVersion(
    "cmr-report",
    2,
    CmrReportV2,
    date(2026, 11, 23),
    "stable",
    "As @1, with 21 diseases, severity, AHA segments and the previous study.",
    older="cmr-report@1",
    down=Migration(
        labels={
            "diagnosis": added(Diagnosis, FiveDiagnoses, "other"),
            **{f"findings.{name}": _TO_STATUS for name in _GRADED},
        }
    ),
)
