"""How often intervals hold, by simulation with the sizes of held-out fires of the demo and of California.

A fire has burnt windows and four fifths as many unburnt ones, as sampled. How many of them are right varies from fire
to fire: in a world of `even` fires recall and specificity are beta(18, 2), of `uneven` ones beta(3, 1) and beta(5, 1),
and in one of `failing` ones a fifth of the fires is nearly lost. What must be held is the value over endless fires.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from burnscar_assets.evaluation.metrics import (
    MIN_CLUSTERS,
    Answers,
    cluster_intervals,
    effective_of_metrics,
    weighted_metrics,
)

SIZES = {
    "demo": (42, 1, 6, 1, 40, 5, 1, 1, 40, 3, 4, 2, 40),
    "california": (1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 5, 6, 8, 10, 16, 40),
}
"""Burnt windows of each cluster: those of the demo's test fires, 2019–2022, and twentieths of California's of 2021."""

FIRES, CASES = 40, 500


@dataclass(frozen=True)
class Held:
    """What came of simulated evaluations.

    Attributes:
        effective: effective clusters, the median.
        given: evaluations with an interval.
        share: of these with one that holds the truth.
        widest: the widest interval.
    """

    effective: float
    given: int
    share: float
    widest: float


def draw(world: str, sizes: tuple[int, ...], shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    """Counts of windows (tp, fp, fn, tn), (4, *shape), of fires drawn from these sizes."""
    burnt = np.asarray(sizes)[rng.integers(0, len(sizes), shape)]
    unburnt = np.ceil(0.8 * burnt).astype(np.int64)
    if world == "failing":
        lost = rng.random(shape) < 0.2
        recall = np.where(lost, rng.beta(2, 4, shape), rng.beta(30, 1.5, shape))
        specificity = np.where(lost, rng.beta(6, 3, shape), rng.beta(30, 1.5, shape))
    else:
        ends = {"even": ((18, 2), (18, 2)), "uneven": ((3, 1), (5, 1))}[world]
        recall, specificity = (rng.beta(*end, shape) for end in ends)
    tp, tn = rng.binomial(burnt, recall), rng.binomial(unburnt, specificity)
    return np.stack([tp, unburnt - tn, burnt - tp, tn])


def f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    tp, fp, fn, _ = counts
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def pooled_f1(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """Pooled F1 of one evaluation with its interval, by the code that evaluations use; a row stands for a cell."""
    rows = np.repeat(np.tile(np.arange(4), counts.shape[1]), counts.T.reshape(-1))
    clusters = np.repeat(np.arange(counts.shape[1]), counts.sum(axis=0)).astype(str)
    truth, called = np.isin(rows, (0, 2)), np.isin(rows, (0, 1))
    answers = Answers(truth, called, called.astype(float))

    def statistic(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        cells = np.stack([weights @ (rows == cell) for cell in range(3)])
        return {"f1_burnt": 2 * cells[0] / (2 * cells[0] + cells[1] + cells[2])}

    plain = weighted_metrics(answers, np.ones((1, len(rows))))["f1_burnt"][0]
    of_fires = np.ones(len(rows), dtype=bool)
    effective = effective_of_metrics(answers, clusters.tolist(), of_fires)
    found = cluster_intervals(statistic, clusters.tolist(), of_fires, 0.95, effective=effective)["f1_burnt"]
    return float(plain), found.low, found.high


def mean_f1(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """Mean over fires, each counted once, with its interval."""
    values, names = f1(counts), [str(fire) for fire in range(counts.shape[1])]
    found = cluster_intervals(
        lambda weights: {"mean": weights @ values / weights.sum(axis=1)}, names, np.ones(len(names), bool), 0.95
    )["mean"]
    return float(values.mean()), found.low, found.high


def held(figure: str, world: str, place: str, fires: int, evaluations: int) -> Held:
    """How often the interval of a figure holds its value over endless fires."""
    rng = np.random.default_rng(17)
    endless = draw(world, SIZES[place], (400_000,), rng)
    truth = float(f1(endless.sum(axis=1))) if figure == "pooled" else float(f1(endless).mean())
    of_one = pooled_f1 if figure == "pooled" else mean_f1
    cases = [draw(world, SIZES[place], (fires,), rng) for _ in range(evaluations)]
    windows = np.array([case.sum(axis=0) if figure == "pooled" else np.ones(fires) for case in cases])
    effective = float(np.median(windows.sum(axis=1) ** 2 / np.square(windows).sum(axis=1)))
    ends = np.array([of_one(case)[1:] for case in cases])
    given = ends[~np.isnan(ends).any(axis=1)]
    if not len(given):
        return Held(effective, 0, float("nan"), float("nan"))
    inside = (given[:, 0] <= truth) & (truth <= given[:, 1])
    return Held(effective, len(given), float(inside.mean()), float(np.diff(given).max()))


@pytest.mark.parametrize("place", SIZES)
def test_intervals_hold_as_often_as_they_say_with_forty_fires(place: str) -> None:
    for world in ("even", "uneven"):
        found = held("pooled", world, place, FIRES, 150)
        assert found.given == 150 and found.share >= 0.9 and found.widest < 0.6


def test_an_interval_of_fires_without_a_mistake_holds_where_a_rare_fire_fails() -> None:
    """Nineteen of twenty fires are wholly right: two of three samples of eight show no mistake at all."""
    rng = np.random.default_rng(5)
    right = np.where(rng.random((300, 8)) < 0.95, 10, 0)
    nothing = np.zeros_like(right)
    ends = np.array([pooled_f1(counts) for counts in np.stack([right, nothing, 10 - right, nothing], axis=1)])
    flawless = ends[:, 0] == 1
    truth = 2 * 0.95 / (2 * 0.95 + 0.05)
    assert 0.6 < flawless.mean() < 0.75
    assert (ends[flawless, 1] <= truth).all() and (ends[flawless, 2] >= truth).all()


def test_no_interval_where_none_would_hold() -> None:
    for fires in (3, 4, 5):
        assert held("pooled", "even", "demo", fires, 50).given == 0
        assert held("mean", "even", "demo", fires, 50).given == 0
    sizes = [10] * int(MIN_CLUSTERS)
    counts = np.array([[9] * len(sizes), [1] * len(sizes), [1] * len(sizes), [7] * len(sizes)])
    assert not np.isnan(pooled_f1(counts)[1])


@pytest.mark.slow
@pytest.mark.parametrize("place", SIZES)
def test_how_often_intervals_hold(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The table of docs/evaluation.md: run with -s to see it."""
    for figure in ("pooled", "mean"):
        for fires in (13, 20, 40, 70):
            found = {world: held(figure, world, place, fires, CASES) for world in ("even", "uneven", "failing")}
            with capsys.disabled():
                given = f"{found['even'].effective:.0f} | {found['even'].given / CASES:.0%}"
                print(f"| {place}, {figure} | {fires} | {given} |", *(f"{one.share:.0%} |" for one in found.values()))
            assert min(found["even"].share, found["uneven"].share) >= 0.85
            assert found["failing"].share >= 0.75
            assert max(one.widest for one in found.values()) < 0.95
