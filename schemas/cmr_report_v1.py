"""cmr-report@1: a cardiac-MRI report's diagnosis, sixteen findings and eighteen measurements.

The content follows the SCMR reporting guideline (10.1186/s12968-021-00827-z): LV and RV size and function,
regional wall motion, oedema, LGE, perfusion, mapping, valves, pericardium, atria, thrombus.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.cmr_diagnosis_v1 import Diagnosis
from schemas.fields import Finding, Measure, Measured, Schema, When
from schemas.version import SchemaVersion


class LgePattern(StrEnum):
    """Where in the wall the LGE lies.

    The six myocardial distributions of the SCMR reporting guideline (LGE section), and two that reports need:
    `patchy`, where no layer is named, and `mixed`, where more than one distribution is.
    """

    SUBENDOCARDIAL = "subendocardial"
    TRANSMURAL = "transmural"
    MID_WALL = "mid_wall"
    SUBEPICARDIAL = "subepicardial"
    RV_INSERTION = "rv_insertion"
    DIFFUSE = "diffuse"
    PATCHY = "patchy"
    MIXED = "mixed"
    NOT_STATED = "not_stated"


class Findings(Schema):
    """What the report says of sixteen findings in the current study; silence is `not_stated`.

    The LGE pattern is asked of uncertain LGE too: "possible faint mid-wall enhancement" does name its layer.
    """

    lv_dilatation: Finding = Field(description="The left ventricle is enlarged.")
    lv_systolic_dysfunction: Finding = Field(description="Left ventricular systolic function is reduced.")
    rv_dilatation: Finding = Field(description="The right ventricle is enlarged.")
    rv_systolic_dysfunction: Finding = Field(description="Right ventricular systolic function is reduced.")
    lv_hypertrophy: Finding = Field(description="Left ventricular wall thickness or mass is increased.")
    wall_motion_abnormality: Finding = Field(
        description="Wall motion is abnormal in a region of a ventricle."
    )
    oedema: Finding = Field(description="The myocardium has oedema (2018 Lake Louise, T2-based criterion).")
    lge: Finding = Field(description="The myocardium shows late gadolinium enhancement.")
    lge_pattern: Annotated[LgePattern, When("lge", "present", "uncertain")] = Field(
        description="The myocardial distribution of the late gadolinium enhancement."
    )
    microvascular_obstruction: Finding = Field(
        description="A dark core within the enhanced infarct shows microvascular obstruction."
    )
    perfusion_defect: Finding = Field(description="First-pass perfusion is reduced, at rest or under stress.")
    pericardial_effusion: Finding = Field(description="The pericardial space holds more fluid than normal.")
    thrombus: Finding = Field(description="A heart chamber or appendage holds a thrombus.")
    apical_ballooning: Finding = Field(description="The apex balloons in systole, as in takotsubo syndrome.")
    hypertrabeculation: Finding = Field(description="Left ventricular trabeculation is excessive.")
    valve_disease: Finding = Field(description="A valve is stenotic, regurgitant or replaced.")
    atrial_dilatation: Finding = Field(description="The left or right atrium is enlarged.")


class Measurements(Schema):
    """The current study's numbers, each one that stands in the report.

    The bounds only reject the impossible; they are wide on purpose, so that sick hearts pass. They are no
    reference ranges.
    """

    lvef: Annotated[Measured, Measure("%", low=3, high=90)] = Field(
        description="Left ventricular ejection fraction."
    )
    lvedv: Annotated[Measured, Measure("mL", low=20, high=700)] = Field(
        description="Left ventricular end-diastolic volume."
    )
    lvedvi: Annotated[Measured, Measure("mL/m2", low=15, high=350)] = Field(
        description="Left ventricular end-diastolic volume, indexed to body surface area."
    )
    lvesv: Annotated[Measured, Measure("mL", low=5, high=600)] = Field(
        description="Left ventricular end-systolic volume."
    )
    lvesvi: Annotated[Measured, Measure("mL/m2", low=3, high=320)] = Field(
        description="Left ventricular end-systolic volume, indexed to body surface area."
    )
    lv_mass: Annotated[Measured, Measure("g", low=20, high=700)] = Field(
        description="Left ventricular myocardial mass."
    )
    lv_mass_index: Annotated[Measured, Measure("g/m2", low=15, high=350)] = Field(
        description="Left ventricular myocardial mass, indexed to body surface area."
    )
    rvef: Annotated[Measured, Measure("%", low=3, high=90)] = Field(
        description="Right ventricular ejection fraction."
    )
    rvedv: Annotated[Measured, Measure("mL", low=20, high=800)] = Field(
        description="Right ventricular end-diastolic volume."
    )
    rvedvi: Annotated[Measured, Measure("mL/m2", low=15, high=400)] = Field(
        description="Right ventricular end-diastolic volume, indexed to body surface area."
    )
    rvesv: Annotated[Measured, Measure("mL", low=5, high=700)] = Field(
        description="Right ventricular end-systolic volume."
    )
    rvesvi: Annotated[Measured, Measure("mL/m2", low=3, high=350)] = Field(
        description="Right ventricular end-systolic volume, indexed to body surface area."
    )
    max_wall_thickness: Annotated[Measured, Measure("mm", low=2, high=50)] = Field(
        description="Greatest end-diastolic wall thickness of the left ventricle."
    )
    native_t1: Annotated[Measured, Measure("ms", low=500, high=1800)] = Field(
        description="Native myocardial T1, before contrast."
    )
    t2: Annotated[Measured, Measure("ms", low=25, high=120)] = Field(description="Myocardial T2.")
    t2_star: Annotated[Measured, Measure("ms", low=1, high=80)] = Field(description="Myocardial T2*.")
    ecv: Annotated[Measured, Measure("%", low=10, high=80)] = Field(
        description="Myocardial extracellular volume fraction."
    )
    lge_extent: Annotated[Measured, Measure("%", low=0, high=100)] = Field(
        description="Late gadolinium enhancement as a share of left ventricular mass."
    )


class CmrReportV1(Schema):
    """A whole cardiac-MRI report."""

    diagnosis: Diagnosis = Field(description="The leading diagnosis that the report's findings support.")
    findings: Findings = Field(description="What the report says of each finding.")
    measurements: Measurements = Field(description="The current study's numbers.")


VERSION = SchemaVersion(
    "cmr-report", 1, CmrReportV1, date(2026, 11, 23), "stable", "Diagnosis, 16 findings, 18 measurements."
)
