"""A season by a file of one's own: any layer is followed as WFIGS is, with the sensor, the assets and the rejects."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import geopandas as gpd
import pytest

from burnscar_assets.environment import DATA_VARIABLE
from burnscar_assets.labels import season_source
from burnscar_assets.orchestration.automation import in_season_watch
from burnscar_assets.storage.contracts import IN_SEASON_PERIMETERS, IN_SEASON_RECORDS, IN_SEASON_REJECTS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.labels.label_records import frap_fires, season, square
from burnscar_assets_tests.orchestration.automation.sensor_ticks import SensorTicks
from burnscar_assets_tests.orchestration.label_world import LABELS, LONG_AGO_S, VARIABLES, LabelWorld

TODAY = datetime.now(UTC)
YEAR = TODAY.year
FIRST, SECOND = f"01.01.{YEAR}", f"02.01.{YEAR}"
BOTH = "+".join(sorted((in_season_watch.RECORDS, in_season_watch.PERIMETERS)))
SOURCE = """
title: Feuerwehr im Tal
fields:
  id: Nr
  kind: {names: Art, values: {waldbrand: fire, "gepl*": prescribed}, others: other}
  fire_name: Ort
  start: {names: Beginn, format: "%d.%m.%Y"}
  end:
    - {names: Aus, format: "%d.%m.%Y", kind: controlled}
    - {names: Satellit, format: "%d.%m.%Y", kind: last_detection}
  percent_contained: Prozent
  perimeter_date: {names: Stand, format: "%d.%m.%Y"}
"""


def burn(number: int, **changes: Any) -> dict[str, Any]:
    """A wildfire that burns, but for what changes say."""
    row = {"Nr": str(number), "Art": "Waldbrand", "Ort": f"Tal {number}", "Beginn": FIRST, "Stand": FIRST}
    return row | {"Aus": None, "Satellit": None, "Prozent": 20.0, "geometry": square(number)} | changes


def publish(world: LabelWorld, *burns: dict[str, Any]) -> None:
    """Put a season's file in the place of the one that is there, as if that was a while ago."""
    new, path = world.root.path / "new.gpkg", world.root.path / "season.gpkg"
    gpd.GeoDataFrame(list(burns), crs=3310).to_file(new, driver="GPKG")
    os.utime(new, (time.time() - LONG_AGO_S,) * 2)
    new.replace(path)


@pytest.fixture
def following(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Iterator[SensorTicks]:
    for name in (*VARIABLES, "BURNSCAR_WEBHOOK"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv(DATA_VARIABLE, str(root.path))  # beside whose settings the source's file lies
    world = LabelWorld(root)
    followed = {"enabled": True, "source": "season.gpkg", "format": "tal", "check_minutes": 0.0001}
    world.configure(years={"first": YEAR - 1}, in_season=followed, perimeters={"scar_years": 0})
    (root.path / "sources").mkdir()
    (root.path / "sources" / "tal.yaml").write_text(SOURCE, encoding="utf-8")
    publish(world, burn(0, Aus=FIRST), burn(1), burn(2, Art="Geplant", Aus=FIRST))
    world.publish(frap_fires(*(season(YEAR - 1, number) for number in range(3))))
    with world.runner() as runner:
        runner.refresh([YEAR - 1], assets=LABELS)
    yield SensorTicks(world=world, sensor="in_season_watch")


def ready(ticks: SensorTicks) -> gpd.GeoDataFrame:
    """The fires to be mapped, by their ids."""
    return read_table(ticks.world.root, IN_SEASON_PERIMETERS, YEAR).set_index("fire_id")


def test_a_season_is_one_file(following: SensorTicks) -> None:
    assert following.settle() == [[f"{BOTH} {YEAR}"]]
    fires = ready(following)
    assert fires["contained_by"].to_dict() == {"tal-0": "controlled"} and set(fires["source"]) == {"tal"}
    rejects = read_table(following.world.root, IN_SEASON_REJECTS, YEAR)
    reasons = dict(zip(rejects["record_id"], rejects["reason"], strict=True))
    assert reasons == {"tal-1": "not_contained", "tal-2": "not_a_wildfire"}
    assert following.settle() == [] and following.reason == "the season is as it was"


def test_a_fire_that_grew_and_is_contained_is_ready_as_it_was_drawn_last(following: SensorTicks) -> None:
    following.settle()
    grown = burn(1, Stand=SECOND, Prozent=100.0, geometry=square(1, side_m=1500))
    publish(following.world, burn(0, Aus=FIRST), burn(1), grown)
    assert following.settle() == [[f"in_season_records {YEAR}"], [f"in_season_perimeters {YEAR}"]]
    fire = ready(following).loc["tal-1"]
    assert fire["area_ha"] == pytest.approx(225) and fire["contained_by"] == "perimeter"
    assert f"{fire['containment_date']:%d.%m.%Y}" == SECOND
    rejects = read_table(following.world.root, IN_SEASON_REJECTS, YEAR).set_index("record_id")
    assert rejects["reason"].to_dict() == {"tal-1-2": "older_perimeter"}


def test_a_fire_that_a_satellite_saw_lately_burns_until_it_is_not_seen_any_more(
    following: SensorTicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = f"{TODAY:%d.%m.%Y}"
    publish(following.world, burn(0, Beginn=day, Satellit=day))
    following.settle()
    records = read_table(following.world.root, IN_SEASON_RECORDS, YEAR)
    assert records["contained_by"].to_list() == ["burning"] and ready(following).empty
    assert following.settle() == []

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return TODAY + timedelta(days=8)

    monkeypatch.setattr(in_season_watch, "datetime", Later)
    monkeypatch.setattr(season_source, "datetime", Later)
    assert following.settle() == [[f"{BOTH} {YEAR}"]], "read again once a day"
    assert ready(following)["end_kind"].to_dict() == {"tal-0": "last_detection"}
    assert following.settle() == []


def test_a_file_that_is_gone_is_told_by_the_seasons_setting(following: SensorTicks) -> None:
    following.settle()
    (following.world.root.path / "season.gpkg").unlink()
    assert following.tick() == [] and "check in_season.source" in str(following.reason)
