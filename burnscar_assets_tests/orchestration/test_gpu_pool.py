"""The pool `gpu`: as many GPU stages at once as there are GPUs, and CPU stages beside them."""

import subprocess
from pathlib import Path

import dagster as dg
import pytest

from burnscar_assets.orchestration.capacity import gpu_limit
from burnscar_assets.orchestration.instance import open_instance
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.orchestration.conftest import BIN, command_environment, run_command
from burnscar_assets_tests.orchestration.fault_kit import copy_world
from burnscar_assets_tests.orchestration.small_world import write_settings

PATIENCE_S = 300


def materialize(root: DataRoot, asset: str, year: int) -> subprocess.Popen[bytes]:
    """Start a run as `dagster asset materialize` does."""
    command = [str(BIN / "dagster"), "asset", "materialize", "-m", "burnscar_assets.definitions"]
    return subprocess.Popen(
        [*command, "--select", asset, "--partition", str(year)],
        env=command_environment(root),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def times(instance: dg.DagsterInstance, run: dg.DagsterRun, step: str) -> tuple[float, float]:
    """When a step of a run started and ended."""
    (stats,) = instance.get_run_step_stats(run.run_id, [step])
    assert stats.start_time and stats.end_time
    return stats.start_time, stats.end_time


@pytest.mark.slow
def test_trainings_wait_for_each_other_and_cpu_stages_do_not(small_archive: DataRoot, tmp_path: Path) -> None:
    root = copy_world(small_archive, DataRoot(tmp_path / "data"), compute={"gpus": 1})
    run_command(root, "burnscar", "refresh", "--no-gpu", "--in-process")
    started = [materialize(root, "checkpoint", 2019), materialize(root, "checkpoint", 2020)]
    started.append(materialize(root, "fire_perimeters", 2019))
    assert [process.wait(PATIENCE_S) for process in started] == [0, 0, 0]
    world = World(load_settings(root.world_file), root)
    with open_instance(world, root.world_file) as instance:
        runs = {(next(iter(r.asset_selection or ())).to_user_string(), r.tags.get("dagster/partition")): r
                for r in instance.get_runs() if len(r.asset_selection or ()) == 1}  # fmt: skip
        first, second = sorted(times(instance, runs["checkpoint", y], "checkpoint") for y in ("2019", "2020"))
        cheap = times(instance, runs["fire_perimeters", "2019"], "fire_perimeters")
    assert first[1] <= second[0], "one GPU, one training at a time"
    assert cheap[1] < second[1], "a CPU stage doesn't wait for the GPU"


@pytest.mark.parametrize(("asked", "there", "limit"), [(None, 0, 1), (None, 4, 4), (2, 4, 2)])
def test_the_limit_is_the_number_of_gpus_unless_the_settings_say_otherwise(
    root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int | None, there: int, limit: int
) -> None:
    devices = tmp_path / "gpus"
    for number in range(there):
        (devices / str(number)).mkdir(parents=True)
    monkeypatch.setattr("burnscar_assets.models.devices.DRIVERS_GPUS", devices)
    settings = load_settings(write_settings(root, compute={"gpus": asked}, training={"accelerator": "gpu"}))
    assert gpu_limit(World(settings, root)) == limit
