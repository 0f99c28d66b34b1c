"""A burnt disc as images that people have: any grid, any type, any way to say what is data and what numbers mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

MIDDLE = (-120.9, 39.1)
"""Of the disc, degrees."""

RADIUS_M = 700.0
DISC_HA = float(np.pi * RADIUS_M**2 / 1e4)
UTM = "EPSG:32610"
FILL = {"u": 65535, "i": -9999, "f": -9999}


@dataclass(frozen=True)
class Grid:
    """Where an image lies.

    Attributes:
        crs: of the grid.
        transform: as the file has it.
        shape: height and width.
        by_points: whether the file has ground control points instead.
    """

    crs: str
    transform: Affine
    shape: tuple[int, int] = (150, 150)
    by_points: bool = False


def centre(crs: str) -> tuple[float, float]:
    """The middle of the disc in a CRS."""
    return pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*MIDDLE)


def north_up(crs: str = UTM, size: float = 20.0, side: int = 150, height: float | None = None) -> Grid:
    """A grid about the disc, with pixels of a width and height in units of its CRS."""
    x, y = centre(crs)
    height = height or size
    return Grid(crs, Affine(size, 0, x - size * side / 2, 0, -height, y + height * side / 2), (side, side))


def turned(degrees: float, size: float = 20.0, side: int = 150) -> Grid:
    """A grid about the disc, turned."""
    x, y = centre(UTM)
    middle = Affine.translation(x, y) @ Affine.rotation(degrees) @ Affine.scale(size, -size)
    return Grid(UTM, middle @ Affine.translation(-side / 2, -side / 2), (side, side))


def disc(grid: Grid) -> np.ndarray:
    """(height, width) whether a pixel's centre burned."""
    rows, columns = np.mgrid[0 : grid.shape[0], 0 : grid.shape[1]] + 0.5
    x, y = grid.transform @ (columns.ravel(), rows.ravel())
    east, north = pyproj.Transformer.from_crs(grid.crs, UTM, always_xy=True).transform(x, y)
    burned = np.hypot(east - centre(UTM)[0], north - centre(UTM)[1]) < RADIUS_M
    return burned.reshape(grid.shape)


def reflectance(burned: np.ndarray, seed: int, bands: int = 2) -> np.ndarray:
    """(bands, height, width) reflectance: near infrared, short-wave infrared, then others; burnt ground swaps them."""
    noise = np.random.default_rng(seed).normal(0, 0.008, (bands, *burned.shape))
    near, short = np.where(burned, 0.10, 0.30), np.where(burned, 0.24, 0.10)
    return np.stack([near, short, *[np.full(burned.shape, 0.05)] * (bands - 2)]) + noise


def write(
    path: Path,
    values: np.ndarray,
    grid: Grid,
    *,
    dtype: str = "uint16",
    scale: float = 1e-4,
    offset: float = 0.0,
    tags: bool = False,
    hidden: np.ndarray | None = None,
    way: str = "tag",
    names: Sequence[str] = ("B08", "B12"),
) -> Path:
    """Write reflectance to a GeoTIFF.

    Args:
        path: of the file.
        values: reflectance.
        grid: where it lies.
        dtype: type of the numbers.
        scale: reflectance of one number.
        offset: reflectance of the number 0.
        tags: whether the file states scale and offset.
        hidden: (height, width) what is no data.
        way: how the file says so: `tag`, `alpha`, `mask`, `sidecar`, `fill`.
        names: of the first bands.
    """
    kind, nodata, planes = np.dtype(dtype), None, (values - offset) / scale
    if kind.kind != "f":
        planes = np.clip(
            np.rint(planes), max(np.iinfo(kind).min, -1999), np.iinfo(kind).max - 2_001 * (kind.itemsize > 1)
        )
    if hidden is not None:
        fill = 0 if kind.itemsize == 1 and way == "fill" else FILL[kind.kind]
        planes = np.where(hidden, {"tag": 250, "fill": fill}.get(way, 201), planes)
        nodata = 250 if way == "tag" else None
        if way == "tag":
            planes = np.where(~hidden & (planes == nodata), nodata + 1, planes)
        if way == "alpha":
            planes = np.concatenate([planes, np.where(hidden, 0, 255)[None]])
    options = {"gcps": _points(grid)} if grid.by_points else {"transform": grid.transform}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=way != "sidecar"),
        rasterio.open(
            path, "w", driver="GTiff", count=len(planes), height=grid.shape[0], width=grid.shape[1], dtype=kind,
            crs=grid.crs or None, nodata=nodata, photometric="MINISBLACK", **options,
        ) as sink,
    ):  # fmt: skip
        alpha = hidden is not None and way == "alpha"
        sink.colorinterp = [*(ColorInterp.undefined,) * (len(planes) - alpha), *(ColorInterp.alpha,) * alpha]
        sink.write(planes.astype(kind))
        for number, name in enumerate(names, start=1):
            sink.set_band_description(number, name)
        if tags:
            sink.scales, sink.offsets = (scale,) * len(planes), (offset,) * len(planes)
        if hidden is not None and way in ("mask", "sidecar"):
            sink.write_mask(~hidden)
    return path


def _points(grid: Grid) -> list[GroundControlPoint]:
    height, width = grid.shape
    corners = ((0, 0), (0, width), (height, width), (height, 0), (height / 2, width / 3))
    return [GroundControlPoint(row, column, *(grid.transform @ (column, row))) for row, column in corners]
