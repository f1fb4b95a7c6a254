"""The figures of `python -m eval` against values worked out by hand, published or computed by scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from eval.answers import FAILED, Given
from eval.calibration import calibration
from eval.compare import compare
from eval.gold import form, under
from eval.intervals import holm, mcnemar, resampled, share_interval, wilson
from eval.metrics import classification, lists, rates
from eval.scoring import Scored, length, measured
from eval.summary import groups, measurements, pooled, strata, worst
from schemas.fields import NOT_STATED

REF = "cmr-diagnosis@1"


def row(  # noqa: PLR0913
    gold, answer, case="a", *, p=None, path="diagnosis", kind="category", **more
) -> Scored:
    chances = (
        None if p is None else {answer: p, "rest": 1 - p} if answer == gold else {answer: p, gold: 1 - p}
    )
    given_ = Given(value=answer, probability=p, distribution=chances)
    return Scored(case, case, (("language", "en"),), path, kind, gold, given_, **more)


def rows(*pairs, **more) -> list[Scored]:
    return [row(gold, answer, f"case {n}", **more) for n, (gold, answer) in enumerate(pairs)]


# --- categories ---


def test_a_small_confusion_worked_out_by_hand():
    found = classification(
        rows(
            ("hcm", "hcm"),
            ("hcm", "hcm"),
            ("hcm", "dcm"),
            ("dcm", "dcm"),
            ("dcm", FAILED),
            ("normal", "normal"),
        ),
        REF,
    )
    assert found["accuracy"]["value"] == pytest.approx(4 / 6)
    classes = {one["label"]: one for one in found["classes"]}
    assert list(classes) == ["normal", "dcm", "hcm"]  # the schema's order
    assert (classes["hcm"]["precision"], classes["hcm"]["recall"]) == (1, pytest.approx(2 / 3))
    assert (classes["dcm"]["precision"], classes["dcm"]["recall"]) == (0.5, 0.5)
    assert classes["hcm"]["f1"] == pytest.approx(0.8)
    assert found["macro_f1"]["value"] == pytest.approx((1 + 0.5 + 0.8) / 3)
    assert found["weighted_f1"]["value"] == pytest.approx((1 * 1 + 2 * 0.5 + 3 * 0.8) / 6)
    assert found["columns"] == ["normal", "dcm", "hcm", FAILED]
    assert found["confusion"] == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 1, 2, 0]]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", FAILED])), min_size=1, max_size=30
    )
)
def test_the_resampled_rates_are_those_of_scikit_learn(pairs):
    labels = sorted({one for pair in pairs for one in pair} - {FAILED})
    columns = [*labels, FAILED]
    counts = np.zeros((len(labels), len(columns)))
    for gold, answer in pairs:
        counts[labels.index(gold), columns.index(answer)] += 1
    ours = rates(counts)
    gold_all, answers = zip(*pairs, strict=True)
    for average in ("macro", "weighted"):
        theirs = precision_recall_fscore_support(
            gold_all, answers, labels=labels, average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), theirs[:3], strict=True):
            assert ours[f"{average}_{name}"] == pytest.approx(value)


def test_lists_are_sets():
    found = lists(
        [
            row(["apex", "mid_inferior"], ["mid_inferior", "apex"], "1", kind="list"),
            row(["apex"], ["apex", "mid_inferior"], "2", kind="list"),
            row([], [], "3", kind="list"),
            row(["apex"], FAILED, "4", kind="list"),
        ]
    )
    assert found is not None
    assert found["exact"]["value"] == 0.5
    assert found["jaccard"]["value"] == pytest.approx((1 + 0.5 + 1 + 0) / 4)
    assert found["micro_precision"] == pytest.approx(3 / 4)
    assert found["micro_recall"] == pytest.approx(3 / 4)


# --- intervals and tests ---


def test_wilson_of_the_study():
    """107 and 102 of 109, as worked out from the published figures."""
    assert wilson(107, 109) == pytest.approx((0.936, 0.995), abs=5e-4)
    assert wilson(102, 109) == pytest.approx((0.873, 0.969), abs=5e-4)


def test_a_share_of_one_still_has_a_width():
    low, high = share_interval([True] * 20, ["a", "b"] * 10) or (0, 0)
    assert high == 1
    assert low < 0.5, "two cases are two cases, however many rows they give"


def test_translations_of_one_case_widen_the_interval():
    right = [n % 2 == 0 for n in range(40)]
    alone = share_interval(right, list(range(40))) or (0, 0)
    doubled = share_interval([one for one in right for _ in "ab"], [n for n in range(40) for _ in "ab"]) or (
        0,
        0,
    )
    assert doubled[1] - doubled[0] > 0.9 * (alone[1] - alone[0])


def test_draws_are_seeded_and_keep_clusters_together():
    amounts = np.array([[1.0], [1.0], [0.0]])
    first = resampled(amounts, ["a", "a", "b"])
    assert (first == resampled(amounts, ["a", "a", "b"])).all()
    assert set(first[:, 0]) == {0.0, 2.0, 4.0}


def test_mcnemar_is_exact():
    """9 against 1 discordant: two-sided binomial, 2 (1 + 10) / 1024."""
    first = [True] * 9 + [False] + [True] * 30
    second = [False] * 9 + [True] + [True] * 30
    assert mcnemar(first, second) == pytest.approx(22 / 1024)
    assert mcnemar(first, first) == 1


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_systems_are_compared_on_the_reports_that_both_answered():
    gold = ["hcm", "dcm"] * 10
    good = rows(*[(one, one) for one in gold])
    poor = rows(*[(one, "hcm") for one in gold])[:-2]
    (found,) = compare({"good": good, "poor": poor}, REF)
    assert (found["n"], found["first_right"], found["second_right"]) == (18, 18, 9)
    assert found["difference"] == pytest.approx(0.5)
    assert 0.25 < found["interval"][0] < 0.5 < found["interval"][1] < 0.75
    assert found["p"] == found["p_holm"] == pytest.approx(2 / 2**9)
    assert found["macro_f1_interval"][0] > 0.4


# --- probabilities ---


def test_calibration_worked_out_by_hand():
    found = calibration(
        [
            row("hcm", "hcm", "1", p=0.95),
            row("hcm", "hcm", "2", p=0.95),
            row("dcm", "hcm", "3", p=0.65),
            row("dcm", "dcm", "4", p=0.55),
        ]
    )
    assert found is not None
    assert found["ece"] == pytest.approx((2 * 0.05 + 0.65 + 0.45) / 4)
    assert found["brier"] == pytest.approx((2 * 2 * 0.05**2 + 2 * 0.65**2 + 2 * 0.45**2) / 4)
    assert [(p["coverage"], p["risk"]) for p in found["risk_coverage"]] == [
        (0.5, 0), (0.75, pytest.approx(1 / 3)), (1, 0.25),
    ]  # fmt: skip
    assert found["coverage_at_2_percent_error"] == 0.5


def test_answers_that_the_model_did_not_give_say_nothing_of_its_probabilities():
    forced = Scored(
        "a", "a", (), "diagnosis", "category", "hcm", Given(value="hcm", probability=1, status="forced")
    )
    assert calibration([forced, row("hcm", "hcm")]) is None


# --- measurements ---

TEXT = "LVEF 31 %, LVEDV 246 mL (130 mL/m2). RVEF 48 %. Wall 1.2 cm. Previously LVEF 45 %."
GOLD = {
    "measurements.lvef": 31.0,
    "measurements.lvedv": 246.0,
    "measurements.lvedvi": 130.0,
    "measurements.rvef": 48.0,
    "measurements.max_wall_thickness": 12.0,
    "measurements.ecv": NOT_STATED,
    "previous.lvef": 45.0,
}


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("lvef", 31.0, "exact"),
        ("lvef", NOT_STATED, "omitted"),
        ("lvef", FAILED, "failed"),
        ("lvef", 37.0, "invented"),
        ("lvef", 45.0, "wrong_study"),
        ("lvef", 48.0, "wrong_ventricle"),
        ("lvedv", 130.0, "wrong_field"),
        ("max_wall_thickness", 12.0, "exact"),
        ("max_wall_thickness", 1.2, "unit_error"),
        ("ecv", NOT_STATED, "left_out"),
        ("ecv", 45.0, "wrong_study"),
        ("ecv", 48.0, "wrong_field"),
    ],
)
def test_what_kind_of_mistake_a_number_is(name, value, result):
    leaf = next(leaf for leaf in form("cmr-report@1").leaves() if leaf.path == f"measurements.{name}")
    assert measured(leaf, GOLD[leaf.path], value, GOLD, TEXT) == result  # type: ignore[arg-type]


def test_a_number_that_nothing_else_explains():
    leaf = next(leaf for leaf in form("cmr-report@1").leaves() if leaf.path == "measurements.lvef")
    text = TEXT + " Septal strain 12.5 %."
    assert measured(leaf, 31.0, 12.5, GOLD, text) == "other_number"  # type: ignore[arg-type]
    assert measured(leaf, NOT_STATED, 12.5, GOLD, text) == "unstated"  # type: ignore[arg-type]


def test_reports_wholly_right():
    kind = {"kind": "quantity", "path": "measurements.lvef"}
    found = measurements(
        [
            row(31.0, 31.0, "1", result="exact", **kind),
            row(NOT_STATED, NOT_STATED, "2", result="left_out", **kind),
            row(31.0, NOT_STATED, "2", result="omitted", kind="quantity", path="measurements.rvef"),
        ]
    )
    assert found is not None
    assert found["stated"]["value"] == 0.5
    assert found["left_out"]["value"] == 1
    assert found["reports_wholly_right"]["value"] == 0.5
    assert found["results"]["invented"] == found["wrong_numbers"] == 0


# --- slices ---


def test_groups_and_strata():
    scored = [
        *rows(("hcm", "hcm"), ("hcm", "dcm")),
        row("present", "absent", "case 0", path="findings.lge"),
        row("not_stated", "not_stated", "case 0", path="findings.oedema"),
        row(31.0, 31.0, "case 0", path="measurements.lvef", kind="quantity", result="exact"),
    ]
    assert {name: (one["value"], one["n"]) for name, one in groups(scored).items()} == {
        "findings": (0.5, 2),
        "findings, stated": (0, 1),
        "measurements quantity": (1, 1),
        "measurements quantity, stated": (1, 1),
    }
    assert pooled(scored, "cmr-report@1")["Finding"]["confusion"] == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]
    english = strata(scored, "cmr-report@1")["language"]["en"]
    assert (english["reports"], english["diagnosis"]["value"], english["measurements"]["value"]) == (
        2,
        0.5,
        1,
    )


def test_the_surest_mistakes_come_first():
    scored = [row("hcm", "dcm", "a", p=0.6), row("hcm", "dcm", "b", p=0.9), row("hcm", "hcm", "c", p=0.99)]
    assert [one.case for one in worst(scored)] == ["b", "a"]


def test_length():
    assert [length("word " * n) for n in (79, 80, 250, 251)] == ["short", "medium", "medium", "long"]


# --- gold under older versions ---


def test_gold_is_carried_down_as_results_are():
    values = {
        "diagnosis": "takotsubo",
        "findings.lv_dilatation": "mild",
        "findings.lge_segments": ["apex"],
        "previous.lvef": 45.0,
        "conditions.takotsubo.certainty": "definite",
    }
    assert under(values, "cmr-diagnosis@1") == {"diagnosis": "other"}
    assert under(values, "cmr-report@1") == {"diagnosis": "other", "findings.lv_dilatation": "present"}
    assert under(values, "cmr-report@2")["findings.lge_segments"] == ["apex"]
    third = under(values, "cmr-diagnosis@3")
    assert third == {"primary": "takotsubo", "conditions.takotsubo.certainty": "definite"}
