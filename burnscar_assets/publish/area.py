"""Burned area of a map, as `map.json` has it, corrected by what maps of validation fires got wrong; and sums over maps.

A count of pixels is biased wherever a map's two kinds of error don't cancel. It is corrected by a sample that a person
drew on the map (`reference.py`), else by rates of error of validation fires, else not at all.

What is uncertain is how the next fire's errors differ from those seen, so an interval by rates is one for a new map,
not for a mean over fires. The odds of burned ground, truth over map, are compared on the log scale, so both ends lie
inside the ground that the map answers for. A map that misses small fires is off by hectares and not by a factor, so a
few hectares are added to what is mapped before it is compared, as many as make the fires' errors most alike. Each
cluster of fires is left out once, and that choice and the mean are made anew from the others: how far they are off on
it is how far they will be off on a new map (Stone 1974), with Student's t for the effective number of clusters. How
often such intervals hold is measured in `burnscar_assets_tests/publish/test_fire_rates.py`.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.evaluation.metrics import MIN_CLUSTERS, effective_clusters
from burnscar_assets.evaluation.rules import FrameErrors
from burnscar_assets.storage.hashing import hash_json

CorrectedBy = Literal["sample", "validation_fires"]
SAMPLE: Final = "sample"
VALIDATION_FIRES: Final = "validation_fires"
SHIFTS_HA: Final = tuple(float(shift) for shift in np.round(np.geomspace(0.1, 50, 19), 3))
"""Hectares that may be added to mapped burned ground, and to mapped unburned ground, before odds are taken."""


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


@dataclass(frozen=True)
class FireRates:
    """What a new fire's map is corrected by.

    Attributes:
        shift_ha: added to mapped ground before odds are taken.
        log_ratio: mean over fires of the log odds of burned ground, truth less map, shrunk by its own error.
        spread: standard error of a new fire's log odds by it, seen on fires that were left out.
        effective: effective number of clusters of fires (Kish 1965).
        fires: fires behind it.
        least_mapped_ha, least_burned_ha: least that any of their maps shows, and that any of them burned.
    """

    shift_ha: float
    log_ratio: float
    spread: float
    effective: float
    fires: int
    least_mapped_ha: float
    least_burned_ha: float

    @property
    def identity(self) -> str:
        """Hash of what it says: maps with the same rates are off together."""
        return hash_json(asdict(self))[:16]

    def area(self, mapped_ha: float, answered_ha: float, confidence: float) -> Area:
        """Burned area of a fire's map, with an interval.

        `answered_ha` is all ground where the map has an answer, more than 0.
        """
        from scipy.special import expit, stdtrit

        odds = _shifted_odds(mapped_ha, answered_ha, self.shift_ha) + self.log_ratio
        reach = float(stdtrit(self.effective - 1, (1 + confidence) / 2)) * self.spread
        low, middle, high = (float(answered_ha * expit(odds + off)) for off in (-reach, 0, reach))
        if mapped_ha < self.least_mapped_ha and self.least_burned_ha < answered_ha:
            high = max(high, self.least_burned_ha)
        return Area(
            mapped=mapped_ha,
            estimate=middle,
            low=low,
            high=high,
            confidence=confidence,
            corrected_by=VALIDATION_FIRES,
            rates=self.identity,
            shared=1 / self.effective,
        )


def rates_of_fires(errors: Sequence[FrameErrors]) -> FireRates | str:
    """What validation fires tell of new ones, or in words why too little.

    Fires whose ground with an answer is all burnt or all unburnt have no odds, and are left out.
    """
    areas = np.array([(fire.hits_ha, fire.false_ha, fire.missed_ha, fire.right_ha) for fire in errors]).reshape(-1, 4)
    hits, false, missed, right = areas.T
    tells = (hits + missed > 0) & (false + right > 0)
    clusters = np.array([fire.cluster_id for fire in errors], dtype=str)[tells]
    effective = effective_clusters(clusters.tolist(), np.ones(len(clusters), bool))
    if not len(errors):
        return "no whole map of a validation fire tells how far a new one is off"
    if effective < MIN_CLUSTERS:
        return (
            f"{effective:.1f} effective clusters of validation fires were mapped, and fewer than {MIN_CLUSTERS:g} "
            "don't tell how far a new map is off"
        )
    mapped, burned, whole = (hits + false)[tells], (hits + missed)[tells], areas.sum(axis=1)[tells]
    ratios = _log_ratios(mapped, burned, whole)
    shift, mean = _centre(ratios, np.ones(len(ratios), bool))
    off = np.empty(len(ratios))
    for cluster in np.unique(clusters):
        left_out = clusters == cluster
        chosen, others = _centre(ratios, ~left_out)
        off[left_out] = ratios[left_out, chosen] - others
    return FireRates(
        shift_ha=SHIFTS_HA[shift],
        log_ratio=mean,
        spread=float(np.sqrt(np.mean(np.square(off)))),
        effective=effective,
        fires=len(ratios),
        least_mapped_ha=float(mapped.min()),
        least_burned_ha=float(burned.min()),
    )


def _log_ratios(
    mapped: NDArray[np.float64], burned: NDArray[np.float64], whole: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(fires, shifts) log odds of burned ground, truth less map."""
    shifts = np.array(SHIFTS_HA)
    truth = np.log(burned / (whole - burned))
    return np.asarray(truth[:, np.newaxis] - _shifted_odds(mapped[:, np.newaxis], whole[:, np.newaxis], shifts))


def _shifted_odds(
    mapped: "NDArray[np.float64] | float", whole: "NDArray[np.float64] | float", shift: "NDArray[np.float64] | float"
) -> NDArray[np.float64]:
    return np.asarray(np.log((mapped + shift) / (whole - mapped + shift)))


def _centre(ratios: NDArray[np.float64], kept: NDArray[np.bool_]) -> tuple[int, float]:
    """Number of the shift with which the fires kept are most alike, and their mean with it.

    A mean that may be chance is shrunk towards 0 (James and Stein 1961), or few fires would put more error into a map
    than they take from it.
    """
    shift = int(ratios[kept].var(axis=0).argmin())
    chosen = ratios[kept, shift]
    mean, variance = float(chosen.mean()), float(chosen.var(ddof=1)) / len(chosen)
    return shift, mean * max(0.0, 1 - variance / mean**2) if mean else 0.0
