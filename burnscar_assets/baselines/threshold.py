"""A threshold on a window's mean burn index, its distance to it turned into a probability.

The threshold is the one with the best balanced accuracy on the training windows, as the evaluator's own baseline has
it. The probability of burnt is a logistic function of the distance, so that it is 0.5 at the threshold and grows with
it; its width is the one with the greatest likelihood on the same windows.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.baseline import NbrThreshold, tune_threshold, window_nbr
from burnscar_assets.evaluation.metrics import SMALLEST_PROBABILITY

WIDTHS: Final = (0.02, 1.0)
"""Narrowest and widest logistic function, in units of the index."""

_STEPS = 200


@dataclass(frozen=True)
class ThresholdModel:
    """A tuned threshold.

    Attributes:
        threshold: mean NBR below which a window is called burnt, and how it was tuned.
        width: of the logistic function, in units of the index.
    """

    threshold: NbrThreshold
    width: float

    def predict(self, images: NDArray[np.uint16]) -> NDArray[np.float64]:
        """(n,) probability of burnt of (n, 12, height, width) digital numbers; 0 for a window without data."""
        return _probability(window_nbr(images), self.threshold.threshold, self.width)


def fit_threshold(mean_nbr: NDArray[np.floating], burnt: NDArray[np.bool_]) -> ThresholdModel:
    """Tune a threshold, and the width of its probability, on training windows.

    Args:
        mean_nbr: (n,) mean NBR; NaN where a window has no data.
        burnt: (n,) whether each is burnt.

    Raises:
        InputError: a class has no training window, or all have the same index.
    """
    found = tune_threshold(mean_nbr, burnt)
    known = ~np.isnan(mean_nbr)
    widths = np.geomspace(*WIDTHS, _STEPS)
    losses = [_loss(_probability(mean_nbr[known], found.threshold, width), burnt[known]) for width in widths]
    return ThresholdModel(found, float(widths[int(np.argmin(losses))]))


def _probability(mean_nbr: NDArray[np.floating], threshold: float, width: float) -> NDArray[np.float64]:
    from scipy.special import expit

    distance = (threshold - np.asarray(mean_nbr, dtype=np.float64)) / width
    return np.where(np.isnan(distance), 0.0, expit(distance))


def _loss(probability: NDArray[np.float64], burnt: NDArray[np.bool_]) -> float:
    right = np.where(burnt, probability, 1 - probability)
    return float(-np.log(np.clip(right, SMALLEST_PROBABILITY, None)).mean())
