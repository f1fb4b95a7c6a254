"""Reports and their sentences: checked input, spans that are the report's own text, splitting in three languages."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractor.errors import ReportError
from extractor.report import Report

# Any Unicode, and text built from the pieces that the rules look at.
PIECES = st.lists(
    st.sampled_from([
        "LVEF", "EF", "45", "54,3", "%", " ", ".", ",", ";", ":", "\n", "\r\n", "\t", "|", "(", ")", "[", "z. B. ", "1.", "-",
        "/", "ml/m²", "ms", "±", "Linker Ventrikel:", "previously", "i.v.", "e\u0301", "\u2028", "•", "≥", "17.03.2021", "İ",
    ])
).map("".join)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=300), PIECES)


def pieces(text: str) -> list[str]:
    return [sentence.text for sentence in Report.parse(text).sentences]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "report_empty"),
        (" \n\t ", "report_empty"),
        ("LVEF\x0055 %", "report_control_characters"),
        ("LVEF 55 %\x9f", "report_control_characters"),
        ("LVEF \ud800", "report_not_utf8"),
        ("x" * 100_001, "report_too_long"),
    ],
)
def test_unusable_text_is_refused_without_quoting_it(text: str, code: str) -> None:
    with pytest.raises(ReportError) as caught:
        Report.parse(text)
    error = caught.value
    assert (error.code, error.field, error.status) == (code, "text", 422)
    assert error.fix
    assert "LVEF" not in str(error.problem())


def test_a_page_break_ends_a_sentence_and_is_text() -> None:
    report = Report.parse("LVEF 55 %\n\fNo LGE\x0bNo oedema")
    assert [sentence.text.strip() for sentence in report.sentences] == ["LVEF 55 %", "No LGE", "No oedema"]


def test_position_of_a_control_character_is_named() -> None:
    with pytest.raises(ReportError, match="Character 4 is the control character U\\+0000"):
        Report.parse("LVEF\x0055 %")


def test_length_limit_is_the_callers() -> None:
    assert Report.parse("LVEF 5", max_chars=6).text == "LVEF 5"
    with pytest.raises(ReportError, match="7 characters, more than the 6"):
        Report.parse("LVEF 55", max_chars=6)


def test_bytes_that_are_no_utf8_name_the_offset_and_keep_the_text_to_themselves() -> None:
    with pytest.raises(ReportError, match="Byte 17 ") as caught:
        Report.from_bytes("Mustermann, Ödem ödematös".encode("cp1252").replace(b"\xd6", b"O"))
    assert caught.value.code == "report_not_utf8"
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_byte_order_mark_is_no_text() -> None:
    assert Report.from_bytes(b"\xef\xbb\xbfLVEF 55 %").text == "LVEF 55 %"


def test_repr_shows_no_text() -> None:
    assert "LVEF" not in repr(Report("LVEF 55 %"))


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_sentences_are_spans_that_cover_everything_once(text: str) -> None:
    sentences = Report(text).sentences
    covered = [i for sentence in sentences for i in range(sentence.start, sentence.end)]
    assert covered == sorted(set(covered))
    assert all(i in set(covered) for i, char in enumerate(text) if not char.isspace())
    for sentence in sentences:
        assert sentence.text == text[sentence.start : sentence.end] == sentence.text.strip() != ""
    assert sentences == Report(text).sentences


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_no_number_is_cut_by_a_sentence(text: str) -> None:
    report = Report(text)
    for number in report.numbers:
        assert any(s.start <= number.start and number.end <= s.end for s in report.sentences)


@pytest.mark.parametrize(
    "sentence",
    [
        "LVEF is approx. 54.3 % by Simpson vs. 50 % visually.",
        "Discussed with Dr. Weber and Prof. Lind.",
        "Z. n. Infarkt, V. a. Myokarditis, z. B. nach Infekt, St. n. PCI.",
        "Wandstärke max. 12 mm, ca. 3 cm Länge, ggf. Kontrolle bei 1.5 T.",
        "Untersuchung am 17.03.2021 bzw. am 3. Tag nach i.v. Gabe.",
        "Voraufnahme vom 5. März 2019 nicht vorhanden.",
        "Remitido por la Dra. Gil, aprox. 35 % de la pared, grosor máx. 14 mm.",
        "Resistance is raised (3.1 U. Wood).",
        "Spätanreicherung etwa 12 % d. Masse, RV ngr. (EDVI 74), LV konz. verd. bis 16 mm.",
    ],
)
def test_stops_that_end_nothing(sentence: str) -> None:
    assert pieces(sentence + " No thrombus.") == [sentence, "No thrombus."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no oedema. no lge. lvef 55%.", ["no oedema.", "no lge. lvef 55%."]),
        ("Kein Ödem.Perikard zart.", ["Kein Ödem.", "Perikard zart."]),
        ("T2 49 ms. ECV 30 %. Scan time 42 min. LGE absent.", ["T2 49 ms.", "ECV 30 %.", "Scan time 42 min.", "LGE absent."]),
        ("1. Normal LV. 2. No LGE.", ["1. Normal LV.", "2. No LGE."]),
        ("(A) Walls thick. (B) No LGE.", ["(A) Walls thick.", "(B) No LGE."]),
        ("D. RV normal.", ["D. RV normal."]),
        ("LEFT VENTRICLE:\nEF 55 %\n\nRIGHT VENTRICLE: EF 50 %", ["LEFT VENTRICLE:", "EF 55 %", "RIGHT VENTRICLE: EF 50 %"]),
        ("- LVEF 55 %\n- kein LGE\r\n• Ödem fraglich", ["- LVEF 55 %", "- kein LGE", "• Ödem fraglich"]),
        ("LVEDV\t143\tml\nLVESV\t60\tml", ["LVEDV\t143\tml", "LVESV\t60\tml"]),
        ("Trombo? No se observa. ¿Edema? Tampoco.", ["Trombo?", "No se observa.", "¿Edema?", "Tampoco."]),
    ],
)  # fmt: skip
def test_ends_of_sentences(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_a_wrapped_line_goes_on() -> None:
    text = (
        "The left ventricle is mildly dilated with an ejection fraction of\n"
        "45 %. There is mid-wall enhancement of the basal septum without\n"
        "oedema on the T2-weighted images and without pericardial effusion."
    )
    assert len(pieces(text)) == 2


def test_a_list_of_short_lines_is_not_wrapped_text() -> None:
    assert len(pieces("LVEF 55 %\nRVEF 50 %\nkein LGE")) == 3


def test_long_sentences_are_cut_but_never_between_number_and_unit() -> None:
    cut = pieces("wall " * 80 + "; " + "septum 12 mm " * 80)
    assert len(cut) > 2
    assert all(len(piece) <= 600 for piece in cut)
    assert not any(piece.endswith("12") for piece in cut)


@pytest.mark.parametrize(
    "unit",
    ["1", "1 ", "a. ", "(", "1/", " ", "|", "\t1", "vs 1% ", "prior ", ".", "[1", "1,", "z. B. ", "\n", "1\n", "a.B", "5/", "\u0301"],
)  # fmt: skip
def test_time_is_linear_in_hostile_text(unit: str) -> None:
    report = Report(unit * (8_000 // len(unit)))
    started = time.process_time()
    assert report.sentences is report.sentences
    assert report.numbers is report.numbers
    assert time.process_time() - started < 5  # quadratic work takes minutes
