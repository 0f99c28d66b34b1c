"""The baseline: one threshold on a window's mean post-fire NBR, tuned on the training split only.

NBR = (NIR − SWIR) / (NIR + SWIR) (Key & Benson 2006, FIREMON): burnt ground is low. The threshold is the
one with the best balanced accuracy on the training windows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import InputError
from burnscar_assets.sensors.indices import nbr
from burnscar_assets.sensors.sensor import Sensor


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
