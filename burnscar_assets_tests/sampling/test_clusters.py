"""Fires that belong together, and their split."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.sampling.clusters import cluster_splits, fire_clusters, fire_splits
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import SamplingSettings, SplitSettings
from burnscar_assets_tests.sampling.fire_worlds import Fire, fires_strategy, perimeters_of, shuffled

SETTINGS = SamplingSettings()


def clusters_of(*fires: Fire) -> list[str]:
    return fire_clusters(perimeters_of(fires), SETTINGS).loc[[f.fire_id for f in fires]].tolist()


def test_fires_whose_rings_touch_are_one_cluster() -> None:
    a, b, far = Fire(0, 0, 500), Fire(3_200, 0, 500), Fire(6_600, 0, 500)
    assert len(set(clusters_of(a, b))) == 1
    assert len(set(clusters_of(a, far))) == 2
    assert len(set(clusters_of(a, b, far))) == 2


def test_a_chain_of_fires_is_one_cluster() -> None:
    assert len(set(clusters_of(*(Fire(3_000 * i, 0, 500) for i in range(6))))) == 1


def test_a_complex_is_one_cluster_however_far_its_fires_are() -> None:
    a, b, other = Fire(0, 0, 500, "C1"), Fire(60_000, 0, 500, "C1"), Fire(30_000, 0, 500, "C2")
    first, second, third = clusters_of(a, b, other)
    assert first == second != third


def test_fires_of_no_complex_are_not_joined_by_that() -> None:
    assert len(set(clusters_of(Fire(0, 0, 500, ""), Fire(60_000, 0, 500, "")))) == 2


@settings(max_examples=30, deadline=None)
@given(fires=fires_strategy(), seed=st.integers(0, 1000))
def test_row_order_does_not_matter(fires: list[Fire], seed: int) -> None:
    perimeters = perimeters_of(fires)
    clusters = fire_clusters(perimeters, SETTINGS)
    again = fire_clusters(shuffled(perimeters, seed), SETTINGS)
    assert clusters.sort_index().equals(again.sort_index())
    split_map = SplitMap(SETTINGS.splits)
    first, second = (cluster_splits(table, clusters, split_map) for table in (perimeters, shuffled(perimeters, seed)))
    assert first.sort_index().equals(second.sort_index())


def test_the_larger_share_of_area_decides() -> None:
    split_map = SplitMap(SplitSettings())
    row = next(r for r in range(100) if len(set(split_map.split_of_block([0, 1], [r, r]).tolist())) == 2)
    left, right = split_map.split_of_block([0, 1], [row, row]).tolist()
    y_m = (row + 0.5) * 20_000
    for x_m, expected in ((19_000, left), (21_000, right)):
        perimeters = perimeters_of([Fire(x_m, y_m, 3_000)])
        assert fire_splits(perimeters, fire_clusters(perimeters, SETTINGS), split_map).tolist() == [expected]


def test_all_fires_of_a_cluster_have_the_split_of_the_cluster() -> None:
    fires = [Fire(2_800 * i, -2_800 * i, 1_800) for i in range(30)]
    perimeters = perimeters_of(fires)
    splits = fire_splits(perimeters, fire_clusters(perimeters, SETTINGS), SplitMap(SETTINGS.splits))
    ground = SplitMap(SETTINGS.splits).split_of([f.x_m for f in fires], [f.y_m for f in fires])
    assert len(np.unique(ground)) > 1
    assert splits.nunique() == 1
