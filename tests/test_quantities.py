"""Numbers with their units, and what each stands for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractor.quantities import Number
from extractor.report import Report
from extractor.units import canonical, convert

PIECES = st.lists(
    st.sampled_from([
        "LVEF ", "45", "54,3", "1.050", " %", " ml/m²", " ms", " ± ", "/", "-", " to ", " x ", "(", ")", "[", "normal ", "vs. ",
        "previously ", "\n", "\t", "|", ",", ">", "T1 ", "e\u0301", "2019", "17.03.2021", " years", " segments", "İ", "1.5T",
    ])
).map("".join)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=300), PIECES)


def numbers(text: str) -> list[Number]:
    return list(Report.parse(text).numbers)


def values(text: str) -> list[tuple[str, float, str | None]]:
    return [(n.text, n.value, n.unit) for n in numbers(text) if n.kind == "value"]


def kinds(text: str) -> dict[str, str]:
    return {n.text: n.kind for n in numbers(text)}


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_numbers_are_spans_of_the_text_in_order(text: str) -> None:
    found = Report(text).numbers
    last = 0
    for number in found:
        assert number.text == text[number.start : number.end]
        assert number.start >= last
        last = number.end
    assert found == Report(text).numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LVEF 54,3 %", ("54,3 %", 54.3, "%")),
        ("LVEF >60%", (">60%", 60, "%")),
        ("LVEF ~35 %", ("~35 %", 35, "%")),
        ("EF 0.55", ("0.55", 0.55, None)),
        ("T1 natif 1 168 ms", ("1 168 ms", 1168, "ms")),
        ("T1 natif 1\u00a0168 ms", ("1\u00a0168 ms", 1168, "ms")),
        ("T1 natif 1\u202f168 ms", ("1\u202f168 ms", 1168, "ms")),
        ("ECV .28", (".28", 0.28, None)),
        ("LVEF55%", ("55%", 55, "%")),
        ("LVEDVi 98 ml/m2", ("98 ml/m2", 98, "mL/m2")),
        ("LVEDVi 98 mL/m²", ("98 mL/m²", 98, "mL/m2")),
        ("LVEDVi 98 ml/m^2", ("98 ml/m^2", 98, "mL/m2")),
        ("LVEDVi 98 ml/qm", ("98 ml/qm", 98, "mL/m2")),
        ("LVEDVi 98 ml/m.", ("98 ml/m", 98, "mL/m2")),
        ("LVEDVi 98 ml per square metre", ("98 ml per square metre", 98, "mL/m2")),
        ("LGE above 5 SD", ("5 SD", 5, "SD")),
        ("mass 73 gr/m2", ("73 gr/m2", 73, "g/m2")),
        ("LVEDV 143cc", ("143cc", 143, "mL")),
        ("LVEDV 143 cm3", ("143 cm3", 143, "mL")),
        ("HZV 5,4 l/min", ("5,4 l/min", 5.4, "L/min")),
        ("HI 2,9 l/min/m²", ("2,9 l/min/m²", 2.9, "L/min/m2")),
        ("LA area 24 cm2", ("24 cm2", 24, "cm2")),
        ("12-mm septum", ("12-mm", 12, "mm")),
        ("GLS -18.5 %", ("-18.5 %", -18.5, "%")),
        ("LVEDV (ml): 143", ("143", 143, "mL")),
        ("LVEF [%] 55", ("55", 55, "%")),
        ("LVEDV in ml: 143", ("143", 143, "mL")),
        ("LVEDV 143 [ml]", ("143", 143, "mL")),
        ("NC/C 2.6:1", ("2.6:1", 2.6, "ratio")),
        ("change of 5 %-points", ("5 %-points", 5, "%-points")),
        ("dose 7 ml/kg/h", ("7 ml/kg/h", 7, "ml/kg/h")),
    ],
)
def test_one_number_with_its_unit(text: str, expected: tuple[str, float, str | None]) -> None:
    found = numbers(text)
    assert [(n.text, n.value, n.unit) for n in found] == [expected]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("T1 1.050 ms", 1050),
        ("T1 1,050 ms", 1050),
        ("T1 1,050 ± 35 ms", 1050),
        ("EF 54,3 %. BNP 1.234", 1234),
        ("EF 54.3 %. BNP 1,234", 1234),
        ("EF 54,3 %. ratio 1,234", 1.234),
        ("flow 1.234,5 ml", 1234.5),
        ("flow 1,234.5 ml", 1234.5),
        ("flow 1'234 ml", 1234),
        ("flow 1\u202f234 ml", 1234),
        ("ratio 0.125", 0.125),
    ],
)
def test_decimal_and_thousands_separators(text: str, value: float) -> None:
    measured = [n for n in numbers(text) if n.kind == "value"]
    assert value in [n.value for n in measured]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LVEDV/LVESV 180/95 ml", [("180", 180, "mL"), ("95 ml", 95, "mL")]),
        ("EF LV/RV: 45/50 %", [("45", 45, "%"), ("50 %", 50, "%")]),
        ("Thrombus 31 x 7 mm", [("31", 31, "mm"), ("7 mm", 7, "mm")]),
        ("VD 81X44X57 mm", [("81", 81, "mm"), ("44", 44, "mm"), ("57 mm", 57, "mm")]),
        ("T2 52 ± 3 ms", [("52", 52, "ms")]),
        ("walls of 10, 12 and 15 mm", [("10", 10, "mm"), ("12", 12, "mm"), ("15 mm", 15, "mm")]),
        ("LVEDV 143 (106-214) ml", [("143", 143, "mL")]),
        ("LVEDV 143 (106-214 ml)", [("143", 143, "mL")]),
    ],
)
def test_a_unit_that_stands_once_for_several(text: str, expected: list[tuple[str, float, str]]) -> None:
    assert values(text) == expected


def test_both_bounds_of_a_measured_range_are_numbers() -> None:
    low, high = numbers("LVEF 40-45 %")
    assert (low.text, low.unit, high.text) == ("40", "%", "45 %")
    assert low.is_range_bound
    assert high.is_range_bound
    assert not numbers("LVEF 45 %")[0].is_range_bound


@pytest.mark.parametrize(
    "text",
    [
        "LVEF 52 % (normal 57-77)",
        "LVEDV 52 ml [57\u201377]",
        "LVEDV 52 ml (Norm: 57\u201377 ml)",
        "LVEDVi 52 ml/m² (N: <57)",
        "LVEDVi 52 ml/m² (<57)",
        "LVEF 52 % (Referenzbereich 57 bis 77 %)",
        "FEVI 52 % (rango de normalidad: 57-77 %)",
        "FEVI 52 % (VN > 57 %)",
        "LVEF 52 %, reference range 57-77 %",
        "LVEF | 52 | % | 57-77",
        "LVEF 52 % 57-77",
        "Parameter | Wert | Normwert\nLVEF | 52 % | 57",
        "LVEF 52% {57-77}",
        "52 ml/m2 at end diastole (57 to 77)",
    ],
)
def test_normal_ranges_are_no_measurements(text: str) -> None:
    assert [n.value for n in numbers(text) if n.kind == "value"] == [52]
    assert 57 in [n.value for n in numbers(text) if n.kind == "reference"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("normal systolic function (LVEF 58 %)", 58),
        ("LVEF normal (58 %)", 58),
        ("subendocardial LGE (<30 %)", 30),
        ("LV normal, EF 58 %", 58),
        ("(normal, EF 58 %)", 58),
        ("LVEF (40-45 %)", 40),
        ("septum 12 mm, lateral wall (7-9)", 7),
    ],
)
def test_a_measurement_near_the_word_normal_stays_one(text: str, value: float) -> None:
    assert value in [n.value for n in numbers(text) if n.kind == "value"]


@pytest.mark.parametrize(
    ("text", "number", "kind"),
    [
        ("Untersuchung bei 1.5T", "1.5T", "acquisition"),
        ("MRT bei 3 Tesla", "3 Tesla", "acquisition"),
        ("Schichtdicke 8 mm", "8 mm", "acquisition"),
        ("cine, TE 1.2 ms", "1.2 ms", "acquisition"),
        ("15 ml Gadovist i.v.", "15 ml", "dose"),
        ("gadobutrol 0.1 mmol/kg (7.5 ml)", "7.5 ml", "dose"),
        ("a 54-year-old man", "54-year", "age"),
        ("54 Jahre alt", "54 Jahre", "age"),
        ("CMR 2019", "2019", "date"),
        ("LGE in segments 4, 5 and 11", "5", "label"),
        ("NYHA 3", "3", "label"),
        ("17-segment model", "17", "label"),
        ("4-chamber view", "4", "label"),
        ("Fig. 2", "2", "label"),
        ("ID 48151623", "48151623", "label"),
        ("1. Normal LV", "1", "label"),
        ("(4) LGE: none", "4", "label"),
        ("4.2 LGE: none", "4.2", "label"),
        ("LVEF 60 %\n07 LGE none", "07", "label"),
        ("LGE 0, no clot", "0", "label"),
        ("subendocardial scar, <50 %", "<50 %", "label"),
        ("Narbe, etwa 60 % der Wanddicke", "60 %", "label"),
        ("T2 52 ± 3 ms", "3 ms", "spread"),
    ],
)
def test_numbers_that_measure_nothing(text: str, number: str, kind: str) -> None:
    assert kinds(text)[number] == kind


@pytest.mark.parametrize(
    "text",
    [
        "17.03.2021",
        "on 03/17/2021",
        "2021-03-17",
        "5. März 2019",
        "March 5, 2019",
        "at 10:35",
        "T1 and T2* maps",
        "CO2",
    ],
)
def test_dates_times_and_names_are_no_values(text: str) -> None:
    assert values(text) == []


def test_a_sum_of_volumes_is_no_date() -> None:
    assert [v for _, v, _ in values("EDV/ESV/SV 95/45/50 ml. EF 52.6.")] == [95, 45, 50, 52.6]


@pytest.mark.parametrize(
    "text",
    [
        "LVEF 45 % (previously 38 %)",
        "LVEF 45 %, previously 38 %",
        "LVEF 45 % compared to 38 % in 2019",
        "LVEF 45 % vs. 38 % in 2019",
        "LVEF improved from 38 % to 45 %",
        "LVEF 45 % (2019: 38 %)",
        "LVEF 45 %, Voruntersuchung 38 %",
        "LVEF von 38 % auf 45 % verbessert",
        "LVEF jetzt 45 %, zuvor 38 %",
        "LVEF 45 % (VU: 38 %)",
        "FEVI 45 % (previa 38 %)",
        "FEVI 45 %, en estudio previo 38 %",
        "Comparison: CMR 2019, LVEF 38 %.\nLVEF 45 %",
        "Vergleich:\nMRT 2019: LVEF 38 %\n\nBefund:\nLVEF 45 %",
        "Comparativo: RM 2018 con FEVI 38 %\nFEVI 45 %",
        "Parameter | aktuell | Voruntersuchung\nLVEF | 45 % | 38 %",
        "Parameter | 12.03.2024 | heute\nLVEF | 38 % | 45 %",
        "          05/2024    today\nLVEF       38 %       45 %",
        "Parameter | 2021 | 2024\nLVEF | 38 % | 45 %",
        "Parameter | 03/2024 | 11/2023\nLVEF | 45 % | 38 %",
    ],
)
def test_numbers_of_an_earlier_study_are_marked(text: str) -> None:
    measured = {n.value: n.is_prior for n in numbers(text) if n.unit == "%"}
    assert measured == {45: False, 38: True}


@pytest.mark.parametrize(
    "text",
    [
        "Compared with the prior study LVEF is unchanged at 45 %.",
        "Im Vergleich zur Voruntersuchung ist die LVEF mit 45 % unverändert.",
        "LVEF 45 %, unchanged from the previous exam.",
        "Prior myocardial infarction, LVEF 45 %.",
        "Comparison: none.\nLVEF 45 %",
        "Voruntersuchung vom 03.02.2021 liegt vor.\nLVEF 45 %",
        "Parameter | 03/2024 | Kommentar\nLVEF | 45 % | leicht reduziert",
    ],
)
def test_a_mention_of_an_earlier_study_does_not_age_todays_number(text: str) -> None:
    assert [n.is_prior for n in numbers(text) if n.unit == "%"] == [False]


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (5.2, "cm", "mm", 52),
        (0.143, "L", "mL", 143),
        (1.05, "s", "ms", 1050),
        (0.55, None, "%", 55),
        (0.57, None, "%", 57),
        (1, None, "%", None),
        (55, None, "%", None),
        (2.6, None, "ratio", 2.6),
        (2.6, "ratio", "ratio", 2.6),
        (95, "mL/m2", "mL", None),
        (152, "kg", "mL", None),
        (5, "%-points", "%", None),
    ],
)
def test_conversion(value: float, unit: str | None, to: str, expected: float | None) -> None:
    assert convert(value, unit, to) == expected


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("ml/m²", "mL/m2"),
        ("ML", "mL"),
        ("", "ratio"),
        ("1", "ratio"),
        ("%", "%"),
        ("furlong", None),
        ("t", None),
    ],
)
def test_canonical_units(written: str, unit: str | None) -> None:
    assert canonical(written) == unit


@given(st.sampled_from(["mL", "g", "mm", "cm2", "ms", "L/min"]), st.floats(0.1, 2000))
def test_conversion_to_itself_changes_nothing(unit: str, value: float) -> None:
    assert convert(value, unit, unit) == value


@pytest.mark.parametrize("text", ["FE 45 %\n3. Vorhöfe", "FE 45 %\n3) Vorhöfe", "FE 45 % \n12. Vorhöfe"])
def test_a_list_number_below_a_percentage_is_no_percentage(text: str) -> None:
    assert values(text) == [("45 %", 45, "%")]


def test_a_thousands_space_before_a_spread_or_a_range() -> None:
    assert values("T1 1 168 ± 30 ms") == [("1 168", 1168, "ms")]
    assert [value for _, value, _ in values("T1 de 1 030 à 1 100 ms")] == [1030, 1100]
    assert [value for _, value, _ in values("T2* in 1 of 168 ms")] == [1, 168]
