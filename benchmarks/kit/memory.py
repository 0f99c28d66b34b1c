"""How much memory and CPU time a command and all that it started take, looked at while they run."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INTERVAL_S = 0.1
_SESSION_FIELD, _PAGES_FIELD = 3, 21
_TICKS_FIELDS = slice(11, 13)
"""Fields of `/proc/PID/stat` after the name of the command."""


@contextmanager
def peak_of_session(session: int) -> Iterator[list[int]]:
    """The most bytes at one moment, as the one value of a list that is set in the end.

    Args:
        session: id of the session that the processes are in, which is that of its first process.
    """
    peak, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(INTERVAL_S):
            peak[0] = max(peak[0], resident_bytes(session))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def resident_bytes(session: int) -> int:
    """Resident memory of all processes of a session; what they share counts for each."""
    pages = sum(int(fields[_PAGES_FIELD]) for fields in _processes(session))
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(session: int) -> float:
    """User and system time of the processes of a session that are running, so far."""
    ticks = sum(int(field) for fields in _processes(session) for field in fields[_TICKS_FIELDS])
    return ticks / os.sysconf("SC_CLK_TCK")


def _processes(session: int) -> Iterator[list[str]]:
    """What `/proc/PID/stat` says of each process of a session, after the name of its command."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[_SESSION_FIELD]) == session:
            yield fields
