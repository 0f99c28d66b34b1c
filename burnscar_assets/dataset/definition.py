"""From points to windows: where, when, which label. Pure tables; nothing is written here.

A window is known by a hash of its definition: fire, cell, time range, size, resolution and label. Its
split is a tag, not identity, so that a new deal of the ground keeps the imagery.
"""

from typing import cast

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.sampling.accounts import cells_of
from burnscar_assets.sampling.lattice import Lattice
from burnscar_assets.settings import WindowSettings
from burnscar_assets.storage.contracts import WINDOWS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.tables import table_crs

_ID_LENGTH = 16
_IDENTITY = (
    "fire_id", "utm_epsg", "min_col", "min_row", "start_time", "end_time", "size_px", "resolution_m", "category",
)  # fmt: skip
_FROM_POINT = ("fire_year", "point_id", "fire_id", "cluster_id", "stratum", "category", "split", "utm_epsg")


def define_windows(points: gpd.GeoDataFrame, settings: WindowSettings) -> gpd.GeoDataFrame:
    """The window of every point.

    The time range starts with the first and ends with the last day that imagery may be from: it covers
    whole UTC days, counted from that of containment. What imagery before the fire may be from is counted back from the
    alarm likewise.

    Args:
        points: table `sample_points`, made with the same settings (cells are counted in window sides).
        settings: size, resolution and days.

    Returns:
        Table `windows`, ordered by window_id, without label rasters (see `label_rasters`). Columns and rows are
        pixels of the UTM zone's grid; rows grow southwards from y = 0 (the equator, or 10,000 km south of it in
        southern zones), so they are negative.
    """
    first_day, last_day = settings.days_after
    nearest, farthest = settings.days_before
    alarm = pd.to_datetime(points["alarm_date"], utc=True).dt.normalize()
    day = pd.to_datetime(points["containment_date"], utc=True).dt.normalize()
    table = points[list(_FROM_POINT)].assign(
        min_col=points["cell_col"] * settings.size_px,
        min_row=-(points["cell_row"] + 1) * settings.size_px,
        size_px=settings.size_px,
        resolution_m=float(settings.resolution_m),
        start_time=day + pd.Timedelta(days=first_day),
        end_time=day + pd.Timedelta(days=last_day + 1),
        before_start=alarm - pd.Timedelta(days=farthest),
        before_end=alarm - pd.Timedelta(days=nearest - 1),
        burnt_share=np.nan,
        unlabelled_share=np.nan,
        label_hash="",
    )
    footprints = Lattice(settings.side_m).footprints(cells_of(points))
    windows = gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(footprints, index=table.index, crs=table_crs()))
    windows["window_id"] = [
        hash_json([_plain(value) for value in row])[:_ID_LENGTH]
        for row in windows[list(_IDENTITY)].itertuples(index=False)
    ]
    return cast(gpd.GeoDataFrame, WINDOWS.conform(windows.sort_values("window_id", kind="stable")))


def _plain(value: object) -> object:
    """A value as it goes into the hash: numbers as Python's own, times in ISO 8601."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
