"""How long work tells where it is."""

from typing import Protocol


class Progress(Protocol):
    """Called as work goes on: `done` of `total` steps of `what`; `total` is 0 where it isn't known."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report one state."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""
