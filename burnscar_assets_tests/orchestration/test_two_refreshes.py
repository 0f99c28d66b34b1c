"""Two refreshes at once through a live daemon do the work once, and a daemon that is killed costs nobody the web UI."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.queue import daemon_is_running
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.labels.label_records import frap_fires, season
from burnscar_assets_tests.orchestration.conftest import BIN, command_environment
from burnscar_assets_tests.orchestration.label_world import LABELS, LabelWorld
from burnscar_assets_tests.orchestration.web_ui_kit import WebUi, running_web_ui, wait_for

pytestmark = pytest.mark.slow

YEARS = (2019, 2020)


@pytest.fixture
def world(root: DataRoot) -> Iterator[LabelWorld]:
    """Nothing is made yet, and nothing is made by itself."""
    world = LabelWorld(root)
    world.configure(years={"first": YEARS[0], "last": YEARS[-1]}, automation={"enabled": False})
    world.publish(frap_fires(*(season(year, n) for year in YEARS for n in range(3))))
    yield world


def _daemon(server: WebUi) -> int | None:
    """Process id of the daemon of a web UI."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            marked = server.mark.encode() in (folder / "environ").read_bytes()
            if marked and b"dagster._daemon" in (folder / "cmdline").read_bytes():
                return int(folder.name)
        except OSError:
            continue
    return None


def test_two_refreshes_share_the_work_and_a_killed_daemon_comes_back(world: LabelWorld) -> None:
    with running_web_ui(world.root) as server, dg.DagsterInstance.from_config(str(world.root.dagster_home)) as instance:
        wait_for(lambda: daemon_is_running(instance))
        killed = wait_for(lambda: _daemon(server))
        os.kill(killed, signal.SIGKILL)
        assert server.ask("{ assetNodes { id } }"), "the web UI goes on"
        wait_for(lambda: _daemon(server) not in (None, killed))

        command = [str(BIN / "burnscar"), "refresh", "--select", *LABELS]
        both = [subprocess.Popen(command, env=command_environment(world.root)) for _ in range(2)]
        assert [process.wait(600) for process in both] == [0, 0]
        for pair in [Pair(asset, year) for asset in LABELS[1:] for year in YEARS]:
            chosen = dg.AssetRecordsFilter(asset_key=pair.key, asset_partitions=[str(pair.fire_year)])
            assert len(instance.fetch_materializations(chosen, limit=5).records) == 1, pair
