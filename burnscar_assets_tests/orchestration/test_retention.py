"""Old history goes; what is stale stays what it was, since the runs that partitions are of are kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.operations import AutomationSettings
from burnscar_assets.orchestration.execution import Runner
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.retention import forget_history
from burnscar_assets.orchestration.staleness import EventLog
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, season
from burnscar_assets_tests.orchestration.label_world import LABELS, LabelWorld

KEEP = AutomationSettings(keep_runs_days=30)
FIRES = [season(2020, n) for n in range(3)]


@pytest.fixture
def world(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabelWorld]:
    """Labels that were made, then made again from another release."""
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
    world = LabelWorld(root)
    world.configure(years={"first": 2020, "last": 2020})
    for fires in (FIRES[:2], FIRES):
        world.publish(frap_fires(*fires))
        with world.runner() as runner:
            assert not runner.refresh([2020], assets=LABELS).failures
    yield world


def forget(runner: Runner, days: int) -> tuple[int, int]:
    planner = runner.planner
    done = forget_history(EventLog(planner.graph, planner.instance), KEEP, datetime.now(UTC) + timedelta(days=days))
    return done.runs, done.kept


def test_young_runs_stay(world: LabelWorld) -> None:
    with world.runner() as runner:
        before = runner.planner.instance.get_runs_count()
        assert forget(runner, 29) == (0, 0)
        assert runner.planner.instance.get_runs_count() == before


def test_old_runs_go_and_nothing_becomes_stale(world: LabelWorld) -> None:
    history = world.root.dagster_home / "history" / "runs"
    with world.runner() as runner:
        instance = runner.planner.instance
        runs, files = instance.get_runs_count(), len(list(history.glob("*.db")))
        deleted, kept = forget(runner, 31)
        assert deleted > 0 and kept > 0 and deleted + kept == runs
        assert instance.get_runs_count() == kept
        assert len(list(history.glob("*.db"))) == files - deleted
        assert forget(runner, 31) == (0, kept)
    with world.runner() as runner:
        assert runner.planner.plan([2020], LABELS).stale == ()
        assert runner.refresh([2020], assets=LABELS).runs == 0


def test_what_an_input_was_before_it_came_out_the_same_is_not_forgotten(world: LabelWorld) -> None:
    chosen = (*LABELS, "sample_points")
    with world.runner() as runner:
        assert runner.refresh([2020], assets=chosen).pairs == [Pair("sample_points", 2020)]
        runner.run([Pair("fire_perimeters", 2020)])
        assert forget(runner, 31)[0] > 0
    with world.runner() as runner:
        assert runner.planner.plan([2020], chosen).stale == ()
