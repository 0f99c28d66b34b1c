"""The picture of a comparison: what decides with intervals, differences to the reference, and quality against cost."""

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from burnscar_assets.comparison.compare import COST, DECISIVE_BY, MAPS, QUALITY, REFERENCE, WHAT_DECIDES
from burnscar_assets.comparison.paired import BETTER, WORSE
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS: Final = {BETTER: "#3a7d44", WORSE: "#c1440e", REFERENCE: "#1f4e79"}
_OTHER: Final = "#5b6770"


def plot_comparison(table: pd.DataFrame, *, title: str, simulated: bool) -> "Figure":
    """Set-ups by what decides, best at the top; their differences to the reference; quality against time of training.

    What decides is the mean IoU of maps, with floors and burn indices among the set-ups; without maps, F1 of windows.

    Args:
        table: contract SETUP_COMPARISON.
        title: heading.
        simulated: whether the heading must say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    scope = MAPS if (table["scope"] == MAPS).any() else QUALITY
    decisive = table[(table["scope"] == scope) & (table["metric"] == DECISIVE_BY[scope])]
    shown = decisive.sort_values("value", kind="stable", na_position="first").reset_index(drop=True)
    figure = Figure(figsize=(13.5, 1.6 + 0.42 * len(shown)), layout="constrained")
    figure.suptitle(as_drawn(f"{title} (simulated imagery)" if simulated else title), fontsize=11)
    values, differences, costs = figure.subplots(1, 3, width_ratios=[1.2, 1.2, 1])
    _draw_values(values, shown, WHAT_DECIDES[DECISIVE_BY[scope]])
    _draw_differences(differences, shown)
    _draw_costs(costs, shown, table, WHAT_DECIDES[DECISIVE_BY[scope]])
    for axes in (values, differences, costs):
        axes.tick_params(labelsize=8)
        axes.title.set_fontsize(9)
        axes.grid(alpha=0.3)
    return figure


def _draw_values(axes: "Axes", shown: pd.DataFrame, what: str) -> None:
    for place, row in enumerate(shown.itertuples()):
        color = _COLORS.get(str(row.verdict), _OTHER)
        axes.errorbar(row.value, place, xerr=_reach(row.value, row.low, row.high), fmt="o", color=color, capsize=3)
        if not np.isnan(row.seed_low):
            axes.plot([row.seed_low, row.seed_high], [place - 0.22] * 2, "|-", color=color, markersize=4, linewidth=1)
    axes.set_yticks(range(len(shown)), shown["title"].map(as_drawn))
    axes.set(ylim=(-0.6, len(shown) - 0.4), title=f"{what}, intervals over fires and seeds; below: span of seeds")


def _draw_differences(axes: "Axes", shown: pd.DataFrame) -> None:
    axes.axvline(0, color="0.4", linewidth=0.8)
    for place, row in enumerate(shown.itertuples()):
        color = _COLORS.get(str(row.verdict), _OTHER)
        if row.verdict == REFERENCE:
            axes.text(0, place, " reference", color=color, fontsize=8, va="center")
            continue
        reach = _reach(row.difference, row.difference_low, row.difference_high)
        axes.errorbar(row.difference, place, xerr=reach, fmt="o", color=color, capsize=3)
    axes.set_yticks(range(len(shown)), [""] * len(shown))
    axes.set(ylim=(-0.6, len(shown) - 0.4), title="difference to the reference; intervals hold for all pairs together")


def _draw_costs(axes: "Axes", shown: pd.DataFrame, table: pd.DataFrame, what: str) -> None:
    seconds = table[(table["scope"] == COST) & (table["metric"] == "train_seconds")].set_index("setup")["value"]
    known = [row for row in shown.itertuples() if not np.isnan(seconds.get(row.setup, np.nan))]
    for row in known:
        axes.plot(seconds[row.setup], row.value, "o", color=_COLORS.get(str(row.verdict), _OTHER))
        axes.annotate(
            as_drawn(row.title), (seconds[row.setup], row.value), (4, 4), textcoords="offset points", fontsize=7
        )
    if known:
        axes.set_xscale("log")
        axes.margins(x=0.25, y=0.15)
    axes.set(xlabel="seconds of training", ylabel=what, title="quality against cost")


def _reach(value: float, low: float, high: float) -> "np.ndarray":
    return np.nan_to_num(np.array([[value - low], [high - value]])).clip(0)
