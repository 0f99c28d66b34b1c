"""Which fires of a year are mapped, and which checkpoint maps an area of interest."""

from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import yaml

from burnscar_assets.classes import Split
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.evaluation.champion_record import champion_folder
from burnscar_assets.mapping.fires import held_out_fires, safe_name, source_of, task_of
from burnscar_assets.mapping.settings import MappingSettings
from burnscar_assets.publish.aoi import read_aoi
from burnscar_assets.publish.plan import AoiRequest, _checkpoint_year, plan_aoi
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import Settings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_crs, write_table
from burnscar_assets_tests.demo_settings import demo_alone, settings_alone

SETTINGS = settings_alone()
JULY = datetime(2021, 7, 1, tzinfo=UTC), datetime(2021, 7, 20, tzinfo=UTC)


def test_fires_on_ground_for_testing_are_mapped_and_no_others(root: DataRoot) -> None:
    split_map = SplitMap(SETTINGS.sampling.splits)
    side = SETTINGS.sampling.splits.block_km * 1000
    centres = [(side * (column + 0.5), side * 0.5) for column in range(12)]
    fires = gpd.GeoDataFrame(
        {"fire_id": [f"f{n:02}" for n in range(12)]},
        geometry=[shapely.Point(centre).buffer(400) for centre in centres],
        crs=table_crs(),
    )
    known = {"fire_year": 2020, "simulated": True, "flags": [[]] * len(fires), "area_ha": fires.area / 1e4}
    absent = {name: None for name in FIRE_PERIMETERS.column_names if name not in {*fires.columns, *known}}
    write_table(root, FIRE_PERIMETERS, fires.assign(**known, **absent), 2020)
    splits = split_map.split_of(*zip(*centres, strict=True))
    expected = [name for name, split in zip(fires["fire_id"], splits, strict=True) if split == Split.TEST]
    assert expected and held_out_fires(SETTINGS, root, 2020)["fire_id"].to_list() == expected


def test_an_area_is_mapped_by_the_newest_checkpoint_from_before_its_imagery(root: DataRoot) -> None:
    aoi = read_aoi("-120,38,-119.9,38.1")
    with pytest.raises(MissingDataError, match=r"no checkpoint that was evaluated in .*run burnscar refresh"):
        plan_aoi(SETTINGS, root, AoiRequest(aoi, JULY))
    for year in (2019, 2020, 2021):
        champion_folder(root, year).mkdir(parents=True)
        (champion_folder(root, year) / "manifest.json").touch()
    root.checkpoint(2018).mkdir(parents=True)
    (root.checkpoint(2018) / "manifest.json").touch()
    assert [_checkpoint_year(root, year) for year in (2018, 2019, 2020, 2021, 2024)] == [2019, 2019, 2019, 2020, 2021]
    with pytest.raises(InputError, match="--end 2021-07-01 is before --start 2021-07-20"):
        plan_aoi(SETTINGS, root, AoiRequest(aoi, (JULY[1], JULY[0])))


def test_the_image_before_a_fire_is_from_before_that_after_it(root: DataRoot) -> None:
    aoi, june = read_aoi("-120,38,-119.9,38.1"), (datetime(2021, 6, 1, tzinfo=UTC), datetime(2021, 6, 20, tzinfo=UTC))
    for before in ((june[1], june[0]), JULY):
        with pytest.raises(InputError, match="before 2021-07-01, not from"):
            plan_aoi(SETTINGS, root, AoiRequest(aoi, JULY, before))
    with pytest.raises(MissingDataError, match="no checkpoint"):
        plan_aoi(SETTINGS, root, AoiRequest(aoi, JULY, june))


def test_names_become_folders_wherever_they_come_from() -> None:
    assert safe_name("{A-1}/../b c") == "A-1_.._b_c"
    with pytest.raises(InputError, match="no name for a folder"):
        safe_name("../..")
    assert source_of(SETTINGS) == "simulated perimeters, fire_simulated_gdb.zip"


def test_credit_is_that_of_the_source_that_the_fire_is_from(tmp_path: Path) -> None:
    own = tmp_path / "agency.yaml"
    producer = {"name": "The agency", "url": "https://agency.example", "credit": "Drawn by the agency."}
    own.write_text(yaml.safe_dump({"title": "Agency", "producer": producer, "fields": {"start": "BEGAN"}}))
    further = {"source": "own.gpkg", "format": str(own)}
    content = demo_alone()
    content["release"] |= {"format": "mtbs", "further": [further]}
    world = Settings.model_validate(content)
    day = datetime(2020, 8, 1, tzinfo=UTC)
    fire = {"fire_id": "f1", "fire_name": "F", "fire_year": 2020, "alarm_date": day, "containment_date": day}
    fire |= {"end_precision_days": 1.0, "geometry": shapely.box(-120, 38, -119.9, 38.1)}

    def named(source: str, *, simulated: bool = False) -> str | None:
        row = pd.Series(fire | {"source": source, "simulated": simulated})
        found = task_of(row, tmp_path, tmp_path, world).perimeter_producer
        return None if found is None else found.name

    assert named("mtbs") == "Monitoring Trends in Burn Severity (USGS, USDA Forest Service)"
    assert named("agency") == "The agency", "the source's file lies elsewhere than the shipped ones"
    assert named("wfigs") == "National Interagency Fire Center, WFIGS", "the season's, which no setting names"
    assert named("mtbs", simulated=True) is None


def test_windows_always_share_what_the_settings_say() -> None:
    assert [MappingSettings(overlap=share).stride_of(32) for share in (0.25, 0.5, 0.75)] == [24, 16, 8]
    assert MappingSettings(stride_px=40).stride_of(32) == 32
