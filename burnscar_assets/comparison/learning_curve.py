"""A learning curve: how well the same held-out fires are mapped by how many training fires; its table and picture."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from burnscar_assets.comparison.maps import MEDIANS, read_maps
from burnscar_assets.comparison.read import Contestant
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.report import MAPS_DECIDE
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import LEARNING_CURVES
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from burnscar_assets.models.manifest import CheckpointManifest

SMALLEST: Final = 2
"""Training fires of the first point, where none are named."""


def doubling(most: int) -> tuple[int, ...]:
    """Numbers of training fires, each twice the one before, and all that there are."""
    sizes = [SMALLEST]
    while sizes[-1] * 2 < most:
        sizes.append(sizes[-1] * 2)
    return (*(size for size in sizes if size < most), most)


def curve_table(
    points: Mapping[int, Contestant],
    manifests: Mapping[int, Sequence["CheckpointManifest"]],
    setup: str,
    fire_year: int,
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """The points of a set-up's learning curve, each by the maps of the fires that all of them were judged on.

    Args:
        points: by number of training fires, where its scores of maps lie, for each seed.
        manifests: of its checkpoints.
        setup: its name.
        fire_year: of the checkpoints.
        settings: of resamples and intervals.

    Returns:
        Contract LEARNING_CURVES.

    Raises:
        InputError: no fire's map was judged at every point.
    """
    sizes = sorted(points)
    maps = read_maps([points[size] for size in sizes], [fire_year])
    absent = [str(size) for size in sizes if maps is None or points[size].name not in maps.scores]
    if maps is None or absent:
        raise InputError(
            f"no held-out fire's map is judged with {', '.join(absent)} training fires of {setup}: name others with "
            "--fires, or see why in table map_scores of a set-up that is judged (burnscar sql)"
        )
    found = maps.compare(settings)
    before = {points[later].name: points[size].name for size, later in pairwise(sizes)}
    rows = []
    for size in sizes:
        name = points[size].name
        scored, gain = found.scored[name], found.differences.get((MAPS_DECIDE, name, before.get(name, "")))
        rows.append(
            {
                "setup": setup,
                "title": points[size].title,
                "training_fires": size,
                "training_windows": float(np.mean([_training_windows(one) for one in manifests[size]])),
                "checkpoints": len(manifests[size]),
                "seeds": len(points[size].roots),
                "fires": len(maps.fires),
                "effective_clusters": found.effective_clusters,
                "iou": scored.value[MAPS_DECIDE],
                "low": scored.interval[MAPS_DECIDE].low,
                "high": scored.interval[MAPS_DECIDE].high,
                "iou_median": scored.value[MEDIANS[MAPS_DECIDE]],
                "gain": np.nan if gain is None else gain.value,
                "gain_low": np.nan if gain is None else gain.interval.low,
                "gain_high": np.nan if gain is None else gain.interval.high,
            }
        )
    return LEARNING_CURVES.conform(pd.DataFrame(rows))


def plot_curve(curve: pd.DataFrame, *, simulated: bool) -> "Figure":
    """Mean IoU of maps by number of training fires, with its interval; beside it the median.

    Args:
        curve: contract LEARNING_CURVES, of one set-up.
        simulated: whether the heading must say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    first, sizes = curve.iloc[0], curve["training_fires"].to_numpy(float)
    reach = np.nan_to_num(np.array([curve["iou"] - curve["low"], curve["high"] - curve["iou"]])).clip(0)
    axes.errorbar(sizes, curve["iou"], yerr=reach, fmt="o-", capsize=3, color="#c1440e", label="mean over fires")
    axes.plot(sizes, curve["iou_median"], "s--", markersize=4, color="#5b6770", label="median over fires")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in curve["training_fires"]])
    axes.set(ylim=(0, 1), xlabel="training fires of a checkpoint", ylabel="IoU of maps of held-out fires")
    heading = f"{first['title']}: {first['fires']} held-out fires, {first['seeds']} seeds"
    axes.set_title(as_drawn(f"{heading} (simulated imagery)" if simulated else heading), fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def curve_rows(curve: pd.DataFrame) -> list[tuple[str, ...]]:
    """A line under CURVE_HEADINGS for each point."""
    return [
        (
            str(row.training_fires), f"{row.training_windows:.0f}", str(row.seeds), str(row.fires),
            _figure(row.iou, row.low, row.high), f"{row.iou_median:.3f}",
            _figure(row.gain, row.gain_low, row.gain_high, "+"),
        )
        for row in curve.itertuples()
    ]  # fmt: skip


CURVE_HEADINGS: Final = (
    "training fires", "training windows", "seeds", "held-out fires", "map IoU", "median IoU", "gain on the one before",
)  # fmt: skip


def _figure(value: float, low: float, high: float, sign: str = "") -> str:
    if np.isnan(value):
        return ""
    return f"{value:{sign}.3f}" + ("" if np.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]")


def _training_windows(manifest: "CheckpointManifest") -> int:
    return sum(sum(of_year.values()) for of_year in manifest.windows["train"].values())
