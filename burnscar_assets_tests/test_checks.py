"""The checks as functions: each finds the corruption that it is for."""

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from burnscar_assets import checks
from burnscar_assets.storage.contracts import BURN_HISTORY


def windows(*rows: tuple[str, str, float]) -> gpd.GeoDataFrame:
    """Windows of 320 m by (fire, split, left edge in metres)."""
    table = {
        "fire_id": [fire for fire, _, _ in rows],
        "cluster_id": [fire for fire, _, _ in rows],
        "split": [split for _, split, _ in rows],
        "category": ["burnt", "unburnt"] * (len(rows) // 2) + ["burnt"] * (len(rows) % 2),
    }
    return gpd.GeoDataFrame(table, geometry=[shapely.box(x, 0, x + 320, 320) for _, _, x in rows], crs=3310)


def test_whole_tables() -> None:
    row = {"burn_id": "a", "kind": "fire", "burn_year": 2020, "name": "A", "geometry": shapely.box(0, 0, 1, 1)}
    rows = BURN_HISTORY.conform(gpd.GeoDataFrame([row], crs=3310))
    assert checks.table_is_whole(BURN_HISTORY, rows).holds
    assert not checks.table_is_whole(BURN_HISTORY, pd.concat([rows, rows])).holds
    assert not checks.table_is_whole(BURN_HISTORY, rows.drop(columns="name")).holds
    assert not checks.table_is_whole(BURN_HISTORY, rows.to_crs(4326)).holds
    bow_tie = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    assert not checks.table_is_whole(BURN_HISTORY, rows.set_geometry([bow_tie], crs=3310)).holds


@pytest.mark.parametrize(
    ("rows", "holds"),
    [
        ([("a", "train", 0), ("b", "test", 1000)], True),
        ([("a", "train", 0), ("a", "train", 100)], True),
        ([("a", "train", 0), ("b", "test", 300)], False),
        ([("a", "train", 0), ("a", "test", 9000)], False),
        ([("", "train", 0), ("", "test", 9000)], True),
    ],
)
def test_splits(rows: list[tuple[str, str, float]], holds: bool) -> None:
    assert checks.splits_are_disjoint(windows(*rows)).holds == holds


def test_land_without_fire_may_be_in_every_split() -> None:
    land = windows(("a", "train", 0), ("b", "test", 1000)).assign(fire_id="")
    assert checks.splits_are_disjoint(land).holds
    assert not checks.splits_are_disjoint(land.assign(cluster_id="block")).holds


def test_balance_is_looked_at_in_each_split() -> None:
    balanced = windows(("a", "train", 0), ("a", "train", 1000))
    assert checks.classes_are_balanced(balanced).holds
    lopsided = windows(("a", "train", 0), ("a", "train", 1000), ("b", "val", 9000))
    assert not checks.classes_are_balanced(lopsided).holds


def test_tiles_are_accounted_for() -> None:
    asked = pd.DataFrame({"window_id": ["a", "b"]})
    tiles = pd.DataFrame({"window_id": ["a", "b"], "complete": [True, False], "reason": ["", "no_scene"]})
    assert checks.tiles_are_accounted_for(asked, tiles).holds
    assert not checks.tiles_are_accounted_for(asked, tiles.head(1)).holds
    assert not checks.tiles_are_accounted_for(asked, tiles.assign(reason="")).holds
    assert not checks.tiles_are_accounted_for(asked, tiles.assign(complete=False, reason="no_scene")).holds
    assert not checks.few_are_left_out(tiles).holds


def metrics(model: float, baseline: float) -> pd.DataFrame:
    rows = [("olmoearth", model), ("nbr_threshold", baseline)]
    return pd.DataFrame([{"method": m, "scope": "pooled", "metric": "f1_burnt", "value": value} for m, value in rows])


def test_quality_of_the_metrics() -> None:
    assert checks.model_beats_baseline(metrics(0.9, 0.8)).holds
    assert not checks.model_beats_baseline(metrics(0.7, 0.8)).holds
    assert checks.metrics_keep_up(metrics(0.85, 0.8), metrics(0.9, 0.8)).holds
    assert not checks.metrics_keep_up(metrics(0.7, 0.8), metrics(0.9, 0.8)).holds
    assert checks.metrics_keep_up(metrics(0.7, 0.8), pd.DataFrame()).holds
