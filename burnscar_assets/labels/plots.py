"""The map of a year's perimeters, small enough for a web page."""

from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.classes import CLASS_COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OUTLINE_TOLERANCE_M = 300.0
_KILOMETRE_M = 1000.0


def plot_perimeters(perimeters: gpd.GeoDataFrame, rejects: pd.DataFrame, *, title: str) -> "Figure":
    """Draw a year's perimeters.

    Args:
        perimeters: Contract FIRE_PERIMETERS, in EPSG:3310; if any is simulated, the map says so.
        rejects: Contract FIRE_PERIMETER_REJECTS; counted by reason, as they have no geometry.
        title: Heading.

    Returns:
        A figure of about 5 × 5 inches; as PNG at its own resolution below 100 KB.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5.2), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    if len(perimeters):
        _draw(axes, perimeters)
    area_ha = perimeters["area_ha"].sum()
    axes.plot([], [], "s", color=CLASS_COLORS["burnt"], label=f"{len(perimeters)} perimeters, {area_ha:,.0f} ha")
    simulated = bool(perimeters["simulated"].any())
    axes.set_title(f"{title} (simulated)" if simulated else title, fontsize=10)
    _dress(axes)
    _count_rejects(axes, rejects)
    return figure


def _draw(axes: "Axes", perimeters: gpd.GeoDataFrame) -> None:
    """Outlines, and rings about them, as most fires are too small to be seen on a map of the state."""
    color = CLASS_COLORS["burnt"]
    outlines = perimeters.geometry.simplify(_OUTLINE_TOLERANCE_M, preserve_topology=False)
    outlines[~outlines.is_empty].plot(ax=axes, color=color, edgecolor=color, linewidth=0.5, aspect=None)
    centres = perimeters.geometry.representative_point()
    size = 6 + 4 * np.log10(perimeters["area_ha"].clip(lower=1))
    axes.scatter(centres.x, centres.y, s=size**1.3, facecolors="none", edgecolors="#5b1f06", linewidths=0.6)


def _count_rejects(axes: "Axes", rejects: pd.DataFrame) -> None:
    if rejects.empty:
        return
    reasons = ", ".join(f"{reason} {count}" for reason, count in rejects["reason"].value_counts().sort_index().items())
    axes.set_xlabel(f"{len(rejects)} rejected: {reasons}", fontsize=7, wrap=True)


def _dress(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_aspect("equal", adjustable="datalim")
    in_km = FuncFormatter(lambda value, _: f"{value / _KILOMETRE_M:,.0f}")
    axes.xaxis.set_major_formatter(in_km)
    axes.yaxis.set_major_formatter(in_km)
    axes.tick_params(labelsize=7)
    axes.set_xlabel("")
    axes.set_ylabel("EPSG:3310, km", fontsize=7)
    axes.legend(fontsize=7, loc="upper right", frameon=False)
