"""The funnel for people: a table for the terminal, one with bars for the web UI."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pandas as pd
from rich.table import Table as RichTable

from burnscar_assets.funnel import funnel
from burnscar_assets.storage.paths import DataRoot

_BAR_LENGTH: Final = 20
"""Characters of the longest bar."""


@dataclass(frozen=True)
class Step:
    """One step of a funnel: what came through, and how many were lost by reason."""

    name: str
    unit: str
    count: int
    lost: dict[str, int]

    @property
    def label(self) -> str:
        """The step's name, and what it counts where the name doesn't say so."""
        shown = self.name.replace("_", " ")
        return shown if self.unit in shown else f"{shown} ({self.unit})"

    @property
    def losses(self) -> str:
        """What was lost, most first, in words."""
        most_first = sorted(self.lost.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in most_first)


def steps(rows: pd.DataFrame) -> Iterator[Step]:
    """The steps of a funnel, in order."""
    for name, of_step in rows.groupby("step", sort=False):
        through, lost = of_step[of_step["reason"] == ""].iloc[0], of_step[of_step["reason"] != ""]
        counts = {str(reason): int(count) for reason, count in zip(lost["reason"], lost["count"], strict=True)}
        yield Step(str(name), str(through["unit"]), int(through["count"]), counts)


def funnel_tables(
    root: DataRoot, fire_years: Iterable[int], layer: str, min_clear_fraction: float, *, simulated: bool
) -> Iterator[RichTable]:
    """The funnel of each fire year, for the terminal.

    Args:
        root: data root.
        fire_years: years.
        layer: raster layer that the model reads.
        min_clear_fraction: least share of a window that is clear for it to count, 0–1.
        simulated: whether perimeters or imagery are simulated, which the titles then say.

    Raises:
        MissingDataError: there is no release yet.
        InputError: a table is damaged.
    """
    for year in sorted(fire_years):
        table = RichTable("step", "count", "lost", title=_heading(f"From records to examples, {year}", simulated))
        table.columns[1].justify = "right"
        for step in steps(funnel(root, year, layer, min_clear_fraction)):
            table.add_row(step.label, f"{step.count:,}", step.losses)
        yield table


def markdown_funnel(rows: pd.DataFrame, *, title: str, simulated: bool) -> str:
    """A funnel as a table in Markdown, with a bar a step, for the web UI.

    Args:
        rows: a funnel.
        title: heading.
        simulated: whether perimeters or imagery are simulated, which the heading then says.
    """
    shown = list(steps(rows))
    most = max([1, *(step.count for step in shown)])
    lines = [f"**{_heading(title, simulated)}** (length of bars: square root of the count)", ""]
    lines += ["| step | | count | lost |", "| --- | :-- | --: | --- |"]
    for step in shown:
        bar = "█" * round(_BAR_LENGTH * math.sqrt(step.count / most))
        lines.append(f"| {step.label} | {bar} | {step.count:,} | {step.losses} |")
    return "\n".join(lines)


def _heading(title: str, simulated: bool) -> str:
    return f"{title} (simulated)" if simulated else title
