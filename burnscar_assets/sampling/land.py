"""The land that statewide negatives are drawn from, and other vector layers that a user gives."""

from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import shapely

from burnscar_assets.crs import usable_crs
from burnscar_assets.errors import InputError
from burnscar_assets.storage.tables import TABLE_CRS
from burnscar_assets.vectors import read_first_layer

CALIFORNIA_OUTLINE: Final = (
    (-124.15, 41.99), (-123.20, 41.99), (-122.30, 41.99), (-121.40, 41.98), (-120.02, 41.98),
    (-120.02, 41.00), (-120.02, 40.00), (-120.02, 39.02), (-119.30, 38.50), (-118.50, 37.92),
    (-117.70, 37.33), (-116.80, 36.63), (-115.80, 35.89), (-114.68, 35.02), (-114.62, 34.82),
    (-114.47, 34.66), (-114.22, 34.28), (-114.48, 34.00), (-114.58, 33.66), (-114.75, 33.40),
    (-114.75, 33.05), (-114.80, 32.76), (-116.10, 32.66), (-117.05, 32.58), (-117.20, 33.02),
    (-117.55, 33.42), (-117.95, 33.70), (-118.25, 33.85), (-118.35, 34.08), (-119.10, 34.20),
    (-119.55, 34.48), (-120.40, 34.53), (-120.55, 34.85), (-120.58, 35.15), (-121.20, 35.70),
    (-121.82, 36.32), (-121.72, 36.80), (-122.02, 37.05), (-122.35, 37.25), (-122.45, 37.65),
    (-122.70, 38.02), (-123.25, 38.60), (-123.65, 39.00), (-123.75, 39.80), (-124.20, 40.35),
    (-123.98, 41.00), (-124.03, 41.60),
)  # fmt: skip
"""Longitude and latitude of a coarse outline of California, degrees.

Drawn by hand from well-known coordinates of the borders (42° N, 120° W, Lake Tahoe, the oblique line to
the Colorado, the river, Mexico) and of capes, a few kilometres inland along the coast. It is accurate to
about 10 km, leaves out the islands and counts bays and lakes as land.
"""


YEARS_COLUMN = "fire_years"
"""Column of a land layer that lists the fire years for which a polygon is land; without it, all years."""


def load_land(path: Path | None, fire_year: int | None = None, *, may_be_empty: bool = False) -> gpd.GeoDataFrame:
    """Read a layer of polygons: the land, or confusers.

    Args:
        path: any vector file that GDAL reads, or GeoParquet; `None` gives the coarse outline of California.
        fire_year: leave out polygons whose list of fire years lacks this one.
        may_be_empty: whether a layer that lists fire years may have no polygon for this one.

    Returns:
        Its valid, non-empty polygons in EPSG:3310; other columns are left out.

    Raises:
        InputError: there is no such file, it can't be read, has no coordinate system, or holds no polygon.
    """
    if path is None:
        outline = gpd.GeoDataFrame(geometry=[shapely.Polygon(CALIFORNIA_OUTLINE)], crs="EPSG:4326")
        return outline.to_crs(TABLE_CRS)
    layer = _read(path)
    usable_crs(layer.crs, str(path))
    by_year = YEARS_COLUMN in layer.columns
    if fire_year is not None and by_year:
        layer = layer.loc[np.array([fire_year in years for years in layer[YEARS_COLUMN]], dtype=bool)]
    shapes = layer.geometry.to_crs(TABLE_CRS).to_numpy()
    parts = shapely.get_parts(shapely.make_valid(shapely.force_2d(shapes[~shapely.is_missing(shapes)])))
    parts = shapely.get_parts(parts)
    polygons = parts[(shapely.get_dimensions(parts) == 2) & ~shapely.is_empty(parts)]
    if not len(polygons) and not (may_be_empty and by_year):
        raise InputError(f"{path} holds no polygons: give a layer of areas")
    return gpd.GeoDataFrame(geometry=polygons, crs=TABLE_CRS)


def _read(path: Path) -> gpd.GeoDataFrame:
    if not path.exists():
        raise InputError(f"no such file: {path}; give the path of a vector file, or leave the setting empty")
    try:
        return read_first_layer(path)
    except (InputError, OSError) as error:
        raise InputError(f"cannot read {path} as a vector layer: {error}") from error
