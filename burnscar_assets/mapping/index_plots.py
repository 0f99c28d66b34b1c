"""The picture of a map by a burn index: the index, burned ground with the official outline, severity."""

from typing import TYPE_CHECKING, Any, Final

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.mapping.images import pixel_boxes
from burnscar_assets.mapping.index_map import IndexMap
from burnscar_assets.mapping.severity import SEVERITY_CLASSES
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

SHOWN_PX: Final = 1_400
PANEL_IN: Final = 5.2
_OURS, _OFFICIAL = "#c1440e", "#0b5394"


def plot_index_map(found: IndexMap, title: str) -> "Figure":
    """The index, burned ground with the official outline, and severity or disagreement beside each other."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    panels = [_draw_index, _draw_burned]
    panels += [] if found.severity is None else [_draw_severity]
    height, width = found.burned.shape
    tall = float(np.clip(height / width, 0.4, 1.4))
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 0.93))
    figure = Figure(figsize=(PANEL_IN * len(panels), PANEL_IN * tall + 1.5), layout=layout)
    figure.suptitle(as_drawn(f"{title} (simulated imagery)" if found.simulated else title))
    for draw, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        draw(axes, found)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set(xlabel="", ylabel="")
        west, east, south, north = pixel_boxes(found.grid, found.burned.shape)
        axes.set_xlim(west, east)
        axes.set_ylim(south, north)
        _scale_bar(axes, found)
    return figure


def _draw_index(axes: "Axes", found: IndexMap) -> None:
    low, high = np.nanquantile(found.index, (0.02, 0.98))
    colours = "cividis" if found.index_name == "nbr" else "cividis_r"
    image = _show(axes, found, found.index, cmap=colours, vmin=low, vmax=high)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, location="bottom", aspect=40)
    bar.ax.axvline(found.threshold.value, color=_OURS, linewidth=2)
    name = "NBR after the fire" if found.index_name == "nbr" else "dNBR (NBR before − after)"
    axes.set_title(f"{name}; threshold {found.threshold.value:.2f} ({found.threshold.by})", fontsize=9)


def _draw_burned(axes: "Axes", found: IndexMap) -> None:
    seen = np.where(found.burned == NO_ANSWER, np.nan, 0.93)
    _show(axes, found, seen, cmap="gray", vmin=0, vmax=1)
    if len(found.polygons):
        found.polygons.plot(ax=axes, color=_OURS, alpha=0.55, aspect=None)
    axes.set_title(f"burned on the map: {found.burned_ha:,.0f} ha", fontsize=9)
    if found.perimeter is not None and found.agreement is not None:
        gpd.GeoSeries([found.perimeter]).boundary.plot(ax=axes, color=_OFFICIAL, linewidth=1.1, aspect=None)
        official_ha = found.agreement.official_ha + found.agreement.unanswered_ha
        compared = f"official perimeter (blue) {official_ha:,.0f} ha, IoU {found.agreement.iou:.2f}"
        axes.set_title(f"map {found.burned_ha:,.0f} ha, {compared}", fontsize=9)
    axes.set_aspect("equal")


def _draw_severity(axes: "Axes", found: IndexMap) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    assert found.severity is not None and found.severity_ha is not None  # noqa: S101 — drawn only if there is one
    colours = ListedColormap(["#ffffff", *(severity.colour for severity in SEVERITY_CLASSES)])
    _show(axes, found, found.severity, cmap=colours, vmin=0, vmax=len(SEVERITY_CLASSES))
    legend = [Patch(color=s.colour, label=f"{s.name}  {found.severity_ha[s.name]:,.0f} ha") for s in SEVERITY_CLASSES]
    axes.legend(handles=legend, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=3, frameon=False)
    where = "the map's outlines" if found.perimeter is None else "the perimeter"
    axes.set_title(f"severity by dNBR (Key and Benson); hectares within {where}", fontsize=9)


def _scale_bar(axes: "Axes", found: IndexMap) -> None:
    west, east, south, north = pixel_boxes(found.grid, found.burned.shape)
    length_m = 10 ** np.floor(np.log10((east - west) * found.grid.metres_per_unit / 4))
    length = length_m / found.grid.metres_per_unit
    left, bottom = west + (east - west) * 0.03, south + (north - south) * 0.04
    axes.plot([left, left + length], [bottom, bottom], color="black", linewidth=3)
    said = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    axes.text(left, bottom + (north - south) * 0.02, said, fontsize=8)


def _show(axes: "Axes", found: IndexMap, pixels: NDArray[np.generic], **how: Any) -> "AxesImage":
    """Draw a raster where it lies; every n-th pixel of a large one, so that the picture stays small."""
    step = max(1, int(np.ceil(max(pixels.shape) / SHOWN_PX)))
    extent = pixel_boxes(found.grid, pixels.shape)
    return axes.imshow(pixels[::step, ::step], extent=extent, interpolation="nearest", **how)
