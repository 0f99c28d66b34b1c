"""Burned area of a map, as `map.json` has it, and sums over maps.

A count of pixels is biased wherever a map's two kinds of error don't cancel. It is corrected by a sample that a person
drew on the map (`stratified.py`), else by what maps of validation fires got wrong (`fire_rates.py`), else not at all.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

CorrectedBy = Literal["sample", "validation_fires"]
SAMPLE: Final = "sample"
VALIDATION_FIRES: Final = "validation_fires"


@dataclass(frozen=True)
class Area:
    """Burned area of a map, or of several; hectares.

    Attributes:
        mapped: as counted on the map.
        estimate: as corrected; None if it is not.
        low, high: interval; None without an estimate.
        confidence: of the interval, 0–1.
        corrected_by: what corrects it; None if pixels are counted.
        rates: identity of the error rates that it was corrected by, if other maps share them.
        shared: share of the squared error that is of these rates, and so the same for all those maps, 0–1.
    """

    mapped: float | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    corrected_by: CorrectedBy | None = None
    rates: str | None = None
    shared: float = 0.0

    @property
    def best(self) -> float:
        """The estimate, else what was counted."""
        return next((value for value in (self.estimate, self.mapped) if value is not None), 0.0)


def add_up(areas: Sequence[Area]) -> Area:
    """The sum over maps that don't overlap, with an interval if each of them has one.

    How far an end lies from the estimate adds up over maps, by squares as far as errors are each map's own and in full
    as far as they are of shared rates (the method of variance estimates recovery, Zou and Donner 2008). So no end
    lies beyond the sum of the maps' ends.
    """
    mapped = sum(area.mapped or 0.0 for area in areas)
    corrected = any(area.estimate is not None for area in areas)
    total = sum(area.best for area in areas)
    below, above = (
        _reach([(area, abs(end - area.best)) for area, end in zip(areas, ends, strict=True) if end is not None])
        for ends in ([area.low for area in areas], [area.high for area in areas])
    )
    told = corrected and all(area.low is not None and area.high is not None for area in areas)
    return Area(
        mapped=mapped,
        estimate=total if corrected else None,
        low=total - below if told else None,
        high=total + above if told else None,
        confidence=areas[0].confidence if told else None,
    )


def _reach(reaches: Sequence[tuple[Area, float]]) -> float:
    """How far a sum's end lies from its estimate, by how far those of its maps do."""
    shared: dict[str | None, float] = defaultdict(float)
    own = 0.0
    for area, reach in reaches:
        shared[area.rates] += math.sqrt(area.shared) * reach
        own += (1 - area.shared) * reach**2
    return math.sqrt(own + sum(part**2 for part in shared.values()))
