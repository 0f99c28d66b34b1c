import zipfile
from datetime import timedelta
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest

from burnscar_assets.demo.frap import (
    COMMENT,
    FIRE_FIELDS,
    FIRE_LAYER,
    GDB_NAME,
    NO_NUMBER,
    PRESCRIBED_FIELDS,
    PRESCRIBED_LAYER,
    fire_records,
    is_release_of,
    write_release,
)
from burnscar_assets.demo.ignitions import simulate_fires
from burnscar_assets.demo.regions import choose_regions
from burnscar_assets.settings import SplitSettings
from burnscar_assets.storage.hashing import hash_table

YEARS = [2019, 2020, 2021, 2022]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("release") / "fire_simulated_gdb.zip"
    regions = choose_regions(SplitSettings(), 12, 7200, 1.75)
    write_release(path, simulate_fires(7, regions, YEARS, 12), regions, 7, "abc")
    return path


@pytest.fixture(scope="module")
def told(release: Path) -> gpd.GeoDataFrame:
    return pyogrio.read_dataframe(f"/vsizip/{release}/{GDB_NAME}", layer=FIRE_LAYER)


def info(release: Path, layer: str) -> dict:
    return pyogrio.read_info(f"/vsizip/{release}/{GDB_NAME}", layer=layer)


def test_the_release_holds_fraps_two_layers(release: Path) -> None:
    layers = pyogrio.list_layers(f"/vsizip/{release}/{GDB_NAME}")
    assert layers.tolist() == [[FIRE_LAYER, "MultiPolygon"], [PRESCRIBED_LAYER, "MultiPolygon"]]
    for layer, fields in ((FIRE_LAYER, FIRE_FIELDS), (PRESCRIBED_LAYER, PRESCRIBED_FIELDS)):
        assert tuple(info(release, layer)["fields"]) == fields
        assert info(release, layer)["crs"] == "EPSG:3310"


@pytest.mark.real_data
def test_fields_and_types_are_those_of_the_real_release(release: Path, real_data: Path) -> None:
    real = pyogrio.read_info(f"/vsizip/{real_data}/frap/fire241gdb.zip/fire24_1.gdb", layer="firep24_1")
    made = info(release, FIRE_LAYER)
    for key in ("fields", "ogr_types", "ogr_subtypes"):
        assert list(made[key]) == list(real[key])


@pytest.mark.real_data
def test_fields_of_prescribed_burns_are_fraps(release: Path, real_data: Path) -> None:
    legacy = pyogrio.read_info(real_data / "frap" / "fire19_1_incomplete.gdb.zip", layer="Non_RXFire_Legacy13_2")
    assert set(info(release, PRESCRIBED_LAYER)["fields"]) == set(legacy["fields"]) - {"Shape_Length", "Shape_Area"}


def test_it_says_that_it_is_simulated(release: Path, told: gpd.GeoDataFrame) -> None:
    assert zipfile.ZipFile(release).read("SIMULATED.md").startswith(b"SIMULATED")
    assert told.COMMENTS.str.startswith(COMMENT).all()
    assert told.FIRE_NAME.str.startswith("SIM ").all()


def test_records_have_the_defects_of_the_real_ones(told: gpd.GeoDataFrame) -> None:
    dated = told[told.YEAR_.isin(YEARS)]
    shaped = told[~told.geometry.isna()]
    duration = (dated.CONT_DATE - dated.ALARM_DATE).dt.days
    assert (~shaped.is_valid).sum() >= 2
    assert dated.CONT_DATE.isna().sum() >= 2
    assert (duration < 0).sum() >= 2
    assert (duration > 365).sum() >= 2
    assert told.geometry.isna().sum() == 1
    assert told.YEAR_.isna().sum() == 1
    acres = shaped.geometry.area / 4046.8564224
    assert (abs(shaped.GIS_ACRES / acres - 1) > 0.5).sum() >= 1
    assert told.COMPLEX_ID.dropna().value_counts().max() == 2
    assert (told.YEAR_ < 2019).sum() >= 5


def test_duplicates_share_an_id_or_a_number(told: gpd.GeoDataFrame) -> None:
    by_irwin = told.IRWINID.dropna().value_counts()
    assert (by_irwin == 2).sum() >= 2
    numbered = told[told.INC_NUM != NO_NUMBER]
    assert numbered.duplicated(["YEAR_", "UNIT_ID", "INC_NUM"]).sum() >= 2


def test_fires_without_a_number_are_no_duplicates_of_each_other(told: gpd.GeoDataFrame) -> None:
    blank = told[(told.INC_NUM == NO_NUMBER) & told.IRWINID.isna()]
    same = blank.groupby(["YEAR_", "UNIT_ID"]).size()
    assert same.max() == 2
    year, _ = same.idxmax()
    pair = blank[blank["YEAR_"] == year].geometry
    assert pair.iloc[0].distance(pair.iloc[1]) > 1000


def test_content_is_the_same_each_time_whatever_the_order(told: gpd.GeoDataFrame) -> None:
    regions = choose_regions(SplitSettings(), 12, 7200, 1.75)
    units = {region.name: region.anchor.unit_id for region in regions}
    records = fire_records(simulate_fires(7, regions, YEARS, 12), units, 7)
    keys = ["FIRE_NAME", "YEAR_", "GIS_ACRES"]
    again = fire_records(simulate_fires(7, list(regions), YEARS, 12), units, 7).sample(frac=1, random_state=1)
    assert hash_table(records, keys) == hash_table(again, keys)
    assert len(told) == len(records)
    np.testing.assert_allclose(told.GIS_ACRES.sort_values(), records.GIS_ACRES.sort_values())


def test_dates_are_whole_days_in_utc(told: gpd.GeoDataFrame) -> None:
    days = pd.concat([told.ALARM_DATE, told.CONT_DATE]).dropna()
    assert str(days.dt.tz) == "UTC"
    assert (days.dt.normalize() == days).all()
    assert (days - days.min()).max() > timedelta(days=300)


def test_a_release_is_known_by_its_world(release: Path, tmp_path: Path) -> None:
    assert is_release_of(release, "abc")
    assert not is_release_of(release, "other")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(release.read_bytes()[:-100])
    assert not is_release_of(cut, "abc")
    assert not is_release_of(tmp_path / "none.zip", "abc")
