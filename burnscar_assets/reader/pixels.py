"""Which pixels of an image file are data, and what their numbers are worth as reflectance.

A file can say where it has no data in several ways, and can say nothing: its value without data, an alpha band, a mask
band (in the file or beside it), and numbers that no ground can have decide together. A number that ground may have is
never judged by itself where the file has several bands: 0 in one band is dark ground, 0 in all of them is none.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from burnscar_assets.errors import InputError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

BoolArray = npt.NDArray[np.bool_]

FILL_FROM: Final = -9999
"""Numbers from here downwards fill files of signed numbers: no digital number of a surface is as low."""

LOWEST_NUMBER: Final = -2000
"""Least digital number of ground in public archives (HLS); what is between it and 0 wraps in unsigned files."""

FILL_ABOVE: Final = 1e9
"""Floating-point numbers from here upwards are fill values, such as 1e20 and 3.4e38."""

_FILL_CODES: Final = (-999, -9999, -28672, -32767, -32768)
_ALPHA_NAMES: Final = ("", "ALPHA", "MASK", "VALID", "VALIDITY")
_SCALE_TAGS: Final = ("scale_factor",)
_OFFSET_TAGS: Final = ("add_offset",)


@dataclass(frozen=True)
class PixelFacts:
    """What a file says of where it has data.

    Attributes:
        nodata: Value without data of each band, None where the file names none.
        alpha: Bands that are no measurement but say how opaque a pixel is, counted from 1.
        masked: Whether a mask band, in the file or beside it, covers its bands.
    """

    nodata: tuple[float | None, ...]
    alpha: tuple[int, ...] = ()
    masked: bool = False

    @classmethod
    def of(cls, source: "DatasetReader", used: Collection[int] = ()) -> "PixelFacts":
        """The facts of an open file.

        Writers mark the fourth band of four as alpha whatever it holds; one that is used as a measurement (counted
        from 1), or has another name, is none.
        """
        from rasterio.enums import ColorInterp, MaskFlags

        named = [(text or "").strip().upper() for text in source.descriptions]
        alpha = tuple(
            band
            for band, kind in enumerate(source.colorinterp, start=1)
            if kind == ColorInterp.alpha and band not in used and named[band - 1] in _ALPHA_NAMES
        )
        flags = {flag for band in source.mask_flag_enums for flag in band}
        masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        return cls(tuple(source.nodatavals), alpha, masked or any(not band for band in source.mask_flag_enums))

    @property
    def measured(self) -> tuple[int, ...]:
        """Bands that hold measurements, counted from 1."""
        return tuple(band for band in range(1, len(self.nodata) + 1) if band not in self.alpha)


def read_pixels(
    source: "DatasetReader", facts: PixelFacts, window: "Window | None" = None
) -> tuple[npt.NDArray[Any], BoolArray]:
    """Numbers of the bands that hold measurements, and where they are data; both (bands, height, width).

    Raises:
        RasterioError: the file, or the window of it, can't be read.
    """
    bands = list(facts.measured)
    pixels = source.read(bands, window=window)
    alpha = source.read(list(facts.alpha), window=window) if facts.alpha else None
    masks = source.read_masks(bands, window=window) if facts.masked else None
    return pixels, data_pixels(pixels, facts, alpha, masks)


def data_pixels(
    pixels: npt.NDArray[Any],
    facts: PixelFacts,
    alpha: npt.NDArray[Any] | None = None,
    masks: npt.NDArray[Any] | None = None,
) -> BoolArray:
    """(bands, height, width) where numbers are data.

    Args:
        pixels: (bands, height, width) of the bands `facts.measured`.
        facts: of the file.
        alpha: (alpha bands, height, width); 0 is transparent.
        masks: like the pixels, 0 without data.
    """
    values = [facts.nodata[band - 1] for band in facts.measured]
    data = np.stack([~equals_nodata(band, value) for band, value in zip(pixels, values, strict=True)])
    data &= ~impossible(pixels, values) & ~_is_beyond(pixels)
    if alpha is not None:
        data &= (alpha > 0).all(axis=0)
    if masks is not None:
        data &= masks > 0
    return data


def equals_nodata(band: npt.NDArray[Any], nodata: float | None) -> BoolArray:
    """Where a band holds its value without data, or no finite number.

    The value is compared as the band's type holds it; one out of the type's range is no number of the band's, and what
    writers make of it is left to `impossible`.
    """
    missing = np.zeros(band.shape, dtype=bool) if _is_whole(band) else ~np.isfinite(band)
    if nodata is None or not np.isfinite(nodata):
        return missing
    if _is_whole(band):
        limits = np.iinfo(band.dtype)
        fits = limits.min <= nodata <= limits.max and float(nodata).is_integer()
        return missing | (band == int(nodata)) if fits else missing
    with np.errstate(over="ignore"):
        return np.asarray(missing | (band == band.dtype.type(nodata)))


def impossible(pixels: npt.NDArray[Any], nodata: Collection[float | None] = ()) -> BoolArray:
    """(height, width) where the numbers of all bands together are none that ground can have.

    These are 0 in all bands, fill values of the type in all of them, negative numbers that wrapped in an unsigned type,
    one and the same negative number in several bands, and what a value without data (that the file names) becomes
    beyond the type's range.
    """
    if not len(pixels):
        return np.zeros(pixels.shape[1:], dtype=bool)
    found = (pixels == 0).all(axis=0) | _is_fill(pixels).all(axis=0)
    if len(pixels) > 1 and pixels.dtype.kind != "u":
        found |= ((pixels == pixels[0]) & (pixels < 0)).all(axis=0)
    if _is_whole(pixels):
        for value in {value for value in nodata if value is not None and np.isfinite(value)}:
            found |= np.isin(pixels, _stored(value, pixels.dtype)).all(axis=0)
    return np.asarray(found)


def _is_beyond(pixels: npt.NDArray[Any]) -> BoolArray:
    """Where a number alone is none that ground can have in any band: only types that hold negative numbers show it."""
    if pixels.dtype.kind == "u":
        return np.zeros(pixels.shape, dtype=bool)
    beyond = pixels <= FILL_FROM
    return np.asarray(beyond if _is_whole(pixels) else beyond | (pixels >= FILL_ABOVE))


def _is_fill(pixels: npt.NDArray[Any]) -> BoolArray:
    """Where a number alone is a fill value of its type; not in types of 8 bits, whose every number is in use."""
    if not _is_whole(pixels):
        return ~np.isfinite(pixels) | _is_beyond(pixels) | (pixels == _FILL_CODES[0])
    if pixels.dtype.itemsize == 1:
        return np.zeros(pixels.shape, dtype=bool)
    if pixels.dtype.kind == "u":
        signed = pixels.view(np.dtype(f"i{pixels.dtype.itemsize}"))
        return np.asarray((signed >= LOWEST_NUMBER) & (signed < 0)) | np.isin(signed, _FILL_CODES)
    return _is_beyond(pixels) | (pixels == np.iinfo(pixels.dtype).max) | (pixels == _FILL_CODES[0])


def _stored(value: float, dtype: np.dtype[Any]) -> list[int]:
    """What a value beyond a type's range becomes in it: wrapped, or the nearest that there is."""
    limits = np.iinfo(dtype)
    if limits.min <= value <= limits.max:
        return []
    size = int(limits.max) - int(limits.min) + 1
    return [(int(value) - int(limits.min)) % size + int(limits.min), int(np.clip(value, limits.min, limits.max))]


def _is_whole(pixels: npt.NDArray[Any]) -> bool:
    return pixels.dtype.kind in "iu"


@dataclass(frozen=True)
class Radiometry:
    """What a number is worth: reflectance = number × scale + offset."""

    scale: float = 1.0
    offset: float = 0.0

    def reflectance(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Numbers as reflectance."""
        return (numbers.astype(np.float64) * self.scale + self.offset).astype(np.float32)


def stated_radiometry(source: "DatasetReader", band: int) -> Radiometry | None:
    """What a file says of a band's numbers (counted from 1), or None if it says nothing.

    Read are GDAL's scale and offset of the band, then tags of the band or the file (`scale_factor` and `add_offset`, as
    HLS has them).

    Raises:
        InputError: the scale can't be one.
    """
    name = PurePath(source.name.partition("?")[0]).name
    scale, offset = source.scales[band - 1], source.offsets[band - 1]
    if (scale, offset) != (1.0, 0.0):
        return _checked(scale, offset, name)
    for tags in (source.tags(band), source.tags()):
        found = _of_names(tags, _SCALE_TAGS, _OFFSET_TAGS, name)
        if found is not None:
            return found
    return None


def radiometry_of_item(band: Mapping[str, Any], name: str) -> Radiometry | None:
    """What an entry of a STAC asset's `raster:bands`, or of its `bands` in STAC 1.1, says; None if it says nothing.

    Raises:
        InputError: the scale can't be one; names the item.
    """
    return _of_names(band, ("scale", "raster:scale"), ("offset", "raster:offset"), name)


def _of_names(
    said: Mapping[str, Any], scale_names: tuple[str, ...], offset_names: tuple[str, ...], name: str
) -> Radiometry | None:
    scale, offset = (
        next((said[key] for key in names if said.get(key) not in (None, "")), None)
        for names in (scale_names, offset_names)
    )
    if scale is None and offset is None:
        return None
    return _checked(1.0 if scale is None else scale, 0.0 if offset is None else offset, name)


def _checked(scale: Any, offset: Any, name: str) -> Radiometry:
    try:
        found = Radiometry(float(scale), float(offset))
    except (TypeError, ValueError):
        found = Radiometry(0.0)
    if not (np.isfinite(found.scale) and np.isfinite(found.offset) and found.scale > 0):
        raise InputError(
            f"{name} gives its numbers the scale {scale} and the offset {offset}, which can't be: write the right ones "
            "to it (gdal_edit.py -scale … -offset …)"
        )
    return found
