"""The summary of a world by fire year, from its tables."""

import math
from collections.abc import Iterable

from rich.table import Table as RichTable

from burnscar_assets.comparison.told import HEADINGS, comparison_rows
from burnscar_assets.evaluation.report import METHODS
from burnscar_assets.imagery.clearness import is_clear_enough
from burnscar_assets.storage.contracts import (
    EVALUATION_METRICS,
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    SAMPLE_POINTS,
    SETUP_COMPARISON,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, read_years

COUNTS = ("kept", "rejected", "points", "windows", "tiles", "without_imagery", "cloudy")
SHOWN_METRICS = ("f1_burnt", "auroc")
COMPARISON_SHOWN = ("set-up", "F1 burnt", "difference", "verdict", "train s", "memory MB")


def _counts(root: DataRoot, year: int, min_clear_fraction: float) -> dict[str, int]:
    """Counts of each stage of a fire year, by `COUNTS`."""
    tiles = read_years(root, TILES, [year])
    complete = tiles.loc[tiles["complete"].fillna(False).astype(bool), "clear_fraction"].to_numpy(dtype=float)
    return {
        "kept": len(read_years(root, FIRE_PERIMETERS, [year])),
        "rejected": len(read_years(root, FIRE_PERIMETER_REJECTS, [year])),
        "points": len(read_years(root, SAMPLE_POINTS, [year])),
        "windows": len(read_years(root, WINDOWS, [year])),
        "tiles": len(complete),
        "without_imagery": len(tiles) - len(complete),
        "cloudy": int((~is_clear_enough(complete, min_clear_fraction)).sum()),
    }


def _scores(root: DataRoot, year: int) -> dict[str, tuple[float, float, float] | None]:
    """The pooled metrics of a fire year with their intervals, by method and metric."""
    metrics = read_years(root, EVALUATION_METRICS, [year])
    pooled = metrics[metrics["scope"] == "pooled"]
    row: dict[str, tuple[float, float, float] | None] = {}
    for name in SHOWN_METRICS:
        for method in METHODS:
            found = pooled[(pooled["metric"] == name) & (pooled["method"] == method)]
            row[f"{method}_{name}"] = tuple(found[["value", "low", "high"]].iloc[0]) if len(found) else None
    return row


def count_table(root: DataRoot, fire_years: Iterable[int], min_clear_fraction: float, title: str) -> RichTable:
    """What each stage made, for the terminal; of the tiles, those less clear are neither trained on nor scored."""
    table = RichTable("year", *(name.replace("_", " ") for name in COUNTS), title=title)
    for year in sorted(fire_years):
        counts = _counts(root, year, min_clear_fraction)
        table.add_row(str(year), *(str(counts[name]) for name in COUNTS))
    return table


def score_table(root: DataRoot, fire_years: Iterable[int], title: str) -> RichTable:
    """Pooled metrics with their intervals, model beside baseline, for the terminal."""
    table = RichTable("year", *(f"{metric} {method}" for metric in SHOWN_METRICS for method in METHODS), title=title)
    for year in sorted(fire_years):
        found = _scores(root, year)
        scores = [_score(found[f"{method}_{metric}"]) for metric in SHOWN_METRICS for method in METHODS]
        table.add_row(str(year), *scores)
    return table


def comparison_table(root: DataRoot) -> RichTable:
    """The set-ups side by side, in brief, for the terminal.

    Raises:
        MissingDataError: they were not compared yet.
    """
    table = RichTable(*COMPARISON_SHOWN, title="set-ups on the same held-out fires of all years")
    for row in comparison_rows(read_table(root, SETUP_COMPARISON, None)):
        cells = dict(zip(HEADINGS, row, strict=True))
        table.add_row(*(cells[heading].partition(" (")[0].replace(" [", "\n[") for heading in COMPARISON_SHOWN))
    return table


def _score(found: tuple[float, float, float] | None) -> str:
    if found is None or math.isnan(found[0]):
        return "–"
    value, low, high = found
    return f"{value:.2f}" if math.isnan(low) else f"{value:.2f}\n[{low:.2f}, {high:.2f}]"
