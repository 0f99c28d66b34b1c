"""Candidates lie on training ground, off every burn and every sampled window; of false positives the surest stay."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.classes import Split, Stratum
from burnscar_assets.errors import InputError
from burnscar_assets.mining.candidates import draw_candidates
from burnscar_assets.mining.mine import keep_worst, write_confusers
from burnscar_assets.sampling.accounts import cells_of
from burnscar_assets.sampling.land import load_land
from burnscar_assets.sampling.lattice import Lattice
from burnscar_assets.sampling.points import sample_points
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import SamplingSettings, parse_settings
from burnscar_assets.storage.contracts import MINED_NEGATIVES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import write_table
from burnscar_assets_tests.sampling.fire_worlds import (
    LAND,
    WINDOWS,
    YEAR,
    Fire,
    fires_strategy,
    history_of,
    perimeters_of,
    sample,
)

BURNS = [Fire(x, y, 9_000) for x in (-60_000, 0, 60_000) for y in (-60_000, 0, 60_000)]


def candidates(fires: list[Fire], sampling: SamplingSettings, count: int = 120) -> gpd.GeoDataFrame:
    sampled = sample(fires, BURNS, sampling).points
    return draw_candidates(
        perimeters_of(fires), history_of(BURNS), sampled, YEAR, sampling, WINDOWS, land=LAND, count=count
    )


def footprints(cells: gpd.GeoDataFrame) -> np.ndarray:
    return Lattice(WINDOWS.side_m).footprints(cells_of(cells))


@settings(max_examples=8, deadline=None)
@given(fires=fires_strategy(), seed=st.integers(0, 50))
def test_no_candidate_is_on_ground_of_validation_or_test(fires: list[Fire], seed: int) -> None:
    sampling = SamplingSettings(seed=seed)
    try:
        found = candidates(fires, sampling)
    except InputError as error:
        assert "training ground" in str(error)
        return
    shapes = footprints(found)
    assert set(SplitMap(sampling.splits).splits_touched(shapely.bounds(shapes))) == {Split.TRAIN}
    assert set(found["split"]) == {Split.TRAIN} and set(found["stratum"]) == {Stratum.LAND}
    burnt = shapely.union_all([fire.shape for fire in [*fires, *BURNS]])
    assert not shapely.intersects(shapes, burnt).any()
    sampled = shapely.union_all(footprints(sample(fires, BURNS, sampling).points))
    assert not (shapely.area(shapely.intersection(shapes, sampled)) > 1).any()


def test_a_year_without_a_fire_on_training_ground_says_so() -> None:
    sampled = sample([Fire(0, 0, 2_000)], BURNS).points
    with pytest.raises(InputError, match="no fire of 2020 is on training ground"):
        draw_candidates(
            perimeters_of([]),
            history_of(BURNS),
            sampled.iloc[:0],
            YEAR,
            SamplingSettings(),
            WINDOWS,
            land=LAND,
            count=9,
        )


def false_positives(count: int, fire_year: int = YEAR) -> gpd.GeoDataFrame:
    """A row of neighbouring windows, each surer than the one before."""
    rows = gpd.GeoDataFrame(
        {
            "window_id": [f"w{number:03d}" for number in range(count)],
            "fire_year": fire_year,
            "utm_epsg": 32610,
            "cell_col": [2_000 + number for number in range(count)],
            "cell_row": 13_000,
            "split": "train",
            "acquired": None,
            "burnt_probability": [0.5 + number / 1_000 for number in range(count)],
            "nbr": 0.1,
            "weights_sha256": "a",
        },
        geometry=[shapely.box(0, 0, 1, 1)] * count,
        crs="EPSG:3310",
    )
    return rows.set_geometry(footprints(rows), crs="EPSG:3310")


def test_the_surest_are_kept_apart_from_each_other_and_not_too_many() -> None:
    wrong = false_positives(40)
    kept = keep_worst(wrong.sample(frac=1, random_state=1), 5, 3)
    assert "w039" in set(kept["window_id"]) and len(kept) == 5
    assert np.diff(np.sort(kept["cell_col"].to_numpy(dtype=int))).min() >= 3
    assert MINED_NEGATIVES.content_hash(kept) == MINED_NEGATIVES.content_hash(keep_worst(wrong, 5, 3))
    assert keep_worst(wrong.iloc[:0], 5, 3).empty


def test_what_was_mined_is_for_later_years_alone(root: DataRoot) -> None:
    world = parse_settings(
        {"name": "mined", "years": {"first": 2019, "last": 2021}, "release": {"source": "none"}}, "test"
    )
    for year, count in ((2019, 3), (2020, 2)):
        write_table(root, MINED_NEGATIVES, keep_worst(false_positives(9, year), count, 1), year)
    path = write_confusers(world, root)
    found = [len(load_land(path, year, may_be_empty=True)) for year in (2019, 2020, 2021)]
    assert found == [0, 3, 5]
    before = path.read_bytes()
    assert write_confusers(world, root).read_bytes() == before
    write_table(root, MINED_NEGATIVES, MINED_NEGATIVES.empty(), 2019)
    write_table(root, MINED_NEGATIVES, MINED_NEGATIVES.empty(), 2020)
    assert load_land(write_confusers(world, root), 2021, may_be_empty=True).empty


def test_hard_negatives_leave_held_out_points_as_they_are() -> None:
    fires = [Fire(x, y, 1_500) for x in range(-70_000, 70_001, 35_000) for y in range(-70_000, 70_001, 35_000)]
    plain = sample(fires)
    confusers = gpd.GeoDataFrame(geometry=footprints(candidates(fires, SamplingSettings())), crs="EPSG:3310")
    with_hard = SamplingSettings(
        unburnt_per_burnt=SamplingSettings().unburnt_per_burnt | {Stratum.HARD: 0.3}, hard_negatives="mined"
    )
    points = sample_points(
        perimeters_of(fires), history_of([]), YEAR, with_hard, WINDOWS, land=LAND, hard_negatives=confusers
    ).points
    hard = points[points["stratum"] == Stratum.HARD]
    assert len(hard) and set(hard["split"]) == {Split.TRAIN}
    assert set(points["point_id"]) - set(hard["point_id"]) == set(plain.points["point_id"])
