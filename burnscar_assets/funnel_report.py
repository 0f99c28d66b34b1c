"""The funnel for people: a table for the terminal, a picture for the web UI."""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from rich.table import Table as RichTable

from burnscar_assets.classes import SPLIT_COLORS
from burnscar_assets.funnel import funnel
from burnscar_assets.storage.paths import DataRoot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STEP_COLOR: Final = "#8c8c8c"
_LOSS_COLOR: Final = "#c1440e"
_LOSS_WIDTH: Final = 75
"""Characters a line of losses."""
_BARS_SHARE: Final = 0.4
"""Share of the picture's width for the bars."""


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


def funnel_tables(root: DataRoot, fire_years: Iterable[int], layer: str, *, simulated: bool) -> Iterator[RichTable]:
    """The funnel of each fire year, for the terminal.

    Args:
        root: data root.
        fire_years: years.
        layer: raster layer that the model reads.
        simulated: whether perimeters or imagery are simulated, which the titles then say.

    Raises:
        MissingDataError: there is no release yet.
        InputError: a table is damaged.
    """
    for year in sorted(fire_years):
        table = RichTable("step", "count", "lost", title=_heading(f"From records to examples, {year}", simulated))
        table.columns[1].justify = "right"
        for step in steps(funnel(root, year, layer)):
            table.add_row(step.label, f"{step.count:,}", step.losses)
        yield table


def plot_funnel(rows: pd.DataFrame, *, title: str, simulated: bool) -> "Figure":
    """Bars of what came through each step of a funnel, with the losses beside.

    Args:
        rows: a funnel.
        title: heading.
        simulated: whether perimeters or imagery are simulated, which the heading then says.

    Returns:
        A figure of about 9 × 5 inches; as PNG at its own resolution below 100 KB.
    """
    from matplotlib.figure import Figure

    shown = list(steps(rows))
    figure = Figure(figsize=(9, 0.8 + 0.3 * len(shown)), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    colors = [SPLIT_COLORS.get(step.name.split("_")[0], _STEP_COLOR) for step in shown]
    bars = axes.barh([step.label for step in shown], [step.count for step in shown], color=colors)
    axes.bar_label(bars, [f"{step.count:,}" for step in shown], padding=2, fontsize=8)
    axes.set_xscale("function", functions=(np.sqrt, np.square))
    axes.set_xlim(0, max([1, *(step.count for step in shown)]) / _BARS_SHARE**2)
    for place, step in enumerate(shown):
        losses = textwrap.fill(f"lost: {step.losses}", _LOSS_WIDTH) if step.lost else ""
        at = axes.get_yaxis_transform()
        axes.text(_BARS_SHARE + 0.07, place, losses, transform=at, va="center", fontsize=7, color=_LOSS_COLOR)
    axes.set_xticks([])
    axes.set_xlabel("length of bars: square root of the count", fontsize=7, loc="left")
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle(_heading(title, simulated), fontsize=10)
    return figure


def _heading(title: str, simulated: bool) -> str:
    return f"{title} (simulated)" if simulated else title
