"""The picture of a year's points: where they are, what they are used for, and what was lost."""

from typing import TYPE_CHECKING, Final

import geopandas as gpd
import pandas as pd

from burnscar_assets.classes import BURNT, CLASS_NAMES, MIXED, Stratum, split_colors
from burnscar_assets.sampling.land import load_land
from burnscar_assets.storage.tables import table_crs
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OUTLINE_TOLERANCE_M = 300.0
_KILOMETRE_M = 1000.0
_LAND_COLOR: Final = "#f0eee9"
_PERIMETER_COLOR: Final = "#d9c2b8"
_LOSS_COLOR: Final = "#8c8c8c"
_CLASS_MARKERS: Final = {"burnt": "o", "unburnt": "^", MIXED: "s"}


def plot_points(
    points: gpd.GeoDataFrame,
    perimeters: gpd.GeoDataFrame,
    *,
    title: str,
    simulated: bool,
    losses: pd.DataFrame | None = None,
) -> "Figure":
    """Draw points on a map, and beside it how many there are.

    About 7 × 5 inches; as PNG at its own resolution below 100 KB.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, 4.8), dpi=90, layout="constrained")
    grid = figure.add_gridspec(2 if losses is not None else 1, 2, width_ratios=(1.7, 1))
    figure.suptitle(as_drawn(f"{title} (simulated)" if simulated else title), fontsize=10)
    _draw_map(figure.add_subplot(grid[:, 0]), points, perimeters)
    _draw_strata(figure.add_subplot(grid[0, 1]), points)
    if losses is not None:
        _draw_losses(figure.add_subplot(grid[1, 1]), losses)
    return figure


def plot_folds(folds: gpd.GeoDataFrame, *, title: str, simulated: bool) -> "Figure":
    """Draw the ground of every fold's fires on a map."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.8), dpi=90, layout="constrained")
    figure.suptitle(as_drawn(f"{title} (simulated)" if simulated else title), fontsize=10)
    axes = figure.add_subplot()
    load_land(None).plot(ax=axes, color=_LAND_COLOR, aspect=None)
    for fold, color in split_colors(folds["fold"]).items():
        mine = folds[folds["fold"] == fold]
        mine.boundary.plot(ax=axes, color=color, aspect=None, linewidth=0.8)
        centres = mine.geometry.centroid
        axes.scatter(centres.x, centres.y, s=9, color=color, label=f"{fold}: {len(mine)} fires")
    _finish_map(axes)
    return figure


def _draw_map(axes: "Axes", points: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame) -> None:
    load_land(None).plot(ax=axes, color=_LAND_COLOR, aspect=None)
    outlines = perimeters.geometry.simplify(_OUTLINE_TOLERANCE_M)
    outlines = outlines[~outlines.is_empty]
    if len(outlines):
        outlines.plot(ax=axes, color=_PERIMETER_COLOR, aspect=None)
    colors = split_colors(points["split"])
    for (category, split), group in sorted(points.groupby(["category", "split"]), reverse=True):
        axes.scatter(
            group.geometry.x,
            group.geometry.y,
            marker=_CLASS_MARKERS[category],
            s=9,
            facecolor=colors[split] if category == CLASS_NAMES[BURNT] else "none",
            edgecolor=colors[split],
            linewidth=0.5,
            label=f"{category}, {split}: {len(group)}",
        )
    _finish_map(axes)


def _finish_map(axes: "Axes") -> None:
    """Coordinates in kilometres, and a legend of what was drawn, if anything was."""
    axes.set_aspect("equal")
    axes.set(xlabel=f"{table_crs()}, km", ylabel="")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value / _KILOMETRE_M:.0f}")
    axes.tick_params(labelsize=7)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=6, loc="upper right", frameon=False)


def _draw_strata(axes: "Axes", points: gpd.GeoDataFrame) -> None:
    """Bars of points by stratum, stacked by split."""
    counts = pd.crosstab(points["stratum"].astype(str), points["split"].astype(str))
    strata = [stratum.value for stratum in Stratum if stratum.value in counts.index][::-1]
    left, colors = pd.Series(0, index=strata), split_colors(points["split"])
    for split in (name for name in colors if name in counts.columns):
        axes.barh(strata, counts.loc[strata, split], left=left, color=colors[split], label=split)
        left = left + counts.loc[strata, split]
    for place, total in enumerate(left):
        axes.text(total, place, f" {total}", va="center", fontsize=7)
    axes.margins(x=0.15)
    axes.set_title("points by stratum", fontsize=8)
    axes.tick_params(labelsize=7)
    if strata:
        axes.legend(fontsize=6, frameon=False)


def _draw_losses(axes: "Axes", losses: pd.DataFrame) -> None:
    """Bars of points wanted and lost, by reason."""
    counts = losses.groupby("reason")["points"].sum().sort_values()
    axes.barh(counts.index.astype(str).str.replace("_", " "), counts.to_numpy(dtype=float), color=_LOSS_COLOR)
    for place, total in enumerate(counts):
        axes.text(total, place, f" {total}", va="center", fontsize=7)
    axes.margins(x=0.2)
    axes.set_title("points lost by reason", fontsize=8)
    axes.tick_params(labelsize=7)
