"""Killed twenty times at random moments, a world comes to what an undisturbed one comes to."""

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import dagster as dg
import pytest

from burnscar_assets.orchestration.unfinished import PROCESS_TAG
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.fault_kit import Command, content, copy_world, kill, started, wait_until

pytestmark = [pytest.mark.slow]

SEED = 20
TRAINER, EVALUATOR = "training.trainer", "evaluation.evaluator"
YEAR = "2019"
QUEUED = ("burnscar", "refresh", "--years", YEAR, "--no-gpu")
MODEL = ("burnscar", "refresh", "--years", YEAR, "--in-process")
LABELS_TO_TILES = (*MODEL, "--no-gpu")
STAGE_S = 4.0
"""What the trainer or the evaluator takes here, about."""

STAGES = 7
"""CPU stages of a year with the release; a refresh tells of each that has ended in a line."""


def test_a_world_killed_twenty_times_is_as_one_left_alone(small_archive: DataRoot, tmp_path: Path) -> None:
    left_alone = copy_world(small_archive, DataRoot(tmp_path / "left-alone" / "data"))
    killed = copy_world(small_archive, DataRoot(tmp_path / "killed" / "data"), automation={"enabled": False})
    killer = Killer(killed, Random(SEED))

    with started(left_alone, *MODEL) as undisturbed:
        killer.repeat(13, killer.refresh)
        killer.lose_year()
        killer.through_the_queue()
        assert undisturbed.wait() == 0, undisturbed.output
    killer.repeat(1, killer.refresh_beside_trainer)
    killer.repeat(2, lambda: killer.stage(TRAINER))
    killer.repeat(1, lambda: killer.stage(EVALUATOR))

    assert killer.kills == 20
    run_command(killed, *MODEL)
    assert json.loads(run_command(killed, "burnscar", "plan", "--json", "--years", YEAR).stdout) == []
    assert content(killed) == content(left_alone)
    assert not leftovers(killed)


def leftovers(root: DataRoot) -> list[str]:
    """Unfinished writes of the stages; `windows` and `dagster` have their own."""
    folders = [root.tables, root.path / "checkpoints", root.path / "evaluation", root.releases]
    return [str(path) for folder in folders for path in folder.rglob("*.tmp")]


class Killer:
    """Kills what works on a world, and sees after each kill that what is there is whole."""

    def __init__(self, root: DataRoot, random: Random) -> None:
        self.root = root
        self.random = random
        self.kills = 0

    def repeat(self, times: int, attempt: Callable[[], bool]) -> None:
        """Attempt until that many kills met something alive."""
        goal = self.kills + times
        while self.kills < goal:
            self.kills += attempt()
            content(self.root)

    def refresh(self) -> bool:
        """Kill a refresh of the CPU stages at some stage; now and then, have it begin anew."""
        with started(self.root, *LABELS_TO_TILES) as command:
            wait_until(command.has_told(self.random.randint(1, STAGES - 1)), "the work goes on")
            alive = self.strike(command, 1.0)
        if not alive or self.random.random() < 0.3:
            self.lose_year()
        return alive

    def lose_year(self) -> None:
        """Have all of the year made again."""
        (self.root.dataset / "packed" / f"{YEAR}.sqlite").unlink(missing_ok=True)
        for table in self.root.tables.glob(f"*/fire_year={YEAR}"):
            shutil.rmtree(table)

    def refresh_beside_trainer(self) -> bool:
        """Kill a refresh while it trains; the trainer ends too."""
        with self.at_work(TRAINER) as command:
            return self.strike(command, STAGE_S)

    def stage(self, module: str) -> bool:
        """Kill a stage's own process; the refresh says so, and what to do."""
        with self.at_work(module) as command:
            time.sleep(self.random.uniform(0, STAGE_S))
            process = command.child(module)
            if process is None:  # it was done before it could be killed
                return False
            kill(process)
            assert command.wait() == 1
            assert "run the same partition again" in command.output and "Traceback" not in command.output
            return True

    def strike(self, command: Command, within_s: float, *, others: bool = False) -> bool:
        """Kill a command at a random moment; whether it was alive."""
        time.sleep(self.random.uniform(0, within_s))
        alive = not command.has_ended()
        command.kill(others=others)
        return alive

    @contextmanager
    def at_work(self, module: str) -> Iterator[Command]:
        """A refresh whose stage of that module has just begun; what an earlier one may have finished is lost."""
        done = {TRAINER: self.root.checkpoint, EVALUATOR: self.root.evaluation}[module]
        shutil.rmtree(done(int(YEAR)), ignore_errors=True)
        with started(self.root, *MODEL) as command:
            wait_until(lambda: command.has_ended() or command.child(module) is not None, f"{module} begins")
            assert not command.has_ended(), command.output
            yield command

    def through_the_queue(self) -> None:
        """Kill the daemon, its servers and its workers at once, twice, and one worker alone."""
        with dg.DagsterInstance.from_config(str(self.root.dagster_home)) as instance:
            with self.daemon() as daemon, started(self.root, *QUEUED) as command:
                wait_until(lambda: bool(instance.get_backfills()), "the refresh is in the queue")
                self.strike(daemon, 10.0, others=True)
            with self.daemon() as daemon, started(self.root, *QUEUED) as command:
                run = self.worker(instance, command)
                kill(int(run.tags[PROCESS_TAG].split(":")[1]))
                wait_until(lambda: status(instance, run) == dg.DagsterRunStatus.FAILURE, "the dead worker is noticed")
                content(self.root)
                self.strike(daemon, 5.0, others=True)
        content(self.root)
        self.kills += 3

    @contextmanager
    def daemon(self) -> Iterator[Command]:
        """`burnscar ui`, once its daemon has told of itself."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        with started(self.root, "burnscar", "ui", "--port", port) as command:
            wait_until(lambda: "BackfillDaemon" in command.output, "the daemon works")
            yield command

    def worker(self, instance: dg.DagsterInstance, command: Command) -> dg.DagsterRun:
        """A run in progress, some random time after it began."""
        in_progress = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])

        def begun() -> bool:
            assert not command.has_ended(), command.output
            return any(PROCESS_TAG in run.tags for run in instance.get_runs(in_progress))

        wait_until(begun, "a run worker begins")
        time.sleep(self.random.uniform(0, 2.0))
        return instance.get_runs(in_progress)[0]


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    """What Dagster takes a run for now."""
    return instance.get_run_records(dg.RunsFilter([run.run_id]))[0].dagster_run.status
