"""The summary of a world by fire year, from its tables."""

from collections.abc import Iterable

import pandas as pd
from rich.table import Table as RichTable

from burnscar_assets.storage.contracts import (
    EVALUATION_METRICS,
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    SAMPLE_POINTS,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, read_table, table_path

SHOWN_METRICS = ("f1_burnt", "iou_burnt", "auroc")


def summarize(root: DataRoot, fire_years: Iterable[int]) -> pd.DataFrame:
    """One row per fire year: counts of each stage, and the pooled metrics of model and baseline."""
    return pd.DataFrame([_year(root, year) for year in sorted(fire_years)])


def _year(root: DataRoot, year: int) -> dict[str, object]:
    tiles = _rows(root, TILES, year)
    metrics = _rows(root, EVALUATION_METRICS, year)
    pooled = metrics[metrics["scope"] == "pooled"]
    row: dict[str, object] = {
        "fire_year": year,
        "perimeters_kept": len(_rows(root, FIRE_PERIMETERS, year)),
        "perimeters_rejected": len(_rows(root, FIRE_PERIMETER_REJECTS, year)),
        "points": len(_rows(root, SAMPLE_POINTS, year)),
        "windows": len(_rows(root, WINDOWS, year)),
        "tiles": int(tiles["complete"].sum()),
        "windows_without_imagery": int((~tiles["complete"]).sum()),
    }
    for name in SHOWN_METRICS:
        for method in ("olmoearth", "nbr_threshold"):
            found = pooled[(pooled["metric"] == name) & (pooled["method"] == method)]
            row[f"{method}_{name}"] = tuple(found[["value", "low", "high"]].iloc[0]) if len(found) else None
    return row


def _rows(root: DataRoot, table: Table, year: int) -> pd.DataFrame:
    return read_table(root, table, year) if table_path(root, table, year).exists() else table.empty()


def summary_table(root: DataRoot, fire_years: Iterable[int], title: str) -> RichTable:
    """The summary as a table for the terminal."""
    table = RichTable("year", "kept", "rejected", "points", "windows", "tiles", "no imagery", title=title)
    for name in SHOWN_METRICS:
        table.add_column(f"{name}\nmodel [95 %] / NBR")
    for row in summarize(root, fire_years).to_dict("records"):
        counts = list(row.values())[:7]
        scores = [_score(row[f"olmoearth_{m}"], row[f"nbr_threshold_{m}"]) for m in SHOWN_METRICS]
        table.add_row(*map(str, counts), *scores)
    return table


def _score(model: tuple[float, float, float] | None, baseline: tuple[float, float, float] | None) -> str:
    if model is None or baseline is None:
        return "–"
    return f"{model[0]:.2f} [{model[1]:.2f}–{model[2]:.2f}] / {baseline[0]:.2f}"
