"""Stages in processes of this machine: followed as they go, ended with the run."""

import os
import signal
from pathlib import Path

import dagster as dg
import pytest

from burnscar_assets.errors import BurnscarError, InputError
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.orchestration.place_kit import is_alive, run_there, world_on
from burnscar_assets_tests.orchestration.told_stage import ToldSpec


@pytest.fixture(autouse=True)
def _stages_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages start without the current folder among their modules; those of tests aren't installed."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))


def test_a_process_tells_as_it_goes_and_its_errors_are_those_that_it_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_on(DataRoot(tmp_path / "data"))
    monkeypatch.setenv("BURNSCAR_DATA", str(world.root.path))
    events = run_there(world, ToldSpec(here=tmp_path))
    assert events == [{"event": "step", "number": n, "data": str(world.root.path)} for n in range(2)]
    with pytest.raises(InputError, match="give another"):
        run_there(world, ToldSpec(here=tmp_path, end="refuse"))
    with pytest.raises(BurnscarError, match=r"ended with exit code 17 .*run the same partition again"):
        run_there(world, ToldSpec(here=tmp_path, end="die"))


def test_an_interrupted_run_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_on(DataRoot(tmp_path / "data"))
    monkeypatch.setenv("BURNSCAR_DATA", str(world.root.path))
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        run_there(
            world,
            ToldSpec(here=tmp_path, count=1, end="wait"),
            on_event=lambda event: os.kill(os.getpid(), signal.SIGINT),
        )
    assert not is_alive(int((tmp_path / "pid").read_text()))
