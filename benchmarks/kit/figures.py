"""Figures with their bars: one JSON line each as they are known, a table at the end."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import ge, le
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

DIGITS = 4
_COMPARE = {"<=": le, ">=": ge}


@dataclass(frozen=True)
class Bar:
    """What a figure must reach: `<=` is held against ours, `>=` against the ratio, or ours if that has an interval.

    Attributes:
        sign: of the comparison.
        limit: what is compared with.
        shown: whether the lower end of the figure's interval must be above 0 too.
    """

    sign: Literal["<=", ">="]
    limit: float
    shown: bool = False

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:g}" + (", lower end > 0" if self.shown else "")


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: what was measured.
        ours: our value.
        unit: of `ours` and `peer`, and what is counted.
        peer: the same of what we compare with, measured in the same run.
        ratio: how many times better ours is than the peer's; by default, of values of which less is better.
        bar: what must be reached; none for a figure that is only reported.
        interval: of `ours`, where it has one; NaN where too few fires tell.
    """

    name: str
    ours: float
    unit: str
    peer: float | None = None
    ratio: float | None = None
    bar: Bar | None = None
    interval: tuple[float, float] | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the bar is reached; None without a bar."""
        if self.bar is None:
            return None
        held = self.ours if self.bar.sign == "<=" or self.interval is not None else self._ratio()
        is_shown = not self.bar.shown or (self.interval is not None and self.interval[0] > 0)
        return held is not None and _COMPARE[self.bar.sign](held, self.bar.limit) and is_shown

    def line(self) -> dict[str, Any]:
        """The figure as the fields of its JSON line, numbers to four significant digits."""
        values = asdict(self) | {"ratio": self._ratio(), "bar": str(self.bar) if self.bar else None}
        named = {"figure": values.pop("name"), **values, "holds": self.holds}
        order = ("figure", "ours", "interval", "peer", "ratio", "unit", "bar", "holds")
        return {key: _rounded(named[key]) for key in order if key != "interval" or self.interval}

    def _ratio(self) -> float | None:
        if self.ratio is not None or not self.peer or not self.ours:
            return self.ratio
        return self.peer / self.ours


class Report:
    """Prints figures as they come, and all of them again as a table."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []

    def add(self, *figures: Figure) -> None:
        """Print a JSON line for each figure."""
        for figure in figures:
            self.figures.append(figure)
            print(json.dumps(figure.line()), flush=True)

    def show(self, title: str) -> None:
        """Print the table."""
        table = Table(title=title)
        with_interval = any(figure.interval for figure in self.figures)
        headings = ("figure", "ours", *(["interval"] if with_interval else []), "peer", "ratio", "unit", "bar", "holds")
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for figure in self.figures:
            line = figure.line()
            table.add_row(*(_cell(line.get(heading)) for heading in headings))
        console = Console()
        (console if console.is_terminal else Console(width=200)).print(table)

    def missed(self) -> Sequence[str]:
        """Names of the figures whose bar is not reached."""
        return [figure.name for figure in self.figures if figure.holds is False]


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [None if math.isnan(end) else _rounded(end) for end in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _cell(value: Any) -> str:
    return "" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
