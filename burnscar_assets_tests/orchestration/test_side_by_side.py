"""Runs side by side: as many as there is room for, ended together, and nothing comes out otherwise for it."""

import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import dagster as dg
import pytest
from rasterio.errors import NotGeoreferencedWarning

from burnscar_assets.comparison.compare import COSTS
from burnscar_assets.definitions import build_definitions
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.errors import BurnscarError
from burnscar_assets.models.manifest import load_manifest
from burnscar_assets.orchestration.capacity import Share
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.planning import Plan, Planner, SmallRun
from burnscar_assets.orchestration.side_by_side import SideBySide, terminated_as_interrupted
from burnscar_assets.orchestration.staleness import StalePair
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import EVALUATION_METRICS, PREDICTIONS, SETUP_COMPARISON
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.demo_settings import demo_after
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.fault_kit import content, copy_world, started, wait_until

ONE = Share(1, 1.0, 0)


def run_of(year: int) -> SmallRun:
    return SmallRun((Pair("tiles", year),), ())


def test_runs_start_while_there_is_room_and_are_told_as_they_end() -> None:
    both = threading.Barrier(2, timeout=30)

    def work(year: int) -> list[Pair]:
        both.wait()
        if year == 2020:
            raise BurnscarError("no")
        return [Pair("tiles", year)]

    with SideBySide(Share(2, 2.5, 0)) as runs:
        for year in (2019, 2020):
            assert runs.has_room(ONE)
            runs.start(run_of(year), ONE, lambda year=year: work(year))
        assert not runs.has_room(ONE)
        assert set(runs.at_work) == {Pair("tiles", 2019), Pair("tiles", 2020)}
        ended = {done.run.stale[0].fire_year: done for done in (runs.wait(), runs.wait())}
        assert ended[2019].made == [Pair("tiles", 2019)] and str(ended[2020].error) == "no"
        assert runs.at_work == []


def test_warning_filters_that_a_library_takes_back_in_one_thread_are_no_others() -> None:
    entered, warned = threading.Event(), threading.Event()

    def library() -> list[Pair]:
        with warnings.catch_warnings():
            entered.set()
            warned.wait(30)
        return []

    def warn() -> None:
        warnings.warn_explicit("no transform", NotGeoreferencedWarning, "features.py", 382, "rasterio.features")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with SideBySide(ONE) as runs:
            runs.start(run_of(2019), ONE, library)
            entered.wait(30)
            warn()
            warned.set()
            runs.wait()
            warn()


def test_of_trainings_the_longest_start_first(tmp_path: Path) -> None:
    settings, root = load_settings(CONFIGS_DIR / "demo.yaml"), DataRoot(tmp_path)
    graph = build_definitions(settings, root).resolve_asset_graph()
    planner = Planner(World(settings, root), graph, dg.DagsterInstance.ephemeral())
    trained = ["checkpoint", "boosted-trees/checkpoint", "tutorial/checkpoint"]
    stale = tuple(StalePair(asset, 2019, "MISSING", ()) for asset in trained)
    runs = planner.small_runs(Plan(stale, (), ()))
    assert [run.pairs[0].asset for run in runs] == ["tutorial/checkpoint", "checkpoint", "boosted-trees/checkpoint"]


@pytest.mark.parametrize("share", [Share(3, 1, 0), Share(1, 3, 0), Share(1, 1, 1)])
def test_what_takes_more_than_there_is_runs_alone(share: Share) -> None:
    with SideBySide(Share(2, 2.0, 0)) as runs:
        assert runs.has_room(share)
        runs.start(run_of(2019), ONE, list)
        assert not runs.has_room(share)
        runs.wait()


def test_an_interruption_ends_all_runs() -> None:
    ended = []

    def work() -> list[Pair]:
        try:
            while True:
                time.sleep(0.01)
        except dg.DagsterExecutionInterruptedError:
            ended.append(threading.current_thread().name)
            raise

    with pytest.raises(KeyboardInterrupt), terminated_as_interrupted(), SideBySide(Share(3, 3.0, 0)) as runs:
        for year in (2019, 2020, 2021):
            runs.start(run_of(year), ONE, work)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        runs.wait()
    assert sorted(ended) == [f"makes tiles {year}" for year in (2019, 2020, 2021)]


@pytest.mark.slow
def test_side_by_side_comes_to_the_same_as_one_after_the_other(small_archive: DataRoot, tmp_path: Path) -> None:
    found = []
    for cores in (1, 4):
        compute = {"cores": cores, "memory_gib": 16}
        setups = {"exclude": demo_after()["setups"]["exclude"]}
        root = copy_world(small_archive, DataRoot(tmp_path / str(cores) / "data"), compute=compute, setups=setups)
        run_command(root, "burnscar", "refresh", "--in-process")
        assert "nothing is stale" in run_command(root, "burnscar", "plan").stdout
        came = content(root) | dict(of_setups(root))
        rows = read_table(root, SETUP_COMPARISON, None)
        came["setup_comparison None"] = SETUP_COMPARISON.content_hash(rows[~rows["metric"].isin(COSTS)])
        found.append(came)
    assert found[0] == found[1]
    assert {"ensemble 2020 checkpoint", "boosted-trees 2019 predictions", "burned_area_maps 2020"} <= found[0].keys()


def of_setups(root: DataRoot) -> Iterator[tuple[str, str]]:
    """Hashes of what the set-ups of a world come to."""
    for folder, year in product(sorted((root.path / "setups").iterdir()), (2019, 2020)):
        own = root.setup(folder.name)
        yield f"{folder.name} {year} checkpoint", load_manifest(own.checkpoint(year)).weights_sha256
        for table in (EVALUATION_METRICS, PREDICTIONS):
            yield f"{folder.name} {year} {table.name}", table.content_hash(read_table(own, table, year))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_refresh_leaves_no_process_and_dagster_knows(
    small_world: DataRoot, tmp_path: Path, number: signal.Signals
) -> None:
    root = DataRoot(tmp_path / "data")
    shutil.copytree(small_world.path, root.path, symlinks=True)
    with started(root, "burnscar", "refresh", "--in-process", "--select", "checkpoint") as command:
        wait_until(lambda: command.has_ended() or len(command.children("training.trainer")) == 2, "two trainers")
        assert not command.has_ended(), command.output
        command.process.send_signal(number)
        assert command.wait() == 130
        assert command.output.rstrip().endswith("the same command goes on where this one stopped"), command.output
        assert command.children("training.trainer") == []
    with dg.DagsterInstance.from_config(str(root.dagster_home)) as instance:
        trained = [run for run in instance.get_runs() if dg.AssetKey("checkpoint") in (run.asset_selection or ())]
        assert [run.status for run in trained] == [dg.DagsterRunStatus.FAILURE] * 2
