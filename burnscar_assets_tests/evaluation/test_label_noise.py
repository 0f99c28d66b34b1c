import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.label_noise import (
    unburned_islands,
    unburned_offsets,
    uncertain_pixels,
    uncertain_windows,
)

ROUNDING = 1e-9
"""What lies just at a bound may be on either side of it."""

CHANGES = arrays("float64", (4, 3, 3), elements=st.floats(-1, 1) | st.just(float("nan")))


@given(CHANGES, arrays(bool, (4,)))
def test_nothing_is_spared_that_a_model_must_get_right(change: np.ndarray, burnt: np.ndarray) -> None:
    doubtful = uncertain_pixels(change, burnt[:, None, None])
    assert doubtful[np.isnan(change)].all()
    clear_change = change > 0.15 + ROUNDING
    assert not doubtful[clear_change].any(), "much change is certain, inside a perimeter and outside"
    no_change = change < 0.05 - ROUNDING
    np.testing.assert_array_equal(doubtful[no_change], np.broadcast_to(burnt[:, None, None], change.shape)[no_change])
    near = uncertain_pixels(change, burnt[:, None, None], np.full(change.shape, 10.0))
    assert near.all()


@given(st.floats(-0.05, 0.11), st.integers(0, 2**32 - 1))
def test_what_unburned_ground_changed_by_is_found_place_by_place(offset: float, seed: int) -> None:
    noise = np.random.default_rng(seed)
    change = noise.normal(offset, 0.035, (9, 8, 8))
    burnt = np.array([True, True, False, False, False, True, False, True, False])
    change[burnt] += 0.4
    change[4] += 0.3  # a field that was mown: one of three
    change[0, 0, 0] = np.nan
    fires = np.array(["a", "a", "a", "a", "a", "b", "b", "", ""])
    days = np.array(["1", "1", "1", "1", "1", "1", "1", "2", "2"])
    found = unburned_offsets(change, burnt, [fires, days])
    assert found[:5] == pytest.approx(offset, abs=0.03), "the median of the fire's own three"
    assert found[5:7] == pytest.approx(offset, abs=0.03), "of the same days, as its fire has one alone"
    assert np.isnan(found[7:]).all(), "one unburnt window of those days tells nothing"


def test_windows_are_uncertain_by_their_share_of_doubtful_pixels() -> None:
    change = np.full((4, 4, 4), 0.5)
    change[1, 0] = 0.0  # a quarter: an island
    change[2, :2] = 0.0
    change[3, :2] = np.nan
    assert uncertain_windows(change, np.ones(4, dtype=bool)).tolist() == [False, False, True, True]
    assert uncertain_windows(change, np.zeros(4, dtype=bool)).tolist() == [False, False, False, True]


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 0.6), st.integers(0, 2**32 - 1))
def test_the_share_of_islands_is_found_with_an_interval_about_it(share: float, seed: int) -> None:
    noise = np.random.default_rng(seed)
    island = noise.random((40, 16, 16)) < share
    change = np.where(island, 0.0, 0.45) + noise.normal(0, 0.02, island.shape)
    change[noise.random(island.shape) < 0.05] = np.nan
    fires = np.array(["a"] * 30 + ["b"] * 9 + ["c"])
    found = unburned_islands(change, fires).set_index("fire_id")
    assert found["windows"].to_dict() == {"a": 30, "b": 9, "c": 1}
    seen = np.isfinite(change)
    for fire in ("a", "b", "c"):
        inside = seen & (fires == fire)[:, None, None]
        assert found.loc[fire, "pixels"] == inside.sum()
        assert found.loc[fire, "unburned_share"] == pytest.approx(island[inside].mean(), abs=0.005)
    assert (found["low"][:2] <= found["unburned_share"][:2] + 1e-9).all()
    assert (found["high"][:2] >= found["unburned_share"][:2] - 1e-9).all()
    assert np.isnan(found.loc["c", "low"]), "one window has no interval"


def test_the_doubt_of_the_bound_is_in_the_interval() -> None:
    change = np.full((10, 8, 8), 0.12)
    found = unburned_islands(change, np.array(["a"] * 10)).iloc[0]
    assert (found["unburned_share"], found["low"], found["high"]) == (0, 0, 1)


def test_nothing_known_and_shapes_that_do_not_fit() -> None:
    nothing = unburned_islands(np.full((2, 3, 3), np.nan), np.array(["a", "a"])).iloc[0]
    assert nothing["pixels"] == 0
    assert np.isnan(nothing["unburned_share"])
    assert unburned_islands(np.empty((0, 3, 3)), np.array([], dtype=str)).empty
    with pytest.raises(InputError, match="shape"):
        uncertain_windows(np.zeros((2, 3, 3)), np.ones(3, dtype=bool))
