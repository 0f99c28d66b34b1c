"""The pixels of a map: one UTM grid around an area, and the blocks that it is made in."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import affine
import numpy as np
import numpy.typing as npt
import pyproj
import rasterio.features
import shapely
from rasterio.crs import CRS

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.grid import HA_M2
from burnscar_assets.sampling.lattice import NORTHERN_EPSG, SOUTHERN_EPSG, transformer, utm_zone_of

EQUAL_AREA_CRS: Final = "EPSG:6933"
ZONE_DEGREES: Final = 6
MAX_BEYOND_DEGREES: Final = 3.0
"""How far a map may reach beyond its UTM zone: there, its areas are 0.7 % too large."""

EDGE_DEGREES: Final = 0.05
"""Edges are given vertices so far apart before they are projected, so that they bend."""

_SOUTH: Final = 100


@dataclass(frozen=True)
class Box:
    """Pixels of a UTM zone's grid: left and right columns, top and bottom rows; rows grow southwards."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """As rslearn has pixel bounds."""
        return self.left, self.top, self.right, self.bottom

    def contains(self, other: "Box") -> bool:
        """Whether another box lies in this one."""
        columns = self.left <= other.left and other.right <= self.right
        return columns and self.top <= other.top and other.bottom <= self.bottom

    def moved(self, columns: int, rows: int) -> "Box":
        """The box so many columns to the east and rows to the south."""
        return Box(self.left + columns, self.top + rows, self.right + columns, self.bottom + rows)

    def grown(self, by_px: int) -> "Box":
        """The box with a margin around it."""
        return Box(self.left - by_px, self.top - by_px, self.right + by_px, self.bottom + by_px)

    def slices_in(self, outer: "Box") -> tuple[slice, slice]:
        """Rows and columns of this box in an array of a box around it."""
        rows = slice(self.top - outer.top, self.bottom - outer.top)
        return rows, slice(self.left - outer.left, self.right - outer.left)


def around(boxes: Sequence[Box]) -> Box:
    """The least box around some boxes."""
    left, top, right, bottom = zip(*(box.bounds for box in boxes), strict=True)
    return Box(min(left), min(top), max(right), max(bottom))


@dataclass(frozen=True)
class Frame:
    """A map's pixels.

    A box of a UTM zone's grid, in pixels `resolution_m` wide.
    """

    epsg: int
    resolution_m: float
    box: Box

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.box.height, self.box.width

    @property
    def pixel_ha(self) -> float:
        """Area of a pixel, hectares."""
        return self.resolution_m**2 / HA_M2

    @property
    def crs(self) -> CRS:
        """Of the zone."""
        return CRS.from_epsg(self.epsg)

    @property
    def transform(self) -> affine.Affine:
        """From columns and rows of the map to metres."""
        return transform_of(self.box, self.resolution_m)

    @cached_property
    def footprint(self) -> shapely.Geometry:
        """The map's rectangle, EPSG:4326."""
        return project(_metres(self.box, self.resolution_m), f"EPSG:{self.epsg}", GEOGRAPHIC_CRS)

    def blocks(self, side_px: int) -> list[Box]:
        """The grid in squares, from its upper left corner; those at its right and lower edge are smaller."""
        box = self.box
        return [
            Box(left, top, min(left + side_px, box.right), min(top + side_px, box.bottom))
            for top in range(box.top, box.bottom, side_px)
            for left in range(box.left, box.right, side_px)
        ]

    def covers(self, geometry: shapely.Geometry, box: Box, *, touched: bool = False) -> npt.NDArray[np.bool_]:
        """Which pixels of a box lie in a geometry (EPSG:4326): by their centres, or all that it touches."""
        if geometry.is_empty:
            return np.zeros((box.height, box.width), bool)
        shape = project(geometry, GEOGRAPHIC_CRS, f"EPSG:{self.epsg}")
        return rasterize(shape, transform_of(box, self.resolution_m), (box.height, box.width), touched=touched)

    def metres(self, box: Box) -> shapely.Geometry:
        """The rectangle of some of its pixels, in the zone."""
        return _metres(box, self.resolution_m)


def frame_around(area: shapely.Geometry, resolution_m: float, buffer_m: float = 0.0) -> Frame:
    """The grid of the UTM zone in which most of an area lies.

    The area is valid and in EPSG:4326, the margin in metres about its bounds.

    Raises:
        InputError: the area reaches too far beyond that zone.
    """
    epsg = zone_of(area)
    west, _, east, _ = area.bounds
    middle = (epsg % _SOUTH - 1) * ZONE_DEGREES - 180 + ZONE_DEGREES / 2
    beyond = max(middle - west, east - middle) - ZONE_DEGREES / 2
    if beyond > MAX_BEYOND_DEGREES:
        raise InputError(
            f"the area reaches {beyond:.1f}° beyond UTM zone {epsg % _SOUTH}, too far for one map: cut it, for "
            f"instance at {middle - ZONE_DEGREES / 2:.0f}° and {middle + ZONE_DEGREES / 2:.0f}°, and map its parts one "
            "by one"
        )
    bounds = np.array(project(area, GEOGRAPHIC_CRS, f"EPSG:{epsg}").bounds) + buffer_m * np.array([-1, -1, 1, 1])
    left, bottom, right, top = bounds / resolution_m
    return Frame(
        epsg, resolution_m, Box(*(int(n) for n in (np.floor(left), np.floor(-top), np.ceil(right), np.ceil(-bottom))))
    )


def zone_of(area: shapely.Geometry) -> int:
    """EPSG code of the UTM zone with the largest part of an area (EPSG:4326); of equal ones, the western."""
    west, south, east, north = area.bounds
    first, last = utm_zone_of([west, np.nextafter(east, west)]).tolist()
    flat = pyproj.Transformer.from_crs(GEOGRAPHIC_CRS, EQUAL_AREA_CRS, always_xy=True)

    def part_m2(zone: int) -> float:
        edge = (zone - 1) * ZONE_DEGREES - 180
        part = shapely.intersection(area, shapely.box(edge, south, edge + ZONE_DEGREES, north))
        return float(_moved(part, flat).area)

    best = max(range(first, last + 1), key=part_m2)
    return best + (SOUTHERN_EPSG if shapely.centroid(area).y < 0 else NORTHERN_EPSG)


def project(shape: shapely.Geometry, source: str, target: str) -> shapely.Geometry:
    """A geometry in another coordinate system; long edges in degrees, or hundreds of metres, bend."""
    step = EDGE_DEGREES if source == GEOGRAPHIC_CRS else 1000.0
    return _moved(shapely.segmentize(shape, step), transformer(source, target))


def transform_of(box: Box, resolution_m: float) -> affine.Affine:
    """From columns and rows of a box's array to metres."""
    return affine.Affine(resolution_m, 0, box.left * resolution_m, 0, -resolution_m, -box.top * resolution_m)


def rasterize(
    shape: shapely.Geometry, transform: affine.Affine, size: tuple[int, ...], *, touched: bool = False
) -> npt.NDArray[np.bool_]:
    """Which pixels lie in a geometry of their own coordinate system: by their centres, or all that it touches."""
    if shape.is_empty:
        return np.zeros(size, bool)
    drawn = rasterio.features.rasterize([shape], size, transform=transform, all_touched=touched, dtype="uint8")
    return np.asarray(drawn, bool)


def outlines(mask: npt.NDArray[np.bool_], transform: affine.Affine) -> list[shapely.Polygon]:
    """Polygons of the pixels where a mask holds, in its own coordinate system; those of one polygon share edges."""
    found = rasterio.features.shapes(mask.astype(np.uint8), mask, transform=transform)
    return [shapely.geometry.shape(polygon) for polygon, _ in found]


def _metres(box: Box, resolution_m: float) -> shapely.Geometry:
    left, top, right, bottom = (edge * resolution_m for edge in box.bounds)
    return shapely.box(left, -bottom, right, -top)


def _moved(shape: shapely.Geometry, mover: pyproj.Transformer) -> Any:
    return shapely.transform(shape, lambda xy: np.column_stack(mover.transform(xy[:, 0], xy[:, 1])))
