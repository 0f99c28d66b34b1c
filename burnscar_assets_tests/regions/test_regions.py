"""Regions: files, what they may say, and the one that a process works in."""

from datetime import date
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from burnscar_assets.classes import Split
from burnscar_assets.dataset.parallel import run_batches
from burnscar_assets.demo.regions import choose_regions
from burnscar_assets.environment import shipped_files
from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.labels.history import burn_years, could_show
from burnscar_assets.orchestration.partitions import fire_year_partitions
from burnscar_assets.orchestration.versions import code_version
from burnscar_assets.process import ProcessSpec
from burnscar_assets.regions.load import FOLDER, default_region, load_region, work_in, working_region
from burnscar_assets.regions.region import Region
from burnscar_assets.sampling.land import load_land
from burnscar_assets.settings import PerimeterSettings, SplitSettings, YearSettings, load_settings
from burnscar_assets.storage.contracts import FOLDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs, write_table
from burnscar_assets_tests.regions.kit import SOUTH, in_region

SETTINGS = "name: a world\nyears: {first: 2019}\nrelease: {source: fires.gpkg}\n"


@pytest.mark.parametrize("name", [path.stem for path in shipped_files(FOLDER)])
def test_shipped_regions_hold_their_land_in_an_equal_area_crs(name: str) -> None:
    region = load_region(name)
    degrees = gpd.GeoSeries([region.land], crs=region.crs).to_crs("EPSG:6933")  # another equal-area CRS
    assert degrees.area.iloc[0] == pytest.approx(region.land.area, rel=0.005)
    assert region.land.is_valid and all(part.is_valid for part in region.drawn)
    west, south, east, north = region.land.bounds
    assert shapely.box(*region.bounds_m).covers(shapely.box(west, south, east, north))


@pytest.mark.parametrize("name", [path.stem for path in shipped_files(FOLDER) if load_region(path.stem).places])
def test_the_demo_finds_ground_near_the_places_that_a_region_names(name: str) -> None:
    with in_region(load_region(name)):
        found = choose_regions(SplitSettings(), 7, granule_m=5400, fires_a_region=2.5)
        grounds = [region.ground for region in found]
        land = working_region().land
    assert len({granule.epsg for granule in found[0].granules}) == 2, "the border of two UTM zones"
    assert {region.split for region in found} == set(Split) and all(land.covers(ground) for ground in grounds)


def test_a_file_beside_the_settings_counts_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "regions").mkdir()
    text = Path(shipped_files(FOLDER)[0]).read_text(encoding="utf-8")
    (tmp_path / "regions" / "mine.yaml").write_text(text.replace("title: California", "title: Mine"), encoding="utf-8")
    (tmp_path / "world.yaml").write_text(SETTINGS + "region: mine\n", encoding="utf-8")
    monkeypatch.setenv("BURNSCAR_CONFIG", str(tmp_path / "world.yaml"))
    assert load_settings(tmp_path / "world.yaml").ground.title == "Mine"
    (tmp_path / "world.yaml").write_text(SETTINGS + "region: atlantis\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"no region 'atlantis': there are california.*put atlantis\.yaml into"):
        load_settings(tmp_path / "world.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crs": "EPSG:3857"}, "no equal-area CRS in metres"),
        ({"crs": "EPSG:32756"}, "no equal-area CRS in metres"),
        ({"time_zone": "Sydney"}, "IANA name"),
        ({"fire_year_starts": {"month": 2, "day": 29}}, "isn't in every year"),
        ({"bounds_m": (0, 0, 1, 1)}, "another CRS"),
    ],
)
def test_what_no_region_can_be_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Region.model_validate(SOUTH.model_dump() | change)


def test_a_fire_year_is_named_for_the_calendar_year_that_it_begins_in() -> None:
    days = {date(2019, 6, 30): 2018, date(2019, 7, 1): 2019, date(2019, 12, 31): 2019, date(2020, 6, 30): 2019}
    assert {day: SOUTH.fire_year(day) for day in days} == days
    assert SOUTH.fire_years(pd.Series(pd.to_datetime(list(days)))).tolist() == list(days.values())
    assert SOUTH.fire_years(pd.Series([pd.NaT], dtype="datetime64[us, UTC]")).isna().all()
    assert SOUTH.first_day(2019).date() == date(2019, 7, 1)
    assert default_region().fire_year(date(2020, 1, 1)) == 2020


def test_another_region_is_another_code_version_and_california_none(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_text(SETTINGS, encoding="utf-8")
    by_default = load_settings(path)
    named = by_default.model_copy(update={"region": "california"})
    southern = by_default.model_copy(update={"region": "new-south-wales"})
    versions = [code_version("fire_perimeters", settings) for settings in (by_default, named, southern)]
    assert versions[0] == versions[1] != versions[2]


def test_another_title_is_no_other_code_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "regions").mkdir()
    own, path = tmp_path / "regions" / "california.yaml", tmp_path / "world.yaml"
    shipped = next(found for found in shipped_files(FOLDER) if found.name == own.name).read_text(encoding="utf-8")
    path.write_text(SETTINGS, encoding="utf-8")
    monkeypatch.setenv("BURNSCAR_CONFIG", str(path))
    before = code_version("fire_perimeters", load_settings(path))
    own.write_text(shipped.replace("title: California", "title: Kalifornien"), encoding="utf-8")
    assert load_settings(path).ground.title == "Kalifornien"
    assert code_version("fire_perimeters", load_settings(path)) == before
    own.write_text(shipped.replace("-900000, 850000", "-900000, 900000"), encoding="utf-8")
    assert code_version("fire_perimeters", load_settings(path)) != before


def test_tables_of_one_region_are_not_read_in_another(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    with in_region(SOUTH):
        assert load_land(None).crs == table_crs() == SOUTH.crs
        write_table(root, FOLDS, FOLDS.empty(), None)
        assert read_table(root, FOLDS, None).crs == SOUTH.crs
    with pytest.raises(InputError, match=r"California has EPSG:3310: correct region in the settings"):
        read_table(root, FOLDS, None)


@pytest.mark.parametrize("name", [path.stem for path in shipped_files(FOLDER)])
def test_tables_of_each_shipped_region_are_read_in_it(name: str, tmp_path: Path) -> None:
    with in_region(load_region(name)):
        write_table(DataRoot(tmp_path), FOLDS, FOLDS.empty(), None)
        assert read_table(DataRoot(tmp_path), FOLDS, None).crs == table_crs()


def crs_there(_: int) -> str:
    return table_crs()


def test_processes_work_in_the_region_of_what_started_them(tmp_path: Path) -> None:
    with in_region(SOUTH):
        assert set(run_batches(crs_there, [1, 2], 2)) == {SOUTH.crs}
        spec = ProcessSpec().write(tmp_path / "spec.json")
    with in_region(default_region()):
        ProcessSpec.read(spec)
        assert working_region() == SOUTH
        work_in(default_region())


@pytest.mark.parametrize("years", [{"last": 2021}, {"last": 2022, "exclude": [2020]}])
def test_partitions_begin_with_the_fire_year(years: dict) -> None:
    settings = YearSettings(first=2019, **years)
    southern = fire_year_partitions(settings, 2026, SOUTH)
    assert southern.get_partition_keys() == fire_year_partitions(settings, 2026, default_region()).get_partition_keys()
    window = southern.time_window_for_partition_key("2021")
    assert (window.start.date(), window.end.date()) == (date(2021, 7, 1), date(2022, 7, 1))


def test_burns_show_by_fire_years_not_by_calendar_years() -> None:
    """A fire of March 2020 is one of fire year 2019, and one of July to September 2020 of its winter."""
    days = pd.to_datetime(["2020-03-05", "2020-08-05", "2020-11-05"], utc=True)
    records = pd.DataFrame(
        {
            "fire_year": pd.array([2019, 2020, 2020], "Int64"),
            "kind": "fire",
            "alarm_date": days,
            "containment_date": days,
        }
    )
    with in_region(SOUTH):
        assert could_show(records, 2019, PerimeterSettings()).tolist() == [True, True, False]
        assert burn_years(records.assign(fire_year=pd.NA)).tolist() == [2019, 2020, 2020]
