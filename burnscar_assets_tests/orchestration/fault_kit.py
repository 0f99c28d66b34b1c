"""What tests of faults share: worlds with one archive, commands in sessions of their own, and what a world comes to."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.contents import dataset_contents

from burnscar_assets.evaluation.spec import REPORT_FILE, load_report
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.storage.contracts import ALL_TABLES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import UNPARTITIONED, read_table
from burnscar_assets_tests.orchestration.conftest import BIN, command_environment
from burnscar_assets_tests.orchestration.small_world import write_settings

PATIENCE_S = 180.0
POLL_S = 0.02
_STAGE_TOLD = re.compile(r" \(\d+\.\d s\)$", re.MULTILINE)


def copy_world(archive: DataRoot, root: DataRoot, **sections: dict[str, Any]) -> DataRoot:
    """A world of the same archive, which is only read, with nothing materialized."""
    write_settings(root, **sections)
    root.simulated.symlink_to(archive.simulated)
    return root


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something to come about."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(POLL_S)


@dataclass(frozen=True)
class Command:
    """A running program of the virtual environment, the leader of a session of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        """What it has written so far, stderr behind stdout."""
        return self.log.read_text(encoding="utf-8")

    def has_ended(self) -> bool:
        """Whether it has."""
        return self.process.poll() is not None

    def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        return self.process.wait(PATIENCE_S)

    def has_told(self, times: int) -> Callable[[], bool]:
        """Asks whether it has told of so many stages, or has ended."""
        return lambda: self.has_ended() or len(_STAGE_TOLD.findall(self.output)) >= times

    def child(self, module: str) -> int | None:
        """Process id of a stage that it runs in a process of its own, if it does now."""
        return next(iter(self.children(module)), None)

    def children(self, module: str) -> list[int]:
        """Process ids of all such stages; those that were forked have its name, those of `python -m` its command."""
        name = module.rpartition(".")[2]
        return [
            pid for pid, title in _session(self.process.pid) if title.startswith(f"{name} ") or f"{module} " in title
        ]

    def kill(self, *, others: bool) -> None:
        """`kill -9` the process; with others, all of its session at once. Wait for all to be gone."""
        for pid in [pid for pid, _ in _session(self.process.pid)] if others else [self.process.pid]:
            kill(pid)
        self.process.wait(PATIENCE_S)
        wait_until(lambda: not list(_session(self.process.pid)), f"orphans end: {list(_session(self.process.pid))}")


@contextmanager
def started(root: DataRoot, *command: str, **environment: str) -> Iterator[Command]:
    """Start a program on a data root; nothing of it is left at the end."""
    log = root.path.parent / f"{command[0]}-{time.monotonic_ns()}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]],
            env=command_environment(root) | environment,
            cwd=root.path.parent,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Command(process, log)
    try:
        yield running
    finally:
        running.kill(others=True)


def kill_once_there(root: DataRoot, path: Path, *command: str) -> None:
    """Run a program of the virtual environment, which is killed with its processes once a file is there."""
    with started(root, *command) as running:
        wait_until(lambda: path.exists() or running.has_ended(), f"{path.name} is there")


def kill(pid: int) -> None:
    """`kill -9`, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _session(leader: int) -> Iterator[tuple[int, str]]:
    """Ids, and names with command lines, of the living processes of a session."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            before, _, after = (folder / "stat").read_text(encoding="utf-8").rpartition(")")
            status, name = after.split(), before.partition("(")[2]
            if int(status[3]) == leader and status[0] != "Z":
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                yield int(folder.name), f"{name} {command}"
        except OSError:
            continue


def content(root: DataRoot) -> dict[str, str]:
    """Hashes of all that a world holds: tables, windows with labels and tiles, checkpoints, reports.

    What can't be read whole, or isn't what it says it is, raises.
    """
    found = {}
    for table in ALL_TABLES:
        for path in (root.tables / table.name).glob("*/part.parquet"):
            year = None if path.parent.name == UNPARTITIONED else int(path.parent.name.partition("=")[2])
            found[f"{table.name} {year}"] = table.content_hash(read_table(root, table, year))
    found |= dataset_contents(root)
    for folder in sorted((root.path / "checkpoints").glob("fire_year=*")):
        found[f"checkpoint {folder.name}"] = verify_checkpoint(folder).weights_sha256
    for path in sorted((root.path / "evaluation").glob(f"fire_year=*/{REPORT_FILE}")):  # written after all beside it
        report = load_report(root, int(path.parent.name.partition("=")[2]))
        found[f"report {path.parent.name}"] = report.metrics_hash
    return found
