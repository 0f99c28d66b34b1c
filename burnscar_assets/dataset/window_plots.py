"""The picture of a year's windows: the places with most of them from near, and what all are used for."""

from typing import TYPE_CHECKING, Final

import geopandas as gpd
import pandas as pd
import shapely

from burnscar_assets.classes import BURNT, CATEGORIES, CLASS_COLORS, CLASS_NAMES, split_colors
from burnscar_assets.storage.tables import table_crs
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLACES_SHOWN: Final = 2
_PERIMETER_COLOR: Final = "#ead9d0"
_NEAR_M: Final = 2_500.0
_KILOMETRE_M: Final = 1000.0


def plot_windows(windows: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame, *, title: str, simulated: bool) -> "Figure":
    """Footprints at the fires with most windows, beside counts by split and the days that imagery is wanted from.

    Args:
        windows: table `windows`, the region's CRS.
        perimeters: table `fire_perimeters` of the year, the region's CRS.
        title: heading.
        simulated: whether the perimeters are simulated, which the heading then says.

    Returns:
        A figure of about 10 × 4 inches; as PNG at its own resolution below 100 KB.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=90, layout="constrained")
    figure.suptitle(as_drawn(f"{title} (simulated)" if simulated else title), fontsize=10)
    grid = figure.add_gridspec(2, PLACES_SHOWN + 1, width_ratios=(*[1.1] * PLACES_SHOWN, 1))
    of_fires = windows.loc[windows["fire_id"].fillna("") != "", "fire_id"]
    crowded = of_fires.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    for place, fire in enumerate(crowded.index[:PLACES_SHOWN]):
        _draw_fire(figure.add_subplot(grid[:, place]), str(fire), windows, perimeters)
    _draw_splits(figure.add_subplot(grid[0, -1]), windows)
    _draw_days(figure.add_subplot(grid[1, -1]), windows)
    return figure


def _draw_fire(axes: "Axes", fire: str, windows: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame) -> None:
    """One fire from near, with every window thereabouts."""
    from matplotlib.ticker import MaxNLocator

    view = _view(windows[windows["fire_id"] == fire])
    outlines = perimeters[perimeters.intersects(view)]
    if len(outlines):
        outlines.plot(ax=axes, color=_PERIMETER_COLOR, aspect=None)
    near = windows[windows.intersects(view)]
    for category, rows in near.groupby("category"):
        rows.plot(ax=axes, facecolor="none", edgecolor=CLASS_COLORS[str(category)], linewidth=0.9, aspect=None)
        axes.plot([], [], "s", markerfacecolor="none", color=CLASS_COLORS[str(category)], label=f"{category}")
    left, bottom, right, top = view.bounds
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel=f"{table_crs()}, km", ylabel="")
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value / _KILOMETRE_M:.0f}")
        axis.set_major_locator(MaxNLocator(6))
    names = perimeters.loc[perimeters["fire_id"] == fire, "fire_name"].dropna()
    split = windows.loc[windows["fire_id"] == fire, "split"].iloc[0]
    name = as_drawn(names.iloc[0] if len(names) else fire[:8])
    axes.set_title(f"{name}: {split}, {len(near)} windows", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.xaxis.label.set_fontsize(7)
    axes.legend(fontsize=7, loc="upper right", framealpha=0.9)


def _view(of_fire: gpd.GeoDataFrame) -> shapely.Polygon:
    """A square about the fire's burnt windows, or about all of them if none is burnt."""
    burnt = of_fire[of_fire["category"] == CLASS_NAMES[BURNT]]
    left, bottom, right, top = (burnt if len(burnt) else of_fire).total_bounds
    reach = max(right - left, top - bottom) / 2 + _NEAR_M
    return shapely.Point((left + right) / 2, (bottom + top) / 2).buffer(reach, cap_style="square")


def _draw_splits(axes: "Axes", windows: gpd.GeoDataFrame) -> None:
    """Bars of windows by class, stacked by split."""
    counts = pd.crosstab(windows["category"].astype(str), windows["split"].astype(str))
    colors = split_colors(counts.columns)
    counts = counts.reindex(index=CATEGORIES, columns=[*colors], fill_value=0)
    left = pd.Series(0, index=counts.index)
    for split, color in colors.items():
        axes.barh(counts.index, counts[split], left=left, color=color, label=split)
        left = left + counts[split]
    for place, total in enumerate(left):
        axes.text(total, place, f" {total}", va="center", fontsize=7)
    axes.margins(x=0.15, y=0.35)
    axes.invert_yaxis()
    axes.set_title("windows by class and split", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=6, frameon=False, ncols=len(colors), loc="lower center")


def _draw_days(axes: "Axes", windows: gpd.GeoDataFrame) -> None:
    """Bars of windows by the week from which imagery is wanted."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    weeks = windows["start_time"].dt.tz_localize(None).dt.to_period("W").dt.start_time
    counts = weeks.value_counts().sort_index()
    axes.bar(counts.index, counts.to_numpy(), width=6, color="#8c8c8c")
    axes.set_title("windows by week of the first day", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.xaxis.offsetText.set_fontsize(7)
    if len(counts):
        locator = AutoDateLocator(minticks=3, maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axes.set_xticks([])
