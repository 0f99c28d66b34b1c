"""Picking points from candidates."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from burnscar_assets.sampling.lattice import Cells
from burnscar_assets.sampling.picking import far_enough, spread


def grid_of(side: int, seed: int = 0) -> pd.DataFrame:
    col, row = (axis.ravel() for axis in np.meshgrid(np.arange(side), np.arange(side)))
    chance = np.random.default_rng(seed).integers(0, 2**63, side**2).astype(np.uint64)
    return pd.DataFrame({"x_m": col * 320.0, "y_m": row * 320.0, "chance": chance})


@given(side=st.integers(1, 12), wanted=st.integers(1, 40), spacing=st.sampled_from([1.0, 1.5, 2.0, 3.0]))
def test_picks_keep_the_spacing_and_none_is_left_out_that_would_fit(side: int, wanted: int, spacing: float) -> None:
    candidates = grid_of(side)
    picks = spread(candidates, wanted, spacing * 320, side * 320)
    positions = picks[["x_m", "y_m"]].to_numpy()
    assert picks["rank"].tolist() == list(range(len(picks)))
    if len(picks) > 1:
        assert pdist(positions).min() >= spacing * 320 * 0.98
    if len(picks) < wanted:
        nearest = np.min(np.hypot(*(candidates[["x_m", "y_m"]].to_numpy()[:, None] - positions[None]).T), axis=0)
        assert nearest.max() < spacing * 320


def test_few_picks_are_far_apart_and_any_first_ones_too() -> None:
    picks = spread(grid_of(40), 16, 320, 39 * 320)
    positions = picks[["x_m", "y_m"]].to_numpy()
    extent_m = 40 * 320
    assert pdist(positions).min() > extent_m / 20
    quarter = positions[:4]
    assert pdist(quarter).min() > extent_m / 10


def test_the_edge_is_not_favoured() -> None:
    at_edge = []
    for seed in range(40):
        picks = spread(grid_of(20, seed), 12, 320, 19 * 320)
        at_edge.append(((picks[["x_m", "y_m"]] <= 320) | (picks[["x_m", "y_m"]] >= 18 * 320)).any(axis=1).mean())
    assert abs(np.mean(at_edge) - (1 - 16**2 / 20**2)) < 0.12


@given(seed=st.integers(0, 100))
def test_row_order_does_not_matter(seed: int) -> None:
    candidates = grid_of(9)
    mixed = candidates.sample(frac=1, random_state=seed)
    columns = ["x_m", "y_m", "rank"]
    first, second = (spread(table, 7, 320, 2_560)[columns].to_numpy().tolist() for table in (candidates, mixed))
    assert first == second


@given(seed=st.integers(0, 100), wanted=st.integers(1, 30))
def test_without_candidates_that_were_not_picked_the_picks_are_the_same(seed: int, wanted: int) -> None:
    candidates = grid_of(9)
    picks = spread(candidates, wanted, 320, 2_560)
    others = candidates.drop(picks.index).sample(frac=0.5, random_state=seed)
    pd.testing.assert_frame_equal(spread(candidates.drop(others.index), wanted, 320, 2_560), picks)


@given(
    places=st.lists(st.tuples(st.sampled_from([32610, 32611]), st.integers(0, 6), st.integers(0, 6)), max_size=25),
    spacing=st.sampled_from([1.0, 1.4, 2.0]),
)
def test_a_cell_gives_way_to_any_more_important_one_that_is_too_close(
    places: list[tuple[int, int, int]], spacing: float
) -> None:
    table = np.array(places, dtype=np.int64).reshape(-1, 3)
    keep = far_enough(Cells(*table.T), np.arange(len(table)), spacing)
    for number, (zone, col, row) in enumerate(places):
        crowded = any(z == zone and np.hypot(c - col, r - row) < spacing for z, c, r in places[:number])
        assert keep[number] != crowded
