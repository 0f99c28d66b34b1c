"""Differences of set-ups: what is the same is not told apart, what is better wins, seeds count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from burnscar_assets.comparison.compare import verdict_on
from burnscar_assets.comparison.paired import COMPARED, UNDECIDED, Comparison, compare
from burnscar_assets.evaluation.metrics import Answers
from burnscar_assets.settings import EvaluationSettings

SETTINGS = EvaluationSettings(bootstrap_samples=300)


def fires(count: int, windows: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Truth and cluster of each window: half of each fire's are burnt."""
    return np.tile([True, False], count * windows // 2), np.repeat([f"f{n}" for n in range(count)], windows)


def answers(truth: np.ndarray, accuracy: float, seed: int) -> Answers:
    """Answers that are right in so many cases."""
    generator = np.random.default_rng(seed)
    predicted = np.where(generator.random(len(truth)) < accuracy, truth, ~truth)
    probability = np.where(predicted, generator.uniform(0.5, 1, len(truth)), generator.uniform(0, 0.5, len(truth)))
    return Answers(truth, predicted, probability, probability)


def compared(given: dict[str, list[Answers]], clusters: np.ndarray) -> Comparison:
    return compare(given, clusters.tolist(), np.ones(len(clusters), dtype=bool), SETTINGS)


def said(comparison: Comparison) -> str:
    return verdict_on(comparison, {name: name.upper() for name in comparison.scored}, SETTINGS.confidence).said


@hypothesis_settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 12), accuracy=st.floats(0.3, 1.0), seed=st.integers(0, 99))
def test_the_same_answers_show_no_difference(count: int, accuracy: float, seed: int) -> None:
    truth, clusters = fires(count)
    same = answers(truth, accuracy, seed)
    comparison = compared({"a": [same], "b": [same], "c": [same]}, clusters)
    assert all(found.verdict == UNDECIDED for found in comparison.differences.values())
    assert all(found.value == 0 for found in comparison.differences.values() if found.value == found.value)
    assert said(comparison).startswith("No difference shown")


@pytest.mark.parametrize("count", [8, 25])
def test_the_clearly_better_one_wins_with_its_margin(count: int) -> None:
    truth, clusters = fires(count)
    given = {name: [answers(truth, share, n)] for n, (name, share) in enumerate([("a", 0.6), ("b", 0.98), ("c", 0.6)])}
    comparison = compared(given, clusters)
    verdict = verdict_on(comparison, {"a": "A", "b": "B", "c": "C"}, 0.95)
    assert verdict.winner == "b" and 0 < verdict.low < verdict.margin < verdict.high
    assert verdict.said.startswith("B wins") and "3 pairs" in verdict.said
    assert comparison.differences["f1_burnt", "a", "b"].verdict == "worse"


def test_of_two_that_are_not_shown_to_differ_the_verdict_still_says_by_how_much() -> None:
    truth, clusters = fires(10)
    comparison = compared({"a": [answers(truth, 0.8, 1)], "b": [answers(truth, 0.81, 2)]}, clusters)
    verdict = verdict_on(comparison, {"a": "A", "b": "B"}, 0.95)
    assert verdict.winner == "" and verdict.low < 0 < verdict.margin
    assert f"{verdict.margin:.3f} [{verdict.low:.3f}, {verdict.high:.3f}] above that of the next" in verdict.said


def test_fires_that_say_nothing_of_a_metric_give_it_no_interval() -> None:
    truth, clusters = fires(8)
    truth = truth & np.isin(clusters, ["f0", "f1", "f2"])
    right = truth.astype(float)
    interval = compared({"a": [Answers(truth, truth, right, right)]}, clusters).scored["a"].interval
    assert np.isnan(interval["f1_burnt"].low) and "f1_burnt" in COMPARED


def test_differences_of_both_orders_mirror_each_other_and_order_of_windows_does_not_matter() -> None:
    truth, clusters = fires(10)
    given = {"a": [answers(truth, 0.8, 1)], "b": [answers(truth, 0.9, 2)]}
    order = np.random.default_rng(3).permutation(len(truth))
    shuffled = {name: [one.take(order) for one in seeds] for name, seeds in given.items()}
    one, other = compared(given, clusters), compared(shuffled, clusters[order])
    for metric in COMPARED:
        forth, back = one.differences[metric, "a", "b"], one.differences[metric, "b", "a"]
        assert (forth.value, forth.interval.low) == (-back.value, -back.interval.high)
        assert other.differences[metric, "a", "b"].value == pytest.approx(forth.value)
        assert other.differences[metric, "a", "b"].interval.low == pytest.approx(forth.interval.low)


def test_one_fire_shows_nothing() -> None:
    truth, clusters = fires(1)
    comparison = compared({"a": [answers(truth, 1.0, 0)], "b": [answers(truth, 0.2, 1)]}, clusters)
    assert all(np.isnan(found.interval.low) for found in comparison.differences.values())
    assert said(comparison).startswith("No difference shown") and "few fires" in said(comparison)


def test_fewer_than_six_fires_show_nothing() -> None:
    truth, clusters = fires(5, 40)
    comparison = compared({"a": [answers(truth, 1.0, 0)], "b": [answers(truth, 0.2, 1)]}, clusters)
    assert all(np.isnan(found.interval.low) for found in comparison.differences.values())
    assert np.isnan(comparison.scored["b"].interval["f1_burnt"].low)
    margin = comparison.differences["f1_burnt", "a", "b"].value
    assert f"(1.000), {margin:.3f} above that of the next, B, but" in said(comparison), "without ends"
    assert "no interval would hold" in said(comparison) and "as much as 5.0" in said(comparison)


def test_fewer_fires_need_larger_differences() -> None:
    reach = {}
    for count in (6, 24):
        truth, clusters = fires(count, 96 // count * 2)
        reaches = []
        for seed in range(5):
            given = {"a": [answers(truth, 0.9, seed)], "b": [answers(truth, 0.8, 9 + seed)]}
            found = compared(given, clusters).differences["f1_burnt", "a", "b"]
            reaches.append(found.interval.high - found.value)
        reach[count] = np.mean(reaches)
    assert reach[6] > reach[24]


def test_seeds_are_averaged_and_their_spread_widens_the_interval() -> None:
    truth, clusters = fires(15)
    spread = [answers(truth, share, n) for n, share in enumerate((0.7, 0.85, 1.0))]
    other = [answers(truth, 0.75, 9)]
    several = compared({"a": spread, "b": other}, clusters)
    single = compared({"a": spread[1:2], "b": other}, clusters)
    scored = several.scored["a"]
    assert len(scored.by_seed["f1_burnt"]) == 3
    assert scored.value["f1_burnt"] == pytest.approx(np.mean(scored.by_seed["f1_burnt"]))
    assert width(several) > 1.3 * width(single)


def width(comparison: Comparison) -> float:
    interval = comparison.scored["a"].interval["f1_burnt"]
    return interval.high - interval.low


def test_more_set_ups_to_compare_widen_the_intervals_of_each() -> None:
    truth, clusters = fires(15)
    given = {f"s{n}": [answers(truth, 0.85, n)] for n in range(8)}
    two = compared({name: given[name] for name in ("s0", "s1")}, clusters).differences["f1_burnt", "s0", "s1"]
    eight = compared(given, clusters).differences["f1_burnt", "s0", "s1"]
    assert eight.value == two.value
    assert eight.interval.high - eight.interval.low > two.interval.high - two.interval.low
