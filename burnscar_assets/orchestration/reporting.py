"""Progress of a stage: to Dagster's log every few seconds, and to whoever listens in this process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import dagster as dg

from burnscar_assets.progress import Progress

LOG_INTERVAL_S = 10.0

_listener: ContextVar[Progress | None] = ContextVar("listener", default=None)


@contextmanager
def listening(progress: Progress) -> Iterator[None]:
    """Within the block, stages that run in this process report to `progress` too."""
    token = _listener.set(progress)
    try:
        yield
    finally:
        _listener.reset(token)


def reporter(context: dg.AssetExecutionContext) -> Progress:
    """The progress callback of one asset's run."""
    listener = _listener.get()
    last_logged = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        nonlocal last_logged
        if listener is not None:
            listener(what, done, total)
        now = time.monotonic()
        if now - last_logged >= LOG_INTERVAL_S:
            last_logged = now
            context.log.info(f"{what}: {done} of {total}" if total else f"{what}: {done}")

    return report
