"""The sensor of the season, end to end: fires get contained, the release supersedes them, the source fails."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import geopandas as gpd
import pytest

from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.orchestration.automation.in_season_watch import PERIMETERS, RECORDS
from burnscar_assets.orchestration.automation.watching import Cursor
from burnscar_assets.orchestration.instance import open_instance
from burnscar_assets.orchestration.sources import open_years
from burnscar_assets.storage.catalog import query
from burnscar_assets.storage.contracts import IN_SEASON_PERIMETERS, IN_SEASON_RECORDS, IN_SEASON_REJECTS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.labels.label_records import frap_fires, season, square
from burnscar_assets_tests.labels.label_servers import Webhook, serving
from burnscar_assets_tests.labels.wfigs_records import BURNING, WfigsSite, irwin, wfigs_fires
from burnscar_assets_tests.orchestration.automation.sensor_ticks import SensorTicks, described
from burnscar_assets_tests.orchestration.label_world import LABELS, LabelWorld

YEAR = datetime.now(UTC).year
RELEASED = tuple(season(YEAR - 1, n) for n in range(3))
READ = (RECORDS, PERIMETERS)
BOTH = "+".join(sorted(READ))


@dataclass(kw_only=True)
class Season(SensorTicks):
    """Ticks of the season's sensor, with a service of its own."""

    site: WfigsSite
    sensor: str = "in_season_watch"

    def publish(self, *changes: dict[str, Any], fire_year: int = YEAR) -> None:
        self.site.rows = wfigs_fires(*changes, fire_year=fire_year)

    def ready(self, fire_year: int = YEAR) -> list[str]:
        return sorted(read_table(self.world.root, IN_SEASON_PERIMETERS, fire_year)["fire_name"])


@pytest.fixture
def following(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Iterator[Season]:
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE", "BURNSCAR_WEBHOOK"):
        monkeypatch.setenv(name, "")
    world, site = LabelWorld(root), WfigsSite(wfigs_fires({}, BURNING, fire_year=YEAR), max_record_count=2)
    with serving(site) as address:
        world.configure(
            years={"first": YEAR - 2},
            in_season={
                "enabled": True,
                "source": f"{address}/arcgis/rest/services/WFIGS_Interagency_Perimeters/FeatureServer/0",
                "check_minutes": 0.0001,
                "retries": 0,
            },
            perimeters={"scar_years": 0},
        )
        world.publish(frap_fires(*RELEASED))
        with world.runner() as runner:
            runner.refresh([YEAR - 2, YEAR - 1], assets=LABELS)
        yield Season(world=world, site=site)


def test_a_fire_that_gets_contained_is_ready_once_and_edits_elsewhere_ask_for_nothing(following: Season) -> None:
    assert following.settle() == [[f"{BOTH} {YEAR}"]]
    assert following.ready() == ["SEASON 0"]
    assert following.reason == "the season is as it was"
    following.publish({}, BURNING, {"attr_POOState": "US-NV"})
    assert following.settle() == []
    following.publish({}, {}, {"attr_POOState": "US-NV"})
    assert following.settle() == [[f"in_season_records {YEAR}"], [f"in_season_perimeters {YEAR}"]]
    assert following.ready() == ["SEASON 0", "SEASON 1"]


@pytest.mark.slow
def test_a_perimeter_that_grows_is_read_again_and_the_plan_agrees_with_the_sensor(following: Season) -> None:
    following.settle()
    following.publish({"geometry": square(0, side_m=1500), "poly_GISAcres": 556.0}, BURNING)
    with following.world.runner() as runner:
        stale = runner.planner.plan(runner.planner.fire_years()).stale
        told = [(pair.asset, pair.fire_year, pair.causes) for pair in stale if pair.asset in READ]
    assert told == [("in_season_records", YEAR, (f"in_season_year {YEAR} changed: records were edited",))]
    following.settle()
    perimeters = read_table(following.world.root, IN_SEASON_PERIMETERS, YEAR)
    assert perimeters["area_ha"].to_list() == pytest.approx([225])


@pytest.mark.slow
def test_refresh_makes_the_season_too_and_leaves_other_years_alone(following: Season) -> None:
    with following.world.runner() as runner:
        refreshed = runner.refresh(runner.planner.fire_years(), assets=[*LABELS, *READ])
        assert not refreshed.failures
        assert {pair.fire_year for pair in refreshed.pairs if pair.asset in READ} == {YEAR}
        plan = runner.planner.plan(runner.planner.fire_years(), [*LABELS, *READ])
        assert not plan.stale and set(plan.without_records) == {YEAR - 2, YEAR}
    assert following.settle() == []


@pytest.mark.slow
def test_a_release_that_has_the_fire_supersedes_it(following: Season) -> None:
    following.publish({}, {})
    following.settle()
    assert following.ready() == ["SEASON 0", "SEASON 1"]
    new = season(YEAR, 0) | {"IRWINID": irwin(0), "geometry": square(0)}
    following.world.publish(frap_fires(*RELEASED, new))
    with following.world.runner() as runner:
        refreshed = runner.refresh(runner.planner.fire_years(), assets=LABELS)
        assert not refreshed.failures
    assert following.settle() == [[f"in_season_perimeters {YEAR}"]]
    assert following.ready() == ["SEASON 1"]
    rejects = read_table(following.world.root, IN_SEASON_REJECTS, YEAR)
    assert rejects["reason"].to_list() == ["superseded"]
    sources = query(
        following.world.root, f"select source, fire_name from perimeters where fire_year = {YEAR} order by 1"
    )
    assert list(sources.itertuples(index=False, name=None)) == [("frap", "FIRE 3"), ("wfigs", "SEASON 1")]


@pytest.mark.slow
def test_only_years_that_the_release_lacks_and_the_current_one_are_looked_at(following: Season) -> None:
    world = following.world.world
    with open_instance(world, following.world.root.world_file) as instance:
        assert open_years(world, instance) == [YEAR]
        assert open_years(world, instance, datetime(YEAR - 1, 12, 1, tzinfo=UTC)) == [YEAR - 1]
    following.world.publish(frap_fires(*(season(YEAR - 2, n) for n in range(3))))
    with following.world.runner() as runner:
        runner.refresh(runner.planner.fire_years(), assets=LABELS, accept_release=True)
    with open_instance(world, following.world.root.world_file) as instance:
        assert open_years(world, instance) == [YEAR - 1, YEAR]


def busy(site: WfigsSite) -> None:
    site.errors = [{"code": 503, "message": "busy", "details": []}] * 20


def empty(site: WfigsSite) -> None:
    site.rows = site.rows.iloc[:0]


def half(site: WfigsSite) -> None:
    site.count = 7


@pytest.mark.parametrize("broken", [busy, pytest.param(empty, marks=pytest.mark.slow)])
def test_a_source_that_fails_is_told_of_and_nothing_is_lost(
    following: Season, broken: Callable[[WfigsSite], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    following.settle()
    rows: gpd.GeoDataFrame = following.site.rows
    broken(following.site)
    webhook = Webhook()
    with serving(webhook) as address:
        monkeypatch.setenv("BURNSCAR_WEBHOOK", address)
        assert following.tick() == [] and "not looked at (1 times in a row)" in str(following.reason)
        assert webhook.messages == []
        following.cursor = json.dumps(json.loads(str(following.cursor)) | {"looked_at": 0})
        assert following.tick() == []
    (message,) = webhook.messages
    assert "the in-season source failed 2 times in a row, what was fetched is kept" in message["text"]
    following.site.rows, following.site.errors = rows, []
    following.cursor = json.dumps(json.loads(str(following.cursor)) | {"looked_at": 0})
    assert following.settle() == []
    assert Cursor.read(following.cursor).failures == 0
    assert following.ready() == ["SEASON 0"]


@pytest.mark.slow
def test_rows_that_change_while_they_are_read_leave_everything_as_it_was(following: Season) -> None:
    following.settle()
    half(following.site)
    requests = following.tick()
    assert [described(request) for request in requests] == [f"in_season_records {YEAR}"]
    assert not following.carry_out(requests)
    assert following.ready() == ["SEASON 0"]


@pytest.mark.slow
def test_a_season_that_lost_half_of_its_fires_waits_for_a_person(following: Season) -> None:
    following.publish(*({} for _ in range(12)))
    following.settle()
    following.publish({}, {})
    assert not following.carry_out(following.tick())
    assert len(read_table(following.world.root, IN_SEASON_RECORDS, YEAR)) == 12
    with following.world.runner() as runner:
        refused = runner.refresh([YEAR], assets=READ)
        assert "looks wrong" in str(refused.failures[0]) and "--accept-release" in str(refused.failures[0])
        assert not runner.refresh([YEAR], assets=READ, accept_release=True).failures
    assert len(read_table(following.world.root, IN_SEASON_RECORDS, YEAR)) == 2


def test_a_world_that_follows_no_season_has_none_of_it(root: DataRoot) -> None:
    world = LabelWorld(root)
    world.configure()
    definitions = build_definitions(world.world.settings, root)
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert not {name for name in keys if name.startswith("in_season")}
