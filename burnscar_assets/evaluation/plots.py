"""Pictures of an evaluation: confusion matrix, fires and intervals; reliability; the windows that are most wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from burnscar_assets.classes import BURNT, CLASS_COLORS, CLASS_NAMES
from burnscar_assets.dataset.tile_plots import chip_images, composites
from burnscar_assets.evaluation.metrics import MIN_CLUSTERS
from burnscar_assets.evaluation.report import (
    BASELINE,
    FIRE,
    MAPS,
    MAPS_DECIDE,
    MEAN,
    MODEL,
    POOLED,
    RELIABILITY,
    counting,
)
from burnscar_assets.evaluation.spec import EvaluationSpec
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_FIRES_SHOWN: Final = 24
WORST_FILE: Final = "worst_windows.png"
WORST_DPI: Final = 90

_COLORS = {MODEL: "#c1440e", BASELINE: "#5b6770"}
_NAMES = {MODEL: "model", BASELINE: "NBR threshold"}
_COMPARED = {
    "f1_burnt": "F1 burnt",
    "iou_burnt": "IoU burnt",
    "balanced_accuracy": "balanced\naccuracy",
    "auroc": "AUROC",
}


def plot_evaluation(predictions: pd.DataFrame, metrics: pd.DataFrame, *, title: str, simulated: bool) -> "Figure":
    """Maps beside floors and burn indices, where any is judged; then windows: confusion, each fire, both methods.

    Args:
        predictions: contract PREDICTIONS.
        metrics: contract EVALUATION_METRICS, of the same predictions.
        title: heading.
        simulated: whether the heading must say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    has_maps = bool((metrics["scope"] == MAPS).any())
    figure = Figure(figsize=(16.5 if has_maps else 13.5, 3.8), layout="constrained")
    figure.suptitle(as_drawn(f"{title} (simulated imagery)" if simulated else title), fontsize=11)
    widths = [1.1] * has_maps + [1, 1.4, 1.3, 1]
    *maps, confusion, fires, comparison, curve = figure.subplots(1, len(widths), width_ratios=widths)
    for axes in maps:
        _draw_maps(axes, metrics)
    _draw_confusion(confusion, counting(predictions))
    _draw_fires(fires, metrics)
    _draw_comparison(comparison, metrics)
    _draw_reliability(curve, metrics)
    for axes in figure.axes:
        axes.tick_params(labelsize=8)
        axes.title.set_fontsize(9)
    return figure


def worst_windows(predictions: pd.DataFrame, n: int) -> pd.DataFrame:
    """Up to n windows that the model gave least probability of their true class, worst first, with it as `right`."""
    burnt = predictions["category"] == CLASS_NAMES[BURNT]
    right = predictions["burnt_probability"].where(burnt, 1 - predictions["burnt_probability"])
    return predictions.assign(right=right).sort_values(["right", "window_id"], kind="stable").head(n)


def plot_members(manifest: CheckpointManifest, *, title: str, simulated: bool) -> "Figure":
    """Mean IoU of an ensemble's maps of validation fires, above that of each member alone.

    Args:
        manifest: of the ensemble's checkpoint.
        title: heading.
        simulated: whether the heading must say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    alone = [row["mean_iou"] for name in manifest.members for row in manifest.history if row[name] == 1]
    bars = dict(zip((f"{name}, weight {weight:.1f}" for name, weight in manifest.members.items()), alone, strict=False))
    bars["together"] = manifest.metrics.get("mean_iou", np.nan)
    figure = Figure(figsize=(6, 1.4 + 0.4 * len(bars)), layout="constrained")
    axes = figure.subplots()
    axes.barh([as_drawn(name) for name in bars], [*bars.values()], color=_COLORS[MODEL])
    axes.bar_label(axes.containers[0], fmt="%.3f", fontsize=8, padding=3)  # type: ignore[arg-type]
    axes.set(xlim=(0, 1.1), xlabel="mean IoU of maps of validation fires")
    figure.suptitle(as_drawn(f"{title} (simulated imagery)" if simulated else title), fontsize=11)
    return figure


def plot_worst_windows(
    dataset: Path, sensor: Sensor, layer: str, predictions: pd.DataFrame, *, n: int, title: str, simulated: bool
) -> "Figure":
    """The windows that are most wrong, in the composites of the sensor, with truth and probability.

    Args:
        dataset: the rslearn dataset.
        sensor: whose images these are.
        layer: raster layer.
        predictions: contract PREDICTIONS, at least one row.
        n: windows shown, at most.
        title: heading.
        simulated: whether the heading must say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    worst = worst_windows(predictions, n)
    shown = composites(sensor)
    figure = Figure(figsize=(1.15 * len(worst) + 0.6, 1.2 + 1.1 * len(shown)))
    figure.suptitle(as_drawn(f"{title} (simulated imagery)" if simulated else title), fontsize=10)
    axes = figure.subplots(len(shown), len(worst), squeeze=False)
    for line, composite in enumerate(shown):
        axes[line][0].set_ylabel(composite.label, fontsize=7)
        for cell, image in zip(axes[line], chip_images(dataset, worst, layer, composite), strict=True):
            cell.imshow(image, interpolation="nearest")
            cell.set_xticks([])
            cell.set_yticks([])
    for cell, row in zip(axes[0], worst.itertuples(), strict=True):
        cell.set_title(f"{row.category}\n{row.stratum}", fontsize=7, color=CLASS_COLORS[str(row.category)])
    for cell, row in zip(axes[-1], worst.itertuples(), strict=True):
        cell.set_xlabel(f"burnt: {row.burnt_probability:.2f}", fontsize=7)
    figure.subplots_adjust(left=0.04, right=0.99, top=0.78, bottom=0.08, hspace=0.06, wspace=0.08)
    return figure


def write_worst_windows(root: DataRoot, spec: EvaluationSpec, predictions: pd.DataFrame) -> Path:
    """Write `evaluation/fire_year=YYYY/worst_windows.png`; returns its path."""
    figure = plot_worst_windows(
        root.dataset,
        spec.sensor,
        spec.layer,
        predictions,
        n=spec.settings.worst_windows,
        title=f"Held-out windows most wrong {spec.fire_year}",
        simulated=spec.simulated,
    )
    path = root.evaluation(spec.fire_year) / WORST_FILE
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=WORST_DPI)
    return path


def _draw_maps(axes: "Axes", metrics: pd.DataFrame) -> None:
    """Mean IoU of the maps of each predictor, the best at the top."""
    named = (metrics["scope"] == MAPS) & (metrics["subset"] == MEAN) & (metrics["metric"] == MAPS_DECIDE)
    shown = metrics[named].sort_values("value", kind="stable", na_position="first")
    for place, row in enumerate(shown.itertuples()):
        reach = np.nan_to_num(np.array([[row.value - row.low], [row.high - row.value]])).clip(0)
        color = _COLORS[MODEL if row.method == MODEL else BASELINE]
        axes.errorbar(row.value, place, xerr=reach, fmt="o", color=color, capsize=3)
    names = [f"{method}  n={fires}" for method, fires in zip(shown["method"], shown["fires"], strict=True)]
    axes.set_yticks(range(len(shown)), map(as_drawn, names))
    axes.set(xlim=(0, 1.02), title="maps: mean IoU over fires")
    axes.grid(axis="x", alpha=0.3)


def _draw_reliability(axes: "Axes", metrics: pd.DataFrame) -> None:
    curve = metrics[metrics["scope"] == RELIABILITY].pivot_table(
        index="subset", columns="metric", values=["value", "low", "high"], dropna=False
    )
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8)
    if len(curve):
        said, share = (curve["value", name].to_numpy() for name in ("mean_probability", "burnt_share"))
        ends = np.array([curve[end, "burnt_share"].to_numpy() for end in ("low", "high")])
        reach = np.nan_to_num(np.abs(ends - share))
        axes.errorbar(said, share, yerr=reach, fmt="o-", color=_COLORS[MODEL], capsize=2, markersize=4, linewidth=1)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="mean probability", ylabel="burnt share")
    axes.set_title("reliability")


def _draw_confusion(axes: "Axes", predictions: pd.DataFrame) -> None:
    counts = np.array(
        [
            [((predictions["category"] == t) & (predictions["predicted"] == p)).sum() for p in CLASS_NAMES]
            for t in CLASS_NAMES
        ]
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="OrRd", vmin=0, vmax=1.2)
    for (row, col), windows in np.ndenumerate(counts):
        axes.text(col, row, f"{windows}\n{shares[row, col]:.0%}", ha="center", va="center", fontsize=10)
    axes.set_xticks(range(2), CLASS_NAMES)
    axes.set_yticks(range(2), CLASS_NAMES, rotation=90, va="center")
    axes.set(xlabel="predicted", ylabel="true", title=f"{counts.sum()} test windows")


def _draw_fires(axes: "Axes", metrics: pd.DataFrame) -> None:
    of_fires = metrics[(metrics["scope"] == FIRE) & (metrics["method"] == MODEL)]
    table = of_fires.pivot_table(index="fire_id", columns="metric", values="value", dropna=False)
    table = table.reindex(columns=["f1_burnt", "iou_burnt"])
    table["windows"] = of_fires.groupby("fire_id")["windows"].first()
    scored = table.dropna(subset=["f1_burnt"])
    shown = scored.nlargest(MAX_FIRES_SHOWN, "windows", keep="first").sort_values("f1_burnt", kind="stable")
    rows = np.arange(len(shown))
    axes.barh(rows, shown["f1_burnt"], height=0.75, color=_COLORS[MODEL], alpha=0.35, label="F1 burnt")
    axes.plot(shown["iou_burnt"], rows, "d", color=_COLORS[MODEL], markersize=4, label="IoU burnt")
    axes.set_yticks(
        rows, [f"{as_drawn(str(name)[:8])}  n={n}" for name, n in zip(shown.index, shown["windows"], strict=True)]
    )
    hidden = "" if len(shown) == len(scored) else f", the {len(shown)} with most windows shown"
    axes.set(xlim=(0, 1.02), title=f"model on each of {len(scored)} fires{hidden}")
    if len(shown):
        axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2, frameon=False)


def _draw_comparison(axes: "Axes", metrics: pd.DataFrame) -> None:
    pooled = metrics[metrics["scope"] == POOLED].set_index(["method", "metric"])
    places = np.arange(len(_COMPARED))
    for shift, method in ((-0.14, MODEL), (0.14, BASELINE)):
        rows = pooled.loc[[(method, name) for name in _COMPARED]]
        value = rows["value"].to_numpy(dtype=float)
        reach = np.nan_to_num(np.abs(rows[["low", "high"]].to_numpy(dtype=float).T - value))
        x = places + shift
        axes.errorbar(x, value, yerr=reach, fmt="o", color=_COLORS[method], capsize=3, label=_NAMES[method])
        for at, height in zip(x, value, strict=True):
            if not np.isnan(height):
                label = f"{height:.2f}"
                side, gap = ("right", -4) if shift < 0 else ("left", 4)
                axes.annotate(label, (at, height), (gap, 2), textcoords="offset points", fontsize=7, ha=side)
    fires, effective = int(pooled["fires"].max()), float(pooled["effective_clusters"].max())
    intervals = f"{fires} fires" if effective >= MIN_CLUSTERS else f"{fires} fires, too few for intervals"
    axes.set_xticks(places, list(_COMPARED.values()))
    axes.set(xlim=(-0.6, len(_COMPARED) - 0.4), ylim=(0, 1.1), title=f"pooled over {intervals}")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
