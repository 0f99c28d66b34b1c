"""Intervals that hold with few fires: Student's t over clusters, each left out once.

Windows of one fire are not independent, so what varies are clusters: a cluster of fires with all its windows, or, for
land without fire, a block of ground. The standard error is that of the stratified delete-one jackknife (fires and
blocks are strata; Rust and Rao 1996); Student's t has as many degrees of freedom as the effective number of clusters
that tell of the metric less one, and shares reach from 0 to 1 on the scale of log odds, so that no interval is cut off.
How often such intervals hold is measured in `burnscar_assets_tests/evaluation/test_coverage.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.metrics import METRICS, Answers, weighted_metrics, windows_behind

MIN_CLUSTERS: Final = 6.0
"""With fewer effective clusters than this there is no interval: it would say next to nothing, or not hold."""

FEW_CLUSTERS: Final = 30.0
"""With fewer than this, intervals hold less often than they say where a few fires fail altogether."""

UNBOUNDED: Final = frozenset({"nll"})
"""Metrics that may be greater than 1."""

SAYS_NOTHING: Final = (0.005, 0.995)
"""A share's interval that holds both of these covers 0 to 1, as it is printed, and isn't given."""

_ROUNDING = 1e-9
"""A standard error below this is rounding: all clusters agree."""

_CELLS_PER_BATCH = 4_000_000

Statistic = Callable[[NDArray[Any]], Mapping[str, NDArray[np.float64]]]
"""Named values of weighted windows: from (r, n) weights to (r,) values each."""

Scale = Literal["share", "positive", "difference"]
"""What a value can be: from 0 to 1, from 0 on, or anything."""


@dataclass(frozen=True)
class Interval:
    """Ends of an interval; NaN where none can be given."""

    low: float
    high: float


NO_INTERVAL: Final = Interval(float("nan"), float("nan"))


def effective_clusters(clusters: Sequence[str], has_fire: NDArray[np.bool_]) -> float:
    """How many clusters of equal size tell as much as these (Kish 1965): (Σ n)² / Σ n² of their windows.

    Args:
        clusters: (n,) cluster of each window.
        has_fire: (n,) whether the window belongs to a fire; blocks of land count only where there is no fire.

    Returns:
        From 1 to the number of clusters; 0 without windows.
    """
    names = np.asarray(clusters, dtype=str)
    _, sizes = np.unique(names[has_fire] if has_fire.any() else names, return_counts=True)
    return float(sizes.sum() ** 2 / np.square(sizes).sum()) if len(sizes) else 0.0


def effective_of_metrics(answers: Answers, clusters: Sequence[str], has_fire: NDArray[np.bool_]) -> dict[str, float]:
    """Effective number of the clusters that tell of each metric: those with windows in its denominator."""
    names, effective = np.asarray(clusters, dtype=str), effective_clusters(clusters, has_fire)
    behind = {
        metric: min(effective_clusters(names[inside].tolist(), has_fire[inside]) for inside in windows)
        for metric, windows in windows_behind(answers).items()
    }
    return dict.fromkeys(METRICS, effective) | behind


def clusters_by_kind(
    clusters: Sequence[str], has_fire: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Clusters of fires and blocks of land, kept apart, whatever the order of the windows.

    Args:
        clusters: (n,) cluster of each window.
        has_fire: (n,) whether the window belongs to a fire.

    Returns:
        (n,) number of each window's cluster, and for each cluster whether it is one of fires.
    """
    kinds = np.where(has_fire, "fire", "land")
    names, index = np.unique(np.char.add(np.char.add(kinds, ":"), np.asarray(clusters, dtype=str)), return_inverse=True)
    return index, np.char.startswith(names, "fire:")


def metric_intervals(
    answers: Answers, clusters: Sequence[str], has_fire: NDArray[np.bool_], confidence: float
) -> dict[str, Interval]:
    """Interval of every metric over the clusters that tell of it; see `cluster_intervals`."""
    effective = effective_of_metrics(answers, clusters, has_fire)
    return cluster_intervals(partial(weighted_metrics, answers), clusters, has_fire, confidence, effective=effective)


def cluster_intervals(
    statistic: Statistic,
    clusters: Sequence[str],
    has_fire: NDArray[np.bool_],
    confidence: float,
    scale: Scale = "share",
    effective: Mapping[str, float] | None = None,
) -> dict[str, Interval]:
    """Interval of every value of a statistic over clusters.

    There is none with fewer effective clusters than MIN_CLUSTERS, nor for a value that is undefined where one of the
    clusters is left out.

    Args:
        statistic: of (r, n) weights; what it names for one weighting it names for all.
        clusters: (n,) cluster of each window.
        has_fire: (n,) whether the window belongs to a fire.
        confidence: coverage, 0–1.
        scale: what the values can be; metrics of UNBOUNDED are from 0 on.
        effective: effective number of the clusters that tell of each value; None: all tell of all.
    """
    plain = {name: float(value[0]) for name, value in statistic(np.ones((1, len(has_fire)))).items()}
    trials = effective or dict.fromkeys(plain, effective_clusters(clusters, has_fire))
    if max(trials.values()) < MIN_CLUSTERS:
        return dict.fromkeys(plain, NO_INTERVAL)
    errors = _standard_errors(statistic, plain, clusters, has_fire)
    return {
        name: t_interval(
            value,
            errors[name],
            trials[name],
            confidence,
            "positive" if scale == "share" and name in UNBOUNDED else scale,
        )
        if trials[name] >= MIN_CLUSTERS
        else NO_INTERVAL
        for name, value in plain.items()
    }


def t_interval(value: float, error: float, effective: float, confidence: float, scale: Scale) -> Interval:
    """The interval of a value by its standard error and the effective number of clusters behind it.

    Without an error a share has the exact binomial interval of so many trials, and other values one of no width.
    """
    from scipy.special import expit, logit, stdtrit

    if np.isnan(value) or np.isnan(error):
        return NO_INTERVAL
    if error < _ROUNDING:
        return binomial_interval(value, effective, confidence) if scale == "share" else Interval(value, value)
    reach = float(stdtrit(effective - 1, (1 + confidence) / 2)) * error
    if scale == "difference":
        return Interval(value - reach, value + reach)
    if value <= 0 or (scale == "share" and value >= 1):
        return NO_INTERVAL
    if scale == "positive":
        return Interval(value * float(np.exp(-reach / value)), value * float(np.exp(reach / value)))
    odds, reach = float(logit(value)), reach / (value * (1 - value))
    low, high = float(expit(odds - reach)), float(expit(odds + reach))
    return NO_INTERVAL if low <= SAYS_NOTHING[0] and high >= SAYS_NOTHING[1] else Interval(low, high)


def binomial_interval(share: float, trials: float, confidence: float) -> Interval:
    """The exact interval of the probability behind a share of trials (Clopper and Pearson 1934).

    Args:
        share: of successes, 0–1.
        trials: how many; need not be whole.
        confidence: coverage, 0–1.
    """
    from scipy.special import betaincinv

    tail, hits = (1 - confidence) / 2, share * trials
    low = float(betaincinv(hits, trials - hits + 1, tail)) if share > _ROUNDING else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - tail)) if share < 1 - _ROUNDING else 1.0
    return Interval(low, high)


def _standard_errors(
    statistic: Statistic, plain: Mapping[str, float], clusters: Sequence[str], has_fire: NDArray[np.bool_]
) -> dict[str, float]:
    """Of each value, by leaving out each cluster once; its kind's other clusters weigh so much more."""
    index, of_fires = clusters_by_kind(clusters, has_fire)
    kind_size = np.where(of_fires, of_fires.sum(), (~of_fires).sum())
    left_out = np.flatnonzero(kind_size > 1)
    squares = dict.fromkeys(plain, 0.0)
    batch = max(1, _CELLS_PER_BATCH // len(index))
    for start in range(0, len(left_out), batch):
        chosen = left_out[start : start + batch]
        size = kind_size[chosen]
        same_kind = of_fires[chosen][:, None] == of_fires[None, :]
        factors = np.where(same_kind, (size / (size - 1))[:, None], 1.0)
        factors[np.arange(len(chosen)), chosen] = 0
        for name, values in statistic(factors[:, index]).items():
            squares[name] += float(((size - 1) / size * np.square(values - plain[name])).sum())
    return {name: float(np.sqrt(square)) for name, square in squares.items()}
