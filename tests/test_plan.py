"""How a report closes a schema's questions, and how lists are answered."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractor.compile import compile_form
from extractor.form import Members, Option
from extractor.lists import likeliest_set
from extractor.plan import Plan, bind, sentence_id
from extractor.prompt import PromptBook
from extractor.report import Report
from schemas.cmr_report_v1 import CmrReportV1
from schemas.cmr_report_v2 import CmrReportV2

FORM = compile_form(CmrReportV1)
TERMS = PromptBook.load("cmr-report@1").terms(FORM)


def bound(text: str) -> Plan:
    return bind(FORM, Report.parse(text), TERMS)


def labels(plan: Plan, path: str) -> list[str]:
    return [option.label for option in next(q for q in plan.questions if q.path == path).options]


STATUS = ["present", "absent", "uncertain", "not_stated"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("LVEF 45 %. No LGE.", "lge"),
        ("Kein Late Enhancement. Normale Pumpfunktion.", "lge"),
        ("Sin realce tardío. Función normal.", "lge"),
        ("Cine: no oedema, effusion or thrombus.", "thrombus"),
    ],
)
def test_a_finding_that_the_report_speaks_of_is_asked_in_full(text, finding):
    assert labels(bound(text), f"findings.{finding}") == STATUS


@pytest.mark.parametrize("text", ["LVEF 45 %. No LGE.", "Kein Late Enhancement.", "Sin realce tardío."])
def test_a_finding_that_nothing_speaks_of_is_not_stated(text):
    assert labels(bound(text), "findings.thrombus") == ["not_stated"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("T2* 9 ms. No gadolinium was given. LVEF 45 %.", "lge"),
        ("T2* 9 ms. Contrast was not given. LVEF 45 %.", "lge"),
        ("Kontrastmittel wurde nicht verabreicht. LVEF 45 %.", "lge"),
        ("Estudio sin contraste. FEVI 45 %.", "lge"),
        ("LGE | not performed\nLVEF 45 %", "lge"),
        ("LVEF 45 %. Oedema: not assessed.", "oedema"),
        ("LVEF 45 %. Ödem nicht beurteilbar.", "oedema"),
        ("LVEF 45 %. T2 mapping: not possible.", "oedema"),
        ("FEVI 45 %. Perfusión no realizada.", "perfusion_defect"),
        ("LVEF 45 %\nVALVES          not assessed", "valve_disease"),
    ],
)
def test_what_nobody_looked_at_is_not_stated(text, finding):
    assert labels(bound(text), f"findings.{finding}") == ["not_stated"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("LVEF 45 %. No contrast enhancement.", "lge"),
        ("LVEF 45 %. Kein Kontrastmittel-Enhancement.", "lge"),
        ("LVEF 45 %. Ohne KM-Aufnahme.", "lge"),
        ("LVEF 45 %. The myocardium takes up no contrast.", "lge"),
        ("LVEF 45 %. No LGE. Perfusion not performed.", "lge"),
        ("LVEF 45 %. No oedema; valves not assessed.", "oedema"),
        ("LVEF 45 %. Thrombus: none. Not assessed: valves.", "thrombus"),
        ("LVEF 45 %. Perfusion not assessable at the apex, inferior defect.", "perfusion_defect"),
    ],
)
def test_what_is_denied_or_partly_seen_is_asked(text, finding):
    assert labels(bound(text), f"findings.{finding}") == STATUS


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("LV of normal size, LVEF 60 %.", "rv_dilatation"),
        ("Der linke Ventrikel ist normal groß mit guter Funktion.", "rv_systolic_dysfunction"),
        ("VI no dilatado, FEVI 60 %. LGE at the RV insertion points.", "rv_dilatation"),
        ("LV not dilated. RVEF 55 %.", "rv_dilatation"),
        ("FEVI 68 %; AI ligeramente dilatada.", "lv_dilatation"),
        ("CMR: the pericardium was 8 mm thick, calcified, with septal bounce. LVEF 60 %.", "lv_hypertrophy"),
        ("LVEF 60 %, LGE through the full thickness, 22 % of the left ventricular mass.", "lv_hypertrophy"),
        ("LVEF 60 %. LA mildly dilated.", "lv_dilatation"),
        ("FEVI 60 %. AI dilatada.", "lv_dilatation"),
        ("LVEF 60 %. Pericardium thickened, 6 mm, with a small effusion.", "lv_hypertrophy"),
    ],
)
def test_words_of_size_say_nothing_of_a_ventricle_that_no_sentence_speaks_of(text, finding):
    assert labels(bound(text), f"findings.{finding}") == ["not_stated"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("LV of normal size. Right heart normal.", "rv_dilatation"),
        ("Normal chamber sizes.", "rv_dilatation"),
        ("Beide Ventrikel normal groß.", "rv_dilatation"),
        ("Das VI normal, el derecho de tamaño normal.", "rv_dilatation"),
        ("LV not dilated. RV: normal, RVEF 55 %.", "rv_dilatation"),
        ("LV and RV: EF 60 and 55 %, not dilated.", "rv_dilatation"),
        ("RV: EF 55 %, size normal.", "rv_dilatation"),
        ("FEVI 68 %, AI y VI dilatados.", "lv_dilatation"),
        ("LA and LV mildly dilated.", "lv_dilatation"),
        ("Pericardium thin; septum thickened.", "lv_hypertrophy"),
        ("Size: mildly dilated.", "lv_dilatation"),
    ],
)
def test_words_of_size_may_be_of_a_ventricle_that_is_named_or_not_told_apart(text, finding):
    assert labels(bound(text), f"findings.{finding}") == STATUS


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("LVEF 45 %. A thrombus cannot be excluded.", "thrombus"),
        ("LVEF 45 %. Kleiner Perikarderguss fraglich.", "pericardial_effusion"),
        ("FEVI 45 %. Posible realce septal, sin edema.", "lge"),
        ("LV borderline dilated, RV normal.", "lv_dilatation"),
        ("LV EF 51 %, borderline. RV normal.", "lv_systolic_dysfunction"),
        ("LVEF 45 %. Ob ein Erguss besteht, ist nicht zu entscheiden.", "pericardial_effusion"),
        ("FEVI 45 %. Realce: foco tenue basal, dudoso, frente a artefacto.", "lge"),
    ],
)
def test_a_clause_of_doubt_makes_a_finding_doubted(text, finding):
    assert f"findings.{finding}" in bound(text).doubted


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("LVEF 45 %. No thrombus; possible small effusion.", "thrombus"),
        ("LVEF 45 %. No thrombus, LV borderline dilated.", "thrombus"),
        ("LVEF 45 %. LV dilatiert, RV oB. Kein LGE.", "rv_dilatation"),
        ("LVEF 45 %. Septal LGE, suggestive of sarcoidosis.", "lge"),
        ("FEVI 45 %. Posible realce septal, sin edema.", "oedema"),
        ("LVEF 45 %. Kein Verdacht auf Thrombus.", "thrombus"),
        ("FEVI 45 %. Sin duda hay realce septal.", "lge"),
        ("MRI of 12 May 2024: LV dilated.", "lv_dilatation"),
    ],
)
def test_doubt_of_something_else_leaves_a_finding_alone(text, finding):
    assert f"findings.{finding}" not in bound(text).doubted


@pytest.mark.parametrize(
    ("text", "doubted"),
    [
        ("V.a. Thrombus apikal.", True),
        ("Keinerlei Verdacht auf Thrombus.", False),
        ("No clear suspicion of thrombus.", False),
        ("Thrombus is neither seen nor suspected.", False),
        ("Thrombus was possible.", True),
    ],
)
def test_a_suspicion_is_doubt_and_its_denial_none(text, doubted):
    assert ("findings.thrombus" in bound(text).doubted) is doubted


@pytest.mark.parametrize(
    ("text", "measurement", "offered"),
    [
        ("T2* mapping with multi-echo GRE: septal T2* of 14 ms, LVEF 55 %.", "t2_star", ["14 ms"]),
        ("Gradient-recalled echo T2* 14 ms.", "t2_star", ["14 ms"]),
        ("In contrast to echo the LVEF is 55 %.", "lvef", ["55 %"]),
        ("Im Gegensatz zur Echokardiographie beträgt die LVEF 55 %.", "lvef", ["55 %"]),
        ("A diferencia del ecocardiograma la FEVI es del 55 %.", "lvef", ["55 %"]),
        ("Poor echo windows: LVEF 38 %.", "lvef", ["38 %"]),
        ("Echo: LVEF 38 %.", "lvef", []),
        ("LVEF by echo 38 %, now 45 %.", "lvef", ["45 %"]),
        ("LV mass 120 g and no late gadolinium enhancement.", "lv_mass", ["120 g"]),
        ("Gadolinium-enhanced CMR: LVEDV 180 ml, LVESV 80 ml.", "lvedv", ["180 ml"]),
        ("LVEDV 150 ml. 20 ml of gadobutrol.", "lvedv", ["150 ml"]),
        ("LVEF within normal limits: 62 %.", "lvef", ["62 %"]),
        ("LVEF im Normbereich: 62 %.", "lvef", ["62 %"]),
        ("FEVI en rango normal: 62 %.", "lvef", ["62 %"]),
        ("LVEF normal 55-60 %.", "lvef", ["55", "60 %"]),
        ("LVEF 62 %, normal 55-70 %.", "lvef", ["62 %"]),
        ("LVEF 62 %. Normal range: 55-70 %.", "lvef", ["62 %"]),
        ("LVEDVi 92 mL/m2, LVESVi 41 ml pro m².", "lvesvi", ["41 ml pro m²"]),
        ("LVEDVi 92 mL/m2, LVESVi 41 ml pro m².", "lvesv", []),
        ("LVEDVi 92 ml/1,73 m².", "lvedvi", ["92 ml/1,73 m²"]),
        ("LVEDVi 92 mL·m⁻².", "lvedvi", ["92 mL·m⁻²"]),
        ("LVEF improved to 45 % from 35 %.", "lvef", ["45 %"]),
        ("La FEVI ha mejorado del 35 al 48 %.", "lvef", ["48 %"]),
        ("LVEF fell by 10 % to 45 %.", "lvef", ["45 %"]),
        ("LVEF ist um 10 % auf 45 % gesunken.", "lvef", ["45 %"]),
        ("RV wall thickness 6 mm.", "max_wall_thickness", []),
        ("RV-Wanddicke 5 mm.", "max_wall_thickness", []),
        ("Septal wall thickness 14 mm.", "max_wall_thickness", ["14 mm"]),
        ("Ventricular septal defect measuring 12 mm.", "max_wall_thickness", []),
        ("LA emptying fraction 45 %. LVEF 60 %.", "lvef", ["60 %"]),
        ("Echo: EF 50 %, IVS 14 mm. MR: Septum 11 mm.", "max_wall_thickness", ["11 mm"]),
        ("VDFVI: 175 ml / VDFVI ind: 89 ml/m2 / VSFVI: 79 ml", "lvedv", ["175 ml"]),
        ("VDFVI: 175 ml / VDFVI ind: 89 ml/m2 / VSFVI: 79 ml", "lvesv", ["79 ml"]),
        ("Volumen diastólico final 132 mL (73 mL/mt2), masa 96 g (53 g/mt2).", "lv_mass_index", ["53 g/mt2"]),
        ("T2* septum 8.5 ms, liver T2* 3.2 ms.", "t2_star", ["8.5 ms"]),
        ("Right Ventricle (RV)\n- EDV: 160 ml\n- EF: 38 %", "rvedv", ["160 ml"]),
        ("Right Ventricle (RV)\n- EDV: 160 ml\n- EF: 38 %", "lvedv", []),
        ("Rechter Ventrikel - Volumina und Funktion\nEF 38 %", "rvef", ["38 %"]),
    ],
)
def test_numbers_are_offered_to_what_they_measure(text, measurement, offered):
    assert labels(bound(text), f"measurements.{measurement}") == [*offered, "not_stated"]


@pytest.mark.parametrize(
    "text",
    [
        "Previous infarct\nLVEF 38 %\nRVEF 50 %",
        "Infarto inferior previo con FEVI del 38 %.",
        "LVEF unchanged from prior at 38 %.",
    ],
)
def test_what_was_before_may_be_an_illness_and_no_study(text):
    form = compile_form(CmrReportV2)
    plan = bind(form, Report.parse(text), PromptBook.load("cmr-report@2").terms(form))
    assert labels(plan, "measurements.lvef") == ["38 %", "not_stated"]
    assert labels(plan, "previous.lvef") == ["not_stated"]


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("EF: LV 45 %, RV 30 %.", ["rv_systolic_dysfunction"]),
        ("Volúmenes: VI 150 ml, VD 260 ml.", ["lv_dilatation", "rv_dilatation"]),
        (
            "LV: unremarkable. RV: unremarkable.",
            ["lv_dilatation", "rv_dilatation", "rv_systolic_dysfunction"],
        ),
        ("Der rechte Ventrikel ist unauffällig.", ["rv_dilatation", "rv_systolic_dysfunction"]),
        ("Ventrículo izquierdo: normal.", ["lv_dilatation", "lv_systolic_dysfunction"]),
        (
            "- VI: s/p\n- VD: s/p\n- AI dilatada.",
            ["lv_dilatation", "lv_systolic_dysfunction", "rv_dilatation"],
        ),
        ("Mild MR, no evaluation of pulmonary flow.", ["valve_disease"]),
        ("Small thrombus, not given anticoagulants.", ["thrombus"]),
        ("No late enhancement, without gadolinium deposition.", ["lge"]),
    ],
)
def test_what_a_report_says_shortly_is_asked(text, findings):
    plan = bound(f"{text} No oedema.")
    assert all(len(labels(plan, f"findings.{finding}")) > 1 for finding in findings)


def test_a_ventricle_called_normal_says_nothing_of_its_walls():
    assert labels(bound("LV: normal. No oedema."), "findings.lv_hypertrophy") == ["not_stated"]


def test_in_a_language_that_the_terms_do_not_know_everything_is_asked():
    plan = bound("Lewa komora prawidłowa, bez skrzeplin i bez płynu.")
    assert labels(plan, "findings.thrombus") == STATUS
    assert labels(plan, "findings.lge") == STATUS


def test_evidence_is_offered_where_the_report_speaks_of_the_finding():
    plan = bound("The left ventricle is dilated. Septal LGE. No thrombus. LGE extent 5 %.")
    assert plan.sources("findings.lge") == (1, 3)
    assert plan.sources("findings.thrombus") == (2,)
    assert plan.sources("measurements.lvef") == (0, 1, 2, 3)


REPORT_V2 = compile_form(CmrReportV2)
SEGMENTS = "findings.lge_segments"


def asked(text: str) -> Plan:
    return bind(REPORT_V2, Report.parse(text), PromptBook.load("cmr-report@2").terms(REPORT_V2))


def open_segments(text: str) -> set[str]:
    node = next(leaf for leaf in REPORT_V2.leaves() if leaf.path == SEGMENTS)
    assert isinstance(node, Members)
    return {label.label for label in asked(text).open_labels(node)}


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("LGE of the mid inferior wall.", {"basal_inferior", "mid_inferior", "apical_inferior"}),
        ("LGE inferolateral basal.", {"basal_inferolateral", "mid_inferolateral"}),
        ("Narbe der Vorderwand.", {"basal_anterior", "mid_anterior", "apical_anterior"}),
        ("LGE in the apex.", {"apex"}),
    ],
)
def test_only_segments_that_the_report_may_name_are_asked(text, segments):
    assert segments <= open_segments(text)
    assert len(open_segments(text)) < 10


def test_segments_by_number_leave_all_segments_open():
    assert len(open_segments("LGE in segments 3, 4 and 9.")) == 17


def test_segments_are_asked_after_the_finding_that_they_depend_on():
    plan = asked("LGE of the mid inferior wall.")
    stages = {question.path: question.stage for question in plan.questions}
    assert stages[f"{SEGMENTS}[mid_inferior]"] == stages["findings.lge"] + 1


def test_a_previous_studys_number_is_no_option_for_the_current_one():
    plan = asked("LVEF 35 %, previously 48 %. RVEF 50 %.")
    assert labels(plan, "measurements.lvef") == ["35 %", "not_stated"]
    assert labels(plan, "previous.lvef") == ["48 %", "not_stated"]
    assert labels(plan, "previous.rvef") == ["not_stated"]


def test_equal_numbers_are_one_option_in_its_best_place():
    plan = bound("LVEF 35 %. Conclusion: the LVEF is 35%.")
    assert labels(plan, "measurements.lvef") == ["35 %", "not_stated"]


def test_a_number_cites_the_sentence_it_stands_in():
    plan = bound("LVEDV 180 ml. No LGE. LVEF 35 %, RVEF 50 %.")
    for name, sentence in (("lvedv", 0), ("lvef", 2), ("rvef", 2)):
        option = next(q for q in plan.questions if q.path == f"measurements.{name}").options[0]
        cited = plan.sentence_of(option.value)
        assert cited is not None
        assert cited.sentence == sentence
        assert option.label in cited.text


@given(st.integers(1, 5000), st.data())
def test_sentence_ids_differ_and_none_begins_another(count, data):
    one, other = (data.draw(st.integers(0, count - 1)) for _ in range(2))
    first, second = sentence_id(one, count), sentence_id(other, count)
    assert (first == second) == (one == other)
    assert len(first) == len(second)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5), st.data())
def test_a_list_is_the_likeliest_set_of_an_allowed_size(chances, data):
    low = data.draw(st.integers(0, len(chances)))
    high = data.draw(st.integers(max(low, 1), len(chances) + 1))
    node = Members("m", tuple(Option(str(i), i) for i in range(len(chances))), low, high)
    answer = likeliest_set(node, chances)
    sets = [
        c
        for n in range(low, min(high, len(chances)) + 1)
        for c in itertools.combinations(range(len(chances)), n)
    ]
    weights = {c: math.prod(p if i in c else 1 - p for i, p in enumerate(chances)) for c in sets}
    assert weights[tuple(answer.option.value)] == pytest.approx(max(weights.values()))
    assert answer.chance == pytest.approx(weights[tuple(answer.option.value)] / sum(weights.values()))
