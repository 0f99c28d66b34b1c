"""Work on parts of an array side by side, in threads: what takes long in it, Python's own lock isn't held for."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

Part = TypeVar("Part")

_WORTHWHILE: Final = 4
"""Parts from which on threads save more than they cost."""

_MOST: Final = 8


def side_by_side(work: Callable[[Part], None], parts: Sequence[Part]) -> None:
    """Do the work on each part, on as many threads as there are cores; its first error is raised.

    Threads live for this call only: a process that is forked later has none of them.
    """
    threads = min(len(os.sched_getaffinity(0)), _MOST, len(parts))
    if threads < 2 or len(parts) < _WORTHWHILE:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, parts):
            pass
