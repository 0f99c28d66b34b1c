"""Progress of stages that run side by side: a line for each that has ended, and on a terminal bars and an estimate.

All that is told may come from several threads at once.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from statistics import fmean
from typing import Final

from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from burnscar_assets.progress import Progress, StageProgress, silent
from burnscar_assets.terminal import Console, progress_console, told_once
from burnscar_assets.text import printable

BAR_WIDTH: Final = 24
_A_MINUTE_S: Final = 60


@contextmanager
def live_stages() -> Iterator[StageProgress]:
    """Tell of stages on standard error: bars on a terminal, a line for each stage elsewhere."""
    with progress_console() as console:
        if not console.is_terminal:
            yield _Lines(console)
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR_WIDTH),
            TextColumn("{task.fields[said]}", markup=False),
            TimeElapsedColumn(),
        )
        with Bars(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bars:
            yield _Bars(bars)


class Estimate:
    """How much is left, and how long that takes if it goes on as so far.

    Args:
        clock: tells the time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun: float | None = None
        self._left: set[str] = set()
        self._started: dict[str, float] = {}
        self._took: defaultdict[str, list[float]] = defaultdict(list)
        self.done = 0
        """Stages that have ended."""

    @property
    def total(self) -> int:
        """Stages that have ended, are at work, or may still run."""
        return self.done + len(self._left | self._started.keys())

    def planned(self, stages: Collection[str]) -> None:
        """Take these for what is at work or left."""
        self._left = set(stages)

    def started(self, stage: str) -> None:
        """Note that a stage has begun."""
        self._started[stage] = self._clock()
        self._begun = self._started[stage] if self._begun is None else self._begun

    def ended(self, stage: str) -> float:
        """Note that a stage has ended; returns the seconds that it took."""
        seconds = self._clock() - self._started.pop(stage)
        self._left.discard(stage)
        self._took[_asset(stage)].append(seconds)
        self.done += 1
        return seconds

    def seconds_left(self) -> float | None:
        """Seconds until all is done, at most: each stage as long as its asset's so far; None before one has ended.

        One whose asset has none yet counts as the mean of all, and as many go on side by side as did so far.
        """
        every = [seconds for took in self._took.values() for seconds in took]
        if not every or self._begun is None:
            return None
        now = self._clock()
        at_work = {stage: now - begun for stage, begun in self._started.items()}
        left = sum(
            max(fmean(self._took.get(_asset(stage), every)) - at_work.get(stage, 0.0), 0.0)
            for stage in self._left | at_work.keys()
        )
        beside = (sum(every) + sum(at_work.values())) / max(now - self._begun, 1e-3)
        return left / max(beside, 1.0)


class _Lines:
    """Writes a line for each stage that has ended."""

    def __init__(self, console: Console) -> None:
        self._console, self._estimate, self._lock = console, Estimate(), threading.Lock()
        self.work = told_once(console)

    def planned(self, stages: Collection[str]) -> None:
        """Nothing is written of what is to come."""

    def started(self, stage: str) -> Progress:
        with self._lock:
            self._estimate.started(stage)
        return silent

    def ended(self, stage: str, made: str | None) -> None:
        with self._lock, suppress(BrokenPipeError):  # the work goes on
            line = _line(stage, made, self._estimate.ended(stage))
            self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)
            self._console.file.flush()


class _Bars:
    """Draws a bar for all stages and one for each at work, below a line for each that has ended."""

    def __init__(self, bars: Bars) -> None:
        self._bars, self._estimate, self._lock = bars, Estimate(), threading.RLock()
        self._whole: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}

    def planned(self, stages: Collection[str]) -> None:
        with self._lock:
            self._estimate.planned(stages)
            if self._whole is None and stages:
                self._whole = self._bars.add_task("all stages", total=None, said="")
            self._tell_whole()

    def started(self, stage: str) -> Progress:
        with self._lock:
            self._estimate.started(stage)
            self._tasks[stage] = self._bars.add_task(printable(stage), total=None, said="")
        return partial(self._report, stage)

    def ended(self, stage: str, made: str | None) -> None:
        with self._lock:
            line = _line(stage, made, self._estimate.ended(stage))
            self._bars.remove_task(self._tasks.pop(stage))
            self._bars.console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)
            self._tell_whole()

    def work(self, what: str, done: int, total: int) -> None:
        with self._lock:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(printable(what), total=total or None, said="")
            self._update(self._tasks[what], "", done, total)

    def _report(self, stage: str, what: str, done: int, total: int) -> None:
        with self._lock:
            if stage in self._tasks:
                self._update(self._tasks[stage], printable(what), done, total)
                self._tell_whole()

    def _update(self, task: TaskID, what: str, done: int, total: int) -> None:
        said = f"{what} {done}/{total}" if total else what
        self._bars.update(task, completed=done, total=total or None, said=said.strip())

    def _tell_whole(self) -> None:
        if self._whole is not None:
            done, total, seconds = self._estimate.done, self._estimate.total, self._estimate.seconds_left()
            left = "" if seconds is None or done == total else f", about {_duration(seconds)} left"
            self._bars.update(self._whole, completed=done, total=total, said=f"{done}/{total}{left}")


def _line(stage: str, made: str | None, seconds: float) -> str:
    return printable(f"{stage}: {'failed' if made is None else made} ({seconds:.1f} s)")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _A_MINUTE_S else f"{seconds / _A_MINUTE_S:.0f} min"


def _asset(stage: str) -> str:
    return stage.partition(" ")[0]
