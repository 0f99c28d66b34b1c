"""Pictures of a fire year's maps and fire scenes, of doubtful perimeters, and of a map by a burn index."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.dataset.tile_plots import Composite, composites
from burnscar_assets.mapping.fire_scenes import TRUTH_BURNT, FireScene
from burnscar_assets.mapping.grid import NO_ANSWER, Grid
from burnscar_assets.mapping.mosaic import Mosaic
from burnscar_assets.mapping.severity import SEVERITY_CLASSES
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from burnscar_assets.publish.index_map import IndexMap

MOST: Final = 12
SCENES_OF_A_KIND: Final = 3
SHOWN_PX: Final = 160
BAR: Final = "#c1440e"
NOTE: Final = "#b00020"
INDEX_PX: Final = 1_400
PANEL_IN: Final = 5.2
_OURS, _OFFICIAL = "#c1440e", "#0b5394"


def plot_maps(maps: pd.DataFrame, *, title: str, simulated: bool) -> "Figure":
    """Burned area with its interval, and agreement with the perimeter, of the largest fires."""
    from matplotlib.figure import Figure

    complete = maps["complete"].fillna(False).astype(bool)
    shown = maps[complete].nlargest(MOST, "mapped_ha").iloc[::-1]
    figure = Figure(figsize=(9, 1.6 + 0.35 * max(len(shown), 2)), layout="constrained")
    areas, agreement = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(shown))
    low, high = (shown[name].fillna(shown["mapped_ha"]).to_numpy(float) for name in ("low_ha", "high_ha"))
    areas.hlines(places, low, high, color=BAR, alpha=0.4, linewidth=6, label="estimate, 95 %")
    areas.plot(shown["mapped_ha"], places, "o", color=BAR, label="mapped")
    areas.set(
        xlabel="burned area, ha", yticks=places, yticklabels=shown["fire_name"].map(as_drawn).tolist(), xlim=(0, None)
    )
    agreement.barh(places, shown["iou"].to_numpy(float), color=BAR)
    agreement.set(xlabel="IoU with the perimeter", xlim=(0, 1))
    if len(shown):
        areas.legend(frameon=False, fontsize="small")
    without = len(maps) - int(complete.sum())
    lacking = f", {without} fires without imagery" if without else ""
    figure.suptitle(f"{as_drawn(title)}: {len(maps) - without} maps{lacking}")
    return _marked(figure, simulated)


def plot_scenes(scenes: Sequence[FireScene], sensor: Sensor, *, title: str, simulated: bool) -> "Figure":
    """Frames in short-wave infrared, after above before, with the outline of what burned."""
    from matplotlib.figure import Figure

    chosen, shown = _first_of_each(scenes), composites(sensor)[-1]
    figure = Figure(figsize=(1.7 * max(len(chosen), 3), 4.2), layout="constrained")
    cells = figure.subplots(2, max(len(chosen), 1), squeeze=False)
    for cell in cells.flat:
        cell.set_axis_off()
    for (above, below), scene in zip(cells.T, chosen, strict=False):
        step = max(1, max(scene.frame.shape) // SHOWN_PX)
        for cell, image in ((above, scene.after(scene.frame.box)), (below, scene.before(scene.frame.box))):
            if image is not None:
                cell.imshow(_picture(image, scene.bands, shown, step), interpolation="nearest")
        burnt = scene.truth()[::step, ::step] == TRUTH_BURNT
        if burnt.any():
            above.contour(burnt, levels=[0.5], colors="w", linewidths=0.6)
        above.set_title(f"{scene.split}, {'no fire' if scene.fire_id is None else 'fire'}", fontsize=8)
    figure.suptitle(f"{as_drawn(title)}: {len(scenes)} frames, after above before", fontsize=10)
    return _marked(figure, simulated)


def plot_doubts(doubts: pd.DataFrame, *, title: str, simulated: bool) -> "Figure":
    """Share of ground that changed within each perimeter and beside it; listed fires are named."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    listed = doubts["doubts"].map(len) > 0
    for some, colour in ((doubts[~listed], "#8c8c8c"), (doubts[listed], BAR)):
        axes.plot(some["changed_inside"].to_numpy(float), some["changed_beside"].to_numpy(float), "o", color=colour)
    for row in doubts[listed].assign(name=doubts["fire_name"].fillna(doubts["fire_id"])).itertuples():
        axes.annotate(as_drawn(str(row.name)), (row.changed_inside, row.changed_beside), fontsize=7)
    axes.set(xlabel="changed within the perimeter", ylabel="changed beside it", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    figure.suptitle(f"{as_drawn(title)}: {int(listed.sum())} of {len(doubts)} fires to look at", fontsize=10)
    return _marked(figure, simulated)


def _marked(figure: "Figure", simulated: bool) -> "Figure":
    if simulated:
        figure.text(0.99, 0.01, "SIMULATED imagery", ha="right", color=NOTE)
    return figure


def _first_of_each(scenes: Sequence[FireScene]) -> list[FireScene]:
    """A few frames of each split, those of fires first."""
    kinds: dict[tuple[bool, str], list[FireScene]] = {}
    for scene in sorted(scenes, key=lambda scene: (scene.fire_id is None, scene.split, scene.name)):
        kinds.setdefault((scene.fire_id is None, scene.split), []).append(scene)
    return [scene for some in kinds.values() for scene in some[:SCENES_OF_A_KIND]]


def _picture(image: Mosaic, bands: Sequence[str], shown: Composite, step: int) -> npt.NDArray[np.float32]:
    """(height, width, 3) in 0–1, every so many pixels."""
    chosen = image.pixels[[bands.index(band) for band in shown.bands], ::step, ::step]
    return np.moveaxis(np.sqrt(np.clip(chosen.astype(np.float32) / shown.brightest_dn, 0, 1)), 0, -1)


def plot_index_map(found: "IndexMap", title: str) -> "Figure":
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
        west, east, south, north = _edges_of(found.grid, found.burned.shape)
        axes.set(xticks=[], yticks=[], xlabel="", ylabel="", xlim=(west, east), ylim=(south, north))
        _scale_bar(axes, found)
    return figure


def _draw_index(axes: "Axes", found: "IndexMap") -> None:
    low, high = np.nanquantile(found.index, (0.02, 0.98))
    colours = "cividis" if found.index_name == "nbr" else "cividis_r"
    image = _show(axes, found, found.index, cmap=colours, vmin=low, vmax=high)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7, location="bottom", aspect=40)
    bar.ax.axvline(found.threshold.value, color=_OURS, linewidth=2)
    name = "NBR after the fire" if found.index_name == "nbr" else "dNBR (NBR before − after)"
    axes.set_title(f"{name}; threshold {found.threshold.value:.2f} ({found.threshold.by})", fontsize=9)


def _draw_burned(axes: "Axes", found: "IndexMap") -> None:
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


def _draw_severity(axes: "Axes", found: "IndexMap") -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    assert found.severity is not None and found.severity_ha is not None  # noqa: S101 — drawn only if there is one
    colours = ListedColormap(["#ffffff", *(severity.colour for severity in SEVERITY_CLASSES)])
    _show(axes, found, found.severity, cmap=colours, vmin=0, vmax=len(SEVERITY_CLASSES))
    legend = [Patch(color=s.colour, label=f"{s.name}  {found.severity_ha[s.name]:,.0f} ha") for s in SEVERITY_CLASSES]
    axes.legend(handles=legend, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=3, frameon=False)
    where = "the map's outlines" if found.perimeter is None else "the perimeter"
    axes.set_title(f"severity by dNBR (Key and Benson); hectares within {where}", fontsize=9)


def _scale_bar(axes: "Axes", found: "IndexMap") -> None:
    west, east, south, north = _edges_of(found.grid, found.burned.shape)
    length_m = 10 ** np.floor(np.log10((east - west) * found.grid.metres_per_unit / 4))
    length = length_m / found.grid.metres_per_unit
    left, bottom = west + (east - west) * 0.03, south + (north - south) * 0.04
    axes.plot([left, left + length], [bottom, bottom], color="black", linewidth=3)
    said = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    axes.text(left, bottom + (north - south) * 0.02, said, fontsize=8)


def _show(axes: "Axes", found: "IndexMap", pixels: NDArray[np.generic], **how: Any) -> "AxesImage":
    """Draw a raster where it lies; every n-th pixel of a large one, so that the picture stays small."""
    step = max(1, int(np.ceil(max(pixels.shape) / INDEX_PX)))
    extent = _edges_of(found.grid, pixels.shape)
    return axes.imshow(pixels[::step, ::step], extent=extent, interpolation="nearest", **how)


def _edges_of(grid: Grid, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """West, east, south and north edges of a raster, in units of its CRS."""
    place = grid.transform
    return place.c, place.c + shape[1] * place.a, place.f + shape[0] * place.e, place.f
