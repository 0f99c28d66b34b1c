"""The checks as functions: each finds the corruption that it is for."""

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from burnscar_assets import checks
from burnscar_assets.storage.contracts import BURN_HISTORY, RELEASE_RECORDS
from burnscar_assets_tests.labels.label_records import frap_fires, release_records


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
    row = dict.fromkeys(BURN_HISTORY.column_names) | {
        "burn_id": "a", "kind": "fire", "burn_year": 2020, "name": "A", "geometry": shapely.box(0, 0, 1, 1)
    }  # fmt: skip
    rows = BURN_HISTORY.conform(gpd.GeoDataFrame([row], crs=3310))
    assert checks.table_is_whole(BURN_HISTORY, rows).holds
    assert not checks.table_is_whole(BURN_HISTORY, pd.concat([rows, rows])).holds
    assert not checks.table_is_whole(BURN_HISTORY, rows.drop(columns="name")).holds
    assert not checks.table_is_whole(BURN_HISTORY, rows.to_crs(4326)).holds
    bow_tie = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    assert not checks.table_is_whole(BURN_HISTORY, rows.set_geometry([bow_tie], crs=3310)).holds


def test_a_release_needs_wildfires_but_not_valid_geometry() -> None:
    bow_tie = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    records = release_records(frap_fires({"geometry": bow_tie}, {"geometry": shapely.Polygon()}))
    assert checks.release_is_whole(records).holds
    assert not checks.release_is_whole(records.assign(kind="prescribed")).holds
    assert not checks.release_is_whole(records.assign(record_id="same")).holds
    assert not checks.release_is_whole(records.set_crs(4326, allow_override=True)).holds
    assert not checks.release_is_whole(RELEASE_RECORDS.empty()).holds


FIRE = gpd.GeoDataFrame({"fire_id": ["a"]}, geometry=[shapely.box(0, 0, 2000, 2000)], crs=3310)
SCAR = gpd.GeoDataFrame({"burn_id": ["s"]}, geometry=[shapely.box(5000, 0, 7000, 2000)], crs=3310)


def points(*rows: tuple[str, str, str, float]) -> gpd.GeoDataFrame:
    """Points at y = 1 km, by (fire, stratum, class, x in metres)."""
    table = pd.DataFrame(rows, columns=["fire_id", "stratum", "category", "x"])
    return gpd.GeoDataFrame(table, geometry=gpd.points_from_xy(table["x"], [1000.0] * len(table)), crs=3310)


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (("a", "burnt", "burnt", 1000), None),
        (("a", "burnt", "burnt", 2200), None),
        (("a", "burnt", "burnt", 2400), "burnt_off_their_fire"),
        (("b", "burnt", "burnt", 1000), "burnt_off_their_fire"),
        (("a", "ring", "burnt", 1000), "stratum_of_other_class"),
        (("a", "edge", "mixed", 2200), None),
        (("a", "edge", "mixed", 2400), "edges_off_their_fire"),
        (("a", "edge", "unburnt", 2400), "stratum_of_other_class"),
        (("a", "ring", "unburnt", 2400), None),
        (("a", "ring", "unburnt", 1000), "unburnt_in_a_fire"),
        (("", "land", "unburnt", 6000), "unburnt_in_a_scar"),
        (("", "old_scar", "unburnt", 6000), None),
        (("", "old_scar", "unburnt", 1000), "unburnt_in_a_fire"),
    ],
)
def test_labels_that_contradict_the_burns_are_found(row: tuple[str, str, str, float], wrong: str | None) -> None:
    found = checks.labels_agree(points(row), FIRE, SCAR, 320)
    assert {name for name, count in found.figures.items() if count} == ({wrong} if wrong else set())
    assert found.holds == (wrong is None)


def test_labels_of_a_year_without_fires_agree() -> None:
    assert checks.labels_agree(points(), FIRE.head(0), SCAR.head(0), 320).holds


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


@pytest.mark.parametrize(
    ("split", "categories", "holds"),
    [
        ("train", ["burnt", "unburnt"], True),
        ("train", ["burnt", "burnt"], False),
        ("train", ["unburnt"], False),
        ("val", ["burnt"], True),
        ("fold_1", ["burnt"], True),
    ],
)
def test_training_on_one_class_is_refused(split: str, categories: list[str], holds: bool) -> None:
    assert checks.training_has_both_classes(pd.DataFrame({"split": split, "category": categories})).holds == holds


def test_cloud_and_gaps_are_warned_of() -> None:
    seen = pd.DataFrame({"complete": [True] * 4 + [False], "clear_fraction": [0.95, 0.9, 0.4, None, 0.0]})
    assert checks.few_are_cloudy(seen, 0.9).holds, "one of four, and of the window without SCL nothing is known"
    assert checks.few_are_cloudy(seen, 0.9).figures == {"share": 0.25, "cloudy": 1}
    assert not checks.few_are_cloudy(seen.assign(clear_fraction=[0.95, 0.89, 0.4, None, 0.0]), 0.9).holds
    assert not checks.few_are_cloudy(seen, 0.93).holds
    assert checks.few_are_cloudy(seen.head(0), 0.9).holds
    tiles = pd.DataFrame({"complete": [True, True, False], "nodata_fraction": [0.0, 0.01, 0.9]})
    assert checks.few_pixels_lack_data(tiles).holds
    assert not checks.few_pixels_lack_data(tiles.assign(complete=True)).holds
    assert checks.few_pixels_lack_data(tiles.head(0)).holds


def test_a_funnel_with_a_gap_does_not_add_up() -> None:
    rows = [("records", "records", 3, ""), ("perimeters", "fires", 1, ""), ("perimeters", "records", 1, "duplicate")]
    funnel = pd.DataFrame(rows, columns=["step", "unit", "count", "reason"])
    found = checks.funnel_adds_up(funnel)
    assert found.holds
    assert found.figures == {"records": 3, "perimeters": 1, "perimeters_lost_duplicate": 1}
    gap = pd.DataFrame([("perimeters", "records", 1, "unaccounted")], columns=funnel.columns)
    leaking = checks.funnel_adds_up(pd.concat([funnel, gap], ignore_index=True))
    assert not leaking.holds
    assert leaking.detail.startswith("perimeters: 1 unaccounted; ")


def test_tiles_are_accounted_for() -> None:
    asked = pd.DataFrame({"window_id": ["a", "b"]})
    tiles = pd.DataFrame({"window_id": ["a", "b"], "complete": [True, False], "reason": ["", "no_scene"]})
    assert checks.tiles_are_accounted_for(asked, tiles).holds
    assert not checks.tiles_are_accounted_for(asked, tiles.head(1)).holds
    assert not checks.tiles_are_accounted_for(asked, tiles.assign(reason="")).holds
    assert not checks.tiles_are_accounted_for(asked, tiles.assign(complete=False, reason="no_scene")).holds
    assert not checks.few_are_left_out(tiles).holds


def metrics(model: float, baseline: float) -> pd.DataFrame:
    rows = [("model", model), ("nbr_threshold", baseline)]
    return pd.DataFrame(
        [{"method": m, "scope": "pooled", "subset": "", "metric": "f1_burnt", "value": v} for m, v in rows]
    )


def test_quality_of_the_metrics() -> None:
    assert checks.model_beats_baseline(metrics(0.9, 0.8)).holds
    assert not checks.model_beats_baseline(metrics(0.7, 0.8)).holds
    assert checks.metrics_keep_up(metrics(0.85, 0.8), metrics(0.9, 0.8)).holds
    assert not checks.metrics_keep_up(metrics(0.7, 0.8), metrics(0.9, 0.8)).holds
    assert checks.metrics_keep_up(metrics(0.7, 0.8), pd.DataFrame()).holds
