"""A fire year's tables from release to tiles, with one loss of each kind; only what a funnel counts is filled in."""

import geopandas as gpd
import pandas as pd

from burnscar_assets.storage.contracts import (
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    RELEASE_RECORDS,
    SAMPLE_LOSSES,
    SAMPLE_POINTS,
    SCENE_MATCHES,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, table_crs, write_table

YEAR = 2021
LAYER = "sentinel2_l2a"

RECORDS = [{"record_id": name, "kind": "fire", "fire_year": YEAR} for name in "abcd"]
OTHERS = [
    {"record_id": "burn", "kind": "prescribed", "fire_year": YEAR},
    {"record_id": "old", "kind": "fire", "fire_year": 2020},
]
PERIMETERS = [{"fire_id": name, "fire_year": YEAR} for name in "abc"]
REJECTS = [{"record_id": "d", "fire_year": YEAR, "reason": "duplicate"}]
POINTS = [
    {"point_id": "1", "fire_id": "a", "category": "burnt"},
    {"point_id": "2", "fire_id": "a", "category": "unburnt"},
    {"point_id": "3", "fire_id": "b", "category": "burnt"},
    {"point_id": "4", "fire_id": "", "category": "unburnt"},
]
LOSSES = [
    {"fire_id": "c", "stratum": "burnt", "reason": "capped", "points": 1},
    {"fire_id": "c", "stratum": "burnt", "reason": "no_window_inside", "points": 5},
    {"fire_id": "b", "stratum": "ring", "reason": "no_room", "points": 2},
]
WINDOW_ROWS = [
    {"window_id": f"w{p['point_id']}", "point_id": p["point_id"], "split": split, "category": p["category"]}
    for p, split in zip(POINTS, ("train", "train", "val", "test"), strict=True)
]
MATCHES = [
    {"window_id": f"w{n}", "layer": LAYER, "group_index": 0, "matched": n != 3, "reason": "too_cloudy" * (n == 3)}
    for n in (1, 2, 3, 4)
]
TILE_ROWS = [
    {"window_id": f"w{n}", "layer": LAYER, "complete": not reason, "reason": reason, "clear_fraction": clear}
    for n, (reason, clear) in enumerate((("", 0.9), ("nodata", 0.1), ("no_scene", None), ("", 1.0)), start=1)
]
CLEAR = 0.9
"""Least share of a window that is clear: all complete ones have it."""
TABLES: list[tuple[Table, list[dict]]] = [
    (RELEASE_RECORDS, RECORDS + OTHERS),
    (FIRE_PERIMETERS, PERIMETERS),
    (FIRE_PERIMETER_REJECTS, REJECTS),
    (SAMPLE_POINTS, POINTS),
    (SAMPLE_LOSSES, LOSSES),
    (WINDOWS, WINDOW_ROWS),
    (SCENE_MATCHES, MATCHES),
    (TILES, TILE_ROWS),
]


def write_rows(root: DataRoot, table: Table, rows: list[dict]) -> None:
    """Write a year's rows, with nothing in the columns that they don't name."""
    nothing = {c.name: [] if c.type == "strings" else None for c in table.columns}
    full = pd.DataFrame([nothing | row for row in rows], columns=table.column_names)
    if table.has_geometry:
        full = gpd.GeoDataFrame(full.assign(geometry=gpd.GeoSeries([None] * len(full))), crs=table_crs())
    write_table(root, table, full, None if table is RELEASE_RECORDS else YEAR)


def write_tables(root: DataRoot) -> None:
    """Write every table of the year."""
    for table, rows in TABLES:
        write_rows(root, table, rows)
