"""Whether a layer's coordinates lie where its CRS says: held against the region, and against the areas it reports.

A wrong .prj moves every fire or makes it vanish, and nothing fails. So a layer most of whose records lie elsewhere or
have another area than reported is refused, with the reading of its coordinates that would set both right.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from burnscar_assets.errors import InputError
from burnscar_assets.labels.repair import HECTARE_M2
from burnscar_assets.regions.load import working_region
from burnscar_assets.regions.region import Region
from burnscar_assets.storage.tables import table_crs

BORDER_M: Final = 50_000.0
"""Fires reach across borders, and the outline of a region is coarse."""

OUTLINE_M: Final = 10_000.0
"""Nearer to a region's outline, ground may be of the region: outlines run inland of coasts and leave out islands."""

AREA_FACTOR: Final = 2.0
"""A record whose area differs from the reported one by more speaks against the layer's CRS."""

UNEXPLAINED_FACTOR: Final = 5.0
"""Where no other reading of the coordinates fits, the median area of fires may differ by so much."""

LEAST_M2, MOST_M2 = 1.0, 1e10
"""Bounds of a credible burn, square metres; the smallest of FRAP's has 5 m², the largest 4.2e9 m²."""

ENOUGH: Final = 5
"""Records from which a share or a median says something of a layer."""

_SAMPLE: Final = 100
_FOOT_M: Final = 0.3048

_UNITS_PER_ACRE: Final = {
    "hectares": 0.40468564, "square metres": 4046.8564, "square feet": 43_560.0, "km²": 0.0040468564,
    "square miles": 1 / 640,
}  # fmt: skip


@dataclass(frozen=True)
class _Reading:
    """A way to read coordinates: in a CRS, after a linear map of x and y."""

    words: str
    crs: CRS
    matrix: NDArray[np.float64]

    def apply(self, shapes: NDArray[np.object_]) -> NDArray[np.object_]:
        transform = Transformer.from_crs(self.crs, table_crs(), always_xy=True).transform
        return np.asarray(shapely.transform(shapes, lambda xy: np.column_stack(transform(*(xy @ self.matrix.T).T))))


def check_place(raw: gpd.GeoSeries, placed: gpd.GeoSeries, reported_area_ha: NDArray[np.float64], label: str) -> None:
    """See that a layer lies in the region and has the areas that it reports.

    Args:
        raw: Its geometry as delivered, in the CRS that it names.
        placed: The same in the CRS of tables.
        reported_area_ha: Area as reported, in hectares; NaN where it isn't.
        label: How errors name the layer.

    Raises:
        InputError: most records lie elsewhere, or have other areas; the message names the likely cause.
    """
    there = ~(raw.is_empty | raw.isna()).to_numpy()
    shapes, reported_ha = placed.to_numpy()[there], np.asarray(reported_area_ha, dtype=float)[there]
    credible = _credible(shapes, reported_ha)
    if not there.any() or credible.mean() >= 0.5:
        return
    sample = np.unique(np.linspace(0, len(shapes) - 1, _SAMPLE).astype(int))
    delivered, named = raw.to_numpy()[there][sample], _name(raw.crs)
    for reading in _readings(CRS.from_user_input(raw.crs), delivered):
        if _credible(reading.apply(delivered), reported_ha[sample]).mean() > 0.8:
            raise InputError(
                f"{label}: its coordinates look like {reading.words}, its CRS says {named}: taken at that, "
                f"{_found(shapes, reported_ha)}; correct the CRS (the .prj of a shapefile), then run the same again"
            )
    _refuse_unexplained(shapes, reported_ha, f"{label}: in the CRS that it names, {named},")


def mostly_inside(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Whether at least half of each valid shape's ground (the region's CRS) is the region's, as its outline has it."""
    land = _around(working_region(), OUTLINE_M)
    inside = shapely.covers(land, shapes)
    across = ~inside & shapely.intersects(land, shapes)
    common = shapely.area(shapely.intersection(shapes[across], land))
    inside[across] = common >= 0.5 * shapely.area(shapes[across])
    return np.asarray(inside)


def _refuse_unexplained(shapes: NDArray[np.object_], reported_ha: NDArray[np.float64], subject: str) -> None:
    """Refuse what no reading explains, if it lies far off, or all its areas are wrong."""
    outside = ~shapely.intersects(shapes, shapely.box(*working_region().bounds_m))
    ratio = _ratios(shapes, reported_ha)
    if outside.mean() > 0.5 and len(shapes) >= ENOUGH:
        raise InputError(f"{subject} {_found(shapes, reported_ha)}: is it the right CRS, and the right file?")
    if len(ratio) < ENOUGH:
        return
    off = abs(np.log(np.median(ratio))) > np.log(UNEXPLAINED_FACTOR)
    units = [unit for unit, factor in _UNITS_PER_ACRE.items() if (np.abs(np.log(ratio * factor)) < 0.2).mean() > 0.8]
    if units or off:
        unit = f": the reported areas look like {units[0]}, acres are meant" if units else ""
        raise InputError(f"{subject} {_found(shapes, reported_ha)}{unit}; correct the CRS or the reported areas")


def _readings(named: CRS, shapes: NDArray[np.object_]) -> Iterator[_Reading]:
    """Other ways to read the coordinates, likely ones first."""
    plain, swapped, west = np.eye(2), np.eye(2)[::-1], np.diag([-1.0, 1.0])
    xy = shapely.get_coordinates(shapes)
    if (np.abs(xy[np.isfinite(xy).all(axis=1)]) <= 180).all():
        degrees = CRS.from_epsg(4326)
        yield _Reading("degrees (EPSG:4326)", degrees, plain)
        yield _Reading("degrees, latitude first (axes swapped)", degrees, swapped)
        yield _Reading("degrees without the minus of west", degrees, west)
        return
    yield _Reading(f"{_name(named)} with its axes swapped", named, swapped)
    if named.is_projected:
        yield _Reading(f"feet in place of the metres of {_name(named)}", named, plain * _FOOT_M)
        yield _Reading(f"metres in place of the feet of {_name(named)}", named, plain / _FOOT_M)
    for code in working_region().usual_crs:
        yield _Reading(_name(CRS.from_user_input(code)), CRS.from_user_input(code), plain)
    for code in working_region().usual_crs_feet:
        zone = CRS.from_user_input(code)
        yield _Reading(f"feet of a state plane zone, such as {_name(zone)}", zone, plain)


def _credible(shapes: NDArray[np.object_], reported_ha: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether shapes in the CRS of tables lie in the region, with a possible area that is about the reported one."""
    area_m2 = shapely.area(shapes)
    low, high = np.reshape(working_region().bounds_m, (2, 2))
    bounds = shapely.bounds(shapes).reshape(-1, 2, 2)
    middle = np.nan_to_num(bounds.mean(axis=1), nan=np.inf)
    near = ((middle >= low) & (middle <= high)).all(axis=1)
    near[near] = shapely.intersects(_around(working_region(), BORDER_M), shapely.points(middle[near]))
    reported_m2 = reported_ha * HECTARE_M2
    with np.errstate(all="ignore"):
        off = np.abs(np.log(area_m2 / reported_m2)) > np.log(AREA_FACTOR)
    flat = shapely.get_dimensions(shapes) == 2
    return near & (~flat | ((area_m2 >= LEAST_M2) & (area_m2 <= MOST_M2) & ~(off & (reported_m2 > 0))))


def _ratios(shapes: NDArray[np.object_], reported_ha: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area over reported area, of those that have both."""
    area_ha = shapely.area(shapes) / HECTARE_M2
    both = (reported_ha > 0) & (area_ha > 0) & np.isfinite(area_ha)
    return np.asarray(area_ha[both] / reported_ha[both])


def _found(shapes: NDArray[np.object_], reported_ha: NDArray[np.float64]) -> str:
    """Where the layer lies, and how its areas compare, in words."""
    middle = shapely.bounds(shapes).reshape(-1, 2, 2).mean(axis=1)
    middle = np.median(middle[np.isfinite(middle).all(axis=1)], axis=0) if np.isfinite(middle).any() else [np.nan] * 2
    lon, lat = Transformer.from_crs(table_crs(), "EPSG:4326", always_xy=True).transform(*middle)
    place = f"its records lie around {lat:.2f}° N, {lon:.2f}° E" if np.isfinite([lon, lat]).all() else "it lies nowhere"
    ratio = _ratios(shapes, reported_ha)
    return place + (f", their areas are {np.median(ratio):.2g} of those reported" if len(ratio) else "")


@lru_cache(maxsize=2)
def _around(region: Region, reach_m: float) -> shapely.Geometry:
    """A region's land and the ground around it, in its CRS, ready for many questions."""
    around = shapely.union_all(region.land).buffer(reach_m, quad_segs=2)
    shapely.prepare(around)
    return around


def _name(crs: CRS | None) -> str:
    authority = crs.to_authority() if crs else None
    return f"{crs.name} ({':'.join(authority)})" if crs and authority else str(crs.name if crs else crs)
