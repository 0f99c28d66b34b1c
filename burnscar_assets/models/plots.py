"""Pictures of a training run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from burnscar_assets.classes import SPLIT_COLORS
from burnscar_assets.text import as_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_learning_curves(history: Sequence[dict[str, float]], *, title: str, simulated: bool) -> "Figure":
    """Losses and validation metrics by epoch; the best epoch is marked.

    Args:
        history: rows of `CheckpointManifest.history`.
        title: title of the picture.
        simulated: whether the imagery is simulated, which the picture then says.

    Returns:
        A figure of 8 × 3.2 inches that saves as a PNG below 100 KB at 100 dpi.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    losses, metrics = figure.subplots(1, 2)
    epochs = [int(row["epoch"]) for row in history]
    for split in ("train", "val"):
        _curve(losses, epochs, history, f"{split}_loss", split, SPLIT_COLORS[split])
    for name, label, color in (
        ("val_accuracy", "accuracy", "#4c72b0"),
        ("val_burnt_f1", "F1 of burnt", "#c1440e"),
        ("val_auroc", "AUROC", "#55a868"),
    ):
        _curve(metrics, epochs, history, name, label, color)
    metrics.set_ylim(0, 1.02)
    best = min(history, key=lambda row: row.get("val_loss", float("inf")), default=None)
    for axes, label in ((losses, "loss"), (metrics, "validation metric")):
        if best is not None:
            axes.axvline(best["epoch"], color="0.6", linestyle=":", linewidth=1, label="best epoch")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.suptitle(as_drawn(f"{title} (simulated imagery)" if simulated else title), fontsize=11)
    return figure


def _curve(
    axes: "Axes", epochs: list[int], history: Sequence[dict[str, float]], name: str, label: str, color: str
) -> None:
    values = [row.get(name, float("nan")) for row in history]
    axes.plot(epochs, values, marker="o", markersize=3, color=color, label=label)
