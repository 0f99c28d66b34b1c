"""The key figures of an evaluation, out of its metrics table."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from burnscar_assets.classes import BURNT, CLASS_NAMES
from burnscar_assets.evaluation.false_alarms import RATE
from burnscar_assets.evaluation.report import (
    BASELINE,
    CALIBRATED,
    CLOUDY,
    FIRE,
    LAND,
    MAPS,
    MAPS_DECIDE,
    MAPS_GAIN,
    MEAN,
    MEDIAN,
    MODEL,
    PER_FIRE,
    POOLED,
    SEASON,
    SEASON_MAPS,
    best_baseline,
    counting,
    fire_ids_of,
)

Figures = dict[str, Any]
Value = Callable[..., float | None]
"""A metric's value of a method, column, scope and subset; None where undefined."""


@dataclass(frozen=True)
class EvaluationSummary:
    """Key figures of one evaluation; None where undefined, so that JSON and the web UI take them as they are.

    Attributes:
        fire_year: Fire year.
        maps: Held-out fires whose maps are judged.
        map_iou, map_iou_low, map_iou_high: Mean IoU of their maps, each counted once.
        map_iou_median: Median of the same.
        map_boundary_f_2px: Mean F1 of their outlines within two pixels.
        best_baseline: Floor or burn index that the model gains least on, on the same pixels; empty without one.
        best_baseline_map_iou: Its mean IoU, over the fires that it can map.
        map_gain, map_gain_low, map_gain_high: Mean IoU less that of the best baseline, over the same fires.
        windows: Windows scored.
        burnt_windows: Burnt ones among them.
        fires: Fires that the windows belong to.
        clusters: Clusters: fire clusters and, for land without fire, ground blocks.
        effective_clusters: Fire clusters of equal size that would tell as much.
        tp, fp, fn, tn: Confusion matrix of the model; burnt is positive.
        accuracy: Of the model, 0–1, as are the following.
        balanced_accuracy: Mean of the recalls of both classes.
        f1_burnt, f1_burnt_low, f1_burnt_high: F1 of burnt, pooled, and its interval over clusters of fires.
        iou_burnt: Intersection over union of burnt, counted in windows.
        auroc: Area under the ROC curve.
        baseline_f1_burnt, baseline_balanced_accuracy, baseline_auroc: Of the NBR threshold.
        worst_fire_f1_burnt, median_fire_f1_burnt: Over fires with a burnt window.
        mean_fire_f1_burnt, mean_fire_f1_burnt_low, mean_fire_f1_burnt_high: Mean over them, and its interval.
        ece, ece_calibrated: Expected calibration error, as it is and with the temperature.
        false_alarms_per_1000_km2, false_alarms_low, false_alarms_high: Windows of land without fire called burnt.
        season_windows: Windows of the whole year that the champion of the year before was judged on.
        season_map_iou: Mean IoU of its maps of the season's fires.
        season_f1_burnt, season_f1_burnt_low, season_f1_burnt_high: Its F1 of burnt there.
        cloudy_windows: Held-out windows that are left out of all this as cloudy.
        cloudy_f1_burnt: F1 of burnt of the model on these.
    """

    fire_year: int
    maps: int
    map_iou: float | None
    map_iou_low: float | None
    map_iou_high: float | None
    map_iou_median: float | None
    map_boundary_f_2px: float | None
    best_baseline: str
    best_baseline_map_iou: float | None
    map_gain: float | None
    map_gain_low: float | None
    map_gain_high: float | None
    windows: int
    burnt_windows: int
    fires: int
    clusters: int
    effective_clusters: float
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
    mean_fire_f1_burnt: float | None
    mean_fire_f1_burnt_low: float | None
    mean_fire_f1_burnt_high: float | None
    ece: float | None
    ece_calibrated: float | None
    false_alarms_per_1000_km2: float | None
    false_alarms_low: float | None
    false_alarms_high: float | None
    season_windows: int
    season_map_iou: float | None
    season_f1_burnt: float | None
    season_f1_burnt_low: float | None
    season_f1_burnt_high: float | None
    cloudy_windows: int
    cloudy_f1_burnt: float | None


def summarise(predictions: pd.DataFrame, metrics: pd.DataFrame) -> EvaluationSummary:
    """The key figures of `evaluate_predictions(predictions, …)`."""

    def value(
        metric: str, method: str = MODEL, column: str = "value", scope: str = POOLED, subset: str = ""
    ) -> float | None:
        named = (metrics["scope"] == scope) & (metrics["subset"] == subset)
        found = metrics.loc[named & (metrics["method"] == method) & (metrics["metric"] == metric), column]
        return _defined(float(found.iloc[0])) if len(found) else None

    predictions = counting(predictions)
    fire_ids = fire_ids_of(predictions)
    return EvaluationSummary(
        fire_year=int(metrics["fire_year"].iloc[0]),
        windows=len(predictions),
        burnt_windows=int((predictions["category"] == CLASS_NAMES[BURNT]).sum()),
        fires=len(set(fire_ids) - {""}),
        clusters=len(set(zip(fire_ids != "", predictions["cluster_id"].astype(str), strict=True))),
        **_of_maps(value, best_baseline(metrics)),
        **_of_windows(value),
        **_of_fires(value, metrics),
        **_beside(value, metrics),
    )


def _of_maps(value: Value, best: str) -> Figures:
    mean = {column: value(MAPS_DECIDE, column=column, scope=MAPS, subset=MEAN) for column in ("value", "low", "high")}
    gain = {
        column: value(MAPS_DECIDE, column=column, scope=MAPS_GAIN, subset=best) for column in ("value", "low", "high")
    }
    return {
        "maps": int(value(MAPS_DECIDE, column="fires", scope=MAPS, subset=MEAN) or 0),
        "map_iou": mean["value"],
        "map_iou_low": mean["low"],
        "map_iou_high": mean["high"],
        "map_iou_median": value(MAPS_DECIDE, scope=MAPS, subset=MEDIAN),
        "map_boundary_f_2px": value("boundary_f_2px", scope=MAPS, subset=MEAN),
        "best_baseline": best,
        "best_baseline_map_iou": value(MAPS_DECIDE, best, scope=MAPS, subset=MEAN),
        "map_gain": gain["value"],
        "map_gain_low": gain["low"],
        "map_gain_high": gain["high"],
    }


def _of_windows(value: Value) -> Figures:
    counts = {metric: int(value(metric) or 0) for metric in ("tp", "fp", "fn", "tn")}
    pooled = {metric: value(metric) for metric in ("accuracy", "balanced_accuracy", "f1_burnt", "iou_burnt", "auroc")}
    baseline = {f"baseline_{m}": value(m, BASELINE) for m in ("f1_burnt", "balanced_accuracy", "auroc")}
    return {
        **counts,
        **pooled,
        **baseline,
        "effective_clusters": value("f1_burnt", column="effective_clusters") or 0.0,
        "f1_burnt_low": value("f1_burnt", column="low"),
        "f1_burnt_high": value("f1_burnt", column="high"),
        "ece": value("ece"),
        "ece_calibrated": value("ece", scope=CALIBRATED),
    }


def _of_fires(value: Value, metrics: pd.DataFrame) -> Figures:
    of_fire = (metrics["scope"] == FIRE) & (metrics["method"] == MODEL) & (metrics["metric"] == "f1_burnt")
    return {
        "worst_fire_f1_burnt": _defined(float(metrics.loc[of_fire, "value"].dropna().min())),
        "median_fire_f1_burnt": value("f1_burnt", scope=PER_FIRE, subset=MEDIAN),
        "mean_fire_f1_burnt": value("f1_burnt", scope=PER_FIRE, subset=MEAN),
        "mean_fire_f1_burnt_low": value("f1_burnt", column="low", scope=PER_FIRE, subset=MEAN),
        "mean_fire_f1_burnt_high": value("f1_burnt", column="high", scope=PER_FIRE, subset=MEAN),
    }


def _beside(value: Value, metrics: pd.DataFrame) -> Figures:
    """Land without fire, the season, and cloudy windows."""

    def windows(scope: str) -> int:
        found = metrics.loc[metrics["scope"] == scope, "windows"]
        return int(found.max()) if len(found) else 0

    return {
        "false_alarms_per_1000_km2": value(RATE, scope=LAND),
        "false_alarms_low": value(RATE, scope=LAND, column="low"),
        "false_alarms_high": value(RATE, scope=LAND, column="high"),
        "season_windows": windows(SEASON),
        "season_map_iou": value(MAPS_DECIDE, scope=SEASON_MAPS, subset=MEAN),
        "season_f1_burnt": value("f1_burnt", scope=SEASON),
        "season_f1_burnt_low": value("f1_burnt", scope=SEASON, column="low"),
        "season_f1_burnt_high": value("f1_burnt", scope=SEASON, column="high"),
        "cloudy_windows": windows(CLOUDY),
        "cloudy_f1_burnt": value("f1_burnt", scope=CLOUDY),
    }


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
