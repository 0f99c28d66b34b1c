"""The pixels of whole frames by the model's probability and the truth: what calibration, thresholds and errors need.

A frame is counted once, in fine bins of log odds, so that frames of any size weigh nothing and their order no more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.calibration import bin_name, log_odds, sigmoid
from burnscar_assets.evaluation.metrics import Interval, cluster_intervals, reliability_bins
from burnscar_assets.mapping.old_scars import SCAR_BOUNDS

BINS_PER_UNIT: Final = 64
"""Bins in one unit of log odds: 0.4 % of probability where it is steepest."""

MOST: Final = 14
"""Log odds are counted from -MOST to MOST, beyond what SMALLEST_PROBABILITY leaves."""

BINS: Final = 2 * MOST * BINS_PER_UNIT
EDGES: Final = np.linspace(-MOST, MOST, BINS + 1)
CENTRES: Final = (EDGES[:-1] + EDGES[1:]) / 2

UNBURNT, BURNT = 0, 1
"""Codes of a frame's truth; any other pixel has none."""


@dataclass(frozen=True)
class FramePixels:
    """The pixels of a fire's frame that have an answer and a truth.

    Attributes:
        fire_id: fire.
        cluster_id: cluster of fires.
        counts: (2, BINS) unburnt and burnt pixels by log odds of the model's probability; a bin holds its upper edge.
        pixel_ha: area of a pixel, hectares.
        low_before: (SCAR_BOUNDS, 2, BINS) those of `counts` that are old scars by each bound; None without an image
            before.
        scars: unburnt and burnt pixels that are not in `counts`, as they are old scars and called unburnt.
    """

    fire_id: str
    cluster_id: str
    counts: NDArray[np.int64]
    pixel_ha: float
    low_before: NDArray[np.int64] | None = None
    scars: tuple[int, int] = (0, 0)

    @classmethod
    def of(
        cls,
        fire_id: str,
        cluster_id: str,
        probability: NDArray[np.floating],
        truth: NDArray[Any],
        pixel_ha: float,
        scars: NDArray[np.bool_] | None = None,
    ) -> "FramePixels":
        """Count a frame.

        Args:
            fire_id: fire.
            cluster_id: cluster of fires.
            probability: (height, width) of burnt, 0–1; below 0 without an answer.
            truth: (height, width) `BURNT`, `UNBURNT`, or something else where it is not known.
            pixel_ha: area of a pixel, hectares.
            scars: (SCAR_BOUNDS, height, width) old scars by each bound; None without an image before.
        """
        known = probability >= 0
        counts = _counts(probability, truth, known)
        low = None if scars is None else np.stack([_counts(probability, truth, known & one) for one in scars])
        return cls(fire_id, cluster_id, counts, pixel_ha, low)

    def under(self, scar_bound: float | None) -> "FramePixels":
        """The same with the rule of old scars, whose pixels have no part in what a probability means."""
        if scar_bound is None or self.low_before is None:
            return self
        low = self.low_before[SCAR_BOUNDS.index(scar_bound)]
        unburnt, burnt = (int(pixels) for pixels in low.sum(axis=1))
        return replace(self, counts=self.counts - low, low_before=None, scars=(unburnt, burnt))

    @property
    def shares(self) -> NDArray[np.float64]:
        """`counts` as shares of all pixels of the frame."""
        return np.asarray(self.counts / max(int(self.counts.sum()), 1))

    def called_burnt(self) -> NDArray[np.int64]:
        """(2, BINS + 1) unburnt and burnt pixels whose log odds are above each of EDGES."""
        above = np.cumsum(self.counts[:, ::-1], axis=1)[:, ::-1]
        return np.concatenate([above, np.zeros((2, 1), np.int64)], axis=1)


@dataclass(frozen=True)
class ReliabilityBin:
    """What became of the ground that maps give a probability of one bin; each fire's frame weighs the same.

    Attributes:
        bin: its bounds, such as `0.1–0.2`.
        mean_probability: of its ground, 0–1.
        burnt_share: share of it that burned, 0–1.
        low, high: interval of that over clusters of fires; None with too few.
        share: of all ground, 0–1.
        fires: fires with such ground.
    """

    bin: str
    mean_probability: float
    burnt_share: float
    low: float | None
    high: float | None
    share: float
    fires: int


@dataclass(frozen=True)
class Reliability:
    """Whether probabilities of frames mean what they say, without and with calibration.

    Attributes:
        fires: whose frames were answered.
        before, after: ten bins of probability, those with ground.
        error_before, error_after: expected calibration error (Naeini et al. 2015): mean distance of a bin's probability
            from its burnt share, 0–1; None without ground.
    """

    fires: int
    before: tuple[ReliabilityBin, ...]
    after: tuple[ReliabilityBin, ...]
    error_before: float | None
    error_after: float | None

    @classmethod
    def of(
        cls, frames: Sequence[FramePixels], slope: float, intercept: float, confidence: float = 0.95
    ) -> "Reliability":
        """Count frames, each weighing the same.

        Args:
            frames: of fires.
            slope: of the calibration, on the log odds.
            intercept: of the calibration.
            confidence: of the intervals, 0–1.
        """
        known = [frame for frame in frames if frame.counts.any()]
        before, after = (
            tuple(_curve(known, sigmoid(factor * CENTRES + addend), confidence)) if known else ()
            for factor, addend in ((1.0, 0.0), (slope, intercept))
        )
        return cls(len(known), before, after, _error(before), _error(after))


def _curve(
    frames: Sequence[FramePixels], probability: NDArray[np.float64], confidence: float
) -> Iterator[ReliabilityBin]:
    """The bins that have ground; `probability` is that of each of the frames' bins."""
    clusters = [frame.cluster_id for frame in frames]
    unburnt, burnt = np.stack([frame.shares for frame in frames], axis=1)
    of_bin = reliability_bins(probability)
    for number in np.unique(of_bin):
        inside = of_bin == number
        ground = (unburnt + burnt)[:, inside]
        total, burnt_there = ground.sum(), burnt[:, inside].sum(axis=1)
        if total:
            interval = _interval(burnt_there, ground.sum(axis=1), clusters, confidence)
            yield ReliabilityBin(
                bin_name(int(number)),
                float((ground @ probability[inside]).sum() / total),
                float(burnt_there.sum() / total),
                low=None if np.isnan(interval.low) else interval.low,
                high=None if np.isnan(interval.high) else interval.high,
                share=float(total / len(frames)),
                fires=int((ground.sum(axis=1) > 0).sum()),
            )


def _error(bins: Sequence[ReliabilityBin]) -> float | None:
    return float(sum(one.share * abs(one.mean_probability - one.burnt_share) for one in bins)) if bins else None


def _interval(
    burnt: NDArray[np.float64], ground: NDArray[np.float64], clusters: Sequence[str], confidence: float
) -> Interval:
    """Of the burnt share, over the clusters of the fires that have such ground."""
    known = ground > 0

    def statistic(weights: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        total = weights @ ground[known]
        return {"share": np.divide(weights @ burnt[known], total, out=np.full(len(total), np.nan), where=total > 0)}

    of_known = [cluster for cluster, is_known in zip(clusters, known, strict=True) if is_known]
    return cluster_intervals(statistic, of_known, np.ones(len(of_known), bool), confidence)["share"]


def _counts(probability: NDArray[np.floating], truth: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(2, BINS) unburnt and burnt pixels by log odds."""
    parts = (probability[inside & (truth == code)] for code in (UNBURNT, BURNT))
    return np.stack([np.bincount(_bins(part), minlength=BINS) for part in parts]).astype(np.int64)


def _bins(probability: NDArray[np.floating]) -> NDArray[np.intp]:
    return np.clip(np.ceil((log_odds(probability) + MOST) * BINS_PER_UNIT).astype(np.intp) - 1, 0, BINS - 1)
