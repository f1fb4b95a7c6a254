"""Numbers that speak where words do not: what is ruled out, by how much, and what is cited for it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import extractor.pipeline
from extractor.compile import compile_form
from extractor.cutoffs import Cutoff, weigh
from extractor.form import Leaf, Option
from extractor.pipeline import Job
from extractor.plan import Answer
from extractor.prompt import PromptBook
from extractor.result import Extraction, FieldResult
from schemas import registry

LABELS = ("present", "absent", "uncertain", "not_stated")
LOW = Cutoff(of="ef", below=50, rules_out=("absent", "not_stated"))
HIGH = Cutoff(of="ef", at_least=50, rules_out=("not_stated",))

chances = st.lists(st.floats(0.001, 1), min_size=4, max_size=4).map(
    lambda several: tuple(one / math.fsum(several) for one in several)
)


def finding(*probabilities: float) -> Answer:
    return Answer.likeliest(tuple(Option(label, label) for label in LABELS), probabilities)


def number(*pairs: tuple[float | None, float]) -> Answer:
    options = tuple(
        Option("not_stated", "not_stated")
        if value is None
        else Option(f"{value}", {"value": value, "text": f"{value}"})
        for value, _ in pairs
    )
    return Answer.likeliest(options, tuple(p for _, p in pairs))


def weighed(answer: Answer, ef: Answer, *cutoffs: Cutoff) -> Answer:
    return weigh({"weak": answer, "ef": ef}, {"weak": cutoffs}).get("weak", (answer, None))[0]


def test_a_sure_number_rules_labels_out():
    now = weighed(finding(0.02, 0.95, 0.01, 0.02), number((42.0, 1.0)), LOW, HIGH)
    assert now.option.label == "present"
    assert now.probabilities == pytest.approx((2 / 3, 0, 1 / 3, 0))


@pytest.mark.parametrize(
    ("text", "value", "below", "at_least"),
    [
        ("<50 %", 50, True, False),
        ("≤50 %", 50, False, False),
        ("<= 50 %", 50, False, False),
        ("<60 %", 60, False, False),
        (">50 %", 50, False, True),
        (">45 %", 45, False, False),
        ("~45 %", 45, True, False),
    ],
)
def test_a_bound_lies_there_with_all_that_it_allows(text, value, below, at_least):
    number = {"value": value, "text": text}
    assert (LOW.holds(number), HIGH.holds(number)) == (below, at_least)


def test_a_word_that_makes_it_uncertain_still_counts():
    assert weighed(finding(0.1, 0.5, 0.4, 0), number((48.0, 1.0)), LOW).option.label == "uncertain"


@pytest.mark.parametrize(("value", "label"), [(49.9, "present"), (50.0, "absent"), (65.0, "absent")])
def test_the_bound_itself_is_inside_at_least(value, label):
    assert weighed(finding(0.2, 0.3, 0.1, 0.4), number((value, 1.0)), LOW, HIGH).option.label == label


@pytest.mark.parametrize("ef", [number((None, 1.0)), number((60.0, 0.9), (None, 0.1))])
def test_a_number_that_is_not_stated_or_elsewhere_says_nothing(ef):
    answer = finding(0.1, 0.7, 0.1, 0.1)
    assert weighed(answer, ef, LOW) is answer


def test_an_answer_that_the_model_was_not_asked_for_stays():
    silent = Answer((none := Option("not_stated", "not_stated")), (none,), (1.0,), "forced")
    assert weighed(silent, number((30.0, 1.0)), LOW) is silent


def test_an_answer_to_which_nothing_would_be_left_stays():
    answer = finding(0, 1, 0, 0)
    assert weighed(answer, number((30.0, 1.0)), LOW) is answer


def test_a_measurement_that_the_schema_does_not_have_says_nothing():
    assert weigh({"weak": finding(0.1, 0.7, 0.1, 0.1)}, {"weak": (LOW,), "gone": (LOW,)}) == {}


def test_the_likeliest_number_that_lies_there_is_named():
    ef = number((35.0, 0.2), (45.0, 0.3), (60.0, 0.5))
    assert weigh({"weak": finding(0.1, 0.7, 0.1, 0.1), "ef": ef}, {"weak": (LOW,)})["weak"][1] == {
        "value": 45.0,
        "text": "45.0",
    }


@given(chances, st.floats(0.001, 1))
def test_probabilities_follow_the_law_of_total_probability(several, sure):
    now = weighed(finding(*several), number((40.0, sure), (None, 1 - sure)), LOW)
    assert math.fsum(now.probabilities) == pytest.approx(1)
    assert now.distribution["absent"] == pytest.approx((1 - sure) * several[1])
    assert now.distribution["not_stated"] == pytest.approx((1 - sure) * several[3])
    assert now.chance == max(now.probabilities)


@pytest.mark.parametrize(
    "given", [{"of": "ef", "rules_out": ["absent"]}, {"of": "ef", "below": 1, "rules_out": []}]
)
def test_a_cutoff_without_a_bound_or_a_label_is_refused(given):
    with pytest.raises(ValidationError):
        Cutoff.model_validate(given)


@pytest.mark.parametrize("ref", ["cmr-report@1", "cmr-report@2"])
def test_our_own_cutoffs_name_measurements_and_labels(ref):
    form = compile_form(registry.get(ref).model)
    leaves = {leaf.path: leaf for leaf in form.leaves() if isinstance(leaf, Leaf)}
    ours = PromptBook.load(ref).cutoffs(form)
    assert set(ours) == {
        "findings.lv_systolic_dysfunction", "findings.rv_systolic_dysfunction", "findings.lv_hypertrophy"
    }  # fmt: skip
    for path, several in ours.items():
        for one in several:
            assert leaves[one.of].measure is not None
            assert set(one.rules_out) <= {option.label for option in leaves[path].options}
    gates = {leaf.gate.path for leaf in leaves.values() if leaf.gate}
    assert not gates & set(ours)


TEXT = "Left ventricle: LVEF 31 %. Right ventricle: function preserved, RVEF 58 %. No late enhancement."


@pytest.mark.engine
def test_results_are_weighed_and_cite_the_number(tiny_extractor, monkeypatch):
    path, lvef = "findings.lv_systolic_dysfunction", "measurements.lvef"

    def read() -> dict[str, FieldResult]:
        (result,) = tiny_extractor.extract([Job(TEXT, distribution=True)])
        assert isinstance(result, Extraction)
        return dict(result.fields)

    after = read()
    monkeypatch.setattr(extractor.pipeline, "weigh", lambda *_: {})
    before = read()
    chances = {one: (after[one].distribution or {}, before[one].distribution or {}) for one in after}
    now, asked = chances[path]
    sure = 1 - chances[lvef][0]["not_stated"]
    assert 0 < sure < 1
    for label in ("absent", "not_stated"):
        assert now[label] == pytest.approx(asked[label] * (1 - sure), rel=1e-4)
    assert now[after[path].value] == max(now.values())
    if after[path].value != before[path].value:
        assert (cited := after[path].evidence)
        assert "31 %" in cited.text
    form = compile_form(registry.get("cmr-report@1").model)
    for other in set(after) - set(PromptBook.load("cmr-report@1").cutoffs(form)):
        assert chances[other][0] == pytest.approx(chances[other][1], rel=1e-4)
