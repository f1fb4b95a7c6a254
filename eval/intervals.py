"""How sure a figure is: intervals by resampling cases, and paired tests between systems.

Reports of one case (translations) are drawn together: they are not independent. All draws are seeded, and two
systems on the same cases see the same draws, so their differences are paired.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

Floats = NDArray[np.float64]
Interval = tuple[float, float]

DRAWS = 2000
SEED = 0


def draws(clusters: int, count: int = DRAWS, seed: int = SEED) -> Floats:
    """Return how often each cluster was drawn, `[count, clusters]`, drawing as many as there are with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=count).astype(np.float64)


def resampled(amounts: Floats, clusters: Sequence[Any]) -> Floats:
    """Sum amounts over each draw of clusters: `[rows, …]` and a cluster a row give `[DRAWS, …]`."""
    names = sorted(set(clusters))
    index = {name: i for i, name in enumerate(names)}
    sums = np.zeros((len(names), *amounts.shape[1:]))
    np.add.at(sums, [index[one] for one in clusters], amounts)
    return np.asarray(np.tensordot(draws(len(names)), sums, axes=1), dtype=np.float64)


def interval(samples: Floats) -> Interval | None:
    """The middle 95 % of a statistic's draws; None where hardly any draw has a value."""
    kept = samples[np.isfinite(samples)]
    if len(kept) < len(samples) / 2:
        return None
    low, high = np.percentile(kept, [2.5, 97.5])
    return float(low), float(high)


def share_interval(right: Sequence[bool], clusters: Sequence[Any]) -> Interval | None:
    """95 % of a share: Wilson's score interval (Wilson 1927) of independent rows, else resampled by cluster.

    Where all rows are alike resampling has no width: then it is Wilson's of as many rows as there are clusters.
    """
    count, independent = len(right), len(set(clusters))
    if not count:
        return None
    if not 0 < sum(right) < count:
        return wilson(independent * int(right[0]), independent)
    if independent == count:
        return wilson(sum(right), count)
    sums = resampled(np.array([[one, 1.0] for one in right]), clusters)
    return interval(sums[:, 0] / sums[:, 1])


def wilson(right: int, count: int) -> Interval:
    """Wilson's score interval of a share, 95 %."""
    low, high = proportion_confint(right, count, method="wilson")
    return float(low), float(high)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Exact McNemar test (McNemar 1947, binomial form) of two systems' right and wrong on the same reports, two-sided."""
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    if not only_first + only_second:
        return 1.0
    return float(_mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979) for looking at several tests at once."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []
