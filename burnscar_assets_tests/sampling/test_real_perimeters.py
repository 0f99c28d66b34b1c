"""Sampling of real CAL FIRE perimeters."""

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from burnscar_assets.sampling.points import sample_points
from burnscar_assets.settings import SamplingSettings, WindowSettings
from burnscar_assets.storage.contracts import BURN_HISTORY
from burnscar_assets_tests.sampling.sample_invariants import assert_sound

YEAR = 2017


@pytest.fixture
def records(real_data: Path) -> gpd.GeoDataFrame:
    """FRAP records since 2008 with what sampling reads, geometry repaired."""
    path = f"/vsizip/{real_data}/frap/fire241gdb.zip/fire24_1.gdb"
    frap = pyogrio.read_dataframe(path, layer="firep24_1", where="YEAR_ >= 2008", force_2d=True)
    shapes = shapely.buffer(shapely.make_valid(frap.geometry.to_numpy()), 0)
    return gpd.GeoDataFrame(
        {
            "fire_id": [f"fire {number}" for number in range(len(frap))],
            "fire_year": frap["YEAR_"].astype(int),
            "complex_id": frap["COMPLEX_ID"].fillna("") if "COMPLEX_ID" in frap else "",
            "alarm_date": pd.to_datetime(frap["ALARM_DATE"], utc=True, errors="coerce"),
            "containment_date": pd.to_datetime(frap["CONT_DATE"], utc=True, errors="coerce"),
            "end_precision_days": 1.0,
            "area_ha": shapely.area(shapes) / 1e4,
        },
        geometry=shapes,
        crs="EPSG:3310",
    )


@pytest.mark.real_data
@pytest.mark.parametrize("limit", [None, 12])
def test_real_fires_give_sound_points(records: gpd.GeoDataFrame, limit: int | None) -> None:
    perimeters = records[records["fire_year"] == YEAR].reset_index(drop=True)
    burns = records[records["fire_year"] <= YEAR]
    history = gpd.GeoDataFrame(
        {
            "source": "frap",
            "burn_id": burns["fire_id"],
            "kind": "fire",
            "burn_year": burns["fire_year"],
            "name": "",
            "alarm_date": burns["alarm_date"],
            "containment_date": burns["containment_date"],
            "end_kind": "contained",
        },
        geometry=burns.geometry,
    )
    history = BURN_HISTORY.conform(history)
    settings, windows = SamplingSettings(max_fires_per_year=limit), WindowSettings()
    sampled = sample_points(perimeters, history, YEAR, settings, windows, land=None, hard_negatives=None)
    assert_sound(sampled, perimeters, history, settings, windows)
    assert sampled.summary.fires == 89
    assert sampled.summary.fires_sampled >= (45 if limit is None else 8)
    assert sampled.summary.unburnt_per_burnt == pytest.approx(1.0, abs=0.02)
    assert set(sampled.summary.burnt_by_split) == {"train", "val", "test"}
    assert set(sampled.points["utm_epsg"]) == {32610, 32611}
