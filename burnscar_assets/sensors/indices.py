"""Burn indices from digital numbers of near and short-wave infrared.

All take harmonised surface reflectance, whose scale cancels out, and give float32; a pixel that lacks data
in one of the bands (0) is not a number. Sources: Key and Benson (2006), Landscape Assessment (NBR, dNBR);
Parks, Dillon and Miller (2014), Remote Sensing 6(3) (RBR); Otsu (1979), IEEE Transactions on Systems, Man, and
Cybernetics 9(1) (the threshold without labels).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from burnscar_assets.errors import InputError

FloatArray = npt.NDArray[np.float32]

RBR_OFFSET = 1.001
"""Added to the pre-fire NBR, so that the quotient is finite."""

_WATER_DN: Final = 800
"""Below so much in both infrared bands is water for a sensor that sees no visible light: on the chips of 27 real fires
that finds 94 % of what is brighter in green than in both, and 8 % of what it finds isn't."""

_BINS: Final = 512
_TAILS: Final = (0.001, 0.999)


def nbr(nir: npt.NDArray[np.generic], swir: npt.NDArray[np.generic]) -> FloatArray:
    """Normalised burn ratio, (NIR − SWIR) / (NIR + SWIR), of digital numbers; from −1 to 1, low where burnt."""
    near, short = nir.astype(np.float32), swir.astype(np.float32)
    total = np.where((near > 0) & (short > 0), near + short, np.nan)
    return ((near - short) / total).astype(np.float32)


def dnbr(nbr_before: FloatArray, nbr_after: FloatArray) -> FloatArray:
    """Differenced normalised burn ratio, NBR before − NBR after the fire; high where burnt."""
    return (nbr_before - nbr_after).astype(np.float32)


def rbr(nbr_before: FloatArray, nbr_after: FloatArray) -> FloatArray:
    """Relativised burn ratio, dNBR / (NBR before + 1.001); high where burnt."""
    return (dnbr(nbr_before, nbr_after) / (nbr_before + RBR_OFFSET)).astype(np.float32)


def shows_water(
    nir: npt.NDArray[np.generic], swir: npt.NDArray[np.generic], visible: npt.NDArray[np.generic] | None = None
) -> npt.NDArray[np.bool_]:
    """Where an image shows open water: brighter in green (or red) than in infrared; without these, dark in infrared.

    All are digital numbers, 0 without data.
    """
    near, short = nir.astype(np.float32), swir.astype(np.float32)
    brightest = np.maximum(near, short)
    if visible is not None:
        return np.asarray(visible.astype(np.float32) > brightest)
    return np.asarray((near > 0) & (short > 0) & (brightest < _WATER_DN))


def otsu(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """The threshold that leaves most of the variance between the two sides (Otsu 1979).

    Args:
        values: any shape; what is not finite, and the outermost tenths of a percent, are left out.

    Returns:
        The threshold, and the share of the variance that is between its sides, 0–1.

    Raises:
        InputError: fewer than two different values.
    """
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, _TAILS) if known.size else (0.0, 0.0)
    if not high > low:
        raise InputError("no threshold can be found: the index is the same everywhere; give one with --threshold")
    counts, edges = np.histogram(known, _BINS, range=(low, high))
    middles = (edges[1:] + edges[:-1]) / 2
    below, total = counts.cumsum(), counts.sum()
    mass, mean = (counts * middles).cumsum(), (counts * middles).sum() / total
    share = below[:-1] / total
    apart, spread = (mean * share - mass[:-1] / total) ** 2, share * (1 - share)
    between = np.divide(apart, spread, out=np.zeros_like(spread), where=(below[:-1] > 0) & (below[:-1] < total))
    best = int(np.argmax(between))
    variance = (counts * (middles - mean) ** 2).sum() / total
    return float(edges[best + 1]), float(between[best] / variance)
