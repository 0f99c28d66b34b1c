"""The land that statewide negatives are drawn from, and other vector layers that a user gives."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from burnscar_assets.crs import usable_crs
from burnscar_assets.errors import InputError
from burnscar_assets.regions.load import working_region
from burnscar_assets.storage.tables import table_crs
from burnscar_assets.vectors import read_first_layer

YEARS_COLUMN = "fire_years"
"""Column of a land layer that lists the fire years for which a polygon is land; without it, all years."""


def load_land(path: Path | None, fire_year: int | None = None, *, may_be_empty: bool = False) -> gpd.GeoDataFrame:
    """Read a layer of polygons: the land, or confusers.

    Without a path it is the coarse outline of the region. Polygons whose list of fire years lacks `fire_year` are left
    out; a layer that has such lists may then be empty, if `may_be_empty`. Its polygons are valid, not empty and in the
    region's CRS.

    Raises:
        InputError: there is no such file, it can't be read, has no coordinate system, or holds no polygon.
    """
    if path is None:
        return gpd.GeoDataFrame(geometry=list(shapely.get_parts(working_region().land)), crs=table_crs())
    layer = _read(path)
    usable_crs(layer.crs, str(path))
    by_year = YEARS_COLUMN in layer.columns
    if fire_year is not None and by_year:
        layer = layer.loc[np.array([fire_year in years for years in layer[YEARS_COLUMN]], dtype=bool)]
    shapes = layer.geometry.to_crs(table_crs()).to_numpy()
    parts = shapely.get_parts(shapely.make_valid(shapely.force_2d(shapes[~shapely.is_missing(shapes)])))
    parts = shapely.get_parts(parts)
    polygons = parts[(shapely.get_dimensions(parts) == 2) & ~shapely.is_empty(parts)]
    if not len(polygons) and not (may_be_empty and by_year):
        raise InputError(f"{path} holds no polygons: give a layer of areas")
    return gpd.GeoDataFrame(geometry=polygons, crs=table_crs())


def _read(path: Path) -> gpd.GeoDataFrame:
    if not path.exists():
        raise InputError(f"no such file: {path}; give the path of a vector file, or leave the setting empty")
    try:
        return read_first_layer(path)
    except (InputError, OSError) as error:
        raise InputError(f"cannot read {path} as a vector layer: {error}") from error
