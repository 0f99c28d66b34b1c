"""Pictures of trained set-ups without a network."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from burnscar_assets.classes import CLASS_COLORS
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from burnscar_assets.models.baselines.trainer import TrainedBaseline

MOST_FEATURES: Final = 12


def plot_baseline(trained: "TrainedBaseline", *, title: str, simulated: bool) -> "Figure":
    """What there is to see of a trained set-up: its threshold, or its trees."""
    made = trained.manifest
    if made.kind == "threshold":
        return plot_threshold(trained.index, made.metrics["threshold"], title=title, simulated=simulated)
    return plot_trees(made.history, made.best_epoch, trained.gain, title=title, simulated=simulated)


def plot_threshold(index: pd.DataFrame, threshold: float, *, title: str, simulated: bool) -> "Figure":
    """The index of the training windows by class, with the threshold.

    Args:
        index: `value` (of `burn_index`) and `category` of each window.
        threshold: the threshold.
        title: heading.
        simulated: whether the heading must say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    known = index.dropna(subset=["value"])
    edges = np.histogram_bin_edges(known["value"], bins=40)
    for name, rows in known.groupby("category"):
        axes.hist(rows["value"], bins=edges.tolist(), color=CLASS_COLORS[str(name)], alpha=0.55, label=str(name))
    axes.axvline(threshold, color="0.2", linestyle="--", linewidth=1, label=f"threshold {threshold:.3f}")
    axes.set(xlabel="mean burn index, low where burnt", ylabel="training windows")
    axes.legend(fontsize=8)
    figure.suptitle(as_drawn(f"{title} (simulated imagery)" if simulated else title), fontsize=11)
    return figure


def plot_trees(
    history: Sequence[Mapping[str, float]], best: int, gain: Mapping[str, float], *, title: str, simulated: bool
) -> "Figure":
    """Losses by number of trees, and the features whose splits saved most of the loss.

    Args:
        history: `epoch`, `train_loss` and `val_loss` of each round.
        best: number of trees that are kept.
        gain: loss saved by each feature.
        title: heading.
        simulated: whether the heading must say that the imagery is simulated.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    losses, features = figure.subplots(1, 2)
    rounds = pd.DataFrame(list(history))
    for split in ("train", "val"):
        losses.plot(rounds["epoch"], rounds[f"{split}_loss"], label=split)
    losses.axvline(best, color="0.6", linestyle=":", linewidth=1, label=f"{best} trees kept")
    losses.set(xlabel="trees", ylabel="log loss")
    losses.legend(fontsize=8)
    most = sorted(gain.items(), key=lambda item: -item[1])[:MOST_FEATURES][::-1]
    total = sum(gain.values()) or 1.0
    features.barh([as_drawn(name) for name, _ in most], [value / total for _, value in most], color="#3a7d44")
    features.set_xlabel("share of the gain")
    features.tick_params(labelsize=7)
    figure.suptitle(as_drawn(f"{title} (simulated imagery)" if simulated else title), fontsize=11)
    return figure
