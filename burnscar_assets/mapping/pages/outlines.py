"""Vectors over a map's picture: from the ground to the pixels of the grid, as SVG paths.

The unit is the grid's pixel, with the origin in its upper left corner, so outlines lie where the pixels do, whatever
the size of the picture.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS
from rasterio.features import shapes
from rasterio.transform import Affine
from shapely.affinity import affine_transform
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.pages.pixels import LONGEST_PX, Pixels
from burnscar_assets.mapping.pages.records import REPAIR, Grid

VECTORS: Final = "burned_area.gpkg"
LEAST_GAP_PX: Final = 3


def read_outline(folder: Path, layer: str, crs: CRS) -> BaseGeometry | None:
    """The polygons of a layer of a map's GeoPackage as one geometry in a CRS; None if it is not there or empty.

    Raises:
        InputError: the GeoPackage can't be read, or the layer has no CRS.
    """
    import geopandas as gpd

    path = folder / VECTORS
    try:
        if layer not in pyogrio.list_layers(path)[:, 0]:
            return None
        rows = gpd.read_file(path, layer=layer)
    except (DataSourceError, DataLayerError) as error:
        raise InputError(f"{VECTORS} of {folder.name} can't be read: {REPAIR}") from error
    if rows.crs is None:
        raise InputError(f"{VECTORS} of {folder.name} has a layer {layer} without a CRS: {REPAIR}")
    whole = rows.geometry.to_crs(crs).make_valid().union_all()
    polygons = [part for part in shapely.get_parts(whole) if part.geom_type == "Polygon" and not part.is_empty]
    return shapely.MultiPolygon(polygons) if polygons else None


def to_pixels(geometry: BaseGeometry, grid: Grid) -> BaseGeometry:
    """A geometry in the grid's CRS, in pixels of the grid: x to the right, y downwards."""
    inverse = ~grid.transform
    return affine_transform(geometry, [inverse.a, inverse.b, inverse.d, inverse.e, inverse.c, inverse.f])


def path_of(geometry: BaseGeometry | None, grid: Grid) -> str:
    """An outline as the `d` of an SVG path, simplified to half a pixel of the picture."""
    if geometry is None:
        return ""
    tolerance = 0.5 * max(1.0, grid.height / LONGEST_PX, grid.width / LONGEST_PX)
    return svg_path(geometry.simplify(tolerance))


def svg_path(geometry: BaseGeometry) -> str:
    """Polygons, holes and all, as the `d` of an SVG path with the even-odd rule; other geometries are passed over."""
    polygons = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon" and not part.is_empty]
    return "".join(_ring(ring) for polygon in polygons for ring in (polygon.exterior, *polygon.interiors))


def gap_path(gaps: Pixels, grid: Grid) -> str:
    """Pixels without an answer as an SVG path in pixels of the grid; specks are left out.

    Args:
        gaps: shape (rows, columns), of the whole grid at any size; true where there is no answer.
        grid: the map's grid.
    """
    rows, columns = gaps.shape
    to_grid = Affine.scale(grid.width / columns, grid.height / rows)
    mask = gaps.astype(np.uint8)
    found = [shape(part) for part, _ in shapes(mask, mask == 1, transform=to_grid)]
    least = LEAST_GAP_PX * to_grid.a * to_grid.e
    return "".join(svg_path(part) for part in found if part.area >= least)


def _ring(ring: shapely.LinearRing) -> str:
    corners = shapely.get_coordinates(ring)[:-1]
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in corners) + "Z"
