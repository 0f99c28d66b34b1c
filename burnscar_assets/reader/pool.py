"""Threads that read, and that a program need not wait for when it ends."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import rasterio


class Task:
    """A call that a thread of the pool makes."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make the call and keep what came of it."""
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error
        self._call = _nothing
        self._done.set()

    @property
    def done(self) -> bool:
        """Whether the call was made."""
        return self._done.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the call was made, or for so long; returns whether it was."""
        return self._done.wait(timeout_s)

    def result(self) -> Any:
        """What the call gave, when it was made; raises what it raised."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value


class Pool:
    """Daemon threads that make calls in the order in which they came, with GDAL set for reading."""

    def __init__(self, threads: int, options: dict[str, Any]) -> None:
        self.stopped = threading.Event()
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._threads = threads
        self._options = options
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"imagery-{number}", daemon=True).start()

    def submit(self, call: Callable[[], Any]) -> Task:
        """Have a call made."""
        task = Task(call)
        self._queue.put(task)
        return task

    def stop(self) -> None:
        """End the threads after what they do now; calls that wait are dropped."""
        self.stopped.set()
        for _ in range(self._threads):
            self._queue.put(None)

    def _serve(self) -> None:
        with rasterio.Env(**self._options):
            while (task := self._queue.get()) is not None and not self.stopped.is_set():
                task.run()


def _nothing() -> None:
    """What is left of a call that was made."""
