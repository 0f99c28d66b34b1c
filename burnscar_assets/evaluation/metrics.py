"""Binary metrics with burnt as the positive class, and intervals of them that hold with few fires.

Every metric comes from one function that takes window weights, so that a resample (weights = how often each window was
drawn) and the plain value (weights = 1) can't be computed in two ways. A metric that is undefined, such as the recall
of a class that has no window, is NaN and never 0.

Intervals are Student's t over clusters, each left out once. Windows of one fire are not independent, so what varies are
clusters: a cluster of fires with all its windows, or, for land without fire, a block of ground. The standard error is
that of the stratified delete-one jackknife (fires and blocks are strata; Rust and Rao 1996); Student's t has as many
degrees of freedom as the effective number of clusters that tell of the metric less one, and shares reach from 0 to 1 on
the scale of log odds, so that no interval is cut off. How often such intervals hold is measured in
`burnscar_assets_tests/evaluation/test_coverage.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

COUNTS: Final = ("tp", "fp", "fn", "tn")
"""Windows by truth and answer: tp and fn are burnt windows, fp and tn unburnt ones."""

METRICS: Final = (
    *COUNTS,
    "accuracy",
    "balanced_accuracy",
    "precision_burnt",
    "recall_burnt",
    "f1_burnt",
    "iou_burnt",
    "precision_unburnt",
    "recall_unburnt",
    "f1_unburnt",
    "iou_unburnt",
    "f1_macro",
    "auroc",
    "average_precision",
    "brier",
    "nll",
    "ece",
)
"""Names of all metrics, in the order in which they are reported."""

RELIABILITY_BINS: Final = 10
"""Bins of equal width that probabilities are counted in, for the reliability curve and its error."""

SMALLEST_PROBABILITY: Final = 1e-6
"""Probabilities nearer to 0 or 1 count as this near: a logarithm of 0 would outweigh all other windows."""

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
class Answers:
    """What a method said of `n` windows, beside the truth.

    Attributes:
        truth: (n,) bool, whether the window is burnt.
        predicted: (n,) bool, whether the method calls it burnt.
        ranking: (n,) float, larger = more likely burnt; any scale, infinities allowed, no NaN.
        probability: (n,) float in 0–1, or None for a method that gives none.
    """

    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    ranking: NDArray[np.float64]
    probability: NDArray[np.float64] | None = None

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Answers":
        """The answers of some of the windows."""
        probability = None if self.probability is None else self.probability[chosen]
        return Answers(self.truth[chosen], self.predicted[chosen], self.ranking[chosen], probability)


def binary_metrics(answers: Answers) -> dict[str, float]:
    """Every metric of METRICS, each window counted once."""
    ones = np.ones((1, len(answers.truth)))
    return {name: float(values[0]) for name, values in weighted_metrics(answers, ones).items()}


def weighted_metrics(answers: Answers, weights: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Every metric of METRICS under each of `r` weightings.

    Args:
        answers: answers for `n` windows.
        weights: (r, n), not negative.

    Returns:
        metric name → (r,) values.
    """
    weights = weights.astype(np.float64)
    truth, predicted = answers.truth.astype(bool), answers.predicted.astype(bool)
    tp, fp, fn, tn = (
        weights @ cell.astype(np.float64)
        for cell in (truth & predicted, ~truth & predicted, truth & ~predicted, ~truth & ~predicted)
    )
    auroc, average_precision = _ranking_metrics(answers.ranking, truth, weights)
    recall_burnt, recall_unburnt = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    f1_burnt, f1_unburnt = _ratio(2 * tp, 2 * tp + fp + fn), _ratio(2 * tn, 2 * tn + fp + fn)
    total = weights.sum(axis=1)
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "accuracy": _ratio(tp + tn, total),
        "balanced_accuracy": (recall_burnt + recall_unburnt) / 2,
        "precision_burnt": _ratio(tp, tp + fp),
        "recall_burnt": recall_burnt,
        "f1_burnt": f1_burnt,
        "iou_burnt": _ratio(tp, tp + fp + fn),
        "precision_unburnt": _ratio(tn, tn + fn),
        "recall_unburnt": recall_unburnt,
        "f1_unburnt": f1_unburnt,
        "iou_unburnt": _ratio(tn, tn + fp + fn),
        "f1_macro": (f1_burnt + f1_unburnt) / 2,
        "auroc": auroc,
        "average_precision": average_precision,
        **_probability_metrics(answers.probability, truth, weights),
    }


def windows_behind(answers: Answers) -> dict[str, tuple[NDArray[np.bool_], ...]]:
    """Metrics that not all windows tell of, each with the (n,) windows in its denominator.

    One that is of two classes has the windows of each: it is as uncertain as the class that has fewer.
    """
    truth, called = answers.truth.astype(bool), answers.predicted.astype(bool)
    both = (truth, ~truth)
    return {
        "balanced_accuracy": both,
        "precision_burnt": (called,),
        "recall_burnt": (truth,),
        "f1_burnt": (truth | called,),
        "iou_burnt": (truth | called,),
        "precision_unburnt": (~called,),
        "recall_unburnt": (~truth,),
        "f1_unburnt": (~(truth & called),),
        "iou_unburnt": (~(truth & called),),
        "f1_macro": both,
        "auroc": both,
        "average_precision": (truth,),
    }


def reliability_bins(probability: NDArray[np.float64]) -> NDArray[np.intp]:
    """(n,) bin of each probability, 0 to RELIABILITY_BINS - 1; a bin holds its lower end, the last one also 1."""
    ends = np.linspace(0, 1, RELIABILITY_BINS + 1)[1:-1]
    return np.searchsorted(ends, probability, side="right")


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _probability_metrics(
    probability: NDArray[np.float64] | None, truth: NDArray[np.bool_], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """What probabilities are worth; NaN for a method that gives none.

    Brier score: mean squared difference of probability and truth (Brier 1950, for two classes: 0–1). NLL: mean
    negative logarithm of the probability of the true class. ECE: mean distance of a bin's mean probability from its
    burnt share, weighted by windows (Naeini et al. 2015; over RELIABILITY_BINS bins).
    """
    if probability is None:
        return {name: np.full(len(weights), np.nan) for name in ("brier", "nll", "ece")}
    total = weights.sum(axis=1)
    of_truth = np.where(truth, probability, 1 - probability).clip(SMALLEST_PROBABILITY, 1)
    in_bin = np.eye(RELIABILITY_BINS)[reliability_bins(probability)]
    gaps = np.abs(weights @ (in_bin * (probability - truth)[:, None])).sum(axis=1)
    return {
        "brier": _ratio(weights @ np.square(probability - truth), total),
        "nll": _ratio(weights @ -np.log(of_truth), total),
        "ece": _ratio(gaps, total),
    }


def _ranking_metrics(
    ranking: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AUROC (ties count half: the Mann–Whitney form) and average precision (step-wise, no interpolation)."""
    undefined = np.full(len(weights), np.nan)
    if not len(ranking):
        return undefined, undefined
    order = np.argsort(-ranking, kind="stable")
    ordered = ranking[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    burnt = np.add.reduceat((weights * truth)[:, order], starts, axis=1)
    unburnt = np.add.reduceat((weights * ~truth)[:, order], starts, axis=1)
    burnt_so_far, unburnt_so_far = burnt.cumsum(axis=1), unburnt.cumsum(axis=1)
    all_burnt, all_unburnt = burnt_so_far[:, -1], unburnt_so_far[:, -1]
    ahead = burnt_so_far - burnt / 2
    auroc = _ratio((unburnt * ahead).sum(axis=1), all_burnt * all_unburnt)
    called = burnt_so_far + unburnt_so_far
    precision = np.divide(burnt_so_far, called, out=np.zeros_like(called), where=called > 0)
    average_precision = _ratio((burnt * precision).sum(axis=1), all_burnt)
    return auroc, average_precision


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
