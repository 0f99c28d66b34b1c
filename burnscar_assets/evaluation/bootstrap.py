"""Percentile intervals by resampling fires, because windows of one fire are not independent.

What is drawn with replacement are clusters: a cluster of fires with all its windows, or, for land
windows without fire, a block of ground. Fire clusters are drawn among fire clusters and blocks among
blocks, so that every resample has as many of each as the evaluation has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.metrics import Answers, weighted_metrics

FEW_FIRES: Final = 10
"""With fewer held-out fires than this, intervals by resampling are too narrow."""

MIN_DEFINED_SHARE: Final = 0.5
"""A metric that is undefined in more than this share of the resamples gets no interval."""

_CELLS_PER_BATCH = 4_000_000

Statistic = Callable[[NDArray[Any]], Mapping[str, NDArray[np.float64]]]
"""Named values of weighted windows: from (r, n) weights to (r,) values each."""


@dataclass(frozen=True)
class Interval:
    """Ends of an interval; NaN where none can be given."""

    low: float
    high: float


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
    kinds = np.where(has_fire, "fire", "land")
    labels = np.char.add(np.char.add(kinds, ":"), np.asarray(clusters, dtype=str))
    names, index = np.unique(labels, return_inverse=True)
    of_fires = np.char.startswith(names, "fire:")
    generator = np.random.default_rng(seed)
    draws = np.zeros((samples, len(names)), dtype=np.int64)
    for members in (np.flatnonzero(of_fires), np.flatnonzero(~of_fires)):
        if len(members):
            draws[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), samples)
    return index, draws


def bootstrap_intervals(
    answers: Answers,
    clusters: Sequence[str],
    has_fire: NDArray[np.bool_],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> dict[str, Interval]:
    """Percentile interval of every metric over resampled clusters; see `resampled_intervals`."""
    statistic = partial(weighted_metrics, answers)
    return resampled_intervals(statistic, clusters, has_fire, samples=samples, confidence=confidence, seed=seed)


def resampled_intervals(
    statistic: Statistic,
    clusters: Sequence[str],
    has_fire: NDArray[np.bool_],
    *,
    samples: int,
    confidence: float,
    seed: int,
) -> dict[str, Interval]:
    """Percentile interval of every value of a statistic over resampled clusters.

    With a single fire cluster nothing can be said about other fires, and every interval is NaN; so it is with fewer
    than two blocks where there is no fire at all, and for a value that is undefined in more than half of the resamples.

    Args:
        statistic: of (r, n) weights; what it names for one weighting it names for all.
        clusters: (n,) cluster of each window.
        has_fire: (n,) whether the window belongs to a fire.
        samples: number of resamples.
        confidence: coverage, 0–1.
        seed: seed of the draws.
    """
    nothing = Interval(float("nan"), float("nan"))
    index, draws = draw_weights(clusters, has_fire, samples, seed)
    if len(np.unique(index[has_fire] if has_fire.any() else index)) < 2:
        return dict.fromkeys(statistic(np.ones((1, len(index)))), nothing)
    batch = max(1, _CELLS_PER_BATCH // len(index))
    parts = [statistic(draws[start : start + batch, index]) for start in range(0, samples, batch)]
    tail = (1 - confidence) / 2
    intervals = {}
    for name in parts[0]:
        values = np.concatenate([part[name] for part in parts])
        defined = values[~np.isnan(values)]
        if len(defined) < MIN_DEFINED_SHARE * samples or not len(defined):
            intervals[name] = nothing
            continue
        low, high = np.quantile(defined, [tail, 1 - tail])
        intervals[name] = Interval(float(low), float(high))
    return intervals
