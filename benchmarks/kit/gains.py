"""Paired gains: a set-up's IoU less another's, or less a burn index's, over the same fires and all seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from burnscar_assets.comparison.maps import MapField, read_maps
from burnscar_assets.comparison.read import Contestant
from burnscar_assets.evaluation.report import MAPS_DECIDE
from burnscar_assets.settings import EvaluationSettings


@dataclass(frozen=True)
class Gain:
    """A mean difference over fires.

    Attributes:
        value: mean over fires of the mean over seeds.
        interval: of it, over pieces of ground and seeds, for this pair alone; NaN below six pieces.
        fires: on which both were judged.
        ious: mean IoU of the one, and of the other.
        medians: of both, over the same fires.
    """

    value: float
    interval: tuple[float, float]
    fires: int
    ious: tuple[float, float]
    medians: tuple[float, float]

    def described(self) -> str:
        """What the figure is of, in words."""
        (one, other), (median, beside) = self.ious, self.medians
        return (
            f"mean IoU {one:.3f} less {other:.3f}, median {median:.3f} beside {beside:.3f}, "
            f"{self.fires} held-out fires, paired"
        )


def judged_maps(contestants: Sequence[Contestant], fire_year: int) -> MapField:
    """The fires that maps of all these set-ups were judged on.

    Raises:
        ValueError: there are none.
    """
    found = read_maps(contestants, [fire_year])
    if found is None:
        raise ValueError(f"no fire was judged for all of {', '.join(one.name for one in contestants)}")
    return found


def over_setup(field: MapField, one: str, other: str, settings: EvaluationSettings) -> Gain:
    """What a set-up gains on another."""
    return _gain(MapField(field.fires, {name: field.scores[name] for name in (one, other)}, {}), one, other, settings)


def over_baseline(field: MapField, one: str, baseline: str, settings: EvaluationSettings) -> Gain:
    """What a set-up gains on a floor or burn index, on the fires that this has maps of."""
    known = field.baselines[baseline][MAPS_DECIDE].notna().to_numpy()
    both = {one: field.scores[one], baseline: [field.baselines[baseline]]}
    scores = {name: [rows[known].reset_index(drop=True) for rows in seeds] for name, seeds in both.items()}
    return _gain(MapField(field.fires[known].reset_index(drop=True), scores, {}), one, baseline, settings)


def unflagged(field: MapField) -> MapField:
    """The fires without a remark of the source."""
    rows = next(iter(field.scores.values()))[0]
    left = (rows["flag"].fillna("") == "").to_numpy(bool)
    return MapField(
        field.fires[left].reset_index(drop=True),
        {name: [seed[left].reset_index(drop=True) for seed in seeds] for name, seeds in field.scores.items()},
        {name: rows[left].reset_index(drop=True) for name, rows in field.baselines.items()},
    )


def _gain(both: MapField, one: str, other: str, settings: EvaluationSettings) -> Gain:
    found = both.compare(settings)
    difference = found.differences[MAPS_DECIDE, one, other]
    ious = [found.scored[name].value[MAPS_DECIDE] for name in (one, other)]
    medians = [_median(both.scores[name]) for name in (one, other)]
    ends = difference.interval.low, difference.interval.high
    return Gain(difference.value, ends, len(both.fires), (ious[0], ious[1]), (medians[0], medians[1]))


def _median(seeds: Sequence[pd.DataFrame]) -> float:
    """Median over fires of the mean over seeds."""
    return float(np.median(np.mean([rows[MAPS_DECIDE].to_numpy(float) for rows in seeds], axis=0)))
