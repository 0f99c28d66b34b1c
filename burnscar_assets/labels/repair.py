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


def repair(geometry: NDArray[np.object_]) -> RepairedGeometry:
    """Repair polygons (coordinates in metres, third dimension dropped).

    Overlapping parts become one, holes stay holes, and what has no area goes (GEOS's `structure` method:
    the default one would turn ground that is drawn twice into a hole).
    """
    shapes = shapely.force_2d(np.asarray(geometry, dtype=object))
    shapes = np.where(_has_area(shapes) & _finite(shapes), shapes, shapely.Polygon())
    repaired = ~shapely.is_valid(shapes)
    valid = shapes.copy()
    valid[repaired] = shapely.make_valid(shapes[repaired], method="structure", keep_collapsed=False)
    valid = np.where(_has_area(valid), valid, shapely.Polygon())
    before, after = shapely.area(shapes), shapely.area(valid)
    change = np.divide(np.abs(after - before), before, out=np.ones_like(before), where=before > 0)
    return RepairedGeometry(valid, repaired, np.where(repaired, change, 0.0))


def _has_area(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    kinds = [shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON]
    return np.isin(shapely.get_type_id(shapes), kinds) & ~shapely.is_empty(shapes)


def _finite(shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    coordinates, index = shapely.get_coordinates(shapes, return_index=True)
    finite = np.ones(len(shapes), dtype=bool)
    finite[np.unique(index[~np.isfinite(coordinates).all(axis=1)])] = False
    return finite
