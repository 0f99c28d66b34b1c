"""The demo, run once as a user runs it, for all tests that look at what it made."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage

from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.made_once import made_once

BIN = Path(sys.executable).parent


@pytest.fixture(autouse=True)
def no_instance_left_behind() -> Iterator[None]:
    """Each test loads definitions as a fresh process does: Dagster remembers an instance that another test closed."""
    with set_defs_state_storage(None):
        yield


@dataclass(frozen=True)
class DemoRun:
    """A data root that `burnscar demo` made, and how to run more commands on it."""

    root: DataRoot
    output: str

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of the virtual environment on this data root."""
        return run_command(self.root, *command, check=check)


def command_environment(root: DataRoot) -> dict[str, str]:
    """The environment of a program that works on a data root, without what this process knows of another."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BURNSCAR_", "DAGSTER_"))}
    return environment | {"BURNSCAR_DATA": str(root.path), "DAGSTER_HOME": str(root.dagster_home), "COLUMNS": "160"}


def run_command(root: DataRoot, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program of the virtual environment, with stderr behind stdout."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env=command_environment(root),
        cwd=root.path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout
    return done


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """What `burnscar demo` makes: made once, and copied for each module, but for the archive, which is only read."""

    def make(folder: Path) -> None:
        folder.mkdir()
        made = run_command(DataRoot(folder / "demo"), "burnscar", "demo")
        (folder / "output.txt").write_text(made.stdout, encoding="utf-8")

    folder = made_once(tmp_path_factory, "demo-run", make)
    made, root = DataRoot(folder / "demo"), DataRoot(tmp_path_factory.mktemp("world") / "demo")

    def archive(place: str, _: list[str]) -> list[str]:
        return [made.simulated.name] if Path(place) == made.path else []

    shutil.copytree(made.path, root.path, symlinks=True, ignore=archive)
    root.simulated.symlink_to(made.simulated)
    return DemoRun(root, (folder / "output.txt").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """A data root with the small world's archive, in which nothing is materialized; it must not be changed."""
    from burnscar_assets_tests.orchestration.small_world import make_small_world

    folder = made_once(tmp_path_factory, "archive", lambda folder: make_small_world(DataRoot(folder / "data")))
    return DataRoot(folder / "data")


@pytest.fixture(scope="session")
def small_world(small_archive: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The small world with the CPU stages of its two years made, and nothing automatic; it must not be changed.

    Each process has a copy: commands that only look write, too, what they saw of sources.
    """
    from burnscar_assets_tests.orchestration.fault_kit import copy_world
    from burnscar_assets_tests.orchestration.small_world import use_geopackage

    def make(folder: Path) -> None:
        root = copy_world(small_archive, DataRoot(folder / "data"), automation={"enabled": False})
        use_geopackage(root)
        run_command(root, "burnscar", "refresh", "--no-gpu", "--in-process")

    made = made_once(tmp_path_factory, "small-world", make)
    root = DataRoot(tmp_path_factory.mktemp("small") / "data")
    shutil.copytree(made / "data", root.path, symlinks=True)
    return root


@pytest.fixture(scope="session")
def trained_world(small_world: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The small world with the checkpoint and the metrics of its first year; it must not be changed."""

    def make(folder: Path) -> None:
        root = DataRoot(folder / "data")
        shutil.copytree(small_world.path, root.path, symlinks=True)
        models = ("--select", "checkpoint", "evaluation_metrics")
        run_command(root, "burnscar", "refresh", "--years", "2019", "--in-process", *models)

    made = made_once(tmp_path_factory, "trained-world", make)
    root = DataRoot(tmp_path_factory.mktemp("trained") / "data")
    shutil.copytree(made / "data", root.path, symlinks=True)
    return root
