"""Intervals are over clusters of fires: wider than over windows, none with few, never cut off, quick."""

import time

import numpy as np
import pytest

from burnscar_assets.evaluation.metrics import (
    METRICS,
    MIN_CLUSTERS,
    Answers,
    Interval,
    cluster_intervals,
    effective_clusters,
    metric_intervals,
    t_interval,
)


def fires_with_skills(fires: int, per_fire: int, seed: int = 0) -> tuple[Answers, list[str]]:
    """Fires that a method gets wholly right or wholly wrong, which is what makes windows dependent."""
    generator = np.random.default_rng(seed)
    right = np.repeat(generator.random(fires) < 0.7, per_fire)
    truth = np.tile(np.arange(per_fire) % 2 == 0, fires)
    predicted = np.where(right, truth, ~truth)
    clusters = [f"c{f}" for f in range(fires) for _ in range(per_fire)]
    probability = predicted.astype(float)
    return Answers(truth, predicted, probability, probability), clusters


def intervals(answers: Answers, clusters: list[str]) -> dict[str, Interval]:
    return metric_intervals(answers, clusters, np.ones(len(clusters), dtype=bool), 0.95)


def test_intervals_over_fires_are_wider_than_over_windows() -> None:
    answers, clusters = fires_with_skills(20, 20)
    by_fire = intervals(answers, clusters)["accuracy"]
    by_window = intervals(answers, [str(n) for n in range(400)])["accuracy"]
    assert by_fire.high - by_fire.low > 3 * (by_window.high - by_window.low)


def test_coverage_is_near_the_nominal_one() -> None:
    covered = 0
    for seed in range(60):
        answers, clusters = fires_with_skills(30, 4, seed)
        interval = intervals(answers, clusters)["accuracy"]
        covered += interval.low <= 0.7 <= interval.high
    assert covered >= 55


def test_the_order_of_windows_does_not_matter() -> None:
    answers, clusters = fires_with_skills(10, 6)
    order = np.random.default_rng(3).permutation(len(clusters))
    expected, shuffled = intervals(answers, clusters), intervals(answers.take(order), [clusters[i] for i in order])
    for name, found in expected.items():
        assert (shuffled[name].low, shuffled[name].high) == pytest.approx((found.low, found.high), nan_ok=True)


def test_the_interval_of_a_mean_of_equal_fires_is_students() -> None:
    values = np.array([0.2, 0.4, 0.5, 0.6, 0.9, 0.1, 0.7, 0.6])
    names, everywhere = [f"f{n}" for n in range(8)], np.ones(8, dtype=bool)
    found = cluster_intervals(
        lambda weights: {"mean": weights @ values / weights.sum(axis=1)}, names, everywhere, 0.95, "difference"
    )["mean"]
    reach = 2.3646 * values.std(ddof=1) / np.sqrt(8)
    assert (found.low, found.high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=1e-4)


def test_one_fire_gives_no_interval() -> None:
    answers, clusters = fires_with_skills(1, 10)
    assert all(np.isnan(interval.low) for interval in intervals(answers, clusters).values())


def test_fewer_than_six_clusters_give_no_interval_and_large_ones_count_as_few() -> None:
    for fires, given in ((5, False), (6, True)):
        answers, clusters = fires_with_skills(fires, 10)
        assert np.isnan(intervals(answers, clusters)["accuracy"].low) != given
    sizes = [100, 100, *[1] * 20]
    clusters = [f"c{n}" for n, size in enumerate(sizes) for _ in range(size)]
    effective = effective_clusters(clusters, np.ones(220, dtype=bool))
    assert effective == pytest.approx(220**2 / 20_020) and effective < MIN_CLUSTERS
    truth = np.arange(220) % 2 == 0
    assert np.isnan(intervals(Answers(truth, truth, truth.astype(float)), clusters)["accuracy"].low)


def test_only_fires_are_counted_where_there_are_fires() -> None:
    has_fire = np.arange(30) < 10
    names = [f"x{n}" for n in range(30)]
    assert effective_clusters(names, has_fire) == 10
    assert effective_clusters(names, np.zeros(30, dtype=bool)) == 30
    assert effective_clusters([], np.zeros(0, dtype=bool)) == 0


def test_an_interval_is_not_cut_off() -> None:
    near_one, loss = t_interval(0.97, 0.02, 8.0, 0.95, "share"), t_interval(0.1, 0.08, 8.0, 0.95, "positive")
    assert 0 < near_one.low < 0.97 < near_one.high < 1 and 0.97 - near_one.low > near_one.high - 0.97
    assert 0 < loss.low < 0.1 < loss.high


def test_clusters_that_agree_have_the_exact_binomial_interval() -> None:
    answers, clusters = fires_with_skills(8, 10)
    sure = answers.truth.astype(float)
    flawless = intervals(Answers(answers.truth, answers.truth, sure, sure), clusters)
    for metric in ("f1_burnt", "accuracy", "auroc"):
        assert (flawless[metric].low, flawless[metric].high) == pytest.approx((0.6306, 1), abs=1e-4)
    assert (flawless["brier"].low, flawless["brier"].high) == pytest.approx((0, 0.3694), abs=1e-4)
    alike = t_interval(0.75, 0.0, 8.0, 0.95, "share")
    assert (alike.low, alike.high) == pytest.approx((0.3491, 0.9681), abs=1e-4)
    assert t_interval(0.0, 0.0, 8.0, 0.95, "difference") == Interval(0.0, 0.0), "the same answers differ by nothing"


def test_clusters_that_say_nothing_of_a_metric_are_no_trials_of_it() -> None:
    clusters = [f"c{n}" for n in range(10) for _ in range(10)]
    inside = np.arange(100) % 10 < 5
    for burnt, given in ((2, False), (8, True)):
        truth = inside & (np.arange(100) < burnt * 10)
        sure = truth.astype(float)
        found = intervals(Answers(truth, truth, sure, sure), clusters)
        for metric in ("f1_burnt", "iou_burnt", "recall_burnt", "precision_burnt", "average_precision", "auroc"):
            low, high = (0.6306, 1) if given else (np.nan, np.nan)
            assert (found[metric].low, found[metric].high) == pytest.approx((low, high), abs=1e-4, nan_ok=True), metric
        assert (found["accuracy"].low, found["accuracy"].high) == pytest.approx((0.6915, 1), abs=1e-4)
        assert found["recall_unburnt"].low > 0.64


def test_an_interval_that_covers_all_there_is_is_none() -> None:
    assert np.isnan(t_interval(0.9, 0.3, 6.0, 0.95, "share").low), "it would be printed as 0.00 to 1.00"
    wide = t_interval(0.9, 0.1, 6.0, 0.95, "share")
    assert 0.3 < wide.low < 0.5 and 0.98 < wide.high < 1


def test_metrics_that_rest_on_one_cluster_get_no_interval() -> None:
    truth = np.array([True] + [False] * 9)
    answers = Answers(truth, truth, truth.astype(float))
    many = intervals(answers, ["a", *"bcdefghi", "j"])
    assert not np.isnan(many["accuracy"].low)
    assert np.isnan(many["recall_burnt"].low), "without that cluster there is no burnt window"
    predicted_rarely = Answers(np.zeros(10, bool), np.arange(10) == 0, np.zeros(10))
    assert np.isnan(intervals(predicted_rarely, list("abcdefghij"))["auroc"].low)


def test_intervals_of_a_hundred_fires_are_quick() -> None:
    answers, clusters = fires_with_skills(100, 20)
    start = time.perf_counter()
    found = intervals(answers, clusters)
    assert time.perf_counter() - start < 3
    assert set(found) == set(METRICS)
    assert 0.4 < found["accuracy"].low < found["accuracy"].high < 0.9
