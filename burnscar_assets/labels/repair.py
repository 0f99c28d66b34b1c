"""Making perimeters valid without losing what they say: ground burnt once, and islands that did not burn."""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

HECTARE_M2 = 10_000.0


@dataclass(frozen=True)
class RepairedGeometry:
    """Geometries after repair, each array in the order of the input.

    Attributes:
        geometry: Valid polygons and multipolygons; an empty polygon where nothing with an area is left.
        repaired: Whether the geometry was invalid.
        area_change: |area after − area before| / area before; 0 where nothing was repaired.
    """

    geometry: NDArray[np.object_]
    repaired: NDArray[np.bool_]
    area_change: NDArray[np.float64]


def repair(geometry: NDArray[np.object_], reported_area_ha: NDArray[np.float64]) -> RepairedGeometry:
    """Repair polygons; the third dimension is dropped and what has no area goes.

    A ring inside another part can mean an island that did not burn (services write islands as parts of their
    own: the Caldor Fire's 15 km² are lost so) or ground that was drawn twice. GEOS's `linework` method reads it as
    an island, its `structure` method as ground drawn twice; the area nearer to the reported one decides, and
    without a reported one no ground is taken away.

    Args:
        geometry: Shapes with coordinates in metres; any type, missing ones too.
        reported_area_ha: Area as reported, in hectares; NaN where it isn't.
    """
    shapes = shapely.force_2d(np.asarray(geometry, dtype=object))
    shapes = np.where(_has_area(shapes) & _finite(shapes), shapes, shapely.Polygon())
    repaired = ~shapely.is_valid(shapes)
    valid = shapes.copy()
    valid[repaired] = _valid(shapes[repaired], np.asarray(reported_area_ha, dtype=float)[repaired])
    before, after = shapely.area(shapes), shapely.area(valid)
    change = np.divide(np.abs(after - before), before, out=np.ones_like(before), where=before > 0)
    return RepairedGeometry(valid, repaired, np.where(repaired, change, 0.0))


def _valid(shapes: NDArray[np.object_], reported_area_ha: NDArray[np.float64]) -> NDArray[np.object_]:
    drawn_twice = _polygons(shapely.make_valid(shapes, method="structure", keep_collapsed=False))
    islands = _polygons(shapely.make_valid(shapes, method="linework"))
    errors = [np.abs(shapely.area(s) - reported_area_ha * HECTARE_M2) for s in (islands, drawn_twice)]
    return np.where(errors[0] < errors[1], islands, drawn_twice)


def _polygons(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """The polygons of each shape; those that the linework method left with lines or points lose these."""
    out = np.where(_has_area(shapes), shapes, shapely.Polygon())
    for position in np.flatnonzero(shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION):
        parts = shapely.get_parts(shapely.get_parts(shapes[position]))
        out[position] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return np.where(_has_area(out), out, shapely.Polygon())


def _has_area(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    kinds = [shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON]
    return np.isin(shapely.get_type_id(shapes), kinds) & ~shapely.is_empty(shapes)


def _finite(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    coordinates, index = shapely.get_coordinates(shapes, return_index=True)
    finite = np.ones(len(shapes), dtype=bool)
    finite[np.unique(index[~np.isfinite(coordinates).all(axis=1)])] = False
    return finite
