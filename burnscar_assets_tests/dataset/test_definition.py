"""From points to windows."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from burnscar_assets.dataset.definition import define_windows
from burnscar_assets.settings import WindowSettings
from burnscar_assets.storage.contracts import SAMPLE_POINTS, WINDOWS
from burnscar_assets_tests.dataset.window_tables import points_of, windows_of

POINTS = points_of()


def test_a_window_is_centred_on_its_point() -> None:
    windows = windows_of().set_index("point_id").loc[POINTS["point_id"]]
    assert len(windows) == len(POINTS) > 20
    centres = gpd.GeoSeries(windows.geometry.to_numpy(), crs=3310).centroid
    assert centres.distance(gpd.GeoSeries(POINTS.geometry.to_numpy(), crs=3310)).max() < 0.5
    for name in ("fire_id", "cluster_id", "stratum", "category", "split", "utm_epsg", "fire_year"):
        assert (windows[name].to_numpy() == POINTS[name].to_numpy()).all()


@pytest.mark.parametrize("settings", [WindowSettings(), WindowSettings(size_px=16, resolution_m=20)])
def test_pixels_of_the_projection_give_the_footprint(settings: WindowSettings) -> None:
    windows = define_windows(POINTS, settings)
    for zone, rows in windows.groupby("utm_epsg"):
        col, row, size = rows["min_col"].astype(int), rows["min_row"].astype(int), settings.size_px
        pixel_m = settings.resolution_m
        boxes = shapely.box(col * pixel_m, -(row + size) * pixel_m, (col + size) * pixel_m, -row * pixel_m)
        expected = gpd.GeoSeries(boxes, crs=int(zone)).to_crs(3310).to_numpy()
        assert shapely.area(shapely.symmetric_difference(expected, rows.geometry.to_numpy())).max() < 1.0


def test_the_time_range_covers_whole_days_from_containment() -> None:
    windows = define_windows(POINTS, WindowSettings(days_after=(2, 30))).set_index("point_id")
    containment = POINTS.set_index("point_id")["containment_date"].loc[windows.index]
    assert (windows["start_time"] - containment == pd.Timedelta(days=2)).all()
    assert (windows["end_time"] - containment == pd.Timedelta(days=31)).all()
    noon = POINTS.assign(containment_date=POINTS["containment_date"] + pd.Timedelta(hours=12))
    again = define_windows(noon, WindowSettings(days_after=(2, 30)))
    assert (again["start_time"].dt.hour == 0).all()


def test_imagery_before_the_fire_is_of_whole_days_before_the_alarm() -> None:
    windows = define_windows(POINTS, WindowSettings(days_before=(2, 60))).set_index("point_id")
    alarm = POINTS.set_index("point_id")["alarm_date"].loc[windows.index]
    assert (alarm - windows["before_start"] == pd.Timedelta(days=60)).all()
    assert (alarm - windows["before_end"] == pd.Timedelta(days=1)).all(), "the second day before is the last one"
    undated = define_windows(POINTS.assign(alarm_date=pd.NaT), WindowSettings())
    assert undated[["before_start", "before_end"]].isna().all(axis=None)
    assert set(undated["window_id"]) == set(windows.index.map(windows["window_id"])), "a window is known without it"


def test_the_name_is_the_definition() -> None:
    windows = windows_of()
    assert windows["window_id"].str.fullmatch("[0-9a-f]{16}").all()
    assert windows["window_id"].is_unique
    ids = windows.set_index("point_id")["window_id"].sort_index()
    mixed = define_windows(POINTS.sample(frac=1, random_state=1), WindowSettings())
    assert WINDOWS.content_hash(mixed) == WINDOWS.content_hash(windows)
    resplit = define_windows(POINTS.assign(split="test", cluster_id="other"), WindowSettings())
    assert resplit.set_index("point_id")["window_id"].sort_index().equals(ids)
    for changed in (
        define_windows(POINTS.assign(category="burnt"), WindowSettings()),
        define_windows(POINTS.assign(fire_id="another"), WindowSettings()),
        define_windows(
            POINTS.assign(containment_date=POINTS["containment_date"] + pd.Timedelta(days=1)), WindowSettings()
        ),
        define_windows(POINTS, WindowSettings(days_after=(0, 60))),
        define_windows(POINTS, WindowSettings(size_px=64, resolution_m=5)),
    ):
        same = changed.set_index("point_id")["window_id"].sort_index() == ids
        burnt = POINTS.set_index("point_id")["category"].sort_index() == "burnt"
        assert not same[~burnt].any()


def test_the_name_of_a_definition_never_changes() -> None:
    """Another name for the same window would fetch its imagery again."""
    point = POINTS.head(1).assign(
        fire_id="fire", utm_epsg=32610, cell_col=2_000, cell_row=13_000, category="burnt",
        containment_date=pd.Timestamp("2021-10-21", tz="UTC"),
    )  # fmt: skip
    assert define_windows(point, WindowSettings())["window_id"].tolist() == ["5dc5bfdf5b01a2d9"]


def test_no_points_are_no_windows() -> None:
    windows = define_windows(SAMPLE_POINTS.empty(), WindowSettings())
    assert len(windows) == 0
    assert windows.columns.tolist() == WINDOWS.column_names
    assert np.array_equal(windows.dtypes.astype(str), windows_of().dtypes.astype(str))
