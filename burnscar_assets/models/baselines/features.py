"""What trees are told of a window: statistics of its bands and of spectral indices over its pixels with data."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.sensors.sensor import Role, Sensor

INDICES: Final[dict[str, tuple[Role, Role]]] = {
    "nbr": ("nir", "swir2"),
    "nbr2": ("swir1", "swir2"),
    "ndvi": ("nir", "red"),
    "ndwi": ("green", "nir"),
    "nir_red_edge": ("nir_narrow", "rededge1"),
}
"""Normalised differences (first − second) / (first + second), unitless. NBR: Key and Benson (2006); NBR2: USGS; NDVI:
Rouse et al. (1974); NDWI: McFeeters (1996); the last one falls where red edge vegetation burnt. A sensor has those
whose bands it has."""

QUANTILES: Final = (0.1, 0.5, 0.9)
STATISTICS: Final = ("mean", "std", *(f"q{100 * quantile:.0f}" for quantile in QUANTILES))


def feature_names(sensor: Sensor) -> tuple[str, ...]:
    """Names of the statistics of a sensor's windows, in their order."""
    return tuple(f"{plane}_{name}" for plane in (*sensor.names, *indices_of(sensor)) for name in STATISTICS)


def window_features(images: NDArray[np.uint16], sensor: Sensor) -> NDArray[np.float64]:
    """Statistics of each window.

    Args:
        images: (n, bands, height, width) digital numbers, bands in the sensor's order, 0 = no data.
        sensor: whose images these are.

    Returns:
        (n, len(feature_names(sensor))): for each band and index its mean, standard deviation and quantiles over the
        pixels that have all bands, digital numbers or unitless; NaN for a window without such a pixel.
    """
    pairs = [(sensor.place(one), sensor.place(two)) for one, two in indices_of(sensor).values()]
    rows = [_statistics(image, pairs) for image in images]
    return np.array(rows, dtype=np.float64).reshape(len(images), len(feature_names(sensor)))


def indices_of(sensor: Sensor) -> dict[str, tuple[Role, Role]]:
    """Those of `INDICES` that a sensor has the bands of."""
    return {name: roles for name, roles in INDICES.items() if sensor.has(*roles)}


def _statistics(image: NDArray[np.uint16], pairs: list[tuple[int, int]]) -> NDArray[np.float64]:
    pixels = image.reshape(len(image), -1)
    pixels = pixels[:, (pixels > 0).all(axis=0)].astype(np.float64)
    if not pixels.shape[1]:
        return np.full((len(pixels) + len(pairs)) * len(STATISTICS), np.nan)
    ratios = [(pixels[one] - pixels[two]) / (pixels[one] + pixels[two]) for one, two in pairs]
    planes = np.vstack([pixels, *ratios])
    quantiles = np.quantile(planes, QUANTILES, axis=1)
    return np.vstack([planes.mean(axis=1), planes.std(axis=1), quantiles]).T.reshape(-1)
