"""A look at some pixels of a file, the same whatever windows are read: what its scene's radiometry is told by."""

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window

from burnscar_assets.reader.fitting import Fitting
from burnscar_assets.reader.pixels import equals_nodata
from burnscar_assets.reader.radiometry import BANDS_SAMPLED, SAMPLED
from burnscar_assets.sensors.sensor import Sensor

READ_WHOLE_PX = 1 << 20
"""Files of so many pixels are read whole, larger ones by an overview, or by a few blocks where they have none."""

OVERVIEW_PX = 256
"""An overview has so many rows and columns at least."""

BLOCK_PX = 512
PLACES = (0.5, 0.2, 0.8)
"""Where blocks are taken, as shares of rows and columns."""


def sampled_bands(sensor: Sensor, bands: Collection[str]) -> list[str]:
    """The bands of a sensor that are sampled, of those that there are."""
    return [band for band in sensor.bands_of(SAMPLED) if band in bands][:BANDS_SAMPLED]


def sample_pixels(source: rasterio.DatasetReader, fitting: Fitting, band: int) -> np.ma.MaskedArray:
    """Numbers of a band, in one row, the same pixels of all files of one grid; those without data are masked.

    Those next to a pixel without data are masked, too.

    Args:
        source: the open file.
        fitting: says what is no data.
        band: counted from 0.
    """
    planes = [fitting.clean(plane) for plane in _planes(source, band + 1)]
    samples = [np.ma.MaskedArray(plane[0], ~_inner(plane[0], fitting.fill)).ravel() for plane in planes]
    return np.ma.concatenate(samples)


def _planes(source: rasterio.DatasetReader, band: int) -> list[npt.NDArray[Any]]:
    height, width = source.height, source.width
    if height * width <= READ_WHOLE_PX:
        return [source.read([band])]
    factors = source.overviews(band) if source.driver == "GTiff" else []
    useful = [factor for factor in factors if min(height, width) >= factor * OVERVIEW_PX]
    if useful:
        shape = (1, -(-height // max(useful)), -(-width // max(useful)))
        return [source.read([band], out_shape=shape)]
    rows, columns = (min(BLOCK_PX, size) for size in source.block_shapes[band - 1])
    windows = [
        Window(int(width * x) // columns * columns, int(height * y) // rows * rows, columns, rows)
        for x, y in zip(PLACES, PLACES, strict=True)
    ]
    whole = Window(0, 0, width, height)
    return [source.read([band], window=window.intersection(whole)) for window in windows]


def _inner(plane: npt.NDArray[Any], fill: float | None) -> npt.NDArray[np.bool_]:
    """Pixels with data that have only such around them: overviews and resampling mix others with what isn't there."""
    data = ~equals_nodata(plane, fill)
    inner = data.copy()
    inner[1:] &= data[:-1]
    inner[:-1] &= data[1:]
    inner[:, 1:] &= data[:, :-1]
    inner[:, :-1] &= data[:, 1:]
    return inner
