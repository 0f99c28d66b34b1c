"""The summary of a world by fire year, from its tables."""

import math
from collections.abc import Iterable
from typing import Final

import pandas as pd
from rich.table import Table as RichTable

from burnscar_assets.comparison.report import HEADINGS, comparison_rows
from burnscar_assets.evaluation.report import (
    BASELINE,
    FIRE,
    MAPS,
    MAPS_DECIDE,
    MAPS_GAIN,
    MEAN,
    MEDIAN,
    MODEL,
    PER_FIRE,
    POOLED,
    across_years,
    best_baseline,
)
from burnscar_assets.reader.clearness import is_clear_enough
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import (
    BURNED_AREA_MAPS,
    EVALUATION_METRICS,
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    MAP_SCORES,
    PREDICTIONS,
    SAMPLE_POINTS,
    SETUP_COMPARISON,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, read_years

COUNTS = ("kept", "rejected", "points", "windows", "tiles", "without_imagery", "cloudy")
BEST: Final = "best"
"""In place of a subset: the baseline that the model gains least on."""

FIRES: Final = "fires\n(effective)"
SCORES: Final = (
    ("map IoU\nmodel, mean of fires", MODEL, MAPS_DECIDE, MAPS, MEAN),
    ("map IoU\nmodel less best baseline", MODEL, MAPS_DECIDE, MAPS_GAIN, BEST),
    (FIRES, MODEL, "f1_burnt", POOLED, ""),
    ("f1_burnt\nmodel, pooled", MODEL, "f1_burnt", POOLED, ""),
    ("f1_burnt\nbaseline, pooled", BASELINE, "f1_burnt", POOLED, ""),
    ("f1_burnt\nmodel, mean of fires", MODEL, "f1_burnt", PER_FIRE, MEAN),
    ("f1_burnt\nmodel, median of fires", MODEL, "f1_burnt", PER_FIRE, MEDIAN),
    ("f1_burnt\nbaseline, mean of fires", BASELINE, "f1_burnt", PER_FIRE, MEAN),
    ("auroc\nmodel", MODEL, "auroc", POOLED, ""),
    ("auroc\nbaseline", BASELINE, "auroc", POOLED, ""),
)
"""What a year's line tells: heading, method, metric, scope and subset; maps first."""

MAX_LISTED: Final = 8
COMPARISON_SHOWN = ("set-up", "map IoU", "difference", "verdict", "F1 windows", "train s", "memory MB")


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


def count_table(root: DataRoot, fire_years: Iterable[int], min_clear_fraction: float, title: str) -> RichTable:
    """What each stage made, for the terminal; of the tiles, those less clear are neither trained on nor scored."""
    table = RichTable("year", *(name.replace("_", " ") for name in COUNTS), title=title)
    for year in sorted(fire_years):
        counts = _counts(root, year, min_clear_fraction)
        table.add_row(str(year), *(str(counts[name]) for name in COUNTS))
    return table


def map_table(root: DataRoot, fire_years: Iterable[int], title: str) -> RichTable:
    """Held-out fires and their maps by year: fires without a usable image count as such, and no IoU is told of them."""
    table = RichTable("year", "fires", "maps", "without imagery", "median IoU", title=title)
    for year in sorted(fire_years):
        maps = read_years(root, BURNED_AREA_MAPS, [year])
        made, judged = int(maps["complete"].astype(bool).sum()), maps["iou"].dropna()
        iou = f"{judged.median():.2f} of {len(judged)}" if len(judged) else "–"
        table.add_row(str(year), str(len(maps)), str(made), str(len(maps) - made), iou)
    return table


def score_table(root: DataRoot, fire_years: Iterable[int], settings: EvaluationSettings, title: str) -> RichTable:
    """Metrics of held-out fires, pooled and over fires, model beside baseline, by year and of all years together.

    Where fires are too few for an interval, the F1 of each is listed, least first.

    Args:
        root: data root.
        fire_years: years to show.
        settings: confidence of the intervals of all years together.
        title: of the table.
    """
    years = sorted(fire_years)
    table = RichTable("year", *(heading for heading, *_ in SCORES), title=title)
    for year in years:
        table.add_row(str(year), *_scores(read_years(root, EVALUATION_METRICS, [year])))
    predictions = read_years(root, PREDICTIONS, years)
    if len(years) > 1 and len(predictions):
        together = across_years(predictions, settings)
        if len(scores := read_years(root, MAP_SCORES, years)):
            from burnscar_assets.evaluation.map_figures import map_metrics

            together = pd.concat([pd.DataFrame(map_metrics(scores, settings)), together], ignore_index=True)
        table.add_row("all", *_scores(together))
    return table


def _scores(metrics: pd.DataFrame) -> list[str]:
    """The cells of a year under SCORES."""
    cells = []
    for heading, method, metric, scope, part in SCORES:
        subset = best_baseline(metrics) if part == BEST else part
        named = (metrics["method"] == method) & (metrics["metric"] == metric)
        found = metrics[named & (metrics["scope"] == scope) & (metrics["subset"] == subset)]
        if not len(found) or math.isnan(found["value"].iloc[0]):
            cells.append("–")
            continue
        row = found.iloc[0]
        if heading == FIRES:
            cells.append(f"{row['fires']}\n({row['effective_clusters']:.1f})")
        elif scope == PER_FIRE and subset == MEAN and math.isnan(row["low"]):
            each = metrics.loc[named & (metrics["scope"] == FIRE), "value"].dropna().sort_values()
            cells.append(f"{row['value']:.2f}\n{_listed(each)}")
        else:
            form = "+.2f" if scope == MAPS_GAIN else ".2f"
            span = "" if math.isnan(row["low"]) else f"\n[{row['low']:{form}}, {row['high']:{form}}]"
            beside = f"\n{subset}" if scope == MAPS_GAIN else ""
            cells.append(f"{row['value']:{form}}{span}{beside}")
    return cells


def _listed(values: pd.Series) -> str:
    more = len(values) - MAX_LISTED
    return " ".join(f"{value:.2f}" for value in values.head(MAX_LISTED)) + (f" +{more}" if more > 0 else "")


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
