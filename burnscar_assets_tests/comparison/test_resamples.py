"""Resamples draw fires among fires and blocks among blocks, by a seed."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.comparison.paired import draw_weights


def test_draws_are_seeded() -> None:
    clusters = [f"c{fire}" for fire in range(10) for _ in range(6)]
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
