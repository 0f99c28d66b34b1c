"""Processes that end with the one that started them, however that one ends.

A process that is killed can't end the ones it started; left alone they would go on writing beside the next run. So
each of them watches its parent.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

PARENT_VARIABLE: Final = "BURNSCAR_PARENT"
"""Environment variable with the id of the process that a process is to end with."""

WATCH_INTERVAL_S: Final = 0.2
EXIT_CODE: Final = 3
SERVICE_GRACE_S: Final = 10.0
"""For a service whose parent is gone, to end what it started."""

_BARE: Final = (
    "PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "PROJ_DATA", "PROJ_LIB",
)  # fmt: skip


def bare_environment() -> dict[str, str]:
    """What a process needs to start and nothing more: no credentials, proxies or settings."""
    return {name: os.environ[name] for name in _BARE if name in os.environ}


def child_environment() -> Mapping[str, str]:
    """What has a process that this one starts end with it, if it calls `end_with_parent`."""
    return {PARENT_VARIABLE: str(os.getpid())}


def pop_parent() -> int | None:
    """Id of the process that this one is to end with, which it then no longer tells those that it starts."""
    parent = os.environ.pop(PARENT_VARIABLE, None)
    return None if parent is None else int(parent)


def end_with_parent(grace_s: float = 0.0) -> None:
    """End this process as soon as the one of `child_environment` has; without one, do nothing.

    Args:
        grace_s: How long it may take to end by itself, being sent SIGTERM, in seconds.
    """
    parent = pop_parent()
    if parent is not None:
        _end_after(lambda: _outlive(parent), grace_s)


@contextmanager
def ending_with(parent: int) -> Iterator[None]:
    """Within this context, end this process as soon as the one that started it has; no thread is left behind it.

    Args:
        parent: Id of the process that started this one.
    """
    done = Event()

    def watch() -> None:
        while not done.wait(WATCH_INTERVAL_S):
            if os.getppid() != parent:
                os._exit(EXIT_CODE)

    thread = Thread(target=watch, name="watches its parent", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def main() -> None:
    """Run a module with its arguments, as `python -m` does, in a process that ends with the one that started it."""
    sys.argv = sys.argv[1:]
    end_with_parent(SERVICE_GRACE_S)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def end_worker_with_parent() -> None:
    """The same for a worker of `multiprocessing`, whose parent is known without being told."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _end_after(parent.join)


def _outlive(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_INTERVAL_S)


def _end_after(wait: Callable[[], None], grace_s: float = 0.0) -> None:
    def watch() -> None:
        wait()
        if grace_s:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(grace_s)
        os._exit(EXIT_CODE)

    Thread(target=watch, name="watches its parent", daemon=True).start()


if __name__ == "__main__":
    main()
