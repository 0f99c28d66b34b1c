"""Making perimeters valid without losing what they say: ground burnt once, and islands that did not burn.

What can't be made a polygon with an area is no label, but something burned there all the same: its cause is named,
and the ground that its coordinates enclose is kept for the burn history.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

from burnscar_assets.regions.load import working_region

HECTARE_M2 = 10_000.0

NO_GEOMETRY, NOT_FINITE = "no geometry", "coordinates that are no numbers, or have no place in the region's CRS"
_POLYGONAL: Final = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


@dataclass(frozen=True)
class RepairedGeometry:
    """Geometries after repair, each array in the order of the input.

    Attributes:
        geometry: Valid polygons and multipolygons; an empty polygon where nothing with an area is left.
        repaired: Whether the geometry was invalid.
        area_change: |area after − area before| / area before; 0 where nothing was repaired.
        dropped: Whether lines or points beside the polygons were left out.
        problem: Why no polygon is left; empty where one is.
        burnt: The geometry; where no polygon is left, the hull of its coordinates within the region's bounds, with
            the reported area around it if it is less than half of that; empty where there are none.
    """

    geometry: NDArray[np.object_]
    repaired: NDArray[np.bool_]
    area_change: NDArray[np.float64]
    dropped: NDArray[np.bool_]
    problem: NDArray[np.object_]
    burnt: NDArray[np.object_]


def repair(geometry: NDArray[np.object_], reported_area_ha: NDArray[np.float64]) -> RepairedGeometry:
    """Repair polygons; the third dimension is dropped, polygons are taken out of collections, what has no area goes.

    A ring inside another part can mean an island that did not burn (services write islands as parts of their
    own: the Caldor Fire's 15 km² are lost so) or ground that was drawn twice. GEOS's `linework` method reads it as
    an island, its `structure` method as ground drawn twice; the area nearer to the reported one decides, and
    without a reported one no ground is taken away.

    Args:
        geometry: Shapes with coordinates in metres; any type, missing ones too.
        reported_area_ha: Area as reported, in hectares; NaN where it isn't.
    """
    delivered = shapely.force_2d(np.asarray(geometry, dtype=object))
    reported_ha = np.asarray(reported_area_ha, dtype=float)
    shapes, dropped = _out_of_collections(delivered)
    finite = _finite(shapes)
    shapes = np.where(_has_area(shapes) & finite, shapes, shapely.Polygon())
    repaired = ~shapely.is_valid(shapes)
    valid = shapes.copy()
    valid[repaired] = _valid(shapes[repaired], reported_ha[repaired])
    before, after = shapely.area(shapes), shapely.area(valid)
    change = np.divide(np.abs(after - before), before, out=np.ones_like(before), where=before > 0)
    lost = shapely.is_empty(valid)
    burnt, problem = valid.copy(), np.full(len(valid), "", dtype=object)
    for position in np.flatnonzero(lost):
        problem[position] = _problem(delivered[position], finite=bool(finite[position]))
        burnt[position] = _hull(delivered[position], reported_ha[position])
    return RepairedGeometry(valid, repaired, np.where(repaired, change, 0.0), dropped & ~lost, problem, burnt)


def _out_of_collections(shapes: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Collections, nested ones too, as the polygons in them, and whether something else was in them."""
    out, dropped = shapes.copy(), np.zeros(len(shapes), dtype=bool)
    for position in np.flatnonzero(shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION):
        parts = _leaves(shapes[position])
        flat = shapely.get_dimensions(parts) == 2
        out[position] = shapely.multipolygons(parts[flat]) if flat.sum() > 1 else (*parts[flat], shapely.Polygon())[0]
        dropped[position] = not flat.all()
    return out, dropped


def _leaves(shape: shapely.Geometry) -> NDArray[np.object_]:
    """The single parts of a geometry, whatever the depth of its collections, without empty ones."""
    parts = shapely.get_parts(shape)
    while len(parts) and (shapely.get_type_id(parts) >= shapely.GeometryType.MULTIPOINT).any():
        parts = shapely.get_parts(parts)
    return parts[~shapely.is_empty(parts)]


def _valid(shapes: NDArray[np.object_], reported_area_ha: NDArray[np.float64]) -> NDArray[np.object_]:
    drawn_twice = _polygons(_each(shapes, lambda s: shapely.make_valid(s, method="structure", keep_collapsed=False)))
    islands = _polygons(_each(shapes, lambda s: shapely.make_valid(s, method="linework")))
    drawn_twice = np.where(shapely.is_empty(drawn_twice), islands, drawn_twice)
    failed = shapely.is_empty(drawn_twice)
    drawn_twice[failed] = _polygons(_each(shapes[failed], lambda s: shapely.buffer(s, 0)))
    errors = [np.abs(shapely.area(s) - reported_area_ha * HECTARE_M2) for s in (islands, drawn_twice)]
    return np.where(errors[0] < errors[1], islands, drawn_twice)


def _each(
    shapes: NDArray[np.object_], made: Callable[[NDArray[np.object_]], NDArray[np.object_]]
) -> NDArray[np.object_]:
    """What is made of all shapes at once; if GEOS fails, one by one, nothing of those that it fails on."""
    try:
        return np.asarray(made(shapes))
    except shapely.errors.GEOSException:
        if len(shapes) == 1:
            return np.array([shapely.Polygon()])
        return np.concatenate([_each(shapes[place : place + 1], made) for place in range(len(shapes))])


def _polygons(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """The polygons of each shape; those that the linework method left with lines or points lose these."""
    out = np.where(_has_area(shapes), shapes, shapely.Polygon())
    for position in np.flatnonzero(shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION):
        parts = shapely.get_parts(shapely.get_parts(shapes[position]))
        out[position] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return np.where(_has_area(out) & shapely.is_valid(out), out, shapely.Polygon())


def _has_area(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.isin(shapely.get_type_id(shapes), _POLYGONAL) & ~shapely.is_empty(shapes)


def _finite(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    coordinates, index = shapely.get_coordinates(shapes, return_index=True)
    finite = np.ones(len(shapes), dtype=bool)
    finite[np.unique(index[~np.isfinite(coordinates).all(axis=1)])] = False
    return finite


def _problem(shape: shapely.Geometry | None, *, finite: bool) -> str:
    """Why a geometry has no polygon with an area."""
    if shape is None:
        return NO_GEOMETRY
    if shapely.is_empty(shape):
        return f"an empty {shape.geom_type}"
    if not finite:
        return NOT_FINITE
    kinds = sorted({part.geom_type for part in _leaves(shape)})
    if "Polygon" not in kinds:
        return f"no polygon in it, but {', '.join(kinds)}"
    if not shape.convex_hull.area:
        return "polygons without an area"
    return f"invalid in a way that can't be repaired ({shapely.is_valid_reason(shape)})"


def _hull(shape: shapely.Geometry | None, reported_area_ha: float) -> shapely.Geometry:
    """Convex hull of the credible coordinates of a shape; with the reported area around it if it is less than half."""
    xy = shapely.get_coordinates(shape)
    low, high = np.reshape(working_region().bounds_m, (2, 2))
    xy = xy[((xy >= low) & (xy <= high)).all(axis=1)]
    hull = shapely.convex_hull(shapely.multipoints(xy))
    reported_m2 = max(reported_area_ha, 0.0) * HECTARE_M2
    grown = hull.buffer(np.sqrt(reported_m2 / np.pi)) if hull.area < reported_m2 / 2 else hull
    return grown if _has_area(np.array([grown]))[0] else shapely.Polygon()
