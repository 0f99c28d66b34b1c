"""From predictions per window to the metrics table; its key figures are `key_figures`.

The model and the baseline are judged on the same windows: pooled and by part (`subsets.py`), with intervals over
clusters of fires; for each fire on its own burnt windows and its own negatives (ring, granule), without intervals; and
over fires, each counted once.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import pandas as pd

from burnscar_assets.classes import BURNT, CLASS_NAMES, Stratum
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.calibration import bin_name, reliability
from burnscar_assets.evaluation.false_alarms import AREA, RATE, false_alarms
from burnscar_assets.evaluation.ground import ground_clusters
from burnscar_assets.evaluation.metrics import (
    COUNTS,
    METRICS,
    NO_INTERVAL,
    Answers,
    Interval,
    Statistic,
    binary_metrics,
    cluster_intervals,
    effective_clusters,
    metric_intervals,
    reliability_bins,
)
from burnscar_assets.evaluation.subsets import subsets
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import EVALUATION_METRICS

if TYPE_CHECKING:
    import geopandas as gpd

MODEL: Final = "model"
BASELINE: Final = "nbr_threshold"
METHODS: Final = (MODEL, BASELINE)
POOLED: Final = "pooled"
FIRE: Final = "fire"
PER_FIRE: Final = "per_fire"
"""Over fires, each counted once; its subsets are MEAN and MEDIAN."""

MEAN: Final = "mean"
MEDIAN: Final = "median"
MAPS: Final = "maps"
"""Maps of held-out fires, each counted once; its subsets are MEAN and MEDIAN, its methods those of MAP_SCORES."""

MAPS_DECIDE: Final = "iou"
"""The score that says which maps are better."""

MAPS_POOLED: Final = f"{MAPS}_pooled"
MAPS_SIZE: Final = f"{MAPS}_fire_size"
MAPS_SEVERITY: Final = f"{MAPS}_severity"
MAPS_COVER: Final = f"{MAPS}_cover"
"""Ground of a class of land cover of all fires together; its subset without a name is ground of no known class."""

MAPS_FIRE_COVER: Final = f"{MAPS}_fire_cover"
"""Maps of fires by the class of land cover on which most of each burned."""

MAPS_UNFLAGGED: Final = f"{MAPS}_unflagged"
"""Maps of the fires whose perimeters the source has no remark on, where another has one."""

MAPS_WITH_OUT: Final = f"{MAPS}_with_out"
"""Maps of all fires, those that a person took out of the scores too, where there are any."""

MAPS_GAIN: Final = f"{MAPS}_gain"
"""The model's maps less those of a baseline, its subset, on the fires that both were judged on."""

MAPS_NO_FIRE: Final = f"{MAPS}_no_fire"
"""What is mapped in frames without fire."""

LAND: Final = "land"
CALIBRATED: Final = "calibrated"
RELIABILITY: Final = "reliability"
POOLED_WITH_OUT: Final = f"{POOLED}_with_out"
"""All windows, those of fires that a person took out of the scores too, where there are any."""
CLOUDY: Final = "cloudy"
"""Windows less clear than those that count: reported beside, and part of no other scope."""

SEASON: Final = "season"
"""Pooled metrics of the champion of the year before; its other scopes are `season_fire` and so on."""

SEASON_MAPS: Final = f"{SEASON}_maps"
"""Maps of the season's fires by the champion of the year before; its subsets are MEAN and MEDIAN."""

SEASON_ELSEWHERE: Final = f"{SEASON}_other_ecoregion"
"""Windows of the season whose ecoregion the champion of the year before has not seen."""

_OF_PROBABILITY = ("brier", "nll", "ece")
OF_RANKING: Final = ("auroc", "average_precision")
"""Metrics that rank probabilities, which those of different checkpoints don't allow."""

_BURNT_NAME = CLASS_NAMES[BURNT]
_Rows = TypeVar("_Rows", bound=pd.DataFrame)


def evaluate_predictions(
    predictions: pd.DataFrame,
    settings: EvaluationSettings,
    fire_year: int,
    season: pd.DataFrame | None = None,
    beside: Mapping[str, pd.DataFrame] | None = None,
    of_maps: Iterable[dict[str, Any]] = (),
    *,
    several: bool = False,
) -> pd.DataFrame:
    """Metrics of model and baseline: pooled, per fire, and by part, without fires that a person took out.

    Args:
        predictions: columns of contract PREDICTIONS; the order of the rows doesn't matter.
        settings: confidence of the intervals, and bounds of classes.
        fire_year: fire year that the metrics are of.
        season: contract SEASON_PREDICTIONS, if the champion of the year before was judged too.
        beside: by scope, predictions that are judged apart.
        of_maps: rows of the maps' figures, which come first.
        several: whether predictions are of several checkpoints: their probabilities are not ranked with each other.

    Returns:
        Contract EVALUATION_METRICS.

    Raises:
        InputError: there are no predictions, or of fires that are out alone, or a probability is missing or outside
            0–1.
    """
    if predictions.empty:
        raise InputError(f"no predictions for {fire_year}: there is nothing to evaluate")
    if counting(predictions).empty:
        raise InputError(
            f"all windows of {fire_year} are of fires that a person took out: leave one in, or sample more"
        )
    metrics = [*of_maps, *_rows_of(predictions, settings)]
    if season is not None:
        metrics += [row | {"scope": _season_scope(row["scope"])} for row in _rows_of(season, settings)]
    for scope, rows in (beside or {}).items():
        if len(scored := counting(rows)):
            metrics += _Judge(scored, settings).pooled(scope)
    table = pd.DataFrame(metrics).assign(fire_year=fire_year)
    if several:
        unknown = table["metric"].isin(OF_RANKING) & ~table["scope"].isin([FIRE, PER_FIRE])
        table.loc[unknown, ["value", "low", "high"]] = math.nan
    return EVALUATION_METRICS.conform(table)


def counting(predictions: _Rows) -> _Rows:
    """Windows that count: those of fires that a person took out do not."""
    return predictions[~predictions["out"].astype(bool)].reset_index(drop=True)


def _rows_of(predictions: pd.DataFrame, settings: EvaluationSettings) -> Iterator[dict[str, Any]]:
    """Metrics of the windows that count, and pooled those of all where some don't."""
    scored = counting(predictions)
    if len(scored):
        yield from _Judge(scored, settings).rows()
    if len(scored) < len(predictions):
        yield from _Judge(predictions, settings).pooled(POOLED_WITH_OUT)


def across_years(predictions: "gpd.GeoDataFrame", settings: EvaluationSettings) -> pd.DataFrame:
    """Metrics of the held-out fires of several years together, each judged by its own year's checkpoint.

    Clusters are pieces of ground, since fires of different years may lie on the same one. Pooled AUROC and average
    precision are left out: they would rank probabilities of different checkpoints.

    Args:
        predictions: contract PREDICTIONS, of several fire years.
        settings: confidence of the intervals.

    Returns:
        Contract EVALUATION_METRICS without fire_year: scopes `pooled`, `fire` and `per_fire`, of windows that count.
    """
    scored = counting(predictions)
    rows = scored.assign(cluster_id=ground_clusters(scored))
    metrics = pd.DataFrame(_Judge(rows, settings).overall())
    return metrics[~metrics["metric"].isin(OF_RANKING) | (metrics["scope"] != POOLED)].reset_index(drop=True)


class _Judge:
    """Makes the rows of the metrics table from one table of predictions."""

    def __init__(self, predictions: pd.DataFrame, settings: EvaluationSettings) -> None:
        self._rows = predictions.sort_values("window_id", kind="stable").reset_index(drop=True)
        self._settings = settings
        self._fires = fire_ids_of(self._rows)
        self._clusters = self._rows["cluster_id"].astype(str).to_numpy()

    def rows(self) -> Iterator[dict[str, Any]]:
        yield from self.overall()
        for method in METHODS:
            answers = answers_of(self._rows, method)
            for scope, subset, inside in subsets(self._rows, self._settings):
                yield from self._judged(answers, inside, method=method, scope=scope, subset=subset)
            yield from self._land(answers, method)
        yield from self._calibration(answers_of(self._rows, MODEL))

    def overall(self) -> Iterator[dict[str, Any]]:
        """Rows of all windows, of each fire, and over fires."""
        yield from self.pooled(POOLED)
        for method in METHODS:
            yield from self._fires_of(answers_of(self._rows, method), method)

    def pooled(self, scope: str) -> Iterator[dict[str, Any]]:
        """Rows of all windows together, under a scope's name."""
        everything = np.ones(len(self._rows), dtype=bool)
        for method in METHODS:
            yield from self._judged(answers_of(self._rows, method), everything, method=method, scope=scope)

    def _judged(self, answers: Answers, inside: np.ndarray, **names: str) -> Iterator[dict[str, Any]]:
        chosen = answers.take(inside)
        intervals = self._intervals_of_metrics(chosen, inside)
        yield from self._named(_told(binary_metrics(chosen), METRICS, intervals), inside, **names)

    def _fires_of(self, answers: Answers, method: str) -> Iterator[dict[str, Any]]:
        """Each fire, and mean and median over fires."""
        by_fire = {}
        for fire_id in sorted(set(self._fires) - {""}):
            inside = self._fires == fire_id
            by_fire[fire_id] = binary_metrics(answers.take(inside))
            rows = _told(by_fire[fire_id], METRICS, {})
            yield from self._named(rows, inside, method=method, scope=FIRE, fire_id=fire_id)
        for metric in METRICS if by_fire else ():
            if metric not in COUNTS:
                values = {fire_id: found[metric] for fire_id, found in by_fire.items()}
                yield from self._over_fires(metric, values, method)

    def _over_fires(self, metric: str, by_fire: Mapping[str, float], method: str) -> Iterator[dict[str, Any]]:
        """Mean and median of a metric over the fires where it is defined; the mean with its interval."""
        known = [fire_id for fire_id, value in by_fire.items() if not math.isnan(value)]
        values = np.array([by_fire[fire_id] for fire_id in known])
        cluster_of = dict(zip(self._fires, self._clusters, strict=True))
        clusters = [cluster_of[fire_id] for fire_id in known]
        of_fires = np.ones(len(known), dtype=bool)
        inside = np.isin(self._fires, known)
        counted = self._counted(inside) | {"effective_clusters": effective_clusters(clusters, of_fires)}

        def mean(weights: np.ndarray) -> dict[str, np.ndarray]:
            return {metric: weights @ values / weights.sum(axis=1)}

        found: dict[str, tuple[float, Interval]] = dict.fromkeys((MEAN, MEDIAN), (math.nan, NO_INTERVAL))
        if known:
            interval = cluster_intervals(mean, clusters, of_fires, self._settings.confidence)[metric]
            found = {MEAN: (float(values.mean()), interval), MEDIAN: (float(np.median(values)), NO_INTERVAL)}
        for subset, (value, interval) in found.items():
            for row in _told({metric: value}, (metric,), {metric: interval}):
                yield {"fire_id": "", "method": method, "scope": PER_FIRE, "subset": subset} | row | counted

    def _land(self, answers: Answers, method: str) -> Iterator[dict[str, Any]]:
        found = false_alarms(self._rows, answers.predicted, self._settings.confidence)
        if found is not None:
            values, interval = found
            inside = (self._rows["stratum"] == Stratum.LAND).to_numpy(dtype=bool) & (self._fires == "")
            rows = _told(values, (AREA, "fp", RATE), {RATE: interval})
            yield from self._named(rows, inside, method=method, scope=LAND)

    def _calibration(self, answers: Answers) -> Iterator[dict[str, Any]]:
        everything = np.ones(len(self._rows), dtype=bool)
        calibrated = self._rows["calibrated_probability"].to_numpy(dtype=np.float64)
        scaled = Answers(answers.truth, answers.predicted, calibrated, calibrated)
        intervals = self._intervals_of_metrics(scaled, everything)
        rows = _told(binary_metrics(scaled), _OF_PROBABILITY, intervals)
        yield from self._named(rows, everything, method=MODEL, scope=CALIBRATED)
        bins = reliability_bins(answers.ranking)
        for number in np.unique(bins):
            inside = bins == number
            curve = partial(reliability, answers.take(inside))
            values = {name: float(value[0]) for name, value in curve(np.ones((1, inside.sum()))).items()}
            rows = _told(values, tuple(values), self._intervals(curve, inside))
            yield from self._named(rows, inside, method=MODEL, scope=RELIABILITY, subset=bin_name(int(number)))

    def _intervals(self, statistic: Statistic, inside: np.ndarray) -> dict[str, Interval]:
        clusters, of_fire = self._clusters[inside].tolist(), self._fires[inside] != ""
        return cluster_intervals(statistic, clusters, of_fire, self._settings.confidence)

    def _intervals_of_metrics(self, answers: Answers, inside: np.ndarray) -> dict[str, Interval]:
        clusters, of_fire = self._clusters[inside].tolist(), self._fires[inside] != ""
        return metric_intervals(answers, clusters, of_fire, self._settings.confidence)

    def _named(self, rows: Iterable[dict[str, Any]], inside: np.ndarray, **names: str) -> Iterator[dict[str, Any]]:
        counted = self._counted(inside)
        yield from ({"subset": "", "fire_id": ""} | names | row | counted for row in rows)

    def _counted(self, inside: np.ndarray) -> dict[str, Any]:
        fires = self._fires[inside]
        return {
            "windows": int(inside.sum()),
            "fires": len(set(fires) - {""}),
            "effective_clusters": effective_clusters(self._clusters[inside].tolist(), fires != ""),
        }


def _season_scope(scope: str) -> str:
    return SEASON if scope == POOLED else f"{SEASON}_{scope}"


def _told(
    values: Mapping[str, float], names: Iterable[str], intervals: Mapping[str, Interval]
) -> Iterator[dict[str, Any]]:
    """Metrics by name with their intervals; a count has none."""
    for name in names:
        interval = NO_INTERVAL if name in COUNTS else intervals.get(name, NO_INTERVAL)
        yield {"metric": name, "value": values[name], "low": interval.low, "high": interval.high}


def fire_ids_of(predictions: pd.DataFrame) -> np.ndarray:
    """(n,) fire of each window as str; empty for land without fire."""
    return predictions["fire_id"].astype("string").fillna("").to_numpy(dtype=str)


def answers_of(predictions: pd.DataFrame, method: str) -> Answers:
    """What a method (`model` or `nbr_threshold`) said, in the order of the rows.

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


def best_baseline(metrics: pd.DataFrame) -> str:
    """The baseline that the model's maps gain least on, over the fires that both were judged on; empty without one."""
    gains = metrics[(metrics["scope"] == MAPS_GAIN) & (metrics["metric"] == MAPS_DECIDE)].sort_values(
        ["value", "subset"]
    )
    return str(gains["subset"].iloc[0]) if len(gains) else ""
