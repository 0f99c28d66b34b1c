"""From predictions per window to the metrics table and its key figures.

The model and the baseline are judged on the same windows: pooled, with intervals over resampled fires,
and for each fire on its own burnt windows and its own negatives (ring, granule), without intervals.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from burnscar_assets.classes import BURNT, CLASS_NAMES
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.bootstrap import Interval, bootstrap_intervals
from burnscar_assets.evaluation.metrics import COUNTS, METRICS, Answers, binary_metrics
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import EVALUATION_METRICS

MODEL: Final = "olmoearth"
BASELINE: Final = "nbr_threshold"
METHODS: Final = (MODEL, BASELINE)
POOLED: Final = "pooled"
FIRE: Final = "fire"

_BURNT_NAME = CLASS_NAMES[BURNT]


@dataclass(frozen=True)
class EvaluationSummary:
    """Key figures of one evaluation; None where undefined, so that JSON and the web UI take them as they are.

    Attributes:
        fire_year: Fire year.
        windows: Windows scored.
        burnt_windows: Burnt ones among them.
        fires: Fires that the windows belong to.
        clusters: Clusters that were resampled: fire clusters and, for land without fire, ground blocks.
        tp, fp, fn, tn: Confusion matrix of the model; burnt is positive.
        accuracy: Of the model, 0–1, as are the following.
        balanced_accuracy: Mean of the recalls of both classes.
        f1_burnt, f1_burnt_low, f1_burnt_high: F1 of burnt and its interval over fires.
        iou_burnt: Intersection over union of burnt, counted in windows.
        auroc: Area under the ROC curve.
        baseline_f1_burnt, baseline_balanced_accuracy, baseline_auroc: Of the NBR threshold.
        worst_fire_f1_burnt, median_fire_f1_burnt: Over fires with a burnt window.
    """

    fire_year: int
    windows: int
    burnt_windows: int
    fires: int
    clusters: int
    tp: int
    fp: int
    fn: int
    tn: int
    accuracy: float | None
    balanced_accuracy: float | None
    f1_burnt: float | None
    f1_burnt_low: float | None
    f1_burnt_high: float | None
    iou_burnt: float | None
    auroc: float | None
    baseline_f1_burnt: float | None
    baseline_balanced_accuracy: float | None
    baseline_auroc: float | None
    worst_fire_f1_burnt: float | None
    median_fire_f1_burnt: float | None


def evaluate_predictions(predictions: pd.DataFrame, settings: EvaluationSettings, fire_year: int) -> pd.DataFrame:
    """Metrics of model and baseline, pooled and per fire.

    Args:
        predictions: columns of contract PREDICTIONS; the order of the rows doesn't matter.
        settings: resamples, confidence and seed of the intervals.
        fire_year: fire year that the metrics are of.

    Returns:
        Contract EVALUATION_METRICS.

    Raises:
        InputError: there are no predictions, or a probability is missing or outside 0–1.
    """
    if predictions.empty:
        raise InputError(f"no predictions for {fire_year}: there is nothing to evaluate")
    rows = predictions.sort_values("window_id", kind="stable").reset_index(drop=True)
    fire_ids = fire_ids_of(rows)
    metrics: list[dict[str, Any]] = []
    for method in METHODS:
        answers = answers_of(rows, method)
        intervals = bootstrap_intervals(
            answers,
            rows["cluster_id"].astype(str).to_list(),
            fire_ids != "",
            samples=settings.bootstrap_samples,
            confidence=settings.confidence,
            seed=settings.seed,
        )
        fires = len(set(fire_ids) - {""})
        metrics += _rows(method, POOLED, "", answers, fires=fires, intervals=intervals)
        for fire_id in sorted(set(fire_ids) - {""}):
            of_fire = answers.take(fire_ids == fire_id)
            metrics += _rows(method, FIRE, fire_id, of_fire, fires=1, intervals=None)
    return EVALUATION_METRICS.conform(pd.DataFrame(metrics).assign(fire_year=fire_year))


def fire_ids_of(predictions: pd.DataFrame) -> np.ndarray:
    """(n,) fire of each window as str; empty for land without fire."""
    return predictions["fire_id"].astype("string").fillna("").to_numpy(dtype=str)


def answers_of(predictions: pd.DataFrame, method: str) -> Answers:
    """What a method (`olmoearth` or `nbr_threshold`) said, in the order of the rows.

    Raises:
        InputError: a probability is missing or outside 0–1.
    """
    truth = (predictions["category"] == _BURNT_NAME).to_numpy(dtype=bool)
    if method == BASELINE:
        low_is_burnt = predictions["nbr"].to_numpy(dtype=np.float64, na_value=np.nan)
        ranking = np.where(np.isnan(low_is_burnt), -np.inf, -low_is_burnt)
        return Answers(truth, (predictions["baseline_predicted"] == _BURNT_NAME).to_numpy(dtype=bool), ranking)
    probability = predictions["burnt_probability"].to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.all((probability >= 0) & (probability <= 1)):
        raise InputError("predictions: burnt_probability must be a number from 0 to 1 for every window")
    return Answers(truth, (predictions["predicted"] == _BURNT_NAME).to_numpy(dtype=bool), probability, probability)


def _rows(
    method: str, scope: str, fire_id: str, answers: Answers, *, fires: int, intervals: dict[str, Interval] | None
) -> Iterator[dict[str, Any]]:
    nothing = Interval(float("nan"), float("nan"))
    values = binary_metrics(answers)
    for name in METRICS:
        interval = nothing if intervals is None or name in COUNTS else intervals[name]
        yield {
            "method": method,
            "scope": scope,
            "fire_id": fire_id,
            "metric": name,
            "value": values[name],
            "low": interval.low,
            "high": interval.high,
            "windows": len(answers.truth),
            "fires": fires,
        }


def summarise(predictions: pd.DataFrame, metrics: pd.DataFrame) -> EvaluationSummary:
    """The key figures of `evaluate_predictions(predictions, …)`."""
    pooled = metrics[metrics["scope"] == POOLED].set_index(["method", "metric"])
    fire_f1 = metrics.loc[
        (metrics["scope"] == FIRE) & (metrics["method"] == MODEL) & (metrics["metric"] == "f1_burnt"), "value"
    ].dropna()
    fire_ids = fire_ids_of(predictions)
    clusters = set(zip(fire_ids != "", predictions["cluster_id"].astype(str), strict=True))

    def value(metric: str, method: str = MODEL, column: str = "value") -> float | None:
        return _defined(float(pooled.loc[(method, metric), column]))

    def count(metric: str) -> int:
        return int(pooled.loc[(MODEL, metric), "value"])

    return EvaluationSummary(
        fire_year=int(metrics["fire_year"].iloc[0]),
        windows=len(predictions),
        burnt_windows=int((predictions["category"] == _BURNT_NAME).sum()),
        fires=len(set(fire_ids) - {""}),
        clusters=len(clusters),
        tp=count("tp"),
        fp=count("fp"),
        fn=count("fn"),
        tn=count("tn"),
        accuracy=value("accuracy"),
        balanced_accuracy=value("balanced_accuracy"),
        f1_burnt=value("f1_burnt"),
        iou_burnt=value("iou_burnt"),
        auroc=value("auroc"),
        f1_burnt_low=value("f1_burnt", column="low"),
        f1_burnt_high=value("f1_burnt", column="high"),
        baseline_f1_burnt=value("f1_burnt", BASELINE),
        baseline_balanced_accuracy=value("balanced_accuracy", BASELINE),
        baseline_auroc=value("auroc", BASELINE),
        worst_fire_f1_burnt=_defined(float(fire_f1.min())),
        median_fire_f1_burnt=_defined(float(fire_f1.median())),
    )


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
