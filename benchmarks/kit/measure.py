"""What a command costs, and how it is broken off."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kit.memory import peak_of_session

_PR_SET_CHILD_SUBREAPER = 36
_STRIPPED = ("BURNSCAR_", "DAGSTER_", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")


@dataclass(frozen=True)
class Cost:
    """What a command took, with all processes that it started and waited for, or that were adopted.

    Attributes:
        cpu_s: user and system time, seconds.
        wall_s: from start to end, seconds.
        output: what it printed.
        peak_bytes: most memory at one moment, where it was looked at.
    """

    cpu_s: float
    wall_s: float
    output: str = ""
    peak_bytes: int = 0


class CommandFailedError(Exception):
    """A command that is measured ended with an error; the message is the end of its output."""


def environment(bytecode: Path | None, **variables: str) -> dict[str, str]:
    """The environment of a measured command: this one's, without what chooses a world.

    Args:
        bytecode: where Python keeps compiled modules, so that every measured run finds them compiled; None: where it
            keeps them by itself.
        variables: set on top.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_STRIPPED)}
    return kept | ({"PYTHONPYCACHEPREFIX": str(bytecode)} if bytecode else {}) | variables


def adopt_orphans() -> None:
    """Become the parent of processes that a command leaves behind, so that what they took is known.

    A server of forked workers outlives the process that started it by a moment, and nobody waits for it.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(
    command: Sequence[str],
    variables: Mapping[str, str],
    log: Path,
    *,
    memory: bool = False,
    shared_once: bool = False,
) -> Cost:
    """Run a Python command line to its end.

    Args:
        command: arguments of the interpreter.
        variables: its whole environment.
        log: file that its output goes to.
        memory: whether to look at its memory while it runs, which costs it some time.
        shared_once: as for `peak_of_session`.

    Raises:
        CommandFailedError: it ended with an error.
    """
    with log.open("w+", encoding="utf-8") as stream:
        begin = time.perf_counter()
        process = _start(command, variables, stream)
        with peak_of_session(process.pid, shared_once=shared_once) if memory else nullcontext([0]) as peak:
            _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu_s = used.ru_utime + used.ru_stime + _wait_for_orphans(process.pid)
        stream.seek(0)
        output = stream.read()
    if process.returncode:
        raise CommandFailedError(f"{' '.join(command)} ended with {process.returncode}:\n{output[-2000:]}")
    return Cost(cpu_s, wall_s, output, peak[0])


def run_and_kill(command: Sequence[str], variables: Mapping[str, str], log: Path, after_s: float) -> bool:
    """Run a Python command line and kill it (SIGKILL) with all that it started; False if it ended before that."""
    with log.open("w", encoding="utf-8") as stream:
        process = _start(command, variables, stream)
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
    return False


def _wait_for_orphans(group: int) -> float:
    """CPU seconds of the processes of a group that its first one left behind, once they have ended."""
    cpu_s = 0.0
    with suppress(ChildProcessError):
        while True:
            _, _, used = os.wait4(-group, 0)
            cpu_s += used.ru_utime + used.ru_stime
    return cpu_s


def _start(command: Sequence[str], variables: Mapping[str, str], stream: IO[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *command],
        env=dict(variables),
        stdout=stream,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
