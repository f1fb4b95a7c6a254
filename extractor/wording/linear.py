"""A linear classifier over named features."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Linear:
    """Multinomial logistic regression.

    `weights` is (features, classes), in the order of `columns`; `bias` is (classes,).
    """

    classes: tuple[str, ...]
    columns: Mapping[str, int]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def chances(self, features: Iterable[str]) -> dict[str, float]:
        """Return the probability of each class, from features that are there or not, scaled to length 1."""
        known = [one for one in features if one in self.columns]
        return self.weighed(dict.fromkeys(known, 1 / math.sqrt(max(len(known), 1))))

    def weighed(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the probability of each class, from the values of features."""
        known = sorted((self.columns[one], value) for one, value in values.items() if one in self.columns)
        rows = self.weights[[column for column, _ in known]]
        logits = self.bias + np.array([value for _, value in known], np.float32) @ rows
        powers = np.exp(logits - logits.max())
        return dict(zip(self.classes, (powers / powers.sum()).tolist(), strict=True))
