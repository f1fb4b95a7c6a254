"""Whether a probability means what it says, and what it is good for: a review queue.

Only answers that the model gave count: one that had no other option, or that another answer implied, has a
probability of 1 that says nothing of the model.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.scoring import Scored

BINS = 10
ERROR = 0.02
"""The share of errors that a queue may let through."""

_Column = NDArray[np.float64]


def judged(rows: Sequence[Scored]) -> list[Scored]:
    """The rows whose probability is the model's own."""
    return [row for row in rows if row.given.status == "answered" and row.given.probability is not None]


def calibration(rows: Sequence[Scored]) -> dict[str, Any] | None:
    """Brier score, expected calibration error, reliability curve and risk-coverage curve; None without probabilities."""
    asked = judged(rows)
    if not asked:
        return None
    confidence = np.array([row.given.probability for row in asked], dtype=np.float64)
    right = np.array([row.right for row in asked], dtype=np.float64)
    bins = reliability(confidence, right)
    curve = risk_coverage(confidence, right)
    return {
        "n": len(asked),
        "brier": brier(asked),
        "ece": sum(one["n"] * abs(one["confidence"] - one["accuracy"]) for one in bins) / len(asked),
        "reliability": bins,
        "risk_coverage": curve,
        "aurc": float(np.mean([point["risk"] for point in curve])),
        "coverage_at_2_percent_error": max((p["coverage"] for p in curve if p["risk"] <= ERROR), default=0.0),
    }


def brier(rows: Sequence[Scored]) -> float | None:
    """The mean squared distance between the probabilities of all labels and what is true (Brier 1950), 0 to 2.

    None where the other labels' probabilities are not known.
    """
    scores = []
    for row in rows:
        chances = row.given.distribution
        if chances is None:
            return None
        scores.append(sum(p * p for p in chances.values()) - 2 * chances.get(str(row.gold), 0.0) + 1)
    return float(np.mean(scores))


def reliability(confidence: _Column, right: _Column) -> list[dict[str, float]]:
    """Mean confidence and accuracy in ten bins of equal width (Guo et al. 2017); empty bins are left out."""
    bins = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    return [
        {
            "confidence": float(confidence[bins == one].mean()),
            "accuracy": float(right[bins == one].mean()),
            "n": int((bins == one).sum()),
        }
        for one in np.unique(bins)
    ]


def risk_coverage(confidence: _Column, right: _Column) -> list[dict[str, float]]:
    """The share of errors among the answers that are at least this confident, from the most confident on.

    One point a threshold: answers of equal confidence are taken together, as no threshold parts them.
    """
    points = []
    for threshold in np.unique(confidence)[::-1]:
        taken = confidence >= threshold
        points.append(
            {
                "threshold": float(threshold),
                "coverage": float(taken.mean()),
                "risk": float(1 - right[taken].mean()),
            }
        )
    return points
