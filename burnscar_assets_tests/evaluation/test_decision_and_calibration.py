"""Threshold and temperature: the best of the validation windows, whatever their order, and honest where none can be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from burnscar_assets.evaluation.calibration import BOUNDS, fit_temperature, fix_decision
from burnscar_assets.evaluation.metrics import Answers, binary_metrics

Rows = list[tuple[bool, float]]
rows = st.lists(st.tuples(st.booleans(), st.floats(0, 1, width=32)), min_size=2, max_size=50)


def columns(found: Rows) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p for _, p in found]), np.array([b for b, _ in found])


def balanced_accuracy(called: np.ndarray, burnt: np.ndarray) -> float:
    return (called[burnt].mean() + (~called[~burnt]).mean()) / 2


@given(rows)
def test_no_other_threshold_is_better_on_validation(found: Rows) -> None:
    probability, burnt = columns(found)
    decision = fix_decision(probability, burnt)
    if burnt.all() or not burnt.any() or len(set(probability)) < 2:
        assert (decision.fixed_on, decision.threshold, decision.balanced_accuracy) == ("nothing", 0.5, None)
        return
    ours = balanced_accuracy(decision.predict(probability), burnt)
    assert decision.balanced_accuracy == pytest.approx(ours)
    cuts = np.unique(probability)[:-1]
    assert ours >= max(balanced_accuracy(probability > cut, burnt) for cut in cuts) - 1e-12
    assert fix_decision(probability[::-1], burnt[::-1]) == decision


def test_of_classes_far_apart_the_threshold_lies_between() -> None:
    decision = fix_decision(np.array([0.02, 0.1, 0.9, 0.95]), np.array([False, False, True, True]))
    assert decision.threshold == pytest.approx(0.5) and (decision.burnt, decision.unburnt) == (2, 2)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 4))
def test_the_temperature_is_that_of_the_least_nll(seed: int, sharpness: float) -> None:
    generator = np.random.default_rng(seed)
    odds = generator.normal(0, 2, 200).clip(-3, 3)
    burnt = generator.random(200) < 1 / (1 + np.exp(-odds))
    probability = 1 / (1 + np.exp(-sharpness * odds))
    fitted = fit_temperature(probability, burnt)

    def nll(value: float) -> float:
        scaled = 1 / (1 + np.exp(-np.log(probability / (1 - probability)) / value))
        return binary_metrics(Answers(burnt, burnt, scaled, scaled))["nll"]

    assert not fitted.at_bound and fitted.windows == 200
    assert fitted.nll_after == pytest.approx(minimize_scalar(nll, bounds=BOUNDS, method="bounded").fun, abs=1e-4)
    assert fitted.nll_after <= fitted.nll_before + 1e-12
    assert fitted.value == pytest.approx(sharpness, rel=0.6)
    scaled = fitted.scale(probability)
    assert (np.diff(scaled[np.argsort(probability)]) >= 0).all(), "the ranking stays"


def test_windows_told_apart_without_error_have_no_temperature_within_bounds() -> None:
    fitted = fit_temperature(np.array([0.2, 0.3, 0.7, 0.8]), np.array([False, False, True, True]))
    assert fitted.at_bound and fitted.value == pytest.approx(BOUNDS[0])


@pytest.mark.parametrize("burnt", [True, False])
def test_one_class_is_not_fitted(burnt: bool) -> None:
    fitted = fit_temperature(np.array([0.2, 1.0]), np.array([burnt, burnt]))
    assert (fitted.value, fitted.windows, fitted.nll_after) == (1.0, 0, None)
    assert fitted.scale(np.array([0.0, 0.2, 1.0])) == pytest.approx([0, 0.2, 1], abs=1e-5)
