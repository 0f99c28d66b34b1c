"""A threshold on a window's mean burn index, its distance to it turned into a probability.

The threshold is the one with the best balanced accuracy on the training windows, as the evaluator's own baseline has
it. The probability of burnt is a logistic function of the distance, so that it is 0.5 at the threshold and grows with
it; its width is the one with the greatest likelihood on the same windows. Where the image before the fire is there, the
index can be the change of NBR (dNBR), or the change relative to what was there (RBR).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.calibration import NbrThreshold, tune_threshold
from burnscar_assets.evaluation.metrics import SMALLEST_PROBABILITY
from burnscar_assets.sensors.indices import dnbr, nbr, rbr
from burnscar_assets.sensors.sensor import Sensor

WIDTHS: Final = (0.02, 1.0)
"""Narrowest and widest logistic function, in units of the index."""

_CHANGES = {"dnbr": dnbr, "rbr": rbr}
_STEPS = 200


@dataclass(frozen=True)
class ThresholdModel:
    """A tuned threshold.

    Attributes:
        threshold: index, of `burn_index`, below which a window is called burnt, and how it was tuned.
        width: of the logistic function, in units of the index.
        index: nbr, dnbr or rbr.
    """

    threshold: NbrThreshold
    width: float
    index: str = "nbr"

    def predict(
        self, sensor: Sensor, images: NDArray[np.uint16], before: NDArray[np.uint16] | None = None
    ) -> NDArray[np.float64]:
        """(n,) probability of burnt; NaN for a window without data. Of what is given, see `burn_index`."""
        return self._probability(burn_index(self.index, sensor, images, before))

    def predict_pixels(
        self, sensor: Sensor, images: NDArray[np.uint16], before: NDArray[np.uint16] | None = None
    ) -> NDArray[np.float64]:
        """(n, height, width) probability of burnt; NaN for a pixel without data. Arguments are those of `predict`."""
        return self._probability(pixel_index(self.index, sensor, images, before))

    def _probability(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        return _probability(values, self.threshold.threshold, self.width)


def burn_index(
    index: str, sensor: Sensor, images: NDArray[np.uint16], before: NDArray[np.uint16] | None = None
) -> NDArray[np.float64]:
    """Mean burn index of windows over the pixels that hold data, low where burnt.

    Arguments are those of `pixel_index`.

    Returns:
        (n,) mean index, unitless; NaN for a window without any data.
    """
    ratio = pixel_index(index, sensor, images, before)
    valid = ~np.isnan(ratio)
    total = np.where(valid, ratio, 0).sum(axis=(1, 2), dtype=np.float64)
    pixels = valid.sum(axis=(1, 2))
    return np.divide(total, pixels, out=np.full(len(images), np.nan), where=pixels > 0)


def pixel_index(
    index: str, sensor: Sensor, images: NDArray[np.uint16], before: NDArray[np.uint16] | None = None
) -> NDArray[np.float32]:
    """Burn index of each pixel, low where burnt.

    Args:
        index: nbr, or dnbr and rbr, which are high where burnt and so change their sign here.
        sensor: whose images these are.
        images: (n, bands, height, width) digital numbers after the fire, bands in the sensor's order.
        before: (n, 2, height, width) digital numbers before the fire, bands `burn_ratio`; nbr needs none.

    Returns:
        (n, height, width) index, unitless; NaN without data.
    """
    ratio = nbr(images[:, sensor.place("nir")], images[:, sensor.place("swir2")])
    if index not in _CHANGES:
        return ratio
    assert before is not None  # noqa: S101 - whoever asks for a change reads both images
    return -_CHANGES[index](nbr(before[:, 0], before[:, 1]), ratio)


def fit_threshold(values: NDArray[np.floating], burnt: NDArray[np.bool_], index: str = "nbr") -> ThresholdModel:
    """Tune a threshold, and the width of its probability, on training windows.

    Args:
        values: (n,) of `burn_index`; NaN where a window has no data.
        burnt: (n,) whether each is burnt.
        index: which index it is.

    Raises:
        InputError: a class has no training window, or all have the same index.
    """
    found = tune_threshold(values, burnt)
    known = ~np.isnan(values)
    widths = np.geomspace(*WIDTHS, _STEPS)
    losses = [_loss(_probability(values[known], found.threshold, width), burnt[known]) for width in widths]
    return ThresholdModel(found, float(widths[int(np.argmin(losses))]), index)


def _probability(values: NDArray[np.floating], threshold: float, width: float) -> NDArray[np.float64]:
    from scipy.special import expit

    return np.asarray(expit((threshold - np.asarray(values, dtype=np.float64)) / width))


def _loss(probability: NDArray[np.float64], burnt: NDArray[np.bool_]) -> float:
    right = np.where(burnt, probability, 1 - probability)
    return float(-np.log(np.clip(right, SMALLEST_PROBABILITY, None)).mean())
