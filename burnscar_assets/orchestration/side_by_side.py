"""Runs that go on side by side: each in a thread of its own, as many as the machine holds.

What takes long in a run is in processes of its own, or outside of Python's lock. A run is interrupted by an exception
that Python raises in its thread, as a signal's handler raises one in the main thread: it ends as if Ctrl-C had met it
alone, with its processes, and Dagster is told.
"""

import ctypes
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

import dagster as dg

from burnscar_assets.orchestration.capacity import Share
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.planning import SmallRun

INTERRUPT_GRACE_S = 30.0
"""For interrupted runs to end; a process of a stage that doesn't end by itself is killed after 10 s."""


@dataclass(eq=False)
class Running:
    """A run at work, or that was.

    Attributes:
        run: what it makes.
        share: what it takes of the machine.
        made: what it made.
        error: what ended it early.
    """

    run: SmallRun
    share: Share
    made: list[Pair] = field(default_factory=list)
    error: BaseException | None = None


class SideBySide:
    """Starts runs in threads, and tells as they end; at the end of the block, those still at work are interrupted.

    Args:
        whole: what they may take together.
    """

    def __init__(self, whole: Share) -> None:
        self._whole = whole
        self._threads: dict[Running, threading.Thread] = {}
        self._ended: SimpleQueue[Running] = SimpleQueue()

    def __enter__(self) -> Self:
        # For good, before there are threads: libraries that take filters back in one thread do so for all.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.filterwarnings("ignore", module=r"rasterio\.features")  # of arrays without a place on the ground
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        deadline = time.monotonic() + INTERRUPT_GRACE_S
        started = [thread for thread in self._threads.values() if thread.is_alive()]
        for thread in started:
            _interrupt(thread)
        for thread in started:
            thread.join(max(deadline - time.monotonic(), 0.0))

    @property
    def at_work(self) -> list[Pair]:
        """What the runs at work make, or may make."""
        return [pair for running in self._threads for pair in running.run.pairs]

    def has_room(self, share: Share) -> bool:
        """Whether a run that takes so much may start; one that takes more than there is may if it is alone."""
        taken = share
        for running in self._threads:
            taken += running.share
        return not self._threads or self._whole.holds(taken)

    def start(self, run: SmallRun, share: Share, work: Callable[[], list[Pair]]) -> None:
        """Start a run.

        Args:
            run: what it makes.
            share: what it takes of the machine.
            work: makes it, and returns what was made.
        """
        running = Running(run, share)

        def follow() -> None:
            try:
                running.made = work()
            except BaseException as error:
                running.error = error
            self._ended.put(running)

        name = f"makes {', '.join(map(str, run.pairs))}"
        thread = threading.Thread(target=copy_context().run, args=(follow,), name=name, daemon=True)
        self._threads[running] = thread
        thread.start()

    def wait(self) -> Running:
        """Wait until a run has ended, and return it.

        Raises:
            KeyboardInterrupt: it was interrupted.
        """
        running = self._ended.get()
        self._threads.pop(running).join()
        if running.error is not None and not isinstance(running.error, Exception):
            raise running.error
        return running


def _interrupt(thread: threading.Thread) -> None:
    """Raise what an interrupted run ends with in its thread, at its next step of Python."""
    raise_in: Any = ctypes.pythonapi.PyThreadState_SetAsyncExc
    raise_in(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(dg.DagsterExecutionInterruptedError))


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Within the block, SIGTERM interrupts the main thread as Ctrl-C does, so that runs end with their processes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
