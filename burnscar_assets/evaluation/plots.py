"""One picture of an evaluation: confusion matrix, fire by fire, and model beside baseline with intervals."""

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from burnscar_assets.classes import CLASS_NAMES
from burnscar_assets.evaluation.report import BASELINE, FIRE, MODEL, POOLED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_FIRES_SHOWN: Final = 24

_COLORS = {MODEL: "#c1440e", BASELINE: "#5b6770"}
_NAMES = {MODEL: "OlmoEarth", BASELINE: "NBR threshold"}
_COMPARED = {
    "f1_burnt": "F1 burnt",
    "iou_burnt": "IoU burnt",
    "balanced_accuracy": "balanced\naccuracy",
    "auroc": "AUROC",
}


def plot_evaluation(predictions: pd.DataFrame, metrics: pd.DataFrame, *, title: str, simulated: bool) -> "Figure":
    """Confusion matrix, F1 and IoU of each fire, and both methods with their intervals.

    Args:
        predictions: contract PREDICTIONS.
        metrics: contract EVALUATION_METRICS, of the same predictions.
        title: heading.
        simulated: whether the heading must say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.8), layout="constrained")
    figure.suptitle(f"{title} (simulated imagery)" if simulated else title, fontsize=11)
    confusion, fires, comparison = figure.subplots(1, 3, width_ratios=[1, 1.4, 1.3])
    _draw_confusion(confusion, predictions)
    _draw_fires(fires, metrics)
    _draw_comparison(comparison, metrics)
    for axes in (confusion, fires, comparison):
        axes.tick_params(labelsize=8)
        axes.title.set_fontsize(9)
    return figure


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
    axes.set_yticks(rows, [f"{str(name)[:8]}  n={n}" for name, n in zip(shown.index, shown["windows"], strict=True)])
    hidden = "" if len(shown) == len(scored) else f", the {len(shown)} with most windows shown"
    axes.set(xlim=(0, 1.02), title=f"OlmoEarth on each of {len(scored)} fires{hidden}")
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
    fires = int(pooled["fires"].max())
    axes.set_xticks(places, list(_COMPARED.values()))
    axes.set(xlim=(-0.6, len(_COMPARED) - 0.4), ylim=(0, 1.1), title=f"pooled, intervals over {fires} fires")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
