"""The rules of a checkpoint: what turns its probabilities into classes, of windows and of maps.

Those of maps are fixed on validation frames. Windows that a model is trained on are burnt more often than ground is, so
its probabilities are too high on a map. Platt scaling (Platt 1999) mends that with two numbers on the log odds: a
slope, the inverse of a temperature, and an intercept, the other prior. Each fire's frame weighs the same, as a map is
of one fire and large fires would decide alone; so they do in the choice of the threshold, which has the greatest mean
IoU over fires.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.calibration import BOUNDS, Decision, NbrThreshold, Temperature, log_odds, sigmoid
from burnscar_assets.evaluation.frame_pixels import (
    BURNT,
    CENTRES,
    EDGES,
    MOST,
    UNBURNT,
    FramePixels,
    Reliability,
)
from burnscar_assets.mapping.old_scars import SCAR_BOUNDS, SET_SCAR_BOUND, BurnRatios

FRAMES: Final = "validation frames"
WINDOWS: Final = "validation windows"
FEWEST_WITH_BEFORE: Final = 5
"""Validation fires with an image before; fewer choose no bound of old scars."""

_EQUAL = 1e-12
"""Mean IoU that differs by less is the same but for rounding."""

_TO_THE_END: Final = {"ftol": 1e-15, "gtol": 1e-10}
"""Where hardly a pixel is wrong the loss is far below 1, and scipy's own limits would end the fit half way."""


@dataclass(frozen=True)
class FrameErrors:
    """How a validation fire's frame is mapped with the threshold of the others, hectares with an answer and a truth.

    Attributes:
        fire_id: fire.
        cluster_id: cluster of fires.
        hits_ha: burnt, and mapped so.
        false_ha: unburnt, but mapped burnt.
        missed_ha: burnt, but mapped unburnt.
        right_ha: unburnt, and mapped so.
    """

    fire_id: str
    cluster_id: str
    hits_ha: float
    false_ha: float
    missed_ha: float
    right_ha: float

    @property
    def iou(self) -> float:
        """Of the map, 0–1; NaN where nothing burned and nothing is mapped."""
        ground_ha = self.hits_ha + self.false_ha + self.missed_ha
        return self.hits_ha / ground_ha if ground_ha else math.nan


@dataclass(frozen=True)
class MapRules:
    """Calibration and threshold of maps.

    Attributes:
        slope: that the log odds of the model's probability are multiplied by.
        intercept: that is added to them then.
        threshold: a pixel is called burnt if its calibrated probability is above this.
        fixed_on: `validation frames`; or `validation windows`, whose temperature and threshold stand in.
        note: why it was not fixed on frames.
        at_bound: whether the best slope or intercept lies beyond what was looked at.
        nll_before, nll_after: mean negative log likelihood on the frames, each fire counted once.
        mean_iou: over the validation fires, with the threshold.
        errors: of each validation fire, with the threshold that the fires of other clusters come to.
        reliability: on the frames; the calibration was fitted on them, so what it came to flatters.
        scar_bound: NBR before the fire below which ground that hardly changed is an old scar, and called unburnt; None
            where validation fires are mapped as well without.
    """

    slope: float
    intercept: float
    threshold: float
    fixed_on: str
    note: str = ""
    at_bound: bool = False
    nll_before: float | None = None
    nll_after: float | None = None
    mean_iou: float | None = None
    errors: tuple[FrameErrors, ...] = ()
    reliability: Reliability | None = None
    scar_bound: float | None = None

    @classmethod
    def of_windows(cls, decision: Decision, temperature: Temperature, note: str) -> "MapRules":
        """The rules of windows, where no validation frame can tell."""
        threshold = float(temperature.scale(np.array([decision.threshold]))[0])
        return cls(1 / temperature.value, 0.0, threshold, WINDOWS, note, scar_bound=SET_SCAR_BOUND)

    def calibrate(self, probability: NDArray[np.floating]) -> NDArray[np.float32]:
        """Calibrated probabilities of pixels; those below 0 have no answer, and stay."""
        scaled = sigmoid(self.slope * log_odds(probability) + self.intercept)
        return np.where(np.asarray(probability) < 0, probability, scaled).astype(np.float32)

    def old_scars(self, ratios: BurnRatios | None) -> NDArray[np.bool_] | None:
        """(height, width) old scars of a whole frame; None without an image before or a rule."""
        if ratios is None or self.scar_bound is None:
            return None
        return ratios.old_scars(self.scar_bound, ratios.mode)

    def burnt(self, probability: NDArray[np.floating], old_scars: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """What is called burnt: above the threshold, and no old scar.

        Args:
            probability: as the model has it; below 0 without an answer.
            old_scars: by `scar_bound`; None without an image before.
        """
        above = self.calibrate(probability) > self.threshold
        return above if old_scars is None else above & ~old_scars


def fix_map_rules(frames: Sequence[FramePixels], confidence: float) -> MapRules | None:
    """Fit slope and intercept by likelihood, and find threshold and bound of old scars with the greatest mean IoU.

    Of equally good thresholds, the middle of the widest gap is taken. The threshold is found without the rule of old
    scars, as it serves maps without an image before, too; the bound then with that threshold.

    Args:
        frames: of validation fires.
        confidence: of the intervals of reliability, 0–1.

    Returns:
        The rules; None if the frames have one class or no pixels.
    """
    edge = _best_edge(frames)
    scar_bound = _best_scar_bound(frames, edge)
    known = [(one, left) for one in frames if (left := one.under(scar_bound)).counts.any()]
    ruled = [left for _, left in known]
    classes = np.sum([frame.counts.sum(axis=1) for frame in ruled], axis=0) if known else np.zeros(2)
    if not classes.all():
        return None
    weights = np.mean([frame.shares for frame in ruled], axis=0)
    (slope, intercept), at_bound = _fit(weights)
    return MapRules(
        slope,
        intercept,
        float(sigmoid(slope * EDGES[edge] + intercept)),
        FRAMES,
        at_bound=at_bound,
        nll_before=_loss(np.array([1.0, 0.0]), weights)[0],
        nll_after=_loss(np.array([slope, intercept]), weights)[0],
        mean_iou=float(_mean_ious(ruled)[edge]),
        errors=tuple(_errors(left, _edge_of_others(one, frames, edge)) for one, left in known),
        reliability=Reliability.of(ruled, slope, intercept, confidence),
        scar_bound=scar_bound,
    )


def _best_scar_bound(frames: Sequence[FramePixels], edge: int) -> float | None:
    """The bound of old scars with the greatest mean IoU of maps with an image before; None if none beats no rule."""
    with_before = [frame for frame in frames if frame.low_before is not None]
    if len(with_before) < FEWEST_WITH_BEFORE:
        return SET_SCAR_BOUND
    best, most = None, _mean_ious(with_before)[edge]
    for bound in SCAR_BOUNDS:
        mean_iou = _mean_ious([frame.under(bound) for frame in with_before])[edge]
        if mean_iou > most + _EQUAL:
            best, most = bound, mean_iou
    return best


def best_mean_iou(frames: Sequence[FramePixels]) -> float:
    """Mean IoU over fires with the threshold and bound of old scars of their rules; NaN if none has burnt pixels."""
    known = [frame for frame in frames if frame.counts[BURNT].any()]
    if not known:
        return math.nan
    edge = _best_edge(known)
    scar_bound = _best_scar_bound(known, edge)
    return float(_mean_ious([frame.under(scar_bound) for frame in known])[edge])


def _fit(weights: NDArray[np.float64]) -> tuple[tuple[float, float], bool]:
    """Slope and intercept with the least negative log likelihood, which is convex, and whether one is at its bound.

    Args:
        weights: (2, BINS) of unburnt and burnt ground by log odds.
    """
    from scipy.optimize import minimize

    bounds = ((1 / BOUNDS[1], 1 / BOUNDS[0]), (-MOST, MOST))
    found = minimize(
        _loss, (1.0, 0.0), args=(weights,), jac=True, method="L-BFGS-B", bounds=bounds, options=_TO_THE_END
    )
    slope, intercept = (float(value) for value in found.x)
    at_bound = any(value in ends for value, ends in zip((slope, intercept), bounds, strict=True))
    return (slope, intercept), at_bound


def _loss(factors: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Negative log likelihood and its gradient."""
    odds = factors[0] * CENTRES + factors[1]
    value = weights[BURNT] @ np.logaddexp(0, -odds) + weights[UNBURNT] @ np.logaddexp(0, odds)
    residual = weights.sum(axis=0) * sigmoid(odds) - weights[BURNT]
    return float(value), np.array([residual @ CENTRES, residual.sum()])


def _mean_ious(frames: Sequence[FramePixels]) -> NDArray[np.float64]:
    """(edges,) mean IoU over fires of what is called burnt above each edge."""
    ious = []
    for frame in frames:
        false, hits = frame.called_burnt()
        burnt = hits[0] + frame.scars[BURNT]
        if burnt:
            ious.append(hits / (burnt + false))
    return np.mean(ious, axis=0) if ious else np.zeros(len(EDGES))


def _best_edge(frames: Sequence[FramePixels]) -> int:
    """Number of the edge above which ground is best called burnt."""
    mean = _mean_ious(frames)
    best = np.flatnonzero(mean >= mean.max() - _EQUAL)
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    widest = max(runs, key=len)
    return int(widest[len(widest) // 2])


def _edge_of_others(frame: FramePixels, frames: Sequence[FramePixels], edge: int) -> int:
    """The edge that the fires of other clusters come to, so that a fire has no part in the threshold of its own errors.

    The bound of old scars is one for all.
    """
    others = [other for other in frames if other.cluster_id != frame.cluster_id]
    burned = any(other.counts[BURNT].any() for other in others)
    return _best_edge(others) if burned else edge


def _errors(frame: FramePixels, edge: int) -> FrameErrors:
    unburnt, burnt = frame.counts.sum(axis=1) + frame.scars
    false, hits = frame.called_burnt()[:, edge]
    areas: tuple[Any, ...] = (hits, false, burnt - hits, unburnt - false)
    return FrameErrors(frame.fire_id, frame.cluster_id, *(float(pixels * frame.pixel_ha) for pixels in areas))


@dataclass(frozen=True)
class Rules:
    """What turns a model's probability and a window's NBR into classes; fixed before anything is scored.

    Attributes:
        threshold: baseline, tuned on the checkpoint's training split.
        decision: probability above which a window is called burnt, fixed on its validation split.
        temperature: of its probabilities of windows, fitted on its validation split.
        maps: calibration and threshold of maps, fixed on frames of validation fires; None if it was judged on windows
            alone.
    """

    threshold: NbrThreshold
    decision: Decision
    temperature: Temperature
    maps: MapRules | None = None

    @property
    def for_maps(self) -> MapRules:
        """Calibration and threshold of maps; where there are none, those of windows."""
        return self.maps or self.without_frames("it was judged on windows alone")

    def without_frames(self, why: str) -> MapRules:
        """What stands in for the rules of maps where no frame can tell."""
        return MapRules.of_windows(self.decision, self.temperature, why)
