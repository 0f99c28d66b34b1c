"""Areas of classes from a sample that was drawn at random in each class of a map, and what the map's accuracies are.

Olofsson et al. (2014), Good practices for estimating area and assessing accuracy of land change, Remote Sensing of
Environment 148, equations 4–11. Intervals of areas are put together from Wilson's of the rates in each mapped class
(the method of variance estimates recovery, Zou and Donner 2008): they allow for errors that were not seen, and none is
cut off at 0 or at the whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import InputError

FEW_SAMPLES: Final = 25
"""Fewer samples of a class make its interval doubtful itself (Olofsson et al. ask for 50, and never below 20–30)."""


@dataclass(frozen=True)
class ClassArea:
    """Estimates of one class; NaN where undefined.

    Attributes:
        name: Class.
        mapped_ha: As counted on the map.
        area_ha: As estimated.
        standard_error_ha: Of the estimate.
        low_ha, high_ha: Confidence interval.
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
        notes: Sentences that a reader of the figures must see, such as too few samples.
        defined: Whether there is an estimate.
    """

    classes: tuple[ClassArea, ...]
    overall_accuracy: float
    overall_accuracy_se: float
    confidence: float
    notes: tuple[str, ...]
    defined: bool

    def __getitem__(self, name: str) -> ClassArea:
        """The estimates of a class."""
        return next(found for found in self.classes if found.name == name)


def estimate_area(
    mapped_ha: Mapping[str, float],
    counts: NDArray[np.integer] | Sequence[Sequence[int]],
    *,
    confidence: float = 0.95,
) -> AreaEstimate:
    """Unbiased areas of classes with intervals, and the map's accuracies with standard errors.

    A rate that was seen as 0 or 1 is not taken for certain: its standard error is that of the Agresti–Coull proportion.

    Args:
        mapped_ha: mapped area of each class, hectares, in the order of the matrix.
        counts: (classes, classes) samples by class of the map (rows) and true class (columns).
        confidence: of the intervals.

    Raises:
        InputError: shapes that don't fit, negative figures, or no area at all.
    """
    names, mapped = list(mapped_ha), np.array(list(mapped_ha.values()), dtype=np.float64)
    matrix = np.asarray(counts, dtype=np.float64)
    _check(mapped, matrix)
    quantile = _quantile(confidence)
    missing = [
        name for name, area, size in zip(names, mapped, matrix.sum(axis=1), strict=True) if area > 0 and not size
    ]
    weights = np.full(len(names), np.nan) if missing else mapped / mapped.sum()
    figures = _figures(weights, matrix, quantile)
    return AreaEstimate(
        classes=tuple(_classes(names, mapped, matrix, figures)),
        overall_accuracy=figures.overall,
        overall_accuracy_se=figures.overall_error,
        confidence=confidence,
        notes=(
            *(f"no estimate: no sample of known ground lies where {name} is mapped" for name in missing),
            *_doubts(names, matrix),
        ),
        defined=not missing,
    )


@dataclass(frozen=True)
class _Figures:
    """(k,) shares of area with standard errors and intervals, user's and producer's accuracies; the overall one."""

    share: NDArray[np.float64]
    share_error: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    users: NDArray[np.float64]
    users_error: NDArray[np.float64]
    producers: NDArray[np.float64]
    producers_error: NDArray[np.float64]
    overall: float
    overall_error: float


def _figures(weights: NDArray[np.float64], matrix: NDArray[np.float64], quantile: float) -> _Figures:
    """Equations 1–11 for (k,) shares of the mapped area and (k, k) counts; NaN where a class has no area."""
    sizes = matrix.sum(axis=1, keepdims=True)
    rates = np.divide(matrix, sizes, out=np.zeros_like(matrix), where=sizes > 0)
    rate_variance = _variances(rates, sizes, quantile)
    low, high = _wilson(rates, sizes, quantile)
    cells = weights[:, np.newaxis] * rates
    cell_variance = np.square(weights)[:, np.newaxis] * rate_variance
    share, right = cells.sum(axis=0), np.diag(cells)
    own, others = np.diag(cell_variance), cell_variance.sum(axis=0) - np.diag(cell_variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        users = np.where(sizes[:, 0] > 0, np.diag(rates), np.nan)
        producers = right / share
        producers_error = np.sqrt(np.square(1 - producers) * own + np.square(producers) * others) / share
    return _Figures(
        share=share,
        share_error=np.sqrt(cell_variance.sum(axis=0)),
        low=share - _reach(weights, rates - low),
        high=share + _reach(weights, high - rates),
        users=users,
        users_error=np.sqrt(np.diag(rate_variance)),
        producers=producers,
        producers_error=producers_error,
        overall=float(right.sum()),
        overall_error=float(np.sqrt(own.sum())),
    )


def _variances(rates: NDArray[np.float64], sizes: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """(k, k) variances of the rates of each mapped class."""
    cautious = (rates * sizes + quantile**2 / len(rates)) / (sizes + quantile**2)
    unanimous = rates.max(axis=1, keepdims=True) == 1
    return np.where(
        unanimous,
        cautious * (1 - cautious) / (sizes + quantile**2),
        rates * (1 - rates) / np.maximum(sizes - 1, 1),
    )


def _wilson(
    rates: NDArray[np.float64], sizes: NDArray[np.float64], quantile: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval of each rate (1927); from 0 to 1 without samples."""
    divisor = sizes + quantile**2
    middle = (rates * sizes + quantile**2 / 2) / divisor
    reach = quantile * np.sqrt(rates * (1 - rates) * sizes + quantile**2 / 4) / divisor
    return np.minimum(middle - reach, rates), np.maximum(middle + reach, rates)


def _reach(weights: NDArray[np.float64], off: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.square(weights[:, np.newaxis] * off).sum(axis=0)))


def _classes(
    names: Sequence[str],
    mapped: NDArray[np.float64],
    matrix: NDArray[np.float64],
    figures: _Figures,
) -> Iterator[ClassArea]:
    total = float(mapped.sum())
    for place, name in enumerate(names):
        share, error = float(figures.share[place]), float(figures.share_error[place])
        yield ClassArea(
            name=name,
            mapped_ha=float(mapped[place]),
            area_ha=share * total,
            standard_error_ha=error * total,
            low_ha=float(figures.low[place]) * total,
            high_ha=float(figures.high[place]) * total,
            users_accuracy=float(figures.users[place]),
            users_accuracy_se=float(figures.users_error[place]),
            producers_accuracy=float(figures.producers[place]),
            producers_accuracy_se=float(figures.producers_error[place]),
            samples_mapped=int(matrix[place].sum()),
            samples_true=int(matrix[:, place].sum()),
        )


def _doubts(names: Sequence[str], matrix: NDArray[np.float64]) -> Iterator[str]:
    """What a reader must know of an estimate."""
    for name, seen in zip(names, matrix, strict=True):
        size = int(seen.sum())
        if 0 < size < FEW_SAMPLES:
            yield f"too few samples: {size} mapped as {name}; with fewer than {FEW_SAMPLES} the interval is doubtful"
        if size and seen.max() == size:
            yield f"all {size} samples mapped as {name} agree; the interval allows for errors that were not seen"


def _quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))


def _check(mapped: NDArray[np.float64], matrix: NDArray[np.float64]) -> None:
    k = len(mapped)
    if k < 2 or matrix.shape != (k, k):
        raise InputError(f"{k} mapped classes need counts of shape ({k}, {k}), not {matrix.shape}")
    if not np.isfinite(mapped).all() or (mapped < 0).any() or (matrix < 0).any():
        raise InputError("mapped areas and counts of samples can't be negative or missing")
    if not mapped.sum():
        raise InputError("nothing is mapped: there is no area to estimate")
