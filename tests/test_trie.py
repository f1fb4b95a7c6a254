"""Exact probabilities over options of several tokens."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractor.trie import branchings, probabilities

END = 99
options_of_tokens = st.lists(
    st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple), min_size=1, max_size=8, unique=True
)


def test_options_that_differ_at_once_need_one_place():
    assert branchings([(1, 7), (2, 8), (3,)], END) == {(): (1, 2, 3)}


def test_shared_beginnings_are_not_asked_about():
    assert branchings([(5, 1), (5, 2)], END) == {(5,): (1, 2)}


def test_an_option_that_begins_another_is_closed_by_the_end_token():
    assert branchings([(1,), (1, 0)], END) == {(1,): (END, 0)}


def test_probability_is_the_product_along_the_path():
    logs: dict[tuple[int, ...], dict[int, float]] = {
        (): {4: math.log(0.8), 6: math.log(0.2)},
        (4,): {5: math.log(0.25), 8: math.log(0.75)},
    }
    assert probabilities([(4, 5), (4, 8), (6, 2)], END, logs) == pytest.approx((0.2, 0.6, 0.2))


@settings(max_examples=200, deadline=None)
@given(options_of_tokens, st.randoms(use_true_random=False))
def test_probabilities_sum_to_one_whatever_the_options(options, random):
    places = branchings(options, END)
    logs: dict[tuple[int, ...], dict[int, float]] = {}
    for place, tokens in places.items():
        weights = [random.random() + 1e-9 for _ in tokens]
        logs[place] = {t: math.log(w / sum(weights)) for t, w in zip(tokens, weights, strict=True)}
    chances = probabilities(options, END, logs)
    assert sum(chances) == pytest.approx(1.0)
    # Each option's own product is its probability already: nothing is left over at any place.
    for option, chance in zip(options, chances, strict=True):
        ended = (*option, END) if any(o != option and o[: len(option)] == option for o in options) else option
        product = math.prod(math.exp(logs.get(ended[:i], {}).get(t, 0.0)) for i, t in enumerate(ended))
        assert chance == pytest.approx(product)


def test_an_impossible_token_leaves_the_rest_whole():
    logs: dict[tuple[int, ...], dict[int, float]] = {(): {1: -math.inf, 2: math.log(0.5), 3: math.log(0.5)}}
    chances = probabilities([(1,), (2,), (3,)], END, logs)
    assert chances == pytest.approx((0.0, 0.5, 0.5))
    assert all(a <= b for a, b in pairwise(chances))
