"""What runs may take together, from the settings or from the machine, and what each is counted with."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from burnscar_assets.models import devices
from burnscar_assets.orchestration import capacity
from burnscar_assets.orchestration.capacity import Share, gpu_limit, machine_memory_gib, needed, runs_at_once, whole
from burnscar_assets.orchestration.instance import open_instance
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.contracts import WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_path
from burnscar_assets_tests.orchestration.small_world import write_settings

CHECKPOINT, TILES = Pair("checkpoint", 2020), Pair("tiles", 2020)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of 8 cores without a GPU; returns where its control groups are looked for."""
    monkeypatch.setattr(capacity.os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.setattr(devices, "DRIVERS_GPUS", tmp_path / "no-gpus")
    monkeypatch.setattr(capacity, "CGROUP", tmp_path / "cgroup")
    (tmp_path / "cgroup" / "memory").mkdir(parents=True)
    return tmp_path / "cgroup"


def world(root: DataRoot, **sections: dict[str, Any]) -> World:
    return World(load_settings(write_settings(root, **sections)), root)


@pytest.mark.parametrize("name", capacity.MEMORY_LIMITS)
def test_a_container_has_the_memory_that_its_control_group_allows(machine: Path, name: str) -> None:
    without = machine_memory_gib()
    (machine / name).write_text("max\n")
    assert machine_memory_gib() == without > 0
    (machine / name).write_text(f"{2**29}\n")
    assert machine_memory_gib() == 0.5


def test_a_world_takes_the_machine_unless_its_settings_say_less(root: DataRoot, machine: Path) -> None:
    (machine / "memory.max").write_text(f"{4 * 2**30}")
    assert whole(world(root)) == Share(8, 4.0, 2), "two networks of 1.5 GiB"
    assert whole(world(root, compute={"cores": 3, "memory_gib": 100})) == Share(3, 100, 3)
    assert whole(world(root, compute={"cores": 1})).gpus == 1


@pytest.mark.parametrize(
    ("sections", "limit"),
    [
        ({"compute": {"memory_gib": 1}}, 1),
        ({"compute": {"memory_gib": 6}}, 4),
        ({"compute": {"memory_gib": 60, "stage_cores": 3}}, 2),
        ({"compute": {"memory_gib": 60, "gpus": 1}}, 1),
        ({"compute": {"memory_gib": 60}, "training": {"accelerator": "auto"}}, 8),
        ({"compute": {"memory_gib": 60, "runs_on": "ray"}}, 1),
    ],
)
def test_on_a_cpu_as_many_networks_run_as_cores_and_memory_hold(root: DataRoot, sections: dict, limit: int) -> None:
    assert gpu_limit(world(root, **sections)) == limit


def test_a_run_is_counted_with_what_it_takes_here(root: DataRoot) -> None:
    here = world(root, compute={"stage_cores": 2})
    assert needed(here, [TILES, Pair("windows", 2020)]) == Share(1, capacity.RUN_MEMORY_GIB, 0)
    assert needed(here, [CHECKPOINT]) == Share(2, 1.5, 1)
    assert needed(world(root, compute={"runs_on": "ray"}), [CHECKPOINT]) == Share(0, 0, 1), "nothing of this machine"
    assert needed(world(root, training={"accelerator": "gpu"}), [CHECKPOINT]) == Share(1, 1.5, 1)


def test_training_is_counted_with_the_pixels_that_it_keeps_in_memory(root: DataRoot) -> None:
    path = table_path(root, WINDOWS, 2020)
    path.parent.mkdir(parents=True)
    pd.DataFrame({"window_id": range(100_000)}).to_parquet(path)
    pixels = 100_000 * 32 * 32 * 12 * 2
    for most_gb, kept in ((100, pixels), (1, 1e9)):
        share = needed(world(root, training={"memory_gb": most_gb}), [CHECKPOINT])
        assert share.memory_gib == pytest.approx(1.5 + kept / 2**30)


def test_the_daemons_queue_has_the_same_limits(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_HOME", "BURNSCAR_DATA", "BURNSCAR_CONFIG", "WANDB_MODE", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    monkeypatch.delenv("OMP_NUM_THREADS")
    here = world(root, compute={"cores": 5, "memory_gib": 5, "stage_cores": 2})
    with open_instance(here, root.world_file) as instance:
        assert {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()} == {"gpu": 2}
    settings = yaml.safe_load((root.dagster_home / "dagster.yaml").read_text())
    assert settings["concurrency"]["runs"]["max_concurrent_runs"] == runs_at_once(here) == 5
    assert capacity.os.environ["OMP_NUM_THREADS"] == "2", "as each stage is counted with"
