"""Each field's closed set of options, on reports written for these tests in English, German and Spanish."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractor.candidates import Wanted, candidates
from extractor.errors import SchemaError
from extractor.report import Report
from schemas.fields import Measure

_EF = ("EF", "ejection fraction", "Ejektionsfraktion", "FE", "fracción de eyección", "fraction")
_EDV = (
    "EDV",
    "in diastole",
    "at end-diastole",
    "end-diastolic volume",
    "enddiastolisches Volumen",
    "VTD",
    "volumen telediastólico",
)
_ESV = (
    "ESV",
    "in systole",
    "at end-systole",
    "end-systolic volume",
    "endsystolisches Volumen",
    "VTS",
    "volumen telesistólico",
)
WANTED = {
    "lvef": Wanted(
        Measure("%", 3, 90),
        ("LVEF", "LV-EF", "EF LV", "left ventricular ejection fraction", "linksventrikuläre Ejektionsfraktion", "FEVI", *_EF),
    ),
    "rvef": Wanted(
        Measure("%", 3, 90),
        ("RVEF", "RV-EF", "EF RV", "right ventricular ejection fraction", "rechtsventrikuläre Ejektionsfraktion", "FEVD", *_EF),
    ),
    "lvedv": Wanted(Measure("mL", 20, 700), ("LVEDV", "VTDVI", *_EDV)),
    "lvedvi": Wanted(Measure("mL/m2", 15, 350), ("LVEDVi", "LVEDV", "VTDVI", "EDV index", "LVEDV index", *_EDV)),
    "lvesvi": Wanted(Measure("mL/m2", 5, 300), ("LVESVi", "LVESV", *_ESV)),
    "lvesv": Wanted(Measure("mL", 5, 600), ("LVESV", "VTSVI", *_ESV)),
    "rvedv": Wanted(Measure("mL", 20, 800), ("RVEDV", "VTDVD", *_EDV)),
    "rvesv": Wanted(Measure("mL", 5, 700), ("RVESV", "VTSVD", *_ESV)),
    "lv_mass_index": Wanted(Measure("g/m2", 15, 350), ("LV mass", "LV mass index", "myocardial mass", "Myokardmasse", "masa")),
    "wall": Wanted(Measure("mm", 2, 50), ("wall thickness", "septal thickness", "septum", "wall", "walls", "thickened", "hypertrophy", "Wanddicke", "Wandverdickung", "grosor")),
    "native_t1": Wanted(Measure("ms", 500, 1800), ("native T1", "T1", "T1 nativ", "T1 nativo")),
    "t2": Wanted(Measure("ms", 25, 120), ("T2", "T2-Zeit")),
    "t2_star": Wanted(Measure("ms", 1, 80), ("T2*",)),
    "ecv": Wanted(Measure("%", 10, 80), ("ECV", "EZV", "VEC")),
    "lge_extent": Wanted(Measure("%", 0, 100), ("LGE", "of LV mass", "% LV mass", "der Masse", "d. Masse", "late gadolinium enhancement", "realce tardío")),
    "nc_c": Wanted(Measure("ratio", 0, 10), ("NC/C", "NC/C ratio")),
}  # fmt: skip


def options(text: str) -> dict[str, list[float]]:
    """The fields that have options at all."""
    found = candidates(Report.parse(text), WANTED)
    assert set(found) == set(WANTED)
    return {
        field: [quantity.value for quantity in quantities]
        for field, quantities in found.items()
        if quantities
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # one line, two ventricles
        ("LVEF 45 %, RVEF 50 %.", {"lvef": [45], "rvef": [50]}),
        ("EF LV/RV: 45/50 %", {"lvef": [45], "rvef": [50]}),
        ("RV/LV EF 50/45 %", {"lvef": [45], "rvef": [50]}),
        ("EF LV 45 %, RV 50 %", {"lvef": [45], "rvef": [50]}),
        ("LVEF and RVEF were 45 % and 50 %, respectively.", {"lvef": [45], "rvef": [50]}),
        ("EF 45 % (LV), 50 % (RV)", {"lvef": [45], "rvef": [50]}),
        ("FEVI 33 %, FEVD 41 %", {"lvef": [33], "rvef": [41]}),
        ("LVEDV/LVESV 180/95 ml", {"lvedv": [180], "lvesv": [95]}),
        ("RV EDV/ESV/EF: 180/95 ml/47 %. LV EDV/ESV/EF: 190/99 ml/48 %", {"rvedv": [180], "rvesv": [95], "rvef": [47], "lvedv": [190], "lvesv": [99], "lvef": [48]}),
        ("VI y VD normales, FE 60 y 55 %", {"lvef": [60], "rvef": [55]}),
        ("EF 58. RV 51.", {"lvef": [58], "rvef": [51]}),
        # sections
        ("Right ventricle: not enlarged. EF 58 %. Left ventricle: EF 55 %.", {"lvef": [55], "rvef": [58]}),
        ("Rechter Ventrikel:\nEF 48 %\nEDV 150 ml\nLinker Ventrikel:\nEF 55 %\nEDV 160 ml", {"rvef": [48], "rvedv": [150], "lvef": [55], "lvedv": [160]}),
        ("Ventrículo derecho: VTD 150 ml, FE 53,3 %. VTDVI 160 ml, FEVI 60 %", {"rvedv": [150], "rvef": [53.3], "lvedv": [160], "lvef": [60]}),
        ("RIGHT VENTRICLE: RVEF 50 %.\nConclusion: EF 45 %", {"lvef": [45], "rvef": [50]}),
        # the ventricle beside the bare term
        ("LVEF 50 %, ejection fraction of the right ventricle 34 %", {"lvef": [50], "rvef": [34]}),
        ("Normal LV with EF of 60 % and normal RV with EF of 55 %.", {"lvef": [60], "rvef": [55]}),
        ("The study gave an EF of 57 %. RVEF 50 %.", {"lvef": [57], "rvef": [50]}),
        ("LGE at the RV insertion point; EF 57 %. RVEF 50 %.", {"lvef": [57], "rvef": [50]}),
        ("LA EF 40 %, LVEF 55 %", {"lvef": [55]}),
        # a volume and its index
        ("LVEDV 198 ml (99 ml/m²)", {"lvedv": [198], "lvedvi": [99]}),
        ("LVEDVi 99 ml/m", {"lvedvi": [99]}),
        ("VTDVI 214 ml (112 ml/m²), VTSVI 130 ml", {"lvedv": [214], "lvedvi": [112], "lvesv": [130]}),
        ("masa miocárdica 73 g/m", {"lv_mass_index": [73]}),
        # no unit, or another one
        ("LVEF 55. LVEDV 143, LVESV 60", {"lvef": [55], "lvedv": [143], "lvesv": [60]}),
        ("LVEF: 0.55", {"lvef": [55]}),
        ("septal thickness 1.2 cm", {"wall": [12]}),
        ("relative wall thickness 0.38", {}),
        ("LVEF was preserved in every one of the patients who came, 17", {}),
        ("NC/C ratio 2.6", {"nc_c": [2.6]}),
        ("NC/C: 2,6:1", {"nc_c": [2.6]}),
        # mapping
        (
            "T1 nativ 1.062 ms (Normwert bis 1.030 ms), T2 53,5 ± 3,1 ms, T2* 28 ms, EZV 31 %",
            {"native_t1": [1062], "t2": [53.5], "t2_star": [28], "ecv": [31]},
        ),
        ("T2* 12 ms", {"t2_star": [12]}),
        # behind the number
        ("12 mm septal thickness, 8 % of LV mass", {"wall": [12], "lge_extent": [8]}),
        # a grade of transmurality is no extent
        ("LGE: transmural (over 75%) in the apex, 26 % of LV mass", {"lge_extent": [26]}),
        ("LGE transmural >75 %, LGE 12 %", {"lge_extent": [12]}),
        # on a line of its own
        ("Left ventricular ejection fraction:\n55 %", {"lvef": [55]}),
        # accents and case
        ("LINKSVENTRIKULA\u0308RE EJEKTIONSFRAKTION 45 %", {"lvef": [45]}),
        ("FRACCION DE EYECCION 45 %, FEVD 40 %", {"lvef": [45], "rvef": [40]}),
        # a range gives both its bounds, an implausible number nothing
        ("LVEF 40-45 %", {"lvef": [40, 45]}),
        ("LVEF 140 %", {}),
        # normal limits, doses, ages and field strengths
        ("3T. A 54-year-old. 15 ml Gadovist. LVEF 55 % (57-77 %).", {"lvef": [55]}),
        ("LGE subendocardial, < 50 %. LGE 30 % of wall depth, 25-50 % transmural, 8 % of LV mass", {"lge_extent": [8]}),
        ("LGE subendocardial, > 25 % of LV mass", {"lge_extent": [25]}),
        # named by what nobody asks for
        ("The pericardium was clearly thickened (7 mm), septum 9 mm", {"wall": [9]}),
        ("RV: dilated. Free wall 8 mm. LV: walls 12 mm", {"wall": [12]}),
        ("RV hypertrophy of 7 mm", {}),
        ("Mitral regurgitation, fraction 42 %. LVEF 61 %", {"lvef": [61]}),
        ("LVEDV 133, LVESV 51, stroke volume 82", {"lvedv": [133], "lvesv": [51]}),
        ("RF 44, RVol 70. EF 55", {"lvef": [55]}),
        # numbers of a list, "none", a threshold
        ("4 Edema: no\n5 LGE: no\n6 Clot: no\nLVEF 60 %", {"lvef": [60]}),
        ("(3) LGE: absent\n3.2 LGE: absent\nLGE 0. LGE threshold 5 SD. LVEF 60 %", {"lvef": [60]}),
        ("LVEDV 180 ml, SV 85 ml, pericardial effusion 6 mm", {"lvedv": [180]}),
    ],
)  # fmt: skip
def test_options(text: str, expected: dict[str, list[float]]) -> None:
    assert options(text) == expected


TABLES = {
    "bars": "| | LV | RV | Normal |\n|---|---|---|---|\n| EF (%) | 45 | 50 | 57-77 |\n| EDV (ml) | 180 | 150 | 106-214 |",
    "tabs": "\tLV\tRV\tNorm\nEF [%]\t45\t50\t57-77\nEDV [ml]\t180\t150\t106-214",
    "spaces": "            LV     RV     Norm\nEF (%)      45     50     57-77\nEDV (ml)    180    150    106-214",
    "rows": "LVEF\t45\t%\t57-77\nRVEF\t50\t%\t52-72\nLVEDV\t180\tml\t106-214\nRVEDV\t150\tml\t110-220",
    "units in a column": "Wert | LV | RV | Einheit\nEF | 45 | 50 | %\nEDV | 180 | 150 | ml",
    "single spaces": "LVEF 45 % 57-77\nRVEF 50 % 52-72\nLVEDV 180 ml 106-214\nRVEDV 150 ml 110-220",
}


@pytest.mark.parametrize("layout", TABLES)
def test_tables(layout: str) -> None:
    assert options(TABLES[layout]) == {"lvef": [45], "rvef": [50], "lvedv": [180], "rvedv": [150]}


ENGLISH = """CARDIAC MRI 3T. 03/15/2022. 61-year-old male, weight 82 kg.
COMPARISON: Cardiac MRI 06/2019, LVEF 52%, LVEDV 170 mL.

LEFT VENTRICLE: Severely dilated. LVEDV 287 mL (142 mL/m2, normal 57-105), LVESV 215 mL. Ejection fraction is 25%,
previously 52%. LV mass 80 g/m2. Septal thickness 9 mm.
RIGHT VENTRICLE: Mildly dilated, RVEDV 210 mL. Ejection fraction 41%.
Native T1 1,285 ms (normal 1150-1250 ms). T2 49 ms. ECV 30%. T2* 32 ms.
LGE: linear mid-wall septal, 4% of LV mass, segments 2 and 3. Pericardial effusion 4 mm.
"""


def test_an_english_report() -> None:
    assert options(ENGLISH) == {
        "lvef": [25],
        "rvef": [41],
        "lvedv": [287],
        "lvedvi": [142],
        "lvesv": [215],
        "rvedv": [210],
        "lv_mass_index": [80],
        "wall": [9],
        "native_t1": [1285],
        "t2": [49],
        "t2_star": [32],
        "ecv": [30],
        "lge_extent": [4],
    }


def test_quantities_are_the_reports_own_text() -> None:
    report = Report.parse(ENGLISH)
    for field, quantities in candidates(report, WANTED).items():
        for quantity in quantities:
            assert quantity.text == report.text[quantity.start : quantity.end]
            assert quantity.unit == WANTED[field].measure.unit


def test_the_same_text_twice_is_two_options() -> None:
    found = candidates(Report.parse("LVEF 45 %. Summary: LVEF 45 %."), WANTED)["lvef"]
    assert [quantity.text for quantity in found] == ["45 %", "45 %"]
    assert found[0].start != found[1].start


@pytest.mark.parametrize(
    "text",
    ["LVEF 38 % previously, 45 % now", "LVEF improved from 38 % to 45 %", "LVEF zuvor 38 %, jetzt 45 %"],
)
def test_an_earlier_study_is_no_option_beside_a_current_number(text: str) -> None:
    assert options(text)["lvef"] == [45]


def test_an_earlier_study_alone_stays_an_option() -> None:
    assert options("LVEF 38 % previously.")["lvef"] == [38]


def test_two_columns_of_names_and_values() -> None:
    table = "LV EDV   104 mL {86-178}      LV mass   62 g/m2 {56-96}\nLV ESV   40 mL {22-66}       LV EF     61% {57-81}"
    assert options(table) == {"lvedv": [104], "lv_mass_index": [62], "lvesv": [40], "lvef": [61]}


def test_a_row_without_a_name_goes_on_from_the_row_above() -> None:
    table = """
        EDV         ESV         EF
RV   240 ml      150 ml      38 %
     120 ml/m2   75 ml/m2
LV   170 ml      80 ml       53 %
     85 ml/m2    40 ml/m2
"""
    found = options(table)
    assert (found["lvedvi"], found["lvesvi"]) == ([85], [40])
    assert (found["rvedv"], found["rvesv"], found["rvef"]) == ([240], [150], [38])


def test_the_sign_that_ends_a_row_begins_no_term_of_the_next() -> None:
    wanted = WANTED | {"lge_extent": Wanted(Measure("%", 0, 100), ("% LV mass",))}
    table = "            Current    Previous\nLVEF        35 %       44 %\nLV mass     80 g/m2    90 g/m2\n"
    found = candidates(Report.parse(table), wanted)
    assert [quantity.value for quantity in found["lv_mass_index"]] == [80]


def test_columns_keep_their_meaning_behind_a_blank_line() -> None:
    table = "VOLUMES     Current    Previous\nLVEF        45 %       38 %\n\nRVEF        50 %       44 %\n"
    assert options(table) == {"lvef": [45], "rvef": [50]}


@pytest.mark.parametrize(
    ("text", "field", "offered"),
    [
        # only the ventricle is named
        ("The left ventricle holds 128 ml/m2 and looks round.", "lvedvi", 128),
        ("Ventrículo izquierdo dilatado (VolD 128 ml/m²).", "lvedvi", 128),
        ("LVEF 62 %. In the short axis stack the right ventricle gives 55 %.", "rvef", 55),
        ("Mitral regurgitation, RF 58 %. LV dilated at 141 ml/m2.", "lvedvi", 141),
        ("Der rechte Ventrickel fasst 140 ml/m².", "lvedvi", None),
        ("- massa VS 140 g/m²", "lv_mass_index", 140),
        ("VD: FE 50 %.\nVS: FE 61 %.", "lvef", 61),
        ("VD: FE 50 %.\nEF 61 % vs 58 %.", "lvef", None),
        ("RIGHT HEART\nRV wall thin and akinetic. Volume 122 ml.", "rvedv", 122),
        ("RV-seitig fleckiges LGE und EF 52 %.", "lvef", 52),
        # a volume and its index in one row
        ("EDV / Index: 138 ml / 70 ml/m²", "lvedv", 138),
        ("EDV / Index: 138 ml / 70 ml/m²", "lvedvi", 70),
        # terms behind their numbers
        ("LV 182 ml (92 ml/m2) at end-diastole and 104 ml at end-systole.", "lvesv", 104),
        ("LV: 183 ml / 103 ml/m2 at end-diastole, 108 ml / 61 ml/m2 at end-systole", "lvesv", 108),
        ("LV: 183 ml / 103 ml/m2 at end-diastole, 108 ml / 61 ml/m2 at end-systole", "lvesvi", 61),
        ("LV 188 ml in diastole [106-214] and 71 ml in systole [26-82].", "lvesv", 71),
        ("LV 196 ml in diastole, 114 in systole, EF 42.", "lvesv", 114),
        ("EDV 155 ml, with a 22 % reduced ejection fraction.", "lvef", 22),
        ("Eine 14-mm-Wandverdickung ringsum.", "wall", 14),
        ("Patchy septal brightness, around 16 % LV mass.", "lge_extent", 16),
        ("Kleine Anreicherung, ca. 11 % d. Masse.", "lge_extent", 11),
        ("EF 60 % LV mass 80 g/m2", "lv_mass_index", 80),
        ("LV EF 62/57 % (L/R)", "rvef", 57),
        # abbreviations
        ("LV konz. verd. septum hypertr. 15 mm", "wall", 15),
        # a sentence that goes on from the one before
        ("Last year the EF was 43 %. Now 52 %, so better.", "lvef", 52),
        ("Native T1? Short. 847 ms.", "native_t1", 847),
        # dotted lines, questions and answers
        ("LVEF .................. 48 %", "lvef", 48),
        ("Septum?\nMaximal 14 mm", "wall", 14),
        ("LVEF? Normal, 58 %.", "lvef", 58),
        ("RV ........ EDV 178 ml, EF 38 %", "rvedv", 178),
        ("LVEF / RVEF ........ 60 % / 51 %", "rvef", 51),
        # one term for both ventricles
        ("The EF is 62 % on the left and 55 % on the right.", "rvef", 55),
        ("Links normal gross, EF 63 %.\nRechts normal gross, EF 58 %.", "rvef", 58),
        ("Both ventricles are small, RV apex scarred, EF 52 %.", "lvef", 52),
        # no unit, and words between
        ("EF noch 55, sonst unauffällig.", "lvef", 55),
        ("ESV 71 ml (index 37)", "lvedvi", None),
        ("EDV 151 ml (index 79)", "lvedvi", 79),
        ("EDV 128 (68/m2)", "lvedvi", 68),
        ("Native T1 in the septum: one slice only, 1,062 ms", "native_t1", 1062),
        ("T1 nat. 1149. No scar.", "native_t1", 1149),
        # units in words
        ("EF 57 porciento", "lvef", 57),
        ("septum 12 milimeter", "wall", 12),
        ("LVEDV 81 mL per meter squared", "lvedvi", 81),
        # "normal" is what a finding is, no word for a reference
        ("LV normal: 90 ml/m2", "lvedvi", 90),
        ("LV size | normal\nLVEF | 48 %", "lvef", 48),
        # not of magnetic resonance
        ("EF by echo 38 %, by MRI 45 %.", "lvef", 45),
        ("Echocardiography had reported an EF of 30 %.", "lvef", None),
        ("LVEF 45 % on echo.", "lvef", None),
        ("FEVI 45 % (por ecocardiografía, 40 %).", "lvef", 45),
        ("Spin echo imaging, EF 45 %.", "lvef", 45),
        ("Gradient-echo cine with an EF of 45 %.", "lvef", 45),
        ("Better than in the echo, where today's MRI gives an EF of 45 %.", "lvef", 45),
        # indexed by the table, by a bracket
        ("Left ventricle\tValue\tIndexed\tNormal\nEDV (ml)\t161\t86.1\t[106-214]", "lvedvi", 86.1),
        ("| | VI | VI index. |\n| VTD (ml, ml/m2) | 138 | 78 |", "lvedvi", 78),
        ("            EDV     EF\nLV          166     57\nLV /m2     95.4     --", "lvedvi", 95.4),
        ("EDV 182 ml (94)", "lvedvi", 94),
        ("LVEF 45 % (echo 50 %).", "lvef", 45),
        ("LVEF 45 % (echo).", "lvef", None),
        ("LVEDV 116 per square metre", "lvedvi", 116),
        ("massa 131 g (66 g/mq)", "lv_mass_index", None),
        ("LV mass 131 g (66 g/mq)", "lv_mass_index", 66),
        ("LV: EDV/ESV/SV/EF 182/104/78 ml/43 %, indexed 94/54/40 ml/m2.", "lvesvi", 54),
        ("LV: EDV 318 ml, ESV 243 ml, indexiert 157 bzw. 120 ml/qm", "lvesvi", 120),
        ("            LV            RV\nEDV [ml]    168 / 87      181 / 94", "lvedvi", 87),
        ("            LV            RV\nEDV [ml]    168 / 160     181 / 179", "lvedvi", None),
        ("Ventrículo | VTD ml (ml/m²) | FE %\nIzquierdo | 121 (71) | 57", "lvedv", 121),
        ("Ventrículo | VTD ml (ml/m²) | FE %\nIzquierdo | 121 (71) | 57", "lvedvi", 71),
        ("| LVEDV (Index) | 148 ml (79 ml/m²) |\n| LVEF | 50 % |", "lvedv", 148),
        ("| | Value | Indexed (/m2) |\n| LV EDV (mL) | 121 | 78.6 |", "lvedvi", 78.6),
        ("Enhanced (% of LV mass)  17.6\nEF  50", "lge_extent", 17.6),
        # a list, by position
        ("VTD/VTS/VS/FE 241/164/77 ml/32 %", "lvedv", 241),
        ("RV volumes: the right ventricle 162 ml, 70 ml.", "rvesv", 70),
        ("RV FUNCTION\nEF 56 %\nSV 85\nCO 6.1\nHR 69\nBSA 1.8\nEDV 151 ml", "rvedv", 151),
        # two tables side by side
        ("LEFT VENTRICLE        RIGHT VENTRICLE\nEDV    154 ml         EDV    163 ml", "rvedv", 163),
        ("LEFT VENTRICLE        RIGHT VENTRICLE\nEDV    154 ml         EDV    163 ml", "lvedv", 154),
        ("EDV/ESV/EF: LV 143/88/38, RV 131/74/44", "rvedv", 131),
        ("EDV/ESV/EF: LV 143/88/38, RV 131/74/44", "lvedv", 143),
        ("Parametro|VS|VD\nVTD (ml)|176|183", "lvedv", 176),
        ("Bei einer 46-prozentigen Ejektionsfraktion", "lvef", 46),
        # what no term names, for a field that is spoken of
        ("The ejection fraction is low. It is 31 % now.", "lvef", 31),
        ("The ventricle is weak. It is 31 % now.", "lvef", None),
        ("The ejection fraction is low. The right ventricle 31 %.", "lvef", None),
        # "la" is an article, LA an atrium
        ("La FE llega al 77 %.", "lvef", 77),
        ("LA EF 40 %.", "lvef", None),
    ],
)  # fmt: skip
def test_the_right_number_is_offered(text: str, field: str, offered: float | None) -> None:
    found = options(text).get(field, [])
    assert found == [] if offered is None else offered in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LVEF 45 %. The chamber measured 180 ml, the stenosis 70 %. BSA 1.9 m2.", {"lvef": [45]}),
        ("LVEF 45 %. Another 60 %.", {"lvef": [45]}),
        ("LV volume 128 ml/m2.", {"lvedvi": [128]}),
        ("EF 34 %", {"lvef": [34]}),
        ("Right ventricle: EF 34 %", {"rvef": [34]}),
    ],
)
def test_a_number_is_offered_only_where_its_surroundings_name_the_field(
    text: str, expected: dict[str, list[float]]
) -> None:
    assert options(text) == expected


def test_no_field_has_more_than_eight_options() -> None:
    found = options("LVEF 45 %" + "".join(f", there {50 + n} %" for n in range(20)))
    assert len(found["lvef"]) == 8
    assert found["lvef"][0] == 45


PREVIOUS = {**WANTED, "before": Wanted(Measure("%", 3, 90, study="previous"), WANTED["lvef"].terms)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LVEF 45 %.", []),
        ("LVEF 45 %, previously 38 %.", [38]),
        # Nothing dates these: the model must tell which is which.
        ("Today the LVEF is 45 %, when she was ill 38 %.", [38, 45]),
        # Nothing tells of another study.
        ("LVEF 45 %. Beside the septum, LVEF 38 %.", []),
    ],
)
def test_a_previous_study_is_offered_an_undated_number_only_among_several_of_two_studies(
    text: str, expected: list[float]
) -> None:
    found = candidates(Report.parse(text), PREVIOUS)["before"]
    assert [quantity.value for quantity in found] == expected


def test_a_bare_terms_number_is_offered_to_both_ventricles_if_the_words_leave_it_open() -> None:
    assert options("RV dilated, ejection fraction 34 %.") == {"lvef": [34], "rvef": [34]}


def test_only_the_right_ventricle_is_asked_for() -> None:
    wanted = {"rvef": WANTED["rvef"]}
    assert not candidates(Report.parse("LVEF 45 %"), wanted)["rvef"][1:]
    found = candidates(Report.parse("LVEF 45 %, RVEF 50 %"), wanted)["rvef"]
    assert found[0].value == 50


def test_fields_without_terms_get_what_fits_and_nobody_claims() -> None:
    wanted = {
        "size": Wanted(Measure("mm", 1, 200)),
        "wall": WANTED["wall"],
        "gradient": Wanted(Measure("mmHg", 0, 200)),
    }
    found = candidates(Report.parse("Septum 12 mm. Thrombus 2.8 x 0.9 cm. Gradient 35 mmHg."), wanted)
    assert [q.value for q in found["size"]] == [28, 9]
    assert [q.value for q in found["wall"]] == [12]
    assert [q.text for q in found["gradient"]] == ["35 mmHg"]


def test_an_unknown_unit_is_the_schemas_error() -> None:
    with pytest.raises(SchemaError, match="furlong") as caught:
        candidates(Report.parse("LVEF 45 %"), {"length": Wanted(Measure("furlong", 0, 1))})
    assert caught.value.code == "unit_unknown"


PIECES = st.lists(
    st.sampled_from([
        "LVEF", "RV", "EF", "LVEDV", "T2*", "/", "45", "54,3", "180/95", " %", " ml", " ml/m²", " ", ", ", ". ", ": ", "\n", "\t", "|",
        "(", ")", "previously ", "Rechter Ventrikel:\n", "normal ", "-", " and ", "LV/RV", "e\u0301", "İ",
    ])
).map("".join)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.one_of(PIECES, st.text(max_size=200)))
def test_any_text_gives_valid_options_and_always_the_same(text: str) -> None:
    report = Report(text)
    found = candidates(report, WANTED)
    assert found == candidates(Report(text), WANTED)
    for field, quantities in found.items():
        measure = WANTED[field].measure
        assert len({(q.start, q.end) for q in quantities}) == len(quantities)
        for quantity in quantities:
            assert quantity.text == text[quantity.start : quantity.end]
            assert measure.low <= quantity.value <= measure.high


@pytest.mark.parametrize(
    "unit", ["LVEF 1% ", "5% EF ", "EF/", "LVEDV/LVESV 180/95 ml, ", "LV ", "5/", "EF (%) | 5 |", "(EF "]
)
def test_time_is_linear_in_hostile_text(unit: str) -> None:
    report = Report("EF " + unit * (8_000 // len(unit)))
    started = time.process_time()
    candidates(report, WANTED)
    assert time.process_time() - started < 5  # quadratic work takes minutes
