"""Progress on the terminal: one line a kind of work, on a stream that Dagster's log capture leaves alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from burnscar_assets.progress import Progress

STANDARD_ERROR = 2


@contextmanager
def live_progress() -> Iterator[Progress]:
    """A progress callback that draws bars on a terminal, and prints a line per kind of work elsewhere."""
    with os.fdopen(os.dup(STANDARD_ERROR), "w") as stream:
        console = Console(file=stream)
        yield from _bars(console) if console.is_terminal else _lines(console)


def _lines(console: Console) -> Iterator[Progress]:
    last = ""

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        if what != last:
            last = what
            console.print(f"{what} …", highlight=False)
            console.file.flush()

    yield report


def _bars(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with RichProgress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bars:

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for finished in tasks.values():
                    bars.stop_task(finished)
                tasks[what] = bars.add_task(what, total=total or None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield report
