"""Differences of set-ups with intervals: paired, as every set-up is scored on the same resampled fires.

Two levels are resampled: clusters of fires and, for a set-up that was trained with several seeds, its seeds. Fire
clusters are drawn among fire clusters and blocks of ground among blocks, so that every resample has as many of each as
the evaluation has. A set-up's value is its mean over seeds; its own interval is that of `evaluation.metrics`, with the
standard error over both levels. With fewer effective clusters than that asks for there are no intervals, and no
verdicts.

All pairs of set-ups are compared, and the best one is picked after looking, so intervals of differences hold for all
pairs together: each is the difference ± q standard errors, with q the quantile of the largest studentised deviation
among all pairs in the same resamples (max-t; Romano and Wolf 2005). With few effective clusters q grows as Student's t
does. Where set-ups are equally good, at 95 % some pair is called different in 6 to 7 % of simulated cases (10 to 40
fires).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.metrics import (
    MIN_CLUSTERS,
    NO_INTERVAL,
    Answers,
    Interval,
    Statistic,
    clusters_by_kind,
    effective_clusters,
    effective_of_metrics,
    t_interval,
    weighted_metrics,
)
from burnscar_assets.settings import EvaluationSettings

COMPARED: Final = (
    "f1_burnt", "precision_burnt", "recall_burnt", "iou_burnt", "balanced_accuracy", "auroc", "brier", "ece",
)  # fmt: skip
"""Metrics of windows that are compared; the first one decides."""

DECISIVE: Final = COMPARED[0]
BETTER, WORSE, UNDECIDED = "better", "worse", "no difference shown"
_MIN_DEFINED_SHARE = 0.5
_CELLS_PER_BATCH = 4_000_000


@dataclass(frozen=True)
class Entry:
    """What one seed of a set-up came to.

    Attributes:
        values: named metrics for (r, n) weights of what it was scored on.
        effective: effective number of the clusters that tell of each metric.
    """

    values: Statistic
    effective: Mapping[str, float]


@dataclass(frozen=True)
class Scored:
    """One set-up's values.

    Attributes:
        value: of each metric, the mean over seeds; NaN if undefined.
        interval: of each metric, over fires and seeds, for itself alone.
        by_seed: of each metric, the value of each seed.
    """

    value: dict[str, float]
    interval: dict[str, Interval]
    by_seed: dict[str, list[float]]


@dataclass(frozen=True)
class Difference:
    """One set-up's value less another's, with an interval that holds for all pairs together."""

    value: float
    interval: Interval

    @property
    def verdict(self) -> str:
        """Whether the first is shown to be larger (`better`), smaller (`worse`), or neither."""
        if self.interval.low > 0:
            return BETTER
        return WORSE if self.interval.high < 0 else UNDECIDED

    def reversed(self) -> "Difference":
        """The other one's value less the first's."""
        return Difference(-self.value, Interval(-self.interval.high, -self.interval.low))


@dataclass(frozen=True)
class Comparison:
    """Every set-up's values, and the differences of all pairs.

    Attributes:
        scored: by name of the set-up.
        differences: by metric, first and second set-up: both orders.
        fire_clusters: clusters of fires that were resampled.
        effective_clusters: clusters of equal size that would tell as much.
        decisive: metric that decides.
    """

    scored: dict[str, Scored]
    differences: dict[tuple[str, str, str], Difference]
    fire_clusters: int
    effective_clusters: float
    decisive: str = DECISIVE


def compare(
    answers: Mapping[str, Sequence[Answers]],
    clusters: Sequence[str],
    has_fire: NDArray[np.bool_],
    settings: EvaluationSettings,
) -> Comparison:
    """Score set-ups on the same windows, and compare them in pairs.

    Args:
        answers: for each set-up, of each of its seeds, all for the same windows in the same order.
        clusters: (n,) cluster of each window.
        has_fire: (n,) whether the window belongs to a fire.
        settings: resamples, confidence and seed.
    """
    entries = {
        name: [Entry(partial(weighted_metrics, seed), effective_of_metrics(seed, clusters, has_fire)) for seed in seeds]
        for name, seeds in answers.items()
    }
    return compare_entries(entries, clusters, has_fire, settings, COMPARED)


def compare_entries(
    entries: Mapping[str, Sequence[Entry]],
    clusters: Sequence[str],
    has_fire: NDArray[np.bool_],
    settings: EvaluationSettings,
    metrics: Sequence[str],
    behind: Mapping[str, float] | None = None,
) -> Comparison:
    """Score set-ups on the same windows or fires, and compare them in pairs.

    Args:
        entries: for each set-up, of each of its seeds, all of the same windows or fires in the same order.
        clusters: (n,) cluster of each.
        has_fire: (n,) whether it belongs to a fire.
        settings: resamples, confidence and seed.
        metrics: that are compared; the first one decides.
        behind: effective number of the clusters that tell of each metric's differences; None: all tell of all.
    """
    fires = len(set(np.asarray(clusters, dtype=str)[has_fire]))
    effective = effective_clusters(clusters, has_fire)
    trials = behind or dict.fromkeys(metrics, effective)
    resampled = _resampled(entries, clusters, has_fire, settings, metrics)
    plain = np.ones((1, len(has_fire)))
    scored = {
        name: _scored([one.values(plain) for one in seeds], resampled[name], seeds, metrics, settings.confidence)
        for name, seeds in entries.items()
    }
    differences: dict[tuple[str, str, str], Difference] = {}
    for metric in metrics:
        values = {name: scored[name].value[metric] for name in entries}
        drawn = {name: resampled[name][metric] for name in entries}
        for (one, other), found in _simultaneous(values, drawn, trials[metric], settings.confidence).items():
            differences[metric, one, other] = found
            differences[metric, other, one] = found.reversed()
    return Comparison(scored, differences, fires, effective, metrics[0])


def _resampled(
    entries: Mapping[str, Sequence[Entry]],
    clusters: Sequence[str],
    has_fire: NDArray[np.bool_],
    settings: EvaluationSettings,
    metrics: Sequence[str],
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """(samples,) values of each set-up and metric; the same fires are drawn for all, seeds for each by itself."""
    samples = settings.bootstrap_samples
    index, draws = draw_weights(clusters, has_fire, samples, settings.seed)
    batch = max(1, _CELLS_PER_BATCH // len(index))
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for number, (name, seeds) in enumerate(sorted(entries.items())):
        generator = np.random.default_rng([settings.seed, number])
        times = generator.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), samples)
        values = {metric: np.zeros(samples) for metric in metrics}
        for seed, entry in enumerate(seeds):
            for start in range(0, samples, batch):
                rows = slice(start, start + batch)
                drawn = times[rows, seed]
                of_draws = entry.values(draws[rows, index])
                for metric in metrics:
                    values[metric][rows] += np.where(drawn > 0, drawn * of_draws[metric], 0) / len(seeds)
        found[name] = values
    return found


def _scored(
    by_seed: Sequence[Mapping[str, NDArray[np.float64]]],
    drawn: Mapping[str, NDArray[np.float64]],
    entries: Sequence[Entry],
    metrics: Sequence[str],
    confidence: float,
) -> Scored:
    seeds = {metric: [float(point[metric][0]) for point in by_seed] for metric in metrics}
    value = {metric: float(np.mean(seeds[metric])) for metric in metrics}
    interval = {
        metric: _own_interval(value[metric], drawn[metric], min(one.effective[metric] for one in entries), confidence)
        for metric in metrics
    }
    return Scored(value, interval, seeds)


def _own_interval(value: float, drawn: NDArray[np.float64], effective: float, confidence: float) -> Interval:
    defined = drawn[~np.isnan(drawn)]
    if effective < MIN_CLUSTERS or len(defined) < max(2.0, _MIN_DEFINED_SHARE * len(drawn)):
        return NO_INTERVAL
    return t_interval(value, float(defined.std(ddof=1)), effective, confidence, "share")


def _simultaneous(
    values: Mapping[str, float], drawn: Mapping[str, NDArray[np.float64]], effective: float, confidence: float
) -> dict[tuple[str, str], Difference]:
    """Differences of all pairs with intervals that hold together; no interval where none can be given."""
    pairs = list(combinations(values, 2))
    everything = np.array([drawn[name] for name in values])
    defined = ~np.isnan(everything).any(axis=0)
    points = np.array([values[one] - values[other] for one, other in pairs])
    if effective < MIN_CLUSTERS or defined.mean() < _MIN_DEFINED_SHARE or not pairs:
        return {pair: Difference(float(point), NO_INTERVAL) for pair, point in zip(pairs, points, strict=True)}
    deviations = np.array([(drawn[one] - drawn[other])[defined] for one, other in pairs]) - points[:, None]
    errors = deviations.std(axis=1, ddof=1)
    moves = (errors > 0) & ~np.isnan(points)
    reach = _quantile(deviations[moves] / errors[moves, None], effective, confidence) * errors
    same = (errors == 0) & (points == 0)
    found = {}
    for number, pair in enumerate(pairs):
        point = float(points[number])
        known = Interval(point - float(reach[number]), point + float(reach[number]))
        found[pair] = Difference(point, known if moves[number] or same[number] else NO_INTERVAL)
    return found


def _quantile(studentised: NDArray[np.float64], effective: float, confidence: float) -> float:
    """How many standard errors a simultaneous interval reaches, of (pairs, resamples) studentised deviations."""
    from scipy.special import ndtri, stdtrit

    if not len(studentised):
        return 0.0
    upper = (1 + confidence) / 2
    few = float(stdtrit(effective - 1, upper) / ndtri(upper))
    return float(np.quantile(np.abs(studentised).max(axis=0), confidence)) * few


def draw_weights(
    clusters: Sequence[str], has_fire: NDArray[np.bool_], samples: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """How often each cluster is drawn in each resample.

    Args:
        clusters: (n,) cluster of each window.
        has_fire: (n,) whether the window belongs to a fire.
        samples: number of resamples.
        seed: seed; the draws depend on it and on the set of clusters, not on the order of the windows.

    Returns:
        (n,) index of each window's cluster, and (samples, number of clusters) draws.
    """
    index, of_fires = clusters_by_kind(clusters, has_fire)
    generator = np.random.default_rng(seed)
    draws = np.zeros((samples, len(of_fires)), dtype=np.int64)
    for members in (np.flatnonzero(of_fires), np.flatnonzero(~of_fires)):
        if len(members):
            draws[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), samples)
    return index, draws
