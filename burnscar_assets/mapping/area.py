"""Burned area with its doubt: what a map counts, corrected by the errors that were seen on known ground.

Pixel counts are biased wherever a map's two kinds of error do not cancel. The error matrix of ground whose truth is
known corrects them, and says how sure the correction is. Which formula holds depends on how that ground was drawn:

* by class of the map (a random sample of each class of this very map): Olofsson et al. (2014), Good practices for
  estimating area and assessing accuracy of land change, Remote Sensing of Environment 148, equations 4–11;
* by true class (as windows are sampled here, so many burnt, so many unburnt): the share of burnt among what a map
  calls burnt follows from how many of each were drawn, and is no property of the map. The rates of omission and
  commission are, and the mapped areas are solved for the true ones (Czaplewski and Catts 1992, the "inverse" method).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.classes import CLASS_NAMES
from burnscar_assets.errors import InputError

FEW_SAMPLES: Final = 25
"""Fewer samples of a class make its interval doubtful itself (Olofsson et al. ask for 50, and never below 20–30)."""

FEW_GROUPS: Final = 10
TELLS_LITTLE: Final = 0.2
"""A map whose rates for different true classes differ by less can't be corrected by them."""

DrawnBy = Literal["map", "reference"]


@dataclass(frozen=True)
class ClassArea:
    """Estimates of one class; NaN where undefined.

    Attributes:
        name: Class.
        mapped_ha: As counted on the map.
        area_ha: As estimated.
        standard_error_ha: Of the estimate.
        low_ha, high_ha: Confidence interval, kept between 0 and the whole area.
        users_accuracy, users_accuracy_se: Share of the class's mapped area that is of the class.
        producers_accuracy, producers_accuracy_se: Share of the class's true area that is mapped so.
        samples_mapped: Samples that the map calls this.
        samples_true: Samples that are this.
    """

    name: str
    mapped_ha: float
    area_ha: float
    standard_error_ha: float
    low_ha: float
    high_ha: float
    users_accuracy: float
    users_accuracy_se: float
    producers_accuracy: float
    producers_accuracy_se: float
    samples_mapped: int
    samples_true: int


@dataclass(frozen=True)
class AreaEstimate:
    """Areas by class and what is to be known about them.

    Attributes:
        classes: One for each class, in the order of the matrix.
        overall_accuracy: Share of the area that is mapped right.
        overall_accuracy_se: Its standard error.
        confidence: Of the intervals, 0–1.
        drawn_by: How the known ground was drawn.
        notes: Sentences that a reader of the figures must see, such as too few samples.
    """

    classes: tuple[ClassArea, ...]
    overall_accuracy: float
    overall_accuracy_se: float
    confidence: float
    drawn_by: DrawnBy
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> ClassArea:
        """The estimates of a class."""
        return next(found for found in self.classes if found.name == name)


def estimate_area(
    mapped_ha: Mapping[str, float],
    counts: NDArray[np.integer] | Sequence[Sequence[int]],
    *,
    confidence: float = 0.95,
    drawn_by: DrawnBy = "map",
) -> AreaEstimate:
    """Unbiased areas of classes with intervals, and the map's accuracies with standard errors.

    With counts by group (one matrix a fire), samples of one group count as dependent, and standard errors come from
    the differences between groups. A rate that was seen as 0 or 1 is not taken for certain: its error is that of
    the Agresti–Coull proportion. So are the errors of all rates of independent samples drawn by true class, since
    the small rates that matter most there have intervals that are too narrow otherwise.

    Args:
        mapped_ha: mapped area of each class, hectares, in the order of the matrix.
        counts: (classes, classes) samples by class of the map (rows) and true class (columns); or
            (groups, classes, classes).
        confidence: of the intervals.
        drawn_by: `map` if samples were drawn at random in each class of the map, `reference` if in each true class.

    Raises:
        InputError: shapes that don't fit, negative figures, or no area at all.
    """
    names, mapped = list(mapped_ha), np.array(list(mapped_ha.values()), dtype=np.float64)
    groups = np.asarray(counts, dtype=np.float64)
    groups = groups[np.newaxis] if groups.ndim == 2 else groups
    _check(mapped, groups)
    groups = groups[groups.sum(axis=(1, 2)) > 0]
    by_map = drawn_by == "map"
    sample = _Sample(groups if by_map else groups.transpose(0, 2, 1), confidence, cautious=not by_map)
    undefined = _undefined(names, mapped, sample, drawn_by)
    figures = _Figures(mapped / mapped.sum(), drawn_by)
    size = 3 * len(names) + 1
    value = np.full(size, np.nan) if undefined else figures.at(sample.rates)
    error = np.full(size, np.nan) if undefined else np.sqrt(figures.variances(sample))
    seen = np.column_stack([groups.sum(axis=(0, 2)), groups.sum(axis=(0, 1))]).astype(int)
    return AreaEstimate(
        classes=tuple(_classes(names, mapped, value, error, sample.quantile, seen)),
        overall_accuracy=float(np.clip(value[-1], 0, 1)),
        overall_accuracy_se=float(error[-1]),
        confidence=confidence,
        drawn_by=drawn_by,
        notes=(*undefined, *_doubts(names, sample, value, drawn_by)),
    )


def window_counts(predictions: pd.DataFrame) -> NDArray[np.int64]:
    """The error matrix of windows of fires, by cluster of fires.

    Land without fire is left out: a map of a fire's surroundings has none of it. Windows were drawn by their true
    class, so `estimate_area` is to be told `drawn_by="reference"`.

    Args:
        predictions: contract PREDICTIONS.

    Returns:
        (clusters, 2, 2) windows by predicted class (rows) and true class (columns), in the order of CLASS_NAMES.
    """
    fires = predictions[predictions["fire_id"].fillna("") != ""]
    place = {name: number for number, name in enumerate(CLASS_NAMES)}
    cluster = pd.factorize(fires["cluster_id"], sort=True)[0]
    result = np.zeros((cluster.max() + 1 if len(cluster) else 0, len(place), len(place)), dtype=np.int64)
    np.add.at(result, (cluster, fires["predicted"].map(place), fires["category"].map(place)), 1)
    return result


class _Sample:
    """Rates seen in each stratum of the sample, and how sure they are.

    Attributes:
        groups: (m, k, k) samples by group, stratum and what was seen.
        sizes: (k,) samples of each stratum.
        rates: (k, k) share of each stratum's samples that was seen as each class; equal where there is no sample.
        quantile: How many standard errors an interval reaches.
    """

    def __init__(self, groups: NDArray[np.float64], confidence: float, *, cautious: bool) -> None:
        from scipy.special import ndtri, stdtrit

        self.groups = groups
        self._cautious = cautious
        counts = groups.sum(axis=0)
        self.sizes = counts.sum(axis=1)
        self.rates = np.full(counts.shape, 1 / len(counts))
        np.divide(counts, self.sizes[:, np.newaxis], out=self.rates, where=self.sizes[:, np.newaxis] > 0)
        upper = (1 + confidence) / 2
        self._z = float(ndtri(upper))
        self.quantile = float(stdtrit(len(groups) - 1, upper)) if len(groups) > 1 else self._z

    def covariance(self) -> NDArray[np.float64]:
        """(k², k²) covariance of the rates, stratum by stratum."""
        k, many = len(self.rates), len(self.groups)
        result = np.zeros((k * k, k * k))
        if many > 1:
            expected = self.rates * self.groups.sum(axis=2, keepdims=True)
            off = ((self.groups - expected) / np.maximum(self.sizes, 1)[:, np.newaxis]).reshape(many, -1)
            result = many / (many - 1) * off.T @ off
        for stratum in range(k):
            inside = slice(stratum * k, (stratum + 1) * k)
            if many == 1 or self.unanimous[stratum]:
                result[inside, inside] = self._multinomial(stratum)
        return result

    @property
    def unanimous(self) -> NDArray[np.bool_]:
        """(k,) whether all samples of a stratum were seen as one class."""
        return np.asarray((self.sizes > 0) & (self.rates.max(axis=1) == 1))

    def _multinomial(self, stratum: int) -> NDArray[np.float64]:
        """(k, k) covariance of a stratum's rates if its samples are independent."""
        rates, size = self.rates[stratum], self.sizes[stratum]
        divisor = max(size - 1, 1)
        if self._cautious or self.unanimous[stratum]:
            divisor = size + self._z**2
            rates = (rates * size + self._z**2 / len(rates)) / divisor
        return np.asarray((np.diag(rates) - np.outer(rates, rates)) / divisor)


class _Figures:
    """Areas and accuracies as functions of the rates: k shares of area, k user's, k producer's, the overall one."""

    def __init__(self, mapped: NDArray[np.float64], drawn_by: DrawnBy) -> None:
        self._mapped = mapped
        self._drawn_by = drawn_by

    def at(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """(3k + 1,) figures for (k, k) rates; NaN where a share is 0."""
        if self._drawn_by == "map":
            cells = self._mapped[:, np.newaxis] * rates
        else:
            cells = (np.linalg.solve(rates.T, self._mapped)[:, np.newaxis] * rates).T
        right, true, mapped = np.diag(cells), cells.sum(axis=0), cells.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.concatenate([true, right / mapped, right / true, [right.sum()]])

    def variances(self, sample: _Sample) -> NDArray[np.float64]:
        """(3k + 1,) variances to first order (delta method); those of `map` are the equations of Olofsson et al."""
        step = 1e-6
        nudges = step * np.eye(sample.rates.size).reshape(-1, *sample.rates.shape)
        ends = [(self.at(sample.rates + nudge), self.at(sample.rates - nudge)) for nudge in nudges]
        with np.errstate(invalid="ignore"):
            slope = np.stack([(above - below) / (2 * step) for above, below in ends], axis=1)
        return np.maximum(np.einsum("fi,ij,fj->f", slope, sample.covariance(), slope), 0)


def _classes(
    names: Sequence[str],
    mapped: NDArray[np.float64],
    value: NDArray[np.float64],
    error: NDArray[np.float64],
    quantile: float,
    seen: NDArray[np.integer],
) -> Iterator[ClassArea]:
    total, k = mapped.sum(), len(names)
    for place, name in enumerate(names):
        share, reach = value[place], quantile * error[place]
        users, producers = k + place, 2 * k + place
        yield ClassArea(
            name=name,
            mapped_ha=float(mapped[place]),
            area_ha=float(np.clip(share, 0, 1) * total),
            standard_error_ha=float(error[place] * total),
            low_ha=float(np.clip(share - reach, 0, 1) * total),
            high_ha=float(np.clip(share + reach, 0, 1) * total),
            users_accuracy=float(np.clip(value[users], 0, 1)),
            users_accuracy_se=float(error[users]),
            producers_accuracy=float(np.clip(value[producers], 0, 1)),
            producers_accuracy_se=float(error[producers]),
            samples_mapped=int(seen[place, 0]),
            samples_true=int(seen[place, 1]),
        )


def _undefined(names: Sequence[str], mapped: NDArray[np.float64], sample: _Sample, drawn_by: DrawnBy) -> list[str]:
    """Why nothing can be estimated, if so."""
    if drawn_by == "map":
        missing = [name for name, area, size in zip(names, mapped, sample.sizes, strict=True) if area > 0 and not size]
        return [f"no estimate: no sample of known ground lies where {name} is mapped" for name in missing]
    missing = [name for name, size in zip(names, sample.sizes, strict=True) if not size]
    if missing:
        return [f"no estimate: no sample of known ground is {name}" for name in missing]
    if np.linalg.svd(sample.rates, compute_uv=False)[-1] < TELLS_LITTLE:
        return ["no estimate: the map tells the classes apart too badly for its errors to be corrected"]
    return []


def _doubts(names: Sequence[str], sample: _Sample, value: NDArray[np.float64], drawn_by: DrawnBy) -> Iterator[str]:
    """What a reader must know of an estimate."""
    kind = "mapped as" if drawn_by == "map" else "of"
    for name, size, agreed in zip(names, sample.sizes, sample.unanimous, strict=True):
        if 0 < size < FEW_SAMPLES:
            yield f"too few samples: {int(size)} {kind} {name}; with fewer than {FEW_SAMPLES} the interval is doubtful"
        if agreed:
            yield f"all {int(size)} samples {kind} {name} agree; the interval allows for errors that were not seen"
    if 1 < len(sample.groups) < FEW_GROUPS:
        yield f"samples are of {len(sample.groups)} fires only; the interval may be too narrow"
    elif len(sample.groups) == 1 and drawn_by == "reference":
        yield "samples count as independent, but those of one fire are not; the interval may be too narrow"
    if np.any(value[: len(names)] < 0):
        yield "the rates of error explain more than all that was mapped of a class: its estimate is 0"


def _check(mapped: NDArray[np.float64], groups: NDArray[np.float64]) -> None:
    k = len(mapped)
    if k < 2 or groups.ndim != 3 or groups.shape[1:] != (k, k):
        raise InputError(f"{k} mapped classes need counts of shape ({k}, {k}), not {groups.shape[1:]}")
    if not np.isfinite(mapped).all() or (mapped < 0).any() or (groups < 0).any():
        raise InputError("mapped areas and counts of samples can't be negative or missing")
    if not mapped.sum():
        raise InputError("nothing is mapped: there is no area to estimate")
