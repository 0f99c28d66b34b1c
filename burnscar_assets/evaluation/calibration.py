"""Whether probabilities mean what they say: a temperature fitted on validation windows, and the reliability curve.

Temperature scaling (Guo et al. 2017) divides the log odds by one number; it changes no ranking.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.metrics import (
    RELIABILITY_BINS,
    SMALLEST_PROBABILITY,
    Answers,
    binary_metrics,
)

BOUNDS: Final = (0.05, 20.0)
"""Temperatures that are looked at; windows that are told apart without error would want one of 0."""

_HALVINGS = 60


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature.

    Attributes:
        value: log odds are divided by it; above 1, the model was too sure of itself.
        windows: validation windows that it was fitted on; 0 if they had just one class, and it is 1.
        at_bound: whether the best one lies beyond what was looked at.
        nll_before, nll_after: mean negative log likelihood of the validation windows; None if it was not fitted.
    """

    value: float
    windows: int
    at_bound: bool
    nll_before: float | None
    nll_after: float | None

    def scale(self, probability: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated probabilities."""
        return sigmoid(log_odds(probability) / self.value)


def fit_temperature(probability: NDArray[np.floating], burnt: NDArray[np.bool_]) -> Temperature:
    """The temperature with the least negative log likelihood, which is convex in its inverse.

    Args:
        probability: (n,) of burnt, 0–1, of the validation windows.
        burnt: (n,) whether each is burnt.
    """
    burnt = np.asarray(burnt, dtype=bool)
    if burnt.all() or not burnt.any():
        return Temperature(1.0, 0, at_bound=False, nll_before=None, nll_after=None)
    odds = log_odds(probability)

    def slope(inverse: float) -> float:
        return float(((sigmoid(inverse * odds) - burnt) * odds).sum())

    low, high = 1 / BOUNDS[1], 1 / BOUNDS[0]
    if slope(low) >= 0 or slope(high) <= 0:
        inverse, at_bound = (low if slope(low) >= 0 else high), True
    else:
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if slope(middle) < 0 else (low, middle)
        inverse, at_bound = (low + high) / 2, False
    before, after = (_nll(sigmoid(factor * odds), burnt) for factor in (1.0, inverse))
    return Temperature(float(1 / inverse), len(burnt), at_bound, before, after)


def reliability(answers: Answers, weights: NDArray[Any]) -> Mapping[str, NDArray[np.float64]]:
    """Mean probability and burnt share of the windows of a bin under each of `r` weightings.

    Args:
        answers: of the bin's `n` windows, with probabilities.
        weights: (r, n), not negative.

    Returns:
        `mean_probability` and `burnt_share` → (r,) values, NaN where nothing has weight.
    """
    assert answers.probability is not None  # noqa: S101 - asked only of methods that give probabilities
    total = weights.sum(axis=1).astype(np.float64)
    sums = {"mean_probability": weights @ answers.probability, "burnt_share": weights @ answers.truth}
    return {
        name: np.divide(of_bin, total, out=np.full(len(total), np.nan), where=total > 0)
        for name, of_bin in sums.items()
    }


def bin_name(number: int) -> str:
    """A bin in words: `0.1–0.2`."""
    return f"{number / RELIABILITY_BINS:.1f}–{(number + 1) / RELIABILITY_BINS:.1f}"


def log_odds(probability: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log odds, kept within those of SMALLEST_PROBABILITY."""
    inside = np.clip(np.asarray(probability, dtype=np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.log(inside) - np.log1p(-inside)


def sigmoid(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of log odds."""
    return np.exp(-np.logaddexp(0, -odds))


def _nll(probability: NDArray[np.float64], burnt: NDArray[np.bool_]) -> float:
    return binary_metrics(Answers(burnt, burnt, probability, probability))["nll"]
