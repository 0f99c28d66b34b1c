"""Pictures of a fire year's maps and fire scenes, and of doubtful perimeters, in the web UI."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from burnscar_assets.dataset.tile_plots import Composite, composites
from burnscar_assets.mapping.fire_scenes import TRUTH_BURNT, FireScene
from burnscar_assets.mapping.mosaic import Mosaic
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST: Final = 12
SCENES_OF_A_KIND: Final = 3
SHOWN_PX: Final = 160
BAR: Final = "#c1440e"
NOTE: Final = "#b00020"


def plot_maps(maps: pd.DataFrame, *, title: str, simulated: bool) -> "Figure":
    """Burned area with its interval, and agreement with the perimeter, of the largest fires.

    Args:
        maps: table `burned_area_maps`.
        title: of the picture.
        simulated: whether to say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    shown = maps[maps["complete"].fillna(False).astype(bool)].nlargest(MOST, "mapped_ha").iloc[::-1]
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
    without = len(maps) - int(maps["complete"].fillna(False).astype(bool).sum())
    figure.suptitle(
        f"{as_drawn(title)}: {len(maps) - without} maps" + (f", {without} fires without imagery" if without else "")
    )
    if simulated:
        figure.text(0.99, 0.01, "SIMULATED imagery", ha="right", color=NOTE)
    return figure


def plot_scenes(scenes: Sequence[FireScene], sensor: Sensor, *, title: str, simulated: bool) -> "Figure":
    """Frames in short-wave infrared, after above before, with the outline of what burned.

    Args:
        scenes: of a fire year; a few of each split and role are shown.
        sensor: whose images these are.
        title: of the picture.
        simulated: whether to say that the imagery is simulated.
    """
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
    if simulated:
        figure.text(0.99, 0.01, "SIMULATED imagery", ha="right", color=NOTE)
    return figure


def plot_doubts(doubts: pd.DataFrame, *, title: str, simulated: bool) -> "Figure":
    """Share of ground that changed within each perimeter and beside it; listed fires are named.

    Args:
        doubts: table `label_doubts`.
        title: of the picture.
        simulated: whether to say that the imagery is simulated.
    """
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
