"""A simulated world of New South Wales under Dagster: southern zones, summer at the turn of the year, all stages."""

import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import shapely
import yaml

from burnscar_assets.demo.world import build_world
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import (
    BURNED_AREA_MAPS,
    EVALUATION_METRICS,
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    FIRE_SCENES,
    MAP_SCORES,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.small_world import TINY, write_settings
from burnscar_assets_tests.regions.kit import SOUTH, in_region

pytestmark = [pytest.mark.slow]

YEAR = 2019


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """Everything made of one fire year, by the program as a user starts it."""
    root = DataRoot(tmp_path_factory.mktemp("south") / "data")
    path = write_settings(root, years={"last": YEAR}, training={"max_epochs": 1})
    content = yaml.safe_load(path.read_text()) | {"region": SOUTH.name}
    path.write_text(yaml.safe_dump(content))
    with in_region(SOUTH):
        build_world(load_settings(path), root, workers=1, scale=TINY)
    run_command(root, "burnscar", "refresh", "--in-process")
    return root


def test_the_fires_of_a_summer_are_of_one_fire_year(world: DataRoot) -> None:
    with in_region(SOUTH):
        fires, rejects = (read_table(world, table, YEAR) for table in (FIRE_PERIMETERS, FIRE_PERIMETER_REJECTS))
    alarms = fires["alarm_date"]
    assert {2019, 2020} == set(alarms.dt.year), "both calendar years of a summer"
    assert alarms.between(pd.Timestamp("2019-07-01", tz="UTC"), pd.Timestamp("2020-06-30", tz="UTC")).all()
    assert not any("alarm_in_another_year" in flags for flags in fires["flags"])
    assert not {"year_mismatch", "outside_region"} & set(rejects["reason"]) and len(rejects) > 0
    assert fires.crs.to_authority() == ("EPSG", "9473")


def test_windows_lie_in_southern_zones_on_their_ground(world: DataRoot) -> None:
    with in_region(SOUTH):
        windows, tiles = (read_table(world, table, YEAR) for table in (WINDOWS, TILES))
    assert set(windows["utm_epsg"]) == {32755, 32756}
    for window in windows.itertuples():
        east, north = (window.min_col + 16) * 10, -(window.min_row + 16) * 10
        to_table = pyproj.Transformer.from_crs(window.utm_epsg, SOUTH.crs, always_xy=True)
        assert window.geometry.contains(shapely.Point(to_table.transform(east, north)))
    assert tiles["complete"].sum() > 50


def test_images_show_the_fires_where_their_perimeters_are(world: DataRoot) -> None:
    with in_region(SOUTH):
        frames, scores = (read_table(world, table, YEAR) for table in (FIRE_SCENES, MAP_SCORES))
    assert set(frames["utm_epsg"]) <= {32755, 32756}
    by_change = scores.loc[scores["predictor"] == "dnbr_less_mode", "iou"]
    assert by_change.max() > 0.7, "a frame elsewhere, or in the other hemisphere, would have next to none"


def test_the_model_is_judged_and_maps_the_fires(world: DataRoot) -> None:
    with in_region(SOUTH):
        maps, metrics = (read_table(world, table, YEAR) for table in (BURNED_AREA_MAPS, EVALUATION_METRICS))
    assert len(maps) > 0 and len(metrics) > 0
    for written in world.maps(YEAR).rglob("probability.tif"):
        with rasterio.open(written) as opened:
            assert opened.crs.to_epsg() in {32755, 32756} and np.isfinite(opened.read()).any()
