"""The sensor that watches the release: what it asks for, once, and what it does when the source fails."""

import json
from dataclasses import replace

import dagster as dg
import pytest

from burnscar_assets.orchestration.automation.watching import Cursor
from burnscar_assets.orchestration.checks import LOOKED_AT_LATELY
from burnscar_assets.orchestration.instance import open_instance
from burnscar_assets.orchestration.sources import RELEASE_SOURCE
from burnscar_assets.storage.contracts import RELEASE_RECORDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.labels.label_records import frap_fires, season, square
from burnscar_assets_tests.labels.label_servers import Webhook, serving
from burnscar_assets_tests.orchestration.automation.sensor_ticks import SensorTicks
from burnscar_assets_tests.orchestration.label_world import LABELS, VARIABLES, LabelWorld, for_a_module

FIRES = tuple(season(year, n) for year in (2020, 2021) for n in range(3))
EVERY_TICK = {"automation": {"check_release_minutes": 0.0001}, "perimeters": {"scar_years": 0}}


def begun(root: DataRoot) -> SensorTicks:
    world = LabelWorld(root)
    world.configure(**EVERY_TICK)
    world.publish(frap_fires(*FIRES))
    return SensorTicks(world, "release_watch")


@pytest.fixture
def watch(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> SensorTicks:
    for name in (*VARIABLES, "BURNSCAR_WEBHOOK"):
        monkeypatch.setenv(name, "")
    return begun(root)


@pytest.fixture(scope="module")
def settled_once(tmp_path_factory: pytest.TempPathFactory) -> SensorTicks:
    """A sensor that has seen its release made; its world must not be changed."""
    watch = begun(DataRoot(tmp_path_factory.mktemp("settled") / "data"))
    with for_a_module():
        watch.settle()
    return watch


@pytest.fixture
def settled(settled_once: SensorTicks, root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> SensorTicks:
    """A copy of it."""
    for name in (*VARIABLES, "BURNSCAR_WEBHOOK"):
        monkeypatch.setenv(name, "")
    return replace(settled_once, world=settled_once.world.copy(root))


def change_fire(watch: SensorTicks, side_m: float, *more: dict) -> None:
    watch.world.publish(frap_fires(*FIRES[:-1], FIRES[-1] | {"geometry": square(5, side_m=side_m)}, *more))


def test_it_asks_for_the_release_then_for_the_years_then_for_nothing(watch: SensorTicks) -> None:
    labels = "burn_history+fire_perimeters"
    assert watch.settle() == [["calfire_release"], [f"{labels} 2020", f"{labels} 2021"]]
    assert watch.reason == "the release is as it was"


def test_it_asks_for_the_year_whose_content_changed_and_for_a_year_that_appears(settled: SensorTicks) -> None:
    change_fire(settled, 1200.0)
    assert settled.settle() == [["calfire_release"], ["burn_history+fire_perimeters 2021"]]
    change_fire(settled, 1200.0, season(2019, 0))
    assert settled.settle() == [["calfire_release"], ["burn_history+fire_perimeters 2019"]]


def test_a_version_that_comes_back_is_asked_for_again_under_another_key(settled: SensorTicks) -> None:
    keys = []
    for side_m in (1200.0, 1000.0, 1200.0):
        change_fire(settled, side_m)
        while requests := settled.tick():
            keys += [request.run_key for request in requests]
            settled.carry_out(requests)
    assert len(keys) == len(set(keys)) == 6


def test_what_was_refreshed_by_hand_is_not_asked_for(watch: SensorTicks) -> None:
    with watch.world.runner() as runner:
        runner.refresh([2020, 2021], assets=LABELS)
    assert watch.settle() == []


def test_what_failed_is_not_asked_for_again(settled: SensorTicks) -> None:
    settled.world.publish(frap_fires(season(2020, 0)))
    (request,) = settled.tick()
    settled.carry_out([request])
    assert len(read_table(settled.world.root, RELEASE_RECORDS, None)) == len(FIRES), "the release looks wrong"
    assert settled.settle() == []


def test_priorities_put_the_newest_year_first(watch: SensorTicks) -> None:
    watch.carry_out(watch.tick())
    priority = {request.partition_key: int(request.tags["dagster/priority"]) for request in watch.tick()}
    assert priority["2021"] > priority["2020"]


@pytest.mark.parametrize("broken", ["gone", "half_written", "a_page"])
def test_a_source_that_fails_is_told_of_and_nothing_is_lost(
    settled: SensorTicks, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = settled.world.release.read_bytes()
    if broken == "gone":
        settled.world.release.unlink()
    else:
        settled.world.release.write_bytes(whole[: len(whole) // 2] if broken == "half_written" else b"<html></html>")
    webhook = Webhook()
    with serving(webhook) as address:
        monkeypatch.setenv("BURNSCAR_WEBHOOK", address)
        assert settled.tick() == [] and "not looked at (1 times in a row)" in str(settled.reason)
        assert webhook.messages == []
        looked = json.loads(str(settled.cursor)) | {"looked_at": 0}
        settled.cursor = json.dumps(looked)
        assert settled.tick() == []
    (message,) = webhook.messages
    assert "labels" in message["text"] and "what was fetched is kept" in message["text"]
    assert len(read_table(settled.world.root, RELEASE_RECORDS, None)) == len(FIRES)
    settled.world.publish(frap_fires(*FIRES))
    assert all(asked == ["calfire_release"] for asked in settled.settle())
    assert Cursor.read(settled.cursor).failures == 0


@pytest.mark.parametrize(("limit_days", "fresh"), [(8, True), (1e-9, False)])
def test_each_look_tells_whether_the_source_is_fresh(watch: SensorTicks, limit_days: float, fresh: bool) -> None:
    watch.world.configure(automation=EVERY_TICK["automation"] | {"stale_source_days": limit_days})
    watch.tick()
    watch.world.release.unlink()
    watch.tick()
    key = dg.AssetCheckKey(dg.AssetKey(RELEASE_SOURCE), LOOKED_AT_LATELY)
    with open_instance(watch.world.world, watch.world.root.world_file) as instance:
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.status.value == ("SUCCEEDED" if fresh else "FAILED")


def test_a_cursor_that_cannot_be_read_is_a_fresh_one() -> None:
    assert Cursor.read("nonsense") == Cursor.read(None) == Cursor.read('{"unknown": 1}')
    cursor = Cursor(version="v", years={"2020": "a"}, asked=3)
    assert Cursor.read(cursor.write()) == cursor
