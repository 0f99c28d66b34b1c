"""From a file's numbers to a layer's: which of them are no data, what they are worth, and what the layer can hold.

A layer has one value without data. A file may have another, or name none though its fill is the layer's; its type may
hold what the layer's can't. Numbers are never wrapped: what is beyond the layer's range becomes its nearest value, and
a pixel with data never becomes the value without.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window

from burnscar_assets.reader.files import Header
from burnscar_assets.reader.pixels import equals_nodata, impossible
from burnscar_assets.reader.radiometry import BANDS_SAMPLED, SAMPLED, Conversion
from burnscar_assets.sensors.sensor import Sensor

Pixels = npt.NDArray[Any]

FILL = -9999.0
"""Value without data of cells of floating-point numbers whose file has none that equals itself."""

_LEAST_WRAPPED = 1 << 15


@dataclass(frozen=True)
class Fitting:
    """What is done to the pixels of one file.

    Attributes:
        dtype: of the layer.
        nodata: value without data of the layer; None if there is none.
        stated: value without data that the file names.
        fill: value without data of the cells that are held of the file; None if there is none.
        reflectance: whether the file holds a band of reflectance, of which it is known what can't be.
        trusted: whether the sensor says which number is no data, so that no other is taken for it.
    """

    dtype: np.dtype[Any]
    nodata: float | None
    stated: float | None
    fill: float | None
    reflectance: bool
    trusted: bool = False

    @classmethod
    def of(
        cls, header: Header, dtype: npt.DTypeLike, nodata: float | None, reflectance: bool, trusted: bool = False
    ) -> "Fitting":
        """What a file with this header needs."""
        return cls(np.dtype(dtype), nodata, header.nodata, _fill(header, nodata), reflectance, trusted)

    def second_value(self, header: Header) -> float | None:
        """The layer's value without data where the file names another, and its type holds both."""
        if self.reflectance or self.fill != self.stated or self.fill == self.nodata:
            return None
        return _fill(replace(header, nodata=None), self.nodata)

    def header(self, header: Header) -> Header:
        """The header of the cells that are held of the file."""
        return replace(header, nodata=self.fill)

    def clean(self, pixels: Pixels) -> Pixels:
        """Pixels of the file, (bands, rows, columns), with one value wherever there are no data.

        They are cleaned before they are interpolated, as what is no data must not be mixed with what is.
        """
        if self.fill is None or not len(pixels):
            return pixels
        if self.trusted:
            return np.where(equals_nodata(pixels, self.fill), pixels.dtype.type(self.fill), pixels)
        missing = [self._named(pixels)] if self._has_other_values(pixels) else []
        if self.reflectance and _may_be_impossible(pixels):
            missing.append(np.broadcast_to(impossible(pixels, [self.stated]), pixels.shape))
        if not missing or not (found := np.logical_or.reduce(missing)).any():
            return pixels
        return np.where(found, pixels.dtype.type(self.fill), pixels)

    def fit(self, pixels: Pixels, conversion: Conversion | None) -> Pixels:
        """Cleaned pixels of windows, (windows, bands, height, width), in numbers of the layer."""
        if conversion is None and pixels.dtype == self.dtype and self.fill == self.nodata:
            return pixels
        missing = np.zeros(pixels.shape, np.bool_) if self.fill is None else equals_nodata(pixels, self.fill)
        numbers = pixels if conversion is None else conversion.apply(pixels)
        if self.dtype.kind in "iu":
            limits = np.iinfo(self.dtype)
            numbers = np.clip(np.where(missing, 0, numbers), limits.min, limits.max)
        result = numbers.astype(self.dtype)
        if self.nodata is None or self.fill is None:
            return result
        if self.dtype.kind in "iu":
            result[(result == self.nodata) & ~missing] = _next_to(int(self.nodata), self.dtype)
        result[missing] = self.nodata
        return result

    def _has_other_values(self, pixels: Pixels) -> bool:
        """Whether something else than the fill may stand for no data."""
        return pixels.dtype.kind == "f" or self.stated != self.fill or self.nodata != self.fill

    def _named(self, pixels: Pixels) -> npt.NDArray[np.bool_]:
        """Where pixels have a value without data, or no number."""
        return equals_nodata(pixels, self.stated) | equals_nodata(pixels, self.nodata)


def _fill(header: Header, nodata: float | None) -> float | None:
    """The file's own value without data, else the layer's, as far as the file's type can hold it."""
    values = [value for value in (header.nodata, nodata) if value is not None]
    if header.dtype.kind == "f":
        finite = [value for value in values if np.isfinite(value)]
        return finite[0] if finite else (FILL if values else None)
    limits = np.iinfo(header.dtype)
    return next((v for v in values if limits.min <= v <= limits.max and float(v).is_integer()), None)


def _may_be_impossible(pixels: Pixels) -> bool:
    """Whether any number calls for a closer look: most blocks are told by their extremes alone."""
    if pixels.dtype.kind == "u":
        return bool(pixels.max() >= _LEAST_WRAPPED or pixels.min() == 0)
    return True


def _next_to(value: int, dtype: np.dtype[Any]) -> int:
    """What GDAL, too, makes of a pixel with data that comes out as the value without."""
    return value - 1 if value > np.iinfo(dtype).min else value + 1


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
    """Numbers of a band (from 0), in one row, the same pixels of all files of one grid.

    Those without data, and those next to them, are masked.
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
