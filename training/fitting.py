"""From answers and what is right to a calibration: shifts of labels, a temperature a kind of field, a threshold."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp

from eval.calibration import ERROR
from extractor.calibration import Fit, Kind, added, soften
from extractor.decode import reading
from extractor.plan import best

_FLOOR: Final = 1e-12  # a probability that rounding took to zero
_HOTTEST: Final = 20.0


@dataclass(frozen=True)
class Row:
    """One answer that a model was asked for, by the numbers of its options: which was taken, and which is right.

    `right` is None where no option was: that is a mistake which no temperature can mend. `report` is the same for
    translations of one report. `doubted` is what its plan says of the path, `hard` whether the report is tagged as hard to read.
    """

    report: str
    kind: Kind
    probabilities: tuple[float, ...]
    taken: int
    right: int | None
    path: str = ""
    labels: tuple[str, ...] = ()
    doubted: bool = False
    hard: bool = False

    @property
    def chance(self) -> float:
        return self.probabilities[self.taken]


def temperature(rows: Sequence[Row]) -> float:
    """Return the temperature under which the right options are likeliest (Guo et al. 2017, section 4.2).

    The prior, log T ~ N(0, 1), tells only where next to no answer is wrong: without it T would go to 0 there.
    scikit-learn's calibrators want the same classes in every row, but here each has its report's own options.
    """
    known = [(row.probabilities, row.right) for row in rows if row.right is not None]
    logs = np.full((len(known), max((len(p) for p, _ in known), default=1)), -np.inf)
    for place, (p, _) in zip(logs, known, strict=True):
        place[: len(p)] = np.log(np.maximum(p, _FLOOR))
    right = logs[np.arange(len(known)), np.array([index for _, index in known], dtype=int)]

    def loss(log_t: float) -> float:
        t = math.exp(log_t)
        return float(np.sum(logsumexp(logs / t, axis=1) - right / t)) + log_t**2 / 2

    bound = math.log(_HOTTEST)
    return round(math.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x), 4)


def threshold(chances: Sequence[float], right: Sequence[bool], error: float = ERROR) -> float | None:
    """Return the smallest probability from which on at most a share `error` of answers is expected to be wrong.

    Expected is (wrong + 1/2) / (n + 1), the mean of the posterior under Jeffreys' prior: at 2 %, no mistake in 24
    answers or more, one in 74, two in 124. The plain share would take three lucky answers for proof, an upper
    confidence limit would need hundreds. It takes answers for independent, which those to one report are not:
    `held_out` shows what that costs. None where no probability is high enough.
    """
    order = np.argsort(-np.asarray(chances), kind="stable")
    sorted_, n = np.asarray(chances)[order], np.arange(1, len(chances) + 1)
    wrong = np.cumsum(~np.asarray(right, dtype=bool)[order])
    last = np.append(sorted_[1:] != sorted_[:-1], True)[: len(n)]  # no threshold parts equal probabilities
    enough = last & ((wrong + 0.5) / (n + 1) <= error)
    return float(sorted_[enough][-1]) if enough.any() else None


def fit(rows: Sequence[Row], error: float = ERROR) -> dict[Kind, Fit]:
    """Fit every kind that has answers."""
    fits: dict[Kind, Fit] = {}
    for one in get_args(Kind):
        own = [row for row in rows if row.kind == one]
        if not own:
            continue
        t = temperature(own)
        limit = _limit([_softened(row, t) for row in own], error)
        wrong = sum(row.taken != row.right for row in own)
        fits[one] = Fit(temperature=t, threshold=limit, answers=len(own), wrong=wrong)
    return fits


def _softened(row: Row, t: float) -> Row:
    return replace(row, probabilities=soften(row.probabilities, t))


def _limit(rows: Sequence[Row], error: float) -> float | None:
    """Return the threshold that serves all answers and, where they are enough to tell, those to hard reports by themselves.

    A set that is mostly easy to read would promise too much of texts that are not.
    """
    hard = [row for row in rows if row.hard]
    enough = threshold([1.0] * len(hard), [True] * len(hard), error) is not None
    groups = [rows, hard] if enough else [rows]
    found = [
        threshold([row.chance for row in some], [row.taken == row.right for row in some], error)
        for some in groups
    ]
    return None if None in found else max(limit for limit in found if limit is not None)


class Shifts(NamedTuple):
    """By finding and label, what to add to log-probabilities, and what besides where the report doubts the finding."""

    plain: dict[str, dict[str, float]]
    doubts: dict[str, dict[str, float]]


def shifts(rows: Sequence[Row]) -> Shifts:
    """Return the shifts under which the right labels are likeliest.

    A small model favours a label whatever the report says (Zhao et al. 2021, arXiv 2102.09690), and passes over words of
    doubt. This is the vector scaling of Guo et al. 2017, section 4.2, with slope 1: a shift a label, shared by all findings
    with the same labels, each finding's own difference from it, which a normal prior of variance 1/2 keeps small, and one
    for doubt, shared by all and of variance 2.
    """
    found = Shifts({}, {})
    for labels in dict.fromkeys(row.labels for row in rows if row.kind == "finding" and row.labels):
        own = [row for row in rows if row.labels == labels and row.right is not None]
        paths = list(dict.fromkeys(row.path for row in own))
        logs = np.log(np.maximum([row.probabilities for row in own], _FLOOR))
        right, field = np.array([row.right for row in own]), np.array([paths.index(row.path) for row in own])
        plain, doubt = _shifts(logs, right, field, np.array([row.doubted for row in own]))
        for path, shift in zip(paths, plain, strict=True):
            found.plain[path] = dict(zip(labels, shift.round(3).tolist(), strict=True))
            found.doubts[path] = dict(zip(labels, doubt.round(3).tolist(), strict=True))
    return found


def _shifts(
    logs: NDArray[np.float64], right: NDArray[np.int_], field: NDArray[np.int_], doubted: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit shifts ([fields, labels], and [labels] for doubt) to log-probabilities ([answers, labels]) by maximum posterior."""
    size, rows = logs.shape[1], np.arange(len(right))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        both = flat.reshape(-1, size)
        shared, doubt, own = both[0], both[1], both[2:]
        chances = logs + shared + own[field] + doubted[:, None] * doubt
        chances -= logsumexp(chances, axis=1, keepdims=True)
        slope = np.exp(chances)
        slope[rows, right] -= 1
        by_field = np.zeros_like(own)
        np.add.at(by_field, field, slope)
        value = -chances[rows, right].sum() + (own**2).sum() + (shared**2).sum() / 100 + (doubt**2).sum() / 4
        slopes = [slope.sum(0) + shared / 50, slope[doubted].sum(0) + doubt / 2, (by_field + 2 * own).ravel()]
        return value, np.concatenate(slopes)

    start = np.zeros(size * (field.max() + 3))
    best = minimize(loss, start, jac=True, method="L-BFGS-B").x.reshape(-1, size)
    return best[2:] + best[0], best[1]


def shifted(rows: Sequence[Row], by: Shifts) -> list[Row]:
    """Return the rows as reading has them under these shifts."""
    return [_shifted(row, by) if row.labels and row.path in by.plain else row for row in rows]


def _shifted(row: Row, by: Shifts) -> Row:
    shift = by.plain[row.path]
    if row.doubted:
        shift = added(shift, by.doubts[row.path])
    chances = reading.shifted(row.probabilities, row.labels, shift)
    return replace(row, probabilities=chances, taken=best(chances))


def held_out(rows: Sequence[Row], error: float = ERROR) -> Iterator[tuple[Row, bool]]:
    """Yield every answer as a calibration of the other reports has it, and whether it is for review then."""
    for report in dict.fromkeys(row.report for row in rows):
        others = [row for row in rows if row.report != report]
        by = shifts(others)
        fits = fit(shifted(others, by), error)
        for row in shifted([row for row in rows if row.report == report], by):
            if row.kind in fits:
                own = fits[row.kind]
                after = _softened(row, own.temperature)
                yield after, own.threshold is None or after.chance < own.threshold
