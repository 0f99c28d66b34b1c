"""Which pixels of a file a window is made of.

Windows are given by pixel bounds (left, top, right, bottom) in a projection's grid, one row of an array each; boxes by
(first row, end row, first column, end column) in a file, which may reach beyond it.
"""

from enum import Enum, auto

import numpy as np
import numpy.typing as npt
import rasterio.warp
from rasterio.enums import Resampling

# Loaded only where tiles are made, which takes rslearn in any case.
from rslearn.utils.geometry import Projection  # noqa: TID253

from burnscar_assets.reader.files import Header

IntArray = npt.NDArray[np.int64]

ROUNDED: tuple[np.dtype, ...] = tuple(map(np.dtype, ("uint8", "int16", "uint16")))
"""Data types for which a weight of one part in 10¹⁰ makes no difference."""

EDGE_POINTS = 9
KERNEL_RADIUS = {
    Resampling.nearest: 0, Resampling.bilinear: 1, Resampling.cubic: 2, Resampling.cubic_spline: 2,
}  # fmt: skip
NARROW_PX = 8
"""Parts of windows narrower than this GDAL interpolates with another kernel, as it misjudges the scale."""

MARGIN_PX = 12
"""What GDAL adds around a window's pixels, at most."""


class Way(Enum):
    """How windows are made from a file's pixels."""

    COPY = auto()
    BILINEAR = auto()
    WARP = auto()
    FROM_FILE = auto()


def way_of(header: Header, projection: Projection, resampling: Resampling) -> Way:
    """The fastest way that gives GDAL's pixels."""
    if not header.plain or _coarser(header, projection):
        return Way.FROM_FILE
    ratios = _ratios(header, projection)
    if ratios is None or header.dtype not in ROUNDED:
        return Way.WARP
    if ratios == (1, 1) and resampling in (Resampling.nearest, Resampling.bilinear):
        return Way.COPY
    even = all(ratio % 2 == 0 for ratio in ratios)  # else some centres coincide, and rounding decides on the neighbour
    return Way.BILINEAR if even and resampling == Resampling.bilinear else Way.WARP


def _coarser(header: Header, projection: Projection) -> bool:
    """Whether a grid in the file's CRS has larger pixels: GDAL's kernel then hangs on the last bit of coordinates."""
    if header.crs != projection.crs:
        return False
    wide, high = abs(projection.x_resolution), abs(projection.y_resolution)
    return wide > abs(header.transform.a) * (1 + 1e-9) or high > abs(header.transform.e) * (1 + 1e-9)


def _ratios(header: Header, projection: Projection) -> tuple[int, int] | None:
    """How many of a grid's columns and rows make one of the file's; None if grids don't coincide so."""
    steps = (header.transform.a, header.transform.e)
    origins = (header.transform.c, header.transform.f)
    sizes = (projection.x_resolution, projection.y_resolution)
    ratios = [step / size for step, size in zip(steps, sizes, strict=True)]
    offsets = [origin / size for origin, size in zip(origins, sizes, strict=True)]
    if any(abs(value - round(value)) > 1e-9 for value in ratios) or min(ratios) < 0.5:
        return None
    if any(abs(value - round(value)) > 1e-6 for value in offsets) or header.crs != projection.crs:
        return None
    return round(ratios[0]), round(ratios[1])


def boxes(way: Way, bounds: IntArray, header: Header, projection: Projection, resampling: Resampling) -> IntArray:
    """The pixels that each window needs, also beyond the file, of windows' (windows, 4) pixel bounds."""
    if way is Way.FROM_FILE:
        return np.zeros_like(bounds)
    if way is Way.WARP:
        return _warp_boxes(bounds, header, projection, resampling)
    ratios = _ratios(header, projection) or (1, 1)
    left = round(header.transform.c / projection.x_resolution)
    top = round(header.transform.f / projection.y_resolution)
    shifted = bounds - [left, top, left, top]
    if way is Way.COPY:
        return shifted[:, [1, 3, 0, 2]]
    first_column, first_row = (_first(shifted[:, axis], ratios[axis]) for axis in (0, 1))
    last_column, last_row = (_first(shifted[:, 2 + axis] - 1, ratios[axis]) for axis in (0, 1))
    result = np.stack([first_row, last_row + 2, first_column, last_column + 2], axis=1)
    narrow = (bounds[:, 2:] - bounds[:, :2]).min(axis=1) < NARROW_PX
    result[narrow] = _warp_boxes(bounds[narrow], header, projection, resampling)
    return result


def _first(pixel: IntArray, ratio: int) -> IntArray:
    """The first of the two source pixels between whose centres a pixel's centre lies."""
    return (2 * pixel + 1 - ratio) // (2 * ratio)


def _warp_boxes(bounds: IntArray, header: Header, projection: Projection, resampling: Resampling) -> IntArray:
    """What GDAL's warper reads of a file for each window, and a little more."""
    along = np.linspace(0, 1, EDGE_POINTS)
    u = np.concatenate([along, along, np.zeros_like(along), np.ones_like(along)])
    v = np.concatenate([np.zeros_like(along), np.ones_like(along), along, along])
    x = (bounds[:, [0]] + u * (bounds[:, [2]] - bounds[:, [0]])) * projection.x_resolution
    y = (bounds[:, [1]] + v * (bounds[:, [3]] - bounds[:, [1]])) * projection.y_resolution
    if header.crs != projection.crs:
        flat = rasterio.warp.transform(projection.crs, header.crs, x.ravel(), y.ravel())
        x, y = (np.asarray(values).reshape(x.shape) for values in flat)
    columns = (x - header.transform.c) / header.transform.a
    rows = (y - header.transform.f) / header.transform.e
    result = np.empty_like(bounds)
    for target, values, sizes in ((0, rows, bounds[:, 3] - bounds[:, 1]), (2, columns, bounds[:, 2] - bounds[:, 0])):
        low, high = np.nan_to_num(values.min(axis=1)), np.nan_to_num(values.max(axis=1))
        scale = np.maximum((high - low) / sizes, 1)
        margin = np.ceil(KERNEL_RADIUS.get(resampling, 3) * scale) + MARGIN_PX
        result[:, target] = np.clip(np.floor(low - margin), -(2**40), 2**40)
        result[:, target + 1] = np.clip(np.ceil(high + margin), -(2**40), 2**40)
    return result


def gdal_axis(start: IntArray, size: int, resolution: float, origin: float, step: float) -> npt.NDArray[np.float64]:
    """Where GDAL looks for the pixels of a row or column, in a file's pixels, to the last bit.

    Args:
        start: (windows,) first pixel of each.
        size: pixels of a row or column.
        resolution: of the windows' grid, in CRS units.
        origin: of the file.
        step: the file's pixel size.

    Returns:
        (windows, size) coordinates.
    """
    centres = np.arange(size) + 0.5
    return -origin / step + ((start * resolution)[:, None] + centres * resolution) * (1.0 / step)


def interpolated(exact: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Coordinates along a row as GDAL's approximating transformer gives them, from its first and last."""
    size = exact.shape[1]
    if size <= 5:
        return exact
    delta = (exact[:, -1] - exact[:, 0]) / (size - 1)
    return exact[:, [0]] + delta[:, None] * np.arange(size)
