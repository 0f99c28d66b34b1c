"""Pictures of the labels: a release by year, a year's perimeters, and the burns that could still show."""

from typing import TYPE_CHECKING, Final

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.classes import CLASS_COLORS
from burnscar_assets.labels.season_source import UNDER_WAY
from burnscar_assets.storage.tables import table_crs
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OUTLINE_TOLERANCE_M = 300.0
_KILOMETRE_M = 1000.0
_LAND_COLOR: Final = "#f0eee9"
_KIND_COLORS: Final = {"fire": CLASS_COLORS["burnt"], "prescribed": "#4c72b0"}
_KIND_NAMES: Final = {"fire": "wildfires", "prescribed": "prescribed burns"}


def plot_release(records: gpd.GeoDataFrame, *, title: str, simulated: bool) -> "Figure":
    """Bars of a release's records by fire year, wildfires above prescribed burns.

    Args:
        records: Contract RELEASE_RECORDS.
        title: Heading.
        simulated: Whether the records are simulated, which the heading then says.

    Returns:
        A figure of about 8 × 4 inches; as PNG at its own resolution below 100 KB.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=90, layout="constrained")
    figure.suptitle(_heading(title, simulated), fontsize=10)
    panels = figure.subplots(len(_KIND_NAMES), 1, sharex=True)
    for axes, (kind, name) in zip(panels, _KIND_NAMES.items(), strict=True):
        years = records.loc[records["kind"] == kind, "fire_year"]
        _bars_by_year(axes, years, _KIND_COLORS[kind])
        undated = int(years.isna().sum())
        axes.set_title(f"{len(years):,} {name}" + (f", {undated:,} without a year" if undated else ""), fontsize=9)
        axes.set_ylabel("records", fontsize=8)
    panels[-1].set_xlabel("fire year", fontsize=8)
    return figure


def plot_season(records: gpd.GeoDataFrame, *, title: str) -> "Figure":
    """Bars of a season's records by the week of their alarm: those contained, and those that aren't.

    Args:
        records: Contract IN_SEASON_RECORDS.
        title: Heading.

    Returns:
        A figure of about 8 × 3 inches; as PNG at its own resolution below 100 KB.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    fires = records[records["kind"] == "fire"]
    contained = fires["contained_by"].notna() & ~fires["contained_by"].isin(UNDER_WAY)
    shown = {"contained": fires[contained], "not contained": fires[~contained]}
    weeks = [group["alarm_date"].dropna().dt.dayofyear.to_numpy() // 7 for group in shown.values()]
    labels = [f"{name}: {len(group):,}" for name, group in shown.items()]
    colors = [_KIND_COLORS["prescribed"], CLASS_COLORS["burnt"]]
    axes.hist(weeks, bins=54, range=(0, 54), stacked=True, label=labels, color=colors)
    axes.set_title(as_drawn(title), fontsize=10)
    axes.set_xlabel("week of the alarm", fontsize=8)
    axes.set_ylabel("fires", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False)
    return figure


def plot_perimeters(
    perimeters: gpd.GeoDataFrame, rejects: pd.DataFrame, *, title: str, land: gpd.GeoDataFrame | None = None
) -> "Figure":
    """Draw a year's perimeters.

    Args:
        perimeters: Contract FIRE_PERIMETERS, in the region's CRS; if any is simulated, the map says so.
        rejects: Contract FIRE_PERIMETER_REJECTS; counted by reason, as they have no geometry.
        title: Heading.
        land: Drawn beneath, in the region's CRS.

    Returns:
        A figure of about 5 × 5 inches; as PNG at its own resolution below 100 KB.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5.2), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    _draw_land(axes, land)
    area_ha = perimeters["area_ha"].sum()
    _draw(axes, perimeters, CLASS_COLORS["burnt"], f"{len(perimeters):,} perimeters, {area_ha:,.0f} ha")
    axes.set_title(_heading(title, bool(perimeters["simulated"].any())), fontsize=10)
    _dress(axes)
    _count_rejects(axes, rejects)
    return figure


def plot_history(
    burns: gpd.GeoDataFrame, *, title: str, simulated: bool, land: gpd.GeoDataFrame | None = None
) -> "Figure":
    """A map of the burns that could still show, and how many there are of each year.

    Args:
        burns: Contract BURN_HISTORY, in the region's CRS.
        title: Heading.
        simulated: Whether the burns are simulated, which the heading then says.
        land: Drawn beneath, in the region's CRS.

    Returns:
        A figure of about 8 × 5 inches; as PNG at its own resolution below 100 KB.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), dpi=90, layout="constrained")
    figure.suptitle(_heading(title, simulated), fontsize=10)
    grid = figure.add_gridspec(len(_KIND_NAMES), 2, width_ratios=(1.5, 1))
    chart = figure.add_subplot(grid[:, 0])
    bars = [figure.add_subplot(grid[row, 1]) for row in range(len(_KIND_NAMES))]
    bars[0].sharex(bars[1])
    _draw_land(chart, land)
    for axes, (kind, name) in zip(bars, _KIND_NAMES.items(), strict=True):
        chosen = burns[burns["kind"] == kind]
        _draw(chart, chosen, _KIND_COLORS[kind], f"{len(chosen):,} {name}, {chosen.area.sum() / 1e4:,.0f} ha")
        _bars_by_year(axes, chosen["burn_year"], _KIND_COLORS[kind])
        axes.set_title(f"{name} by year", fontsize=9)
    _dress(chart)
    return figure


def _heading(title: str, simulated: bool) -> str:
    return as_drawn(f"{title} (simulated)" if simulated else title)


def _bars_by_year(axes: "Axes", years: "pd.Series[int]", color: str) -> None:
    from matplotlib.ticker import MaxNLocator

    counts = years.dropna().astype(int).value_counts().sort_index()
    axes.bar(counts.index.to_numpy(), counts.to_numpy(), color=color, width=0.85)
    axes.set_ylim(0, 1.15 * max([1, *counts]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8)


def _draw_land(axes: "Axes", land: gpd.GeoDataFrame | None) -> None:
    if land is not None and len(land):
        land.plot(ax=axes, color=_LAND_COLOR, aspect=None)


def _draw(axes: "Axes", shapes: gpd.GeoDataFrame, color: str, label: str) -> None:
    """Outlines, and rings about them, as most fires are too small to be seen on a map of the state."""
    axes.plot([], [], "s", color=color, label=label)
    if shapes.empty:
        return
    outlines = shapes.geometry.simplify(_OUTLINE_TOLERANCE_M, preserve_topology=False)
    outlines = outlines[~outlines.is_empty]
    if len(outlines):
        outlines.plot(ax=axes, color=color, edgecolor=color, linewidth=0.5, aspect=None)
    centres = shapes.geometry.representative_point()
    size = 6 + 4 * np.log10((shapes.area / 1e4).clip(lower=1))
    axes.scatter(centres.x, centres.y, s=size**1.3, facecolors="none", edgecolors=color, linewidths=0.6)


def _count_rejects(axes: "Axes", rejects: pd.DataFrame) -> None:
    if rejects.empty:
        return
    counts = rejects["reason"].value_counts().sort_index()
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts.items())
    axes.set_xlabel(f"{len(rejects)} rejected: {reasons}", fontsize=7, wrap=True)


def _dress(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_aspect("equal", adjustable="datalim")
    in_km = FuncFormatter(lambda value, _: f"{value / _KILOMETRE_M:,.0f}")
    axes.xaxis.set_major_formatter(in_km)
    axes.yaxis.set_major_formatter(in_km)
    axes.tick_params(labelsize=7)
    axes.set_xlabel("")
    axes.set_ylabel(f"{table_crs()}, km", fontsize=7)
    axes.legend(fontsize=7, loc="upper right", frameon=False)
