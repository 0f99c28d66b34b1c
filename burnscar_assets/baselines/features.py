"""What trees are told of a window: statistics of its bands and of spectral indices over its pixels with data."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.classes import BANDS

INDICES: Final = {
    "nbr": ("B08", "B12"),
    "nbr2": ("B11", "B12"),
    "ndvi": ("B08", "B04"),
    "ndwi": ("B03", "B08"),
    "nir_red_edge": ("B8A", "B05"),
}
"""Normalised differences (first − second) / (first + second), unitless. NBR: Key and Benson (2006); NBR2: USGS; NDVI:
Rouse et al. (1974); NDWI: McFeeters (1996); the last one falls where red edge vegetation burnt."""

QUANTILES: Final = (0.1, 0.5, 0.9)
STATISTICS: Final = ("mean", "std", *(f"q{100 * quantile:.0f}" for quantile in QUANTILES))
FEATURE_NAMES: Final = tuple(f"{plane}_{name}" for plane in (*BANDS, *INDICES) for name in STATISTICS)


def window_features(images: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Statistics of each window.

    Args:
        images: (n, 12, height, width) digital numbers, bands in the order of classes.BANDS, 0 = no data.

    Returns:
        (n, len(FEATURE_NAMES)): for each band and index its mean, standard deviation and quantiles over the pixels that
        have all bands, digital numbers or unitless; NaN for a window without such a pixel.
    """
    rows = [_statistics(image) for image in images]
    return np.array(rows, dtype=np.float64).reshape(len(images), len(FEATURE_NAMES))


def _statistics(image: NDArray[np.uint16]) -> NDArray[np.float64]:
    pixels = image.reshape(len(BANDS), -1)
    pixels = pixels[:, (pixels > 0).all(axis=0)].astype(np.float64)
    if not pixels.shape[1]:
        return np.full(len(FEATURE_NAMES), np.nan)
    band = {name: pixels[number] for number, name in enumerate(BANDS)}
    ratios = [(band[one] - band[two]) / (band[one] + band[two]) for one, two in INDICES.values()]
    planes = np.vstack([pixels, *ratios])
    quantiles = np.quantile(planes, QUANTILES, axis=1)
    return np.vstack([planes.mean(axis=1), planes.std(axis=1), quantiles]).T.reshape(-1)
