"""Simulated worlds whose fires come in the files of MTBS and of NBAC, from the file to maps under Dagster."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

from burnscar_assets.demo.fires import SimulatedFire
from burnscar_assets.demo.world import build_world
from burnscar_assets.regions.load import load_region
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import (
    BURN_HISTORY,
    BURNED_AREA_MAPS,
    EVALUATION_METRICS,
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    MAP_SCORES,
    TILES,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, read_table
from burnscar_assets_tests.labels.agency_files import CANADA_ALBERS, LEAST_HA, fires_of_world, mtbs, nbac, write_zip
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.small_world import TINY, write_settings
from burnscar_assets_tests.regions.kit import in_region

pytestmark = [pytest.mark.slow]

YEAR = 2019


@dataclass(frozen=True)
class _World:
    """A data root of which all is made, its region, and its fires as they truly burned."""

    root: DataRoot
    region: str
    fires: list[SimulatedFire]

    def table(self, contract: Table) -> pd.DataFrame:
        with in_region(load_region(self.region)):
            return read_table(self.root, contract, YEAR)

    @property
    def of_year(self) -> list[SimulatedFire]:
        return [fire for fire in self.fires if fire.kind == "fire" and fire.fire_year == YEAR]


def _make(folder: Path, region: str, source: str) -> _World:
    """Build the archive, publish its fires in the source's file, and make everything of a fire year of it."""
    root = DataRoot(folder / "data")
    path = write_settings(root, years={"last": YEAR}, training={"max_epochs": 1})
    content = yaml.safe_load(path.read_text()) | {"region": region}
    path.write_text(yaml.safe_dump(content))
    with in_region(load_region(region)):
        settings = load_settings(path)
        build_world(settings, root, workers=1, scale=TINY)
        fires = fires_of_world(settings, TINY)
        if source == "mtbs":
            write_zip(mtbs(fires), root.path / "mtbs_perimeter_data.zip")
        else:
            write_zip(nbac(fires), root.path / "NBAC_1972to2019_20260513_shp.zip", CANADA_ALBERS)
    archive = next(root.path.glob("*.zip"))
    content["release"] = {"source": archive.name, "format": source}
    path.write_text(yaml.safe_dump(content | {"perimeters": {"assumed_duration_days": 8}}))
    run_command(root, "burnscar", "refresh", "--in-process")
    return _World(root, region, fires)


def _check_that_the_chain_held(world: _World) -> None:
    """Tiles with images, a model that was judged, and maps, on which the fires lie where their outlines are."""
    tiles, metrics, maps = (world.table(table) for table in (TILES, EVALUATION_METRICS, BURNED_AREA_MAPS))
    assert tiles["complete"].sum() > 50 and len(metrics) and len(maps)
    scores = world.table(MAP_SCORES)
    by_change = scores.loc[scores["predictor"] == "dnbr_less_mode", "iou"]
    assert by_change.max() > 0.7, "images after the fire show all of it"


def test_a_world_of_mtbs(tmp_path: Path) -> None:
    world = _make(tmp_path, "conterminous-us", "mtbs")
    fires, burns = world.table(FIRE_PERIMETERS), world.table(BURN_HISTORY)
    large = [fire for fire in world.of_year if fire.perimeter.area >= LEAST_HA * 1e4]
    assert set(fires["fire_name"]) == {f"SIM {fire.key}".upper() for fire in large}, "smaller ones aren't in the file"
    assert set(fires["source"]) == {"mtbs"} and set(fires["end_kind"]) == {"scene_date", "assumed"}
    assert fires["irwin_id"].notna().all()
    assert len(fires) < len(burns) and {"fire", "prescribed", "other"} >= set(burns["kind"]) > {"fire"}
    _check_that_the_chain_held(world)


def test_a_world_of_nbac(tmp_path: Path) -> None:
    world = _make(tmp_path, "canada", "nbac")
    fires, rejects = world.table(FIRE_PERIMETERS), world.table(FIRE_PERIMETER_REJECTS)
    ends = set(fires["end_kind"])
    assert set(fires["source"]) == {"nbac"} and {"contained", "last_detection"} <= ends, ends
    assert len(fires) + len(rejects) == len(world.of_year), "polygons of one fire are one record"
    assert set(rejects["reason"]) <= {"alarm_missing"}
    outlined_ha = {f"{fire.perimeter.area / 1e4:.0f}" for fire in world.of_year}
    assert {f"{area:.0f}" for area in fires["area_ha"]} <= outlined_ha, "whole, though a border cut them"
    _check_that_the_chain_held(world)
