"""Processes that end with the one that started them, however that one ends.

A process that is killed can't end the ones it started; left alone they would go on writing beside the next run. So
each of them watches its parent.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Final

PARENT_VARIABLE: Final = "BURNSCAR_PARENT"
"""Environment variable with the id of the process that a process is to end with."""

WATCH_INTERVAL_S: Final = 0.2
EXIT_CODE: Final = 3


def child_environment() -> Mapping[str, str]:
    """What has a process that this one starts end with it, if it calls `end_with_parent`."""
    return {PARENT_VARIABLE: str(os.getpid())}


def end_with_parent() -> None:
    """End this process as soon as the one of `child_environment` has; without one, do nothing."""
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is not None:
        _end_after(lambda: _outlive(int(parent)))


def end_worker_with_parent() -> None:
    """The same for a worker of `multiprocessing`, whose parent is known without being told."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _end_after(parent.join)


def _outlive(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_INTERVAL_S)


def _end_after(wait: Callable[[], None]) -> None:
    def watch() -> None:
        wait()
        os._exit(EXIT_CODE)

    Thread(target=watch, name="watches its parent", daemon=True).start()
