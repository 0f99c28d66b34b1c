"""Intervals come from resampled fires: wider than those of windows, seeded, quick."""

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.evaluation.bootstrap import Interval, bootstrap_intervals, draw_weights
from burnscar_assets.evaluation.metrics import METRICS, Answers


def fires_with_skills(fires: int, per_fire: int, seed: int = 0) -> tuple[Answers, list[str]]:
    """Fires that a method gets wholly right or wholly wrong, which is what makes windows dependent."""
    generator = np.random.default_rng(seed)
    right = np.repeat(generator.random(fires) < 0.7, per_fire)
    truth = np.tile(np.arange(per_fire) % 2 == 0, fires)
    predicted = np.where(right, truth, ~truth)
    clusters = [f"c{f}" for f in range(fires) for _ in range(per_fire)]
    probability = predicted.astype(float)
    return Answers(truth, predicted, probability, probability), clusters


def intervals(answers: Answers, clusters: list[str], samples: int = 500, seed: int = 0) -> dict[str, Interval]:
    has_fire = np.ones(len(clusters), dtype=bool)
    return bootstrap_intervals(answers, clusters, has_fire, samples=samples, confidence=0.95, seed=seed)


def test_intervals_over_fires_are_wider_than_over_windows() -> None:
    answers, clusters = fires_with_skills(20, 20)
    by_fire = intervals(answers, clusters)["accuracy"]
    by_window = intervals(answers, [str(n) for n in range(400)])["accuracy"]
    assert by_fire.high - by_fire.low > 3 * (by_window.high - by_window.low)


def test_coverage_is_near_the_nominal_one() -> None:
    covered = 0
    for seed in range(60):
        answers, clusters = fires_with_skills(30, 4, seed)
        interval = intervals(answers, clusters, samples=300, seed=seed)["accuracy"]
        covered += interval.low <= 0.7 <= interval.high
    assert covered >= 50


def test_seeded_and_independent_of_window_order() -> None:
    answers, clusters = fires_with_skills(10, 6)
    order = np.random.default_rng(3).permutation(len(clusters))
    shuffled = intervals(answers.take(order), [clusters[i] for i in order])
    assert intervals(answers, clusters) == shuffled
    everywhere = np.ones(60, dtype=bool)
    draws = [draw_weights(clusters, everywhere, 20, seed)[1].tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@given(st.integers(1, 12), st.integers(0, 12))
@settings(max_examples=25, deadline=None)
def test_fires_and_blocks_are_drawn_among_themselves(fires: int, blocks: int) -> None:
    clusters = [f"x{n}" for n in range(fires + blocks)]
    has_fire = np.arange(fires + blocks) < fires
    index, draws = draw_weights(clusters, has_fire, 50, 0)
    per_window = draws[:, index]
    assert (per_window[:, has_fire].sum(axis=1) == fires).all()
    assert (per_window[:, ~has_fire].sum(axis=1) == blocks).all()


def test_a_fire_and_a_block_of_the_same_name_stay_apart() -> None:
    _, draws = draw_weights(["a", "a"], np.array([True, False]), 5, 0)
    assert draws.shape == (5, 2)


def test_one_fire_gives_no_interval() -> None:
    answers, clusters = fires_with_skills(1, 10)
    assert all(np.isnan(interval.low) for interval in intervals(answers, clusters).values())


def test_mostly_undefined_metrics_get_no_interval() -> None:
    truth = np.array([True] + [False] * 9)
    answers = Answers(truth, truth, truth.astype(float))
    many = intervals(answers, ["a", *"bcdefghi", "j"])
    assert not np.isnan(many["accuracy"].low)
    predicted_rarely = Answers(np.zeros(10, bool), np.arange(10) == 0, np.zeros(10))
    assert np.isnan(intervals(predicted_rarely, list("abcdefghij"))["auroc"].low)


def test_a_thousand_resamples_of_a_hundred_fires_are_quick() -> None:
    answers, clusters = fires_with_skills(100, 20)
    start = time.perf_counter()
    found = intervals(answers, clusters, samples=1000)
    assert time.perf_counter() - start < 3
    assert set(found) == set(METRICS)
    assert 0.4 < found["accuracy"].low < found["accuracy"].high < 0.9
