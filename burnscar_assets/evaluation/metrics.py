"""Binary metrics with burnt as the positive class, for one or for many weightings of the same windows.

Every metric comes from one function that takes window weights, so that a bootstrap resample (weights =
how often each window was drawn) and the plain value (weights = 1) can't be computed in two ways. A metric
that is undefined, such as the recall of a class that has no window, is NaN and never 0.
"""

from dataclasses import dataclass
from typing import Any, Final

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
