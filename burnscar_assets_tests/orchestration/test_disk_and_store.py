"""A disk that fills up, a store that hangs up or stalls, two runs at once: at most an error, then the same result."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from burnscar_assets.storage.contracts import SCENE_MATCHES, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_path
from burnscar_assets_tests.catalog.small_archive import serve
from burnscar_assets_tests.orchestration.conftest import BIN, command_environment, run_command
from burnscar_assets_tests.orchestration.fault_kit import content, copy_world, started
from burnscar_assets_tests.storage.unreliable_proxy import unreliable_proxy

pytestmark = [pytest.mark.slow]

YEAR = "2020"
REFRESH = ("burnscar", "refresh", "--in-process", "--no-gpu", "--years", YEAR)
STALL_S, TIMEOUT_S, SOON_S = 30, 2, 60
TO_TILES = ("fire_perimeters", "burn_history", "sample_points", "windows", "scene_matches", "tiles")
STAGES = ",".join((*TO_TILES, "fire_scenes"))
OF_ALL_YEARS = "label_doubts"


@pytest.fixture(scope="module")
def expected(small_archive: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed world comes to."""
    root = copy_world(small_archive, DataRoot(tmp_path_factory.mktemp("left-alone") / "data"))
    run_command(root, *REFRESH)
    return content(root)


@dataclass(frozen=True)
class SmallDisk:
    """A file system in memory, in a mount namespace of its own."""

    holder: int
    place: Path

    def run(self, root: DataRoot, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the virtual environment where the disk is mounted."""
        arguments = [*self._enter(), str(BIN / command[0]), *command[1:]]
        return subprocess.run(
            arguments, env=command_environment(root), cwd="/", capture_output=True, text=True, check=False
        )

    def resize(self, size: str) -> None:
        """Give the disk another size."""
        subprocess.run([*self._enter(), "mount", "-o", f"remount,size={size}", self.place], check=True)

    def seen_from_outside(self) -> Path:
        """The disk's folder for this process."""
        return Path(f"/proc/{self.holder}/root{self.place}")

    def _enter(self) -> list[str]:
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self.holder), "--mount", *user]


@contextmanager
def small_disk(place: Path) -> Iterator[SmallDisk]:
    """Mount one; as root, or in a user namespace where the system allows those."""
    place.mkdir()
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size=64m tmpfs '{place}' && echo mounted && exec sleep infinity"
    with subprocess.Popen([*namespace, "sh", "-c", mount], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != "mounted\n":
                pytest.skip("this system lets nobody but root mount a small disk: the test of a full one was not run")
            yield SmallDisk(holder.pid, place)
        finally:
            holder.kill()


def test_a_full_disk_is_one_clear_error_and_room_is_all_it_takes(
    small_archive: DataRoot, expected: dict[str, str], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        inside, outside = (DataRoot(place / "data") for place in (disk.place, disk.seen_from_outside()))
        copy_world(small_archive, outside)
        for size in ("500k", "3500k"):
            disk.resize(size)
            refused = disk.run(inside, *REFRESH)
            assert refused.returncode == 1
            assert "no space left" in refused.stderr and str(inside.path) in refused.stderr
            assert "Traceback" not in refused.stderr
            content(copied(outside, tmp_path / size))
        disk.resize("64m")
        done = disk.run(inside, *REFRESH)
        assert done.returncode == 0, done.stderr
        assert content(copied(outside, tmp_path / "whole")) == expected


def copied(root: DataRoot, target: Path) -> DataRoot:
    """A copy of what another namespace sees: SQLite would follow the link in the path out of it."""
    shutil.copytree(root.path, target, symlinks=True)
    return DataRoot(target)


def test_two_runs_of_the_same_year_at_once_make_it_once(
    small_archive: DataRoot, expected: dict[str, str], tmp_path: Path
) -> None:
    root = copy_world(small_archive, DataRoot(tmp_path / "data"))
    run_command(root, *REFRESH, "--select", "calfire_release")
    chosen = ("--select", STAGES, "--partition", YEAR)
    materialize = ("dagster", "asset", "materialize", "-m", "burnscar_assets.definitions", *chosen)
    with started(root, *materialize) as one, started(root, *materialize) as other:
        assert (one.wait(), other.wait()) == (0, 0), one.output + other.output
    assert content(root) == {name: one for name, one in expected.items() if not name.startswith(OF_ALL_YEARS)}
    planned = json.loads(run_command(root, "burnscar", "plan", "--json", "--no-gpu", "--years", YEAR).stdout)
    assert [found["asset"] for found in planned] == [OF_ALL_YEARS]


class Store:
    """How a store answers: some requests well, and those after them as its mood is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.change("hangs up")

    def change(self, mood: str, *, after_requests: int = 0) -> None:
        """Take another mood."""
        self._mood, self._good, self._count = mood, after_requests, 0

    def breaks(self, _piece: int) -> bool:
        """Whether the connection breaks on which the next request came."""
        with self._lock:
            self._count += 1
        if self._count <= self._good:
            return False
        if self._mood == "stalls":
            time.sleep(STALL_S)
        elif self._mood == "is slow and hangs up at times":
            time.sleep(0.01)
            return self._count % 60 == 0
        return True


def test_a_store_that_hangs_up_or_stalls_is_an_error_soon_and_a_slow_one_none(
    small_archive: DataRoot, expected: dict[str, str], tmp_path: Path
) -> None:
    store = Store()
    with serve(small_archive.simulated) as (address, _), unreliable_proxy(address, store.breaks) as unreliable:
        imagery = {"archive": f"{unreliable}/imagery/index.parquet", "retries": 2, "retry_backoff_s": 0.1}
        root = copy_world(small_archive, DataRoot(tmp_path / "data"), imagery=imagery)
        windows, matches, tiles = (table_path(root, table, int(YEAR)) for table in (WINDOWS, SCENE_MATCHES, TILES))

        assert "try again later" in refused(root)
        assert windows.exists() and not matches.exists()

        store.change("stalls", after_requests=1)
        assert "the archive does not answer" in refused(root)
        assert matches.exists() and not tiles.exists()

        store.change("hangs up", after_requests=100)
        assert "can't be read" in refused(root)
        assert not tiles.exists()

        store.change("is slow and hangs up at times")
        run_command(root, *REFRESH)
    assert content(root) == expected


def refused(root: DataRoot) -> str:
    """What a refresh up to tiles that fails says, which it does soon; fire scenes would ask for the index as well."""
    began = time.monotonic()
    with started(root, *REFRESH, "--select", "calfire_release", *TO_TILES, GDAL_HTTP_TIMEOUT=str(TIMEOUT_S)) as command:
        assert command.wait() == 1, command.output
        assert time.monotonic() - began < SOON_S
        assert "error:" in command.output and "Traceback" not in command.output
        content(root)
        return " ".join(command.output.split())
