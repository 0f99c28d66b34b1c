"""What the daemon is asked for is in the instance as a backfill, and how it ended is read from there."""

from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus
from dagster._utils.error import SerializableErrorInfo

from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.orchestration import queue
from burnscar_assets.orchestration.dagster_private import is_finished, unfinished_backfills
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.runs import REFRESH_TAG
from burnscar_assets.orchestration.unfinished import PROCESS_TAG, in_process_executor, this_process
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, season
from burnscar_assets_tests.orchestration.label_world import LabelWorld

YEARS = [2019, 2020]


@pytest.fixture
def world(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> LabelWorld:
    for name in (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
    world = LabelWorld(root)
    world.configure(years={"first": YEARS[0], "last": YEARS[-1]})
    world.publish(frap_fires(*(season(year, n) for year in YEARS for n in range(2))))
    return world


def test_a_year_that_is_asked_for_waits_in_the_queue_and_its_end_is_read(world: LabelWorld) -> None:
    pairs = [Pair("fire_perimeters", 2020), Pair("burn_history", 2020)]
    with world.runner() as runner:
        planner, instance = runner.planner, runner.planner.instance
        asked = queue._submit(planner, 2020, pairs, accept_release=False)
        assert unfinished_backfills(instance, REFRESH_TAG) == [asked]
        backfill = instance.get_backfill(asked)
        assert backfill is not None and backfill.tags[REFRESH_TAG] == "queue"
        data = backfill.get_asset_backfill_data(planner.graph)
        assert set(data.target_subset.iterate_asset_partitions()) == {(p.key, p.partition_key) for p in pairs}
        assert list(queue._failures(instance, asked)) == []

        error = SerializableErrorInfo("the disk is full", [], None)
        ended = backfill.with_status(BulkActionStatus.FAILED).with_error(error)
        instance.update_backfill(ended.with_end_timestamp(datetime.now(UTC).timestamp()))
        assert unfinished_backfills(instance, REFRESH_TAG) == [] and is_finished(instance, asked)
        (failure,) = queue._failures(instance, asked)
        assert "the disk is full" in str(failure)


def test_the_release_is_asked_for_without_a_year(world: LabelWorld) -> None:
    with world.runner() as runner:
        asked = queue._submit(runner.planner, None, [Pair("calfire_release", None)], accept_release=True)
        backfill = runner.planner.instance.get_backfill(asked)
    assert backfill is not None and backfill.title == "refresh release"
    assert backfill.run_config, "a person's word that the release is right"


@dg.job(executor_def=in_process_executor)
def one_step() -> None:
    @dg.op
    def tags(context: dg.OpExecutionContext) -> dict[str, str]:
        return dict(context.instance.get_run_by_id(context.run_id).tags)  # type: ignore[union-attr]

    tags()


@pytest.mark.filterwarnings("ignore")
def test_a_run_says_which_process_it_is_in_before_its_first_step() -> None:
    with dg.instance_for_test() as instance, dg.execute_job(dg.reconstructable(one_step), instance) as done:
        assert done.success and done.output_for_node("tags")[PROCESS_TAG] == this_process()
