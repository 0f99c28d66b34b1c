"""What turns scores of windows into calls and probabilities: thresholds and a temperature, fixed before test.

The baseline is one threshold on a window's mean post-fire NBR, tuned on the training split: NBR = (NIR − SWIR) / (NIR +
SWIR) (Key & Benson 2006, FIREMON), and burnt ground is low. A model's decision threshold and its temperature are fixed
on validation windows. Temperature scaling (Guo et al. 2017) divides the log odds by one number; it changes no ranking.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.metrics import (
    RELIABILITY_BINS,
    SMALLEST_PROBABILITY,
    Answers,
    binary_metrics,
)
from burnscar_assets.sensors.indices import nbr
from burnscar_assets.sensors.sensor import Sensor

DEFAULT_THRESHOLD: Final = 0.5
"""Where the validation split can't tell."""

BOUNDS: Final = (0.05, 20.0)
"""Temperatures that are looked at; windows that are told apart without error would want one of 0."""

_HALVINGS = 60


@dataclass(frozen=True)
class NbrThreshold:
    """A tuned threshold: a window is called burnt if its mean NBR is below `threshold`.

    Attributes:
        threshold: NBR, unitless.
        train_balanced_accuracy: on the windows that it was tuned on, 0–1.
        train_burnt: burnt windows that it was tuned on.
        train_unburnt: unburnt windows that it was tuned on.
    """

    threshold: float
    train_balanced_accuracy: float
    train_burnt: int
    train_unburnt: int

    def predict(self, mean_nbr: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether each window is called burnt; a window without NBR (NaN) is not."""
        return np.asarray(mean_nbr) < self.threshold


def window_nbr(images: NDArray[np.uint16], sensor: Sensor) -> NDArray[np.float64]:
    """Mean NBR over the pixels of each window that hold data.

    Args:
        images: (n, bands, height, width) digital numbers, bands in the sensor's order, 0 = no data.
        sensor: whose images these are.

    Returns:
        (n,) mean NBR; NaN for a window without any data.
    """
    ratio = nbr(images[:, sensor.place("nir")], images[:, sensor.place("swir2")])
    valid = ~np.isnan(ratio)
    total = np.where(valid, ratio, 0).sum(axis=(1, 2), dtype=np.float64)
    pixels = valid.sum(axis=(1, 2))
    return np.divide(total, pixels, out=np.full(len(images), np.nan), where=pixels > 0)


def tune_threshold(mean_nbr: NDArray[np.floating], burnt: NDArray[np.bool_]) -> NbrThreshold:
    """The threshold with the best balanced accuracy.

    Candidates lie midway between neighbouring distinct values. Among equally good ones the one in the
    widest gap wins, then the lowest. Windows without NBR are left out.

    Args:
        mean_nbr: (n,) mean NBR of the training windows.
        burnt: (n,) whether each is burnt.

    Raises:
        InputError: a class has no training window, or all windows have the same NBR.
    """
    mean_nbr, burnt = np.asarray(mean_nbr, dtype=np.float64), np.asarray(burnt, dtype=bool)
    known = ~np.isnan(mean_nbr)
    burnt = burnt[known]
    values, group = np.unique(mean_nbr[known], return_inverse=True)
    all_burnt, all_unburnt = int(burnt.sum()), int((~burnt).sum())
    if not all_burnt or not all_unburnt or len(values) < 2:
        raise InputError(
            f"the NBR threshold needs burnt and unburnt training windows of different NBR, but there are {all_burnt} "
            f"burnt and {all_unburnt} unburnt with {len(values)} distinct values: sample more fires or more years"
        )
    burnt_below = np.bincount(group, weights=burnt).cumsum()[:-1].astype(np.int64)
    unburnt_above = all_unburnt - np.bincount(group, weights=~burnt).cumsum()[:-1].astype(np.int64)
    quality = burnt_below * all_unburnt + unburnt_above * all_burnt
    gap = np.where(quality == quality.max(), np.diff(values), -1.0)
    best = int(np.argmax(gap))
    midway = (values[best] + values[best + 1]) / 2
    return NbrThreshold(
        threshold=float(max(midway, np.nextafter(values[best], np.inf))),
        train_balanced_accuracy=float(quality[best] / (2 * all_burnt * all_unburnt)),
        train_burnt=all_burnt,
        train_unburnt=all_unburnt,
    )


@dataclass(frozen=True)
class Decision:
    """A fixed decision threshold.

    Attributes:
        threshold: a window is called burnt if its probability is above this.
        fixed_on: `validation`, or `nothing` if it had just one class or one probability.
        balanced_accuracy: on the validation windows, 0–1; None if it was fixed on nothing.
        burnt: burnt validation windows.
        unburnt: unburnt ones.
    """

    threshold: float
    fixed_on: str
    balanced_accuracy: float | None
    burnt: int
    unburnt: int

    def predict(self, probability: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether each window is called burnt."""
        return np.asarray(probability) > self.threshold


def fix_decision(probability: NDArray[np.floating], burnt: NDArray[np.bool_]) -> Decision:
    """The threshold with the best balanced accuracy on validation windows; of equally good ones, the widest gap's.

    Args:
        probability: (n,) of burnt, 0–1, of the validation windows.
        burnt: (n,) whether each is burnt.
    """
    burnt = np.asarray(burnt, dtype=bool)
    counts = int(burnt.sum()), int((~burnt).sum())
    try:
        found = tune_threshold(-np.asarray(probability, dtype=np.float64), burnt)
    except InputError:
        return Decision(DEFAULT_THRESHOLD, "nothing", None, *counts)
    return Decision(-found.threshold, "validation", found.train_balanced_accuracy, *counts)


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
