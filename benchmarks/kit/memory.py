"""How much memory and CPU time a command and all that it started take, looked at while they run."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

INTERVAL_S = 0.1
SHARED_INTERVAL_S = 1.0
"""The kernel needs some milliseconds to tell what a large process shares with others."""

_SESSION_FIELD, _PAGES_FIELD = 3, 21
_TICKS_FIELDS = slice(11, 13)
"""Fields of `/proc/PID/stat` after the name of the command."""


@contextmanager
def peak_of_session(session: int, *, shared_once: bool = False) -> Iterator[list[int]]:
    """The most bytes at one moment, as the one value of a list that is set in the end.

    Args:
        session: id of the session that the processes are in, which is that of its first process.
        shared_once: whether what processes share counts once among all of them, else for each.
    """
    peak, ended = [0], threading.Event()
    count, interval_s = (proportional_bytes, SHARED_INTERVAL_S) if shared_once else (resident_bytes, INTERVAL_S)

    def look() -> None:
        while not ended.wait(interval_s):
            peak[0] = max(peak[0], count(session))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def resident_bytes(session: int) -> int:
    """Resident memory of all processes of a session; what they share counts for each."""
    pages = sum(int(fields[_PAGES_FIELD]) for _, fields in _processes(session))
    return pages * os.sysconf("SC_PAGE_SIZE")


def proportional_bytes(session: int) -> int:
    """Proportional set size (PSS) of all processes of a session: what several share is divided among them."""
    total = 0
    for folder, _ in _processes(session):
        with suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(encoding="ascii"), re.MULTILINE)
            total += 1024 * int(found[1]) if found else 0
    return total


def cpu_seconds(session: int) -> float:
    """User and system time of the processes of a session that are running, so far."""
    ticks = sum(int(field) for _, fields in _processes(session) for field in fields[_TICKS_FIELDS])
    return ticks / os.sysconf("SC_CLK_TCK")


def _processes(session: int) -> Iterator[tuple[Path, list[str]]]:
    """Folder in `/proc` of each process of a session, and what its `stat` says after the name of its command."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[_SESSION_FIELD]) == session:
            yield path.parent, fields
