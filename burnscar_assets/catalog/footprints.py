"""What ground a scene can show: its footprint, held against its own grid.

A footprint is a claim. The grid of a scene (projection extension, MGRS tile, bounding box) is a second witness: what
reaches far beyond it is cut to it, and a footprint that has nothing to do with it is not believed.
"""

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import rasterio.warp
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError

from burnscar_assets.catalog.stac_columns import box
from burnscar_assets.sampling.lattice import NORTHERN_EPSG, SOUTHERN_EPSG

SLACK_M: Final = 12_000.0
"""How far a footprint may reach beyond its grid: catalogues draw them coarsely, and some from the whole swath."""

WIDEST_GRANULE_KM: Final = 400.0
"""A footprint of Sentinel-2 without any grid to hold it against is not believed beyond this: a granule has 110 km."""

MOST_DEGREES: Final = 180.0
KM_PER_DEGREE: Final = 111.2
_TILE = re.compile(r"(?:MGRS-|T|^)(\d{1,2})([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])$")
_TILE_IN_NAME = re.compile(r"_T?(\d{1,2})([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])_")
_COLUMNS: Final = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
_ROWS: Final = "ABCDEFGHJKLMNPQRSTUV"
_BANDS: Final = "CDEFGHJKLMNPQRSTUVWX"

Item = Mapping[str, Any]


class FootprintError(ValueError):
    """A footprint that can't be believed; the message says why."""


def believable(item: Item, *, granule: bool = False) -> tuple[shapely.Geometry, str]:
    """The footprint of a STAC item as far as it can be true, and what was changed about it, empty if nothing was.

    Args:
        item: with geometry, properties and assets; its bbox as the catalogue gives it.
        granule: whether it is a scene of Sentinel-2, which is never wider than `WIDEST_GRANULE_KM`.

    Returns:
        The footprint in degrees, parted at the antimeridian.

    Raises:
        FootprintError: it can't be true, and nothing says what would be.
    """
    given = shapely.force_2d(shapely.geometry.shape(item["geometry"]))
    if given.is_empty or not np.isfinite(shapely.bounds(given)).all():
        raise FootprintError("the footprint is empty")
    shape = parted(given if given.is_valid else shapely.make_valid(given))
    grid = grid_footprint(item)
    if grid is not None:
        return _within(shape, grid, "its grid")
    edges = box(item.get("bbox"))
    width = _width_km(shape)
    if edges is not None and _is_wide(width, granule):
        return _within(shape, _box_of(edges), "its bbox")
    if granule and width > WIDEST_GRANULE_KM:
        raise FootprintError(f"the footprint is {width:.0f} km wide, and nothing else says where the scene lies")
    return shape, ""


def parted(shape: shapely.Geometry) -> shapely.Geometry:
    """A shape in degrees whose edges jump across the antimeridian, as two shapes on either side of it."""
    west, _, east, _ = shape.bounds
    if east - west <= MOST_DEGREES and west >= -MOST_DEGREES and east <= MOST_DEGREES:
        return shape
    moved = shape
    if east - west > MOST_DEGREES:
        moved = shapely.transform(shape, lambda xy: np.where([True, False], xy % 360, xy))
        if moved.area == 0 or moved.bounds[2] - moved.bounds[0] > MOST_DEGREES:
            return shape
    halves = []
    for shift in (-360, 0, 360):
        world = shapely.box(-180 + shift, -90, 180 + shift, 90)
        part = shapely.intersection(shapely.make_valid(moved), world)
        halves.append(shapely.transform(part, lambda xy, shift=shift: xy - [shift, 0]))
    return shapely.union_all([half for half in halves if half.area > 0])


def grid_footprint(item: Item) -> shapely.Geometry | None:
    """The ground of an item's pixels in degrees, by the projection extension, else by its MGRS tile; None without."""
    properties, assets = item.get("properties") or {}, item.get("assets") or {}
    holders = [properties, *(asset for asset in assets.values() if isinstance(asset, Mapping))]
    code = next((code for holder in holders if (code := _epsg(holder)) is not None), None)
    extents = [extent for holder in holders if (extent := _extent(holder)) is not None]
    if code is not None and extents:
        west, south, east, north = np.array(extents).T
        found = _on_the_globe(code, (west.min(), south.min(), east.max(), north.max()))
        if found is not None:
            return found
    tile = next(_tiles(item, properties), None)
    return _tile_footprint(*tile) if tile else None


def mgrs_tile(item: Item) -> str:
    """The MGRS tile of an item, such as 11SKA, by its properties or its name; empty where neither has one."""
    tile = next(_tiles(item, item.get("properties") or {}), None)
    return "".join(map(str, tile)) if tile else ""


def _within(shape: shapely.Geometry, grid: shapely.Geometry, witness: str) -> tuple[shapely.Geometry, str]:
    around = shapely.union_all([_grown(*bounds) for bounds in shapely.bounds(shapely.get_parts(grid)).tolist()])
    if shapely.covers(around, shape):
        return shape, ""
    inside = shapely.intersection(shape, grid)
    if inside.area == 0:
        raise FootprintError(f"the footprint lies off {witness}")
    return inside, f"the footprint reached beyond {witness}"


def _grown(west: float, south: float, east: float, north: float) -> shapely.Polygon:
    """A box in degrees, larger by the slack."""
    up = SLACK_M / 1000 / KM_PER_DEGREE
    aside = up / max(math.cos(math.radians(max(abs(south), abs(north)))), 0.05)
    return shapely.box(west - aside, south - up, east + aside, north + up)


def _is_wide(width_km: float, granule: bool) -> bool:
    return width_km > (WIDEST_GRANULE_KM if granule else MOST_DEGREES * KM_PER_DEGREE)


def _box_of(edges: list[float]) -> shapely.Geometry:
    west, south, east, north = edges
    return parted(shapely.box(west, south, east + 360 if east < west else east, north))


def _width_km(shape: shapely.Geometry) -> float:
    """The longer side of a shape's bounds, of its widest part where it is parted, in kilometres."""
    sides = []
    for west, south, east, north in shapely.bounds(shapely.get_parts(shape)):
        shrink = math.cos(math.radians(min(abs(south), abs(north))))
        sides += [(east - west) * KM_PER_DEGREE * shrink, (north - south) * KM_PER_DEGREE]
    return max(sides, default=0.0)


def _epsg(holder: Mapping[str, Any]) -> int | None:
    code = holder.get("proj:code") or holder.get("proj:epsg")
    found = re.fullmatch(r"(?:EPSG:)?(\d{4,6})", str(code).strip(), re.IGNORECASE)
    return int(found[1]) if found else None


def _extent(holder: Mapping[str, Any]) -> list[float] | None:
    """Left, bottom, right and top of a grid, in units of its CRS."""
    transform, shape = holder.get("proj:transform"), holder.get("proj:shape")
    try:
        if transform is not None and shape is not None:
            place = Affine(*map(float, transform[:6]))
            corners = np.array([place * (column, row) for column in (0, shape[1]) for row in (0, shape[0])], float)
            found = [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]
        else:
            found = box(holder.get("proj:bbox")) or []
    except (TypeError, ValueError, LookupError):
        return None
    good = len(found) == 4 and np.isfinite(found).all() and found[0] < found[2] and found[1] < found[3]
    return found if good else None


@lru_cache(maxsize=4096)
def _on_the_globe(epsg: int, extent: tuple[float, float, float, float]) -> shapely.Geometry | None:
    """A box of a CRS in degrees; None if the two don't go together."""
    outline = shapely.segmentize(shapely.box(*extent), max(extent[2] - extent[0], extent[3] - extent[1]) / 8)
    corners = shapely.get_coordinates(outline)
    try:
        xs, ys = rasterio.warp.transform(CRS.from_epsg(epsg), CRS.from_epsg(4326), corners[:, 0], corners[:, 1])
    except (RasterioError, ValueError):
        return None
    if not np.isfinite([xs, ys]).all():
        return None
    return parted(shapely.make_valid(shapely.Polygon(zip(xs, ys, strict=True))))


def _tiles(item: Item, properties: Mapping[str, Any]) -> Iterator[tuple[int, str, str, str]]:
    """Zone, band, column and row of the MGRS tile, by what says it."""
    parts = [properties.get(f"mgrs:{part}") for part in ("utm_zone", "latitude_band", "grid_square")]
    joined = "".join(map(str, parts)) if None not in parts else None
    for value in (properties.get("s2:mgrs_tile"), properties.get("grid:code"), joined):
        if found := _TILE.search(str(value).strip().upper()):
            yield int(found[1]), found[2], found[3], found[4]
    for value in (item.get("id"), properties.get("s2:product_uri")):
        if found := _TILE_IN_NAME.search(f"{value}_".upper()):
            yield int(found[1]), found[2], found[3], found[4]


@lru_cache(maxsize=4096)
def _tile_footprint(zone: int, band: str, column: str, row: str) -> shapely.Geometry | None:
    """The ground of an MGRS square with what Sentinel-2's granules have beyond it, in degrees; None for no square."""
    columns = _COLUMNS[zone % 3]
    if not 1 <= zone <= 60 or column not in columns:
        return None
    epsg = (NORTHERN_EPSG if band >= "N" else SOUTHERN_EPSG) + zone
    latitude = -80 + 8 * _BANDS.index(band)
    _, (lowest,) = rasterio.warp.transform(CRS.from_epsg(4326), CRS.from_epsg(epsg), [zone * 6 - 183], [latitude])
    first = math.floor(lowest / 100_000) * 100_000
    northing = (_ROWS.index(row) - (5 if zone % 2 == 0 else 0)) % 20 * 100_000
    northing += math.ceil((first - northing) / 2_000_000) * 2_000_000
    easting = (columns.index(column) + 1) * 100_000
    return _on_the_globe(epsg, (easting - 100, northing - 10_000, easting + 110_000, northing + 100_100))
