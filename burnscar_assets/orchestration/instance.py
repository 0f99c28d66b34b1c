"""Dagster's instance of a world: what its processes read from the environment, its home, its pools."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE, INSTANCE_VARIABLE
from burnscar_assets.errors import SettingsError
from burnscar_assets.orchestration.interrupted import fail_interrupted_runs
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sqlite_engines import closing_databases, keep_engines
from burnscar_assets.orchestration.stage import GPU_POOL
from burnscar_assets.storage.atomic import atomic_file, storage_errors

REPOSITORY = Path(__file__).resolve().parents[2]
GPU_DEVICES = Path("/proc/driver/nvidia/gpus")


def prepare_environment(world: World, settings_file: Path) -> None:
    """Set what Dagster's processes read from the environment, and put the instance's `dagster.yaml` in its home.

    Raises:
        SettingsError: BURNSCAR_INSTANCE names no file.
    """
    home = world.root.dagster_home
    with storage_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    source = Path(os.environ.get(INSTANCE_VARIABLE) or REPOSITORY / "dagster.yaml")
    if not source.is_file():
        raise SettingsError(f"{INSTANCE_VARIABLE} is {source}, which is no file: give the path of a dagster.yaml")
    target = home / "dagster.yaml"
    if not target.exists() or target.read_bytes() != source.read_bytes():
        with atomic_file(target) as temporary:
            shutil.copyfile(source, temporary)
    os.environ.update(
        {
            "DAGSTER_HOME": str(home),
            DATA_VARIABLE: str(world.root.path),
            CONFIG_VARIABLE: str(settings_file.resolve()),
            "WANDB_MODE": "disabled",
            "PYTHONSAFEPATH": "1",
        }
    )


@contextmanager
def open_instance(world: World, settings_file: Path) -> Iterator[dg.DagsterInstance]:
    """The world's persistent instance, with its pools set and runs whose process is gone reported as failed."""
    prepare_environment(world, settings_file)
    keep_engines()
    with closing_databases(), dg.DagsterInstance.get() as instance:
        storage, limit = instance.event_log_storage, gpu_limit(world)
        limits = {pool.name: pool.limit for pool in storage.get_pool_limits()}
        if limits.get(GPU_POOL) != limit:
            storage.set_concurrency_slots(GPU_POOL, limit)
        fail_interrupted_runs(instance)
        yield instance


def gpu_limit(world: World) -> int:
    """How many GPU stages may run at once."""
    there = len(list(GPU_DEVICES.iterdir())) if GPU_DEVICES.is_dir() else 0
    return world.settings.compute.gpus or max(there, 1)


def web_ui_command(host: str, port: int) -> list[str]:
    """Command line of the web server and daemon, to be run with the prepared environment."""
    workspace = str(REPOSITORY / "workspace.yaml")
    return [sys.executable, "-m", "dagster", "dev", "--host", host, "--port", str(port), "-w", workspace]
