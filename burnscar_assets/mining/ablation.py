"""What hard negatives are worth: two checkpoints, with and without them, on the same held-out windows.

Both are judged on the windows that both were judged on, each by its own threshold, fixed on validation. The interval is
of the difference on the same fires, so that what the two have in common, easy and hard fires, cancels out of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.classes import BURNT, CLASS_NAMES, Stratum
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.ground import ground_clusters
from burnscar_assets.evaluation.metrics import Answers, cluster_intervals, weighted_metrics
from burnscar_assets.evaluation.report import counting
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import PREDICTIONS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table

WITH, WITHOUT, DIFFERENCE = "with", "without", "difference"
METRICS: Final = ("f1_burnt", "precision_burnt", "recall_burnt")
LAND_RATE: Final = "called_burnt_of_land"
"""Share of held-out windows of strata `land` and `granule` that are called burnt."""

_LAND = (Stratum.LAND, Stratum.GRANULE)


@dataclass(frozen=True)
class Ablation:
    """Two checkpoints compared.

    Attributes:
        rows: metric, with, without, difference, low, high (of the difference) and verdict.
        windows: held-out windows that both were judged on.
        left_out: windows that only one was judged on.
        fires: fires among them.
    """

    rows: pd.DataFrame
    windows: int
    left_out: int
    fires: int


def compare_predictions(
    with_mined: gpd.GeoDataFrame, without: gpd.GeoDataFrame, settings: EvaluationSettings
) -> Ablation:
    """Compare two checkpoints by their predictions of the same held-out windows.

    Args:
        with_mined: contract PREDICTIONS, of the checkpoint that was trained with hard negatives.
        without: the same of the one that was not.
        settings: confidence of the intervals.

    Raises:
        InputError: they have no window in common, or differ in what is true of one.
    """
    both = with_mined.merge(without[["window_id", "category", "predicted", "burnt_probability"]], on="window_id")
    if both.empty:
        raise InputError("the two worlds have no held-out window in common: compare the same fire years and splits")
    if (both["category_x"] != both["category_y"]).any():
        raise InputError("the two worlds label some windows differently: make both from the same release and settings")
    fire_id = both["fire_id"].fillna("")
    found = {WITH: _answers(both, "x"), WITHOUT: _answers(both, "y")}
    land = both["stratum"].isin(_LAND).to_numpy(dtype=bool)

    def statistic(weights: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        values = {name: _measured(answers, land, weights) for name, answers in found.items()}
        values[DIFFERENCE] = {metric: values[WITH][metric] - values[WITHOUT][metric] for metric in values[WITH]}
        return {f"{which} {metric}": value for which, by in values.items() for metric, value in by.items()}

    plain = {name: float(value[0]) for name, value in statistic(np.ones((1, len(both)))).items()}
    has_fire = (fire_id != "").to_numpy(dtype=bool)
    intervals = cluster_intervals(statistic, ground_clusters(both), has_fire, settings.confidence, "difference")
    rows = []
    for metric in (*METRICS, LAND_RATE):
        interval = intervals[f"{DIFFERENCE} {metric}"]
        shown = {which: plain[f"{which} {metric}"] for which in (WITH, WITHOUT, DIFFERENCE)}
        better = interval.high < 0 if metric == LAND_RATE else interval.low > 0
        worse = interval.low > 0 if metric == LAND_RATE else interval.high < 0
        verdict = "better with" if better else "worse with" if worse else "no difference shown"
        rows.append({"metric": metric, **shown, "low": interval.low, "high": interval.high, "verdict": verdict})
    left_out = len(with_mined) + len(without) - 2 * len(both)
    return Ablation(pd.DataFrame(rows), len(both), left_out, int(fire_id[fire_id != ""].nunique()))


def compare_worlds(
    with_mined: DataRoot, without: DataRoot, fire_years: Sequence[int], settings: EvaluationSettings
) -> Ablation:
    """Compare the checkpoints of two worlds on the held-out windows of some fire years.

    Raises:
        MissingDataError: a year was not evaluated in one of them.
        InputError: they have no window in common, or differ in what is true of one.
    """
    first, second = (
        counting(pd.concat([read_table(root, PREDICTIONS, year) for year in fire_years], ignore_index=True))
        for root in (with_mined, without)
    )
    return compare_predictions(first, second, settings)


def _answers(both: pd.DataFrame, side: str) -> Answers:
    burnt = CLASS_NAMES[BURNT]
    probability = both[f"burnt_probability_{side}"].to_numpy(dtype=float)
    return Answers(
        (both["category_x"] == burnt).to_numpy(dtype=bool),
        (both[f"predicted_{side}"] == burnt).to_numpy(dtype=bool),
        probability,
    )


def _measured(answers: Answers, land: NDArray[np.bool_], weights: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    values = weighted_metrics(answers, weights)
    on_land = weights @ land.astype(float)
    called = weights @ (land & answers.predicted).astype(float)
    rate = np.divide(called, on_land, out=np.full(len(weights), np.nan), where=on_land > 0)
    return {metric: values[metric] for metric in METRICS} | {LAND_RATE: rate}
