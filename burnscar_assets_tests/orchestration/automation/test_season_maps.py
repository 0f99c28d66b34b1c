"""A fire is contained: the sensor asks for its map, by an earlier year's checkpoint; the release supersedes it."""

import shutil
from collections.abc import Iterator

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml

from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.orchestration.instance import open_instance
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, IN_SEASON_MAPS, IN_SEASON_PERIMETERS, IN_SEASON_REJECTS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path
from burnscar_assets_tests.labels.label_servers import serving
from burnscar_assets_tests.labels.wfigs_records import BURNING, WfigsSite, irwin, wfigs_fires
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.small_world import edit_fires, grow_a_fire

SEASON = 2020
pytestmark = pytest.mark.slow


@pytest.fixture
def season_world(
    trained_world: DataRoot, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[DataRoot, WfigsSite]]:
    """A trained world whose release ends before the season, and a service that has the season's fires."""
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE", "BURNSCAR_WEBHOOK"):
        monkeypatch.setenv(name, "")
    root = DataRoot(tmp_path_factory.mktemp("season") / "data")
    shutil.copytree(trained_world.path, root.path, symlinks=True)
    fires = read_table(root, FIRE_PERIMETERS, SEASON).query("area_ha > 15").nsmallest(2, "area_ha")
    shutil.rmtree(table_path(root, FIRE_PERIMETERS, SEASON).parent)
    edit_fires(root.path / "release.gpkg", lambda rows: grow_a_fire(rows, SEASON))
    shutil.copyfile(root.path / "release.gpkg", root.path / "whole.gpkg")
    edit_fires(root.path / "release.gpkg", lambda rows: rows[rows["YEAR_"] != SEASON])
    changes = [
        {
            "attr_IncidentName": str(fire["fire_name"]),
            "geometry": fire["geometry"],
            "attr_FireDiscoveryDateTime": f"{fire['alarm_date']:%Y-%m-%d}T20:00",
            "attr_ContainmentDateTime": f"{fire['containment_date']:%Y-%m-%d}T20:00",
            "attr_ModifiedOnDateTime_dt": f"{fire['containment_date'] + pd.Timedelta(days=2):%Y-%m-%d}T12:00",
            "poly_DateCurrent": f"{fire['containment_date']:%Y-%m-%d}T12:00",
            "poly_GISAcres": fire["area_ha"] / 0.40468564224,
        }
        for _, fire in fires.iterrows()
    ]
    site = WfigsSite(wfigs_fires(*(change | BURNING for change in changes), fire_year=SEASON))
    with serving(site) as address:
        content = yaml.safe_load(root.world_file.read_text())
        content["in_season"] = {
            "enabled": True,
            "source": f"{address}/arcgis/rest/services/WFIGS_Interagency_Perimeters/FeatureServer/0",
            "check_minutes": 0.0001,
        }
        content["mapping"] = {"buffer_m": 200}
        content["automation"] = {"enabled": False, "check_release_minutes": 0.0001}
        root.world_file.write_text(yaml.safe_dump(content))
        run_command(root, "burnscar", "refresh", "--in-process", "--accept-release", "--select", "calfire_release")
        yield root, site


def tick(root: DataRoot, cursor: str | None) -> tuple[list[dg.RunRequest], str | None]:
    """A tick of the sensor, and what it asks for carried out."""
    world = World(load_settings(root.world_file), root)
    with open_instance(world, root.world_file) as instance:
        definitions = build_definitions(world.settings, root)
        context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=definitions)
        result = definitions.resolve_sensor_def("in_season_watch")(context)
        assert isinstance(result, dg.SensorResult)
        for request in result.run_requests or []:
            definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                asset_selection=list(request.asset_selection or []),
                partition_key=request.partition_key,
                instance=instance,
            )
    return list(result.run_requests or []), result.cursor


def settle(root: DataRoot, cursor: str | None = None) -> tuple[list[str], str | None]:
    asked = []
    while True:
        requests, cursor = tick(root, cursor)
        if not requests:
            return asked, cursor
        asked += [
            "+".join(sorted(key.to_user_string() for key in request.asset_selection or [])) for request in requests
        ]


def test_a_contained_fire_is_mapped_and_later_superseded(
    season_world: tuple[DataRoot, WfigsSite],
) -> None:
    root, site = season_world
    asked, cursor = settle(root)
    assert asked == ["in_season_perimeters+in_season_records"], "nothing is contained yet"
    contained = site.rows["attr_ModifiedOnDateTime_dt"].where(site.rows["OBJECTID"] == 1)
    site.rows = site.rows.assign(attr_ContainmentDateTime=contained)
    asked, cursor = settle(root, cursor)
    assert asked == ["in_season_records", "in_season_perimeters", "in_season_maps"]
    first = "wfigs-" + irwin(0).strip("{}").lower()
    maps = read_table(root, IN_SEASON_MAPS, SEASON).set_index("fire_id")
    assert list(maps.index) == [first] and maps.loc[first, "complete"]
    assert maps.loc[first, "checkpoint_year"] == SEASON - 1
    assert maps.loc[first, "source"] == f"in-season perimeter, WFIGS {SEASON}-CANEU-000000"
    folder = root.season_maps(SEASON) / first
    record = read_json(folder / "map.json")
    assert record["source"] == maps.loc[first, "source"] and record["simulated"]
    with rasterio.open(folder / "probability.tif") as raster:
        probability = raster.read(1)
    assert ((probability >= 0) & (probability <= 1)).any() and np.isin(probability[probability < 0], -1).all()
    assert (root.season_maps(SEASON) / "index.html").exists()
    assert tick(root, cursor)[0] == []

    shutil.copyfile(root.path / "whole.gpkg", root.path / "release.gpkg")
    labels = ("calfire_release", "fire_perimeters", "burn_history")
    run_command(root, "burnscar", "refresh", "--in-process", "--select", *labels)
    asked, cursor = settle(root, cursor)
    assert asked == ["in_season_perimeters", "in_season_maps"]
    assert read_table(root, IN_SEASON_PERIMETERS, SEASON).empty
    reasons = read_table(root, IN_SEASON_REJECTS, SEASON).set_index("record_id")["reason"]
    assert reasons[first] == "superseded"
    assert read_table(root, IN_SEASON_MAPS, SEASON).empty
    assert not list(root.season_maps(SEASON).glob("wfigs-*"))
