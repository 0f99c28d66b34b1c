"""Pictures of the imagery stage: chips of burnt and unburnt windows, and what matching found."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from burnscar_assets.classes import CLASS_COLORS, CLASS_NAMES
from burnscar_assets.dataset.config import image_layers, open_dataset
from burnscar_assets.dataset.tiles import read_tiles
from burnscar_assets.sensors.sensor import Role, Sensor
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Composite(NamedTuple):
    """Three bands that are shown as red, green and blue.

    Attributes:
        label: what people call it.
        bands: names of the bands.
        brightest_dn: digital number of full brightness, fixed so that chips compare.
    """

    label: str
    bands: tuple[str, str, str]
    brightest_dn: int


CHIPS_A_CLASS = 8
SIMULATED_NOTE = "simulated imagery"
CLOUD_BINS = 20


def plot_chips(
    dataset_path: Path,
    sensor: Sensor,
    windows: pd.DataFrame,
    tiles: pd.DataFrame,
    *,
    n: int = CHIPS_A_CLASS,
    title: str,
    simulated: bool = False,
) -> "Figure":
    """Windows of each class in true colour and in short-wave infrared, as far as the sensor has the bands.

    Args:
        dataset_path: the rslearn dataset.
        sensor: whose images these are.
        windows: rows of the windows table.
        tiles: rows of the tiles table of these windows.
        n: windows of each class to show, at most.
        title: title of the figure.
        simulated: whether to say that the imagery is simulated.

    Returns:
        A figure with a row for each composite of each class; it says so where a class has no complete window.
    """
    from matplotlib.figure import Figure

    config = image_layers(open_dataset(dataset_path))
    shown = composites(sensor)
    layer = next((name for name in tiles["layer"].unique() if _has_bands(config, name, sensor)), None)
    chosen = {name: _choose(windows, tiles, layer, name, n) for name in CLASS_NAMES}
    figure = Figure(figsize=(1.05 * n + 0.9, 1.05 * len(shown) * len(CLASS_NAMES) + 0.7))
    axes = figure.subplots(len(shown) * len(CLASS_NAMES), n, squeeze=False)
    for block, (name, rows) in enumerate(chosen.items()):
        for line, composite in enumerate(shown):
            cells = axes[len(shown) * block + line]
            images = chip_images(dataset_path, rows, str(layer), composite) if len(rows) else iter(())
            _fill(cells, images, f"{name}\n{composite.label}", CLASS_COLORS[name])
        if not len(rows):
            axes[len(shown) * block][0].text(0, 0.5, f"no complete {name} window", fontsize=8)
    figure.subplots_adjust(left=0.1, right=0.99, top=0.93, bottom=0.01, hspace=0.06, wspace=0.06)
    figure.suptitle(_with_note(title, simulated), fontsize=10)
    return figure


def plot_matches(matches: pd.DataFrame, *, title: str = "Scenes matched", simulated: bool = False) -> "Figure":
    """Cloud cover of the scenes that windows were matched with, and how many windows found none, by reason.

    Args:
        matches: rows of the `scene_matches` table.
        title: title of the figure.
        simulated: whether to say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    clouds, counts = figure.subplots(1, 2)
    known = matches.loc[matches["matched"], "cloud_cover"].dropna()
    clouds.hist(known.astype(float), bins=CLOUD_BINS, range=(0, 100), color="#4c72b0")
    clouds.set(xlabel="granule cloud cover (%)", ylabel="windows", title="least cloudy scene of each window")
    counts.set_title("windows matched, or why not")
    for axes in (clouds, counts):
        axes.title.set_fontsize(9)
        axes.tick_params(labelsize=8)
    first = matches.drop_duplicates("window_id")
    reasons = first.loc[~first["matched"].astype(bool), "reason"].value_counts().sort_index()
    labels = ["matched", *(as_drawn(reason.replace("_", " ")) for reason in reasons.index)]
    values = [int(first["matched"].sum()), *reasons.tolist()]
    bars = counts.barh(labels, values, color=["#3a7d44", *["#c1440e"] * len(reasons)])
    counts.bar_label(bars, padding=2)
    counts.margins(x=0.15)
    counts.invert_yaxis()
    counts.set(xlabel="windows")
    figure.suptitle(_with_note(title, simulated), fontsize=10)
    return figure


def _with_note(title: str, simulated: bool) -> str:
    return as_drawn(f"{title} ({SIMULATED_NOTE})" if simulated and "simulated" not in title else title)


def composites(sensor: Sensor) -> list[Composite]:
    """What pictures of a sensor's images show: true colour where it has the bands, and short-wave infrared."""
    near: Role = "nir_narrow" if sensor.has("nir_narrow") else "nir"
    has_red = sensor.has("red")
    swir = Composite("SWIR", (sensor.band("swir2"), sensor.band(near), sensor.band("red" if has_red else near)), 4500)
    if not (has_red and sensor.has("green", "blue")):
        return [swir]
    return [Composite("true colour", (sensor.band("red"), sensor.band("green"), sensor.band("blue")), 2500), swir]


def _has_bands(layers: dict, name: str, sensor: Sensor) -> bool:
    there = {band for band_set in layers[name].band_sets for band in band_set.bands} if name in layers else set()
    return there.issuperset(sensor.names)


def _choose(windows: pd.DataFrame, tiles: pd.DataFrame, layer: str | None, name: str, n: int) -> pd.DataFrame:
    """Up to n complete windows of a class, spread over the fires, the same ones whatever the rows' order."""
    complete = tiles.loc[(tiles["layer"] == layer) & tiles["complete"].astype(bool), "window_id"]
    rows = windows[(windows["category"] == name) & windows["window_id"].isin(complete)].sort_values("window_id")
    turn = rows.groupby("fire_id", dropna=False).cumcount()
    return rows.assign(turn=turn).sort_values(["turn", "window_id"]).head(n)


def chip_images(
    dataset_path: Path, rows: pd.DataFrame, layer: str, composite: Composite
) -> Iterator[npt.NDArray[np.float32]]:
    """Pictures of tiles, (height, width, 3) in 0–1, in the order of the rows."""
    for pixels in read_tiles(dataset_path, rows, layer, composite.bands):
        bright = np.clip(pixels.astype(np.float32) / composite.brightest_dn, 0, 1)
        yield np.moveaxis(np.sqrt(bright), 0, -1)


def _fill(cells: "npt.NDArray[np.object_]", images: Iterator[npt.NDArray[np.float32]], label: str, colour: str) -> None:
    cell: Axes
    for cell in cells:
        cell.set_axis_off()
    for cell, image in zip(cells, images, strict=False):
        cell.imshow(image, interpolation="nearest")
    cells[0].text(-0.12, 0.5, label, transform=cells[0].transAxes, ha="right", va="center", fontsize=8, color=colour)
