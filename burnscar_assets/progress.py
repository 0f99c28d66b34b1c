"""How long work tells where it is."""

from collections.abc import Collection
from typing import Protocol


class Progress(Protocol):
    """Called as work goes on: `done` of `total` steps of `what`; `total` is 0 where it isn't known."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report one state."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


class StageProgress(Protocol):
    """Who is told of stages that run side by side; each is named by its asset and its fire year."""

    def planned(self, stages: Collection[str]) -> None:
        """Name all stages that run or may still run; said again whenever that has changed."""

    def started(self, stage: str) -> Progress:
        """Tell that a stage has begun; returns what it reports its work to."""

    def ended(self, stage: str, made: str | None) -> None:
        """Tell what a stage made, in words; None if it failed."""

    def work(self, what: str, done: int, total: int) -> None:
        """Tell of work that is no stage's."""
