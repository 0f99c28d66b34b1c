"""From a file's pixels to windows' pixels, as GDAL's warper makes them, and scenes of a group over each other."""

from dataclasses import dataclass
from typing import Any

import affine
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

# Loaded only where tiles are made, which takes rslearn in any case.
from rslearn.utils.array import nodata_eq  # noqa: TID253
from rslearn.utils.geometry import PixelBounds, Projection  # noqa: TID253
from rslearn.utils.raster_array import RasterArray, RasterMetadata  # noqa: TID253

from burnscar_assets.catalog.items import TimeRange
from burnscar_assets.reader.cells import CellStore
from burnscar_assets.reader.files import Header
from burnscar_assets.reader.grids import NARROW_PX, IntArray, Way, gdal_axis, interpolated

AT_ONCE_PX = 1 << 16
"""Pixels that are interpolated at a time: what fits a core's cache."""

GDAL_TYPES = {
    "uint8": "Byte", "int16": "Int16", "uint16": "UInt16", "int32": "Int32", "uint32": "UInt32",
    "float32": "Float32", "float64": "Float64",
}  # fmt: skip

Pixels = npt.NDArray[Any]


class Cutter:
    """Cuts windows of one size from a file's cells."""

    def __init__(
        self, way: Way, header: Header, cells: CellStore, projection: Projection, resampling: Resampling
    ) -> None:
        self.way = way
        self.header = header
        self.cells = cells
        self.projection = projection
        self.resampling = resampling

    def cut(self, bounds: IntArray, boxes: list[list[int]]) -> Pixels:
        """The pixels of windows, (windows, bands, height, width) in the file's data type.

        Args:
            bounds: (windows, 4) pixel bounds, all of one size.
            boxes: the pixels of the file that each needs.
        """
        narrow = (bounds[0, 2:] - bounds[0, :2]).min() < NARROW_PX
        if self.way is Way.BILINEAR and not narrow:
            return self._bilinear(bounds, boxes)
        if self.way is not Way.COPY:
            return np.stack([self._warp(window, box) for window, box in zip(bounds, boxes, strict=True)])
        left, top, right, bottom = bounds[0].tolist()
        windows = self._empty(boxes, bottom - top, right - left)
        for target, box in zip(windows, boxes, strict=True):
            self.cells.copy(box, target)
        if self.header.count > 1 and self.header.nodata is not None:
            self._warp_again(windows, bounds, boxes, self._without_data(windows))
        return windows

    def _empty(self, boxes: list[list[int]], height: int, width: int) -> Pixels:
        """Room for windows, filled where some reach beyond the file."""
        shape = (len(boxes), self.header.count, height, width)
        inside = all(
            row >= 0 and column >= 0 and end_row <= self.header.height and end_column <= self.header.width
            for row, end_row, column, end_column in boxes
        )
        return np.empty(shape, self.header.dtype) if inside else np.full(shape, self._fill, self.header.dtype)

    @property
    def _fill(self) -> float:
        return 0 if self.header.nodata is None else self.header.nodata

    def _without_data(self, windows: Pixels) -> npt.NDArray[np.bool_]:
        """Which windows have pixels without data."""
        return (windows == self._fill).reshape(len(windows), -1).any(axis=1)

    def _warp_again(
        self, windows: Pixels, bounds: IntArray, boxes: list[list[int]], chosen: npt.NDArray[np.bool_]
    ) -> None:
        for place in np.flatnonzero(chosen):
            windows[place] = self._warp(bounds[place], boxes[place])

    def _bilinear(self, bounds: IntArray, boxes: list[list[int]]) -> Pixels:
        """Between the four nearest pixels; windows with none, or none with data, of them by GDAL itself."""
        header, projection = self.header, self.projection
        corners = np.asarray(boxes)
        left, top, right, bottom = bounds[0].tolist()
        height, width = bottom - top, right - left
        x = gdal_axis(bounds[:, 0], width, projection.x_resolution, header.transform.c, header.transform.a)
        y = gdal_axis(bounds[:, 1], height, projection.y_resolution, header.transform.f, header.transform.e)
        x = interpolated(x) - corners[:, [2]]
        y = y - corners[:, [0]]
        result = np.empty((len(boxes), header.count, height, width), header.dtype)
        step = max(AT_ONCE_PX // (height * width), 1)
        phases = _phase(x) * (1 << 32) + _phase(y)
        for phase in np.unique(phases):
            alike = np.flatnonzero(phases == phase)
            for start in range(0, len(alike), step):
                some = alike[start : start + step]
                result[some] = self._bilinear_some([boxes[place] for place in some], x[some], y[some])
        row, end_row, column, end_column = corners.T
        slow = (row < 0) | (column < 0) | (end_row > header.height) | (end_column > header.width)
        if header.nodata is not None:
            slow |= self._without_data(result)
        self._warp_again(result, bounds, boxes, slow)
        return result

    def _bilinear_some(self, boxes: list[list[int]], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Pixels:
        """Windows that lie alike on the file's pixels; where any of these is without data, nothing but that."""
        row, end_row, column, end_column = boxes[0]
        patches = self._empty(boxes, end_row - row, end_column - column)
        for patch, box in zip(patches, boxes, strict=True):
            self.cells.copy(box, patch)
        windows = _between(patches, x, y)
        if self.header.nodata is not None:
            windows[self._without_data(patches)] = self.header.nodata
        return windows

    def _warp(self, window: IntArray, box: list[int]) -> Pixels:
        """One window by GDAL's warper, from pixels in memory."""
        header, projection = self.header, self.projection
        row, end_row, column, end_column = self.cells.clipped(box)
        left, top, right, bottom = (int(side) for side in window)
        if row == end_row or column == end_column:
            return np.full((header.count, bottom - top, right - left), self._fill, header.dtype)
        pixels = np.empty((header.count, end_row - row, end_column - column), header.dtype)
        self.cells.copy([row, end_row, column, end_column], pixels)
        place = header.transform @ affine.Affine.translation(column, row)
        address = (
            f"MEM:::DATAPOINTER={pixels.__array_interface__['data'][0]},PIXELS={pixels.shape[2]},"
            f"LINES={pixels.shape[1]},BANDS={header.count},DATATYPE={GDAL_TYPES[header.dtype.name]},"
            f"GEOTRANSFORM={place.c!r}/{place.a!r}/0/{place.f!r}/0/{place.e!r}"
        )
        extras = {} if header.nodata is None else {"src_nodata": header.nodata, "nodata": header.nodata}
        with rasterio.open(address, driver="MEM") as source:
            return warp_from(
                source, projection, (left, top, right, bottom), self.resampling, src_crs=header.crs, **extras
            )


def warp_from(
    source: rasterio.DatasetReader,
    projection: Projection,
    bounds: PixelBounds,
    resampling: Resampling,
    **extras: object,
) -> Pixels:
    """A window's pixels of an open file, (bands, height, width), as rslearn reads them."""
    with WarpedVRT(source, resampling=resampling, **_grid(projection, bounds), **extras) as warped:
        return warped.read()


def warp_masked(
    source: rasterio.DatasetReader,
    projection: Projection,
    bounds: PixelBounds,
    resampling: Resampling,
    fill: float | None,
) -> Pixels:
    """As `warp_from`, for a file whose mask or alpha band says where there are data; `fill` elsewhere."""
    has_alpha = any(MaskFlags.alpha in flags for flags in source.mask_flag_enums)
    grid = _grid(projection, bounds)
    with WarpedVRT(source, resampling=resampling, add_alpha=not has_alpha, **grid) as warped:
        pixels = warped.read(list(range(1, source.count + 1)))
        if fill is not None:
            pixels[:, warped.dataset_mask() == 0] = fill
        return pixels


def _grid(projection: Projection, bounds: PixelBounds) -> dict[str, Any]:
    left, top, right, bottom = bounds
    x_size, y_size = projection.x_resolution, projection.y_resolution
    place = affine.Affine(x_size, 0, left * x_size, 0, y_size, top * y_size)
    return {"crs": projection.crs, "transform": place, "width": right - left, "height": bottom - top}


def _phase(coordinates: npt.NDArray[np.float64]) -> IntArray:
    """A number for the pixels of its patch that a window's pixels lie between.

    As windows of one size differ by a shift alone, each of these is larger in the one whose sum is larger.
    """
    return np.floor(coordinates - 0.5).astype(np.int64).sum(axis=1)


def _between(patches: Pixels, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Pixels:
    """GDAL's bilinear kernel, in its order of operations, so that ties round the same way.

    Args:
        patches: (windows, bands, rows, columns), all with data.
        x: (windows, width) coordinates in the patches, all windows between the same columns.
        y: (windows, height) likewise.
    """
    column, row = np.floor(x[0] - 0.5).astype(np.intp), np.floor(y[0] - 0.5).astype(np.intp)
    across, down = 1.5 - (x - column), 1.5 - (y - row)
    if _in_quarters(across) and _in_quarters(down):
        exact = patches.astype(np.int32)
        wide = _halves(exact, column, across[0])
        sums = _halves(wide.swapaxes(-1, -2), row, down[0]).swapaxes(-1, -2)
        return ((sums + 8) >> 4).astype(patches.dtype)
    across, down = across[:, None, None, :], down[:, None, :, None]
    wide = patches[..., column] * across + patches[..., column + 1] * (1.0 - across)
    values = wide[..., row, :] * down + wide[..., row + 1, :] * (1.0 - down)
    return np.floor(values + 0.5).astype(patches.dtype)


def _in_quarters(weights: npt.NDArray[np.float64]) -> bool:
    """Whether weights are a quarter and three quarters in turn, to the last bit, for all windows alike."""
    turns = np.all(weights[0, :-1] + weights[0, 1:] == 1)
    return bool(turns and weights[0, 0] in (0.25, 0.75) and np.all(weights == weights[0]))


def _halves(pixels: Pixels, first: npt.NDArray[np.intp], weights: npt.NDArray[np.float64]) -> Pixels:
    """Four times the values half way between pixels of the last axis, which weigh a quarter and three in turn."""
    size = len(first)
    result = np.empty((*pixels.shape[:-1], size), pixels.dtype)
    for turn in range(min(2, size)):
        count = -(-(size - turn) // 2)
        weight = int(weights[turn] * 4)
        low = pixels[..., first[turn] : first[turn] + count]
        high = pixels[..., first[turn] + 1 : first[turn] + 1 + count]
        np.add(low * weight, high * (4 - weight), out=result[..., turn::2])
    return result


NO_DATA_UNKNOWN = 0
"""What rslearn takes for a pixel without data where nobody says."""


@dataclass(frozen=True)
class Region:
    """What one file (by its number in its scene) gave to a window: rows and columns of it, bands of the band set."""

    file: int
    rows: slice
    columns: slice
    bands: list[int]
    times: list[TimeRange] | None


@dataclass(frozen=True)
class Share:
    """What a scene gave to a band set of a window: (bands, height, width), and a region for each file meeting it."""

    pixels: npt.NDArray[Any]
    regions: list[Region]


def composite(shares: list[Share], nodata: float | None) -> RasterArray:
    """The raster of a band set: the first pixel with data wins, as in rslearn's FIRST_VALID.

    Args:
        shares: of the scenes in order, at least one; the first is laid under the others in place.
        nodata: value without data, None if unknown.
    """
    known = nodata or NO_DATA_UNKNOWN
    met = [share for share in shares if share.regions]
    first = (met or shares)[0]
    result = first.pixels
    for share in met[1:]:
        for region in share.regions:
            target = result[:, region.rows, region.columns]
            free = np.logical_and.reduce([nodata_eq(target[band], known) for band in region.bands])
            for band in region.bands:
                np.copyto(target[band], share.pixels[band, region.rows, region.columns], where=free)
    times = min(first.regions, key=lambda region: region.file).times if met else None
    return RasterArray(array=result[:, None], timestamps=times, metadata=RasterMetadata(nodata_value=nodata))


def empty_raster(bands: int, height: int, width: int, dtype: npt.DTypeLike, nodata: float | None) -> RasterArray:
    """The raster of a band set that no scene has."""
    pixels = np.full((bands, 1, height, width), nodata or NO_DATA_UNKNOWN, dtype=dtype)
    return RasterArray(array=pixels, metadata=RasterMetadata(nodata_value=nodata))
