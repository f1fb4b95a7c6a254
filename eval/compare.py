"""Systems in pairs, on the reports that both answered."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from eval.intervals import holm, interval, mcnemar, resampled
from eval.metrics import labels_of, rates, resampled_confusion
from eval.scoring import Scored
from eval.summary import headline

Rows = Sequence[Scored]


def compare(scored: Mapping[str, Rows], ref: str) -> list[dict[str, Any]]:
    """Compare every two systems (rows by name) field by field.

    For each field: both shares right, the difference with its paired bootstrap interval, the exact McNemar p-value.
    `p_holm` corrects over all pairs for the diagnosis, and over all pairs and fields for the others. McNemar's test
    takes reports as independent, which translations of one case are not; the bootstrap draws cases.
    """
    found = [
        one
        for first, second in combinations(scored, 2)
        for one in _pair(first, scored[first], second, scored[second], ref)
    ]
    for family in (True, False):
        tests = [one for one in found if one["headline"] is family]
        for one, corrected in zip(tests, holm([one["p"] for one in tests]), strict=True):
            one["p_holm"] = corrected
    return found


def _pair(first: str, rows: Rows, second: str, others: Rows, ref: str) -> list[dict[str, Any]]:
    main = headline(ref)
    one = {(row.path, row.case): row for row in rows}
    other = {(row.path, row.case): row for row in others}
    found = []
    for path in dict.fromkeys(row.path for row in rows):
        keys = [key for key in one if key[0] == path and key in other]
        if keys:
            a, b = [one[key] for key in keys], [other[key] for key in keys]
            own = _test(a, b) | (_f1(a, b, ref) if path == main else {})
            found.append({"first": first, "second": second, "field": path, "headline": path == main} | own)
    return found


def _test(a: Rows, b: Rows) -> dict[str, Any]:
    right_a, right_b = [row.right for row in a], [row.right for row in b]
    sums = resampled(
        np.array([[x, y, 1.0] for x, y in zip(right_a, right_b, strict=True)]), [row.cluster for row in a]
    )
    difference = (sums[:, 0] - sums[:, 1]) / sums[:, 2]
    return {
        "n": len(a),
        "first_right": sum(right_a),
        "second_right": sum(right_b),
        "difference": (sum(right_a) - sum(right_b)) / len(a),
        "interval": interval(difference),
        "p": mcnemar(right_a, right_b),
    }


def _f1(a: Rows, b: Rows, ref: str) -> dict[str, Any]:
    """The difference of macro-F1, with both systems on the same draws."""
    labels = [str(label) for label in labels_of([*a, *b], ref)]
    drawn = [rates(resampled_confusion(rows, labels))["macro_f1"] for rows in (a, b)]
    return {"macro_f1_interval": interval(drawn[0] - drawn[1])}
