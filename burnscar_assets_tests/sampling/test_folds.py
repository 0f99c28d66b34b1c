"""Folds: every fire is in one, no two are nearer than the gap, and ground keeps the gap too."""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from burnscar_assets.classes import Fold, Split
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.sampling.folds import deal_folds, fire_grounds
from burnscar_assets.sampling.points import sample_points
from burnscar_assets.sampling.splits import NO_SPLIT, FoldMap
from burnscar_assets.settings import SamplingSettings, SplitSettings
from burnscar_assets_tests.sampling.fire_worlds import LAND, WINDOWS, Fire, history_of, perimeters_of

FOLDS = SplitSettings(folds=3)
COORDINATE = st.integers(-140_000, 140_000).map(float)


@st.composite
def fires_of_years(draw: st.DrawFn) -> gpd.GeoDataFrame:
    """Table `fire_perimeters` of fires of three years, with and without complexes."""
    rows = []
    for year in (2019, 2020, 2021):
        places = draw(st.lists(st.tuples(COORDINATE, COORDINATE, st.sampled_from(["", "", "C"])), max_size=8))
        fires = [
            Fire(x, y, draw(st.sampled_from([300.0, 2000.0])), name_of_complex, f"{year}/{number}")
            for number, (x, y, name_of_complex) in enumerate(places)
        ]
        rows.append(perimeters_of(fires, year))
    return pd.concat(rows, ignore_index=True)


def dealt(perimeters: gpd.GeoDataFrame, splits: SplitSettings = FOLDS) -> gpd.GeoDataFrame:
    frames = gpd.GeoSeries(perimeters.geometry.envelope, crs=perimeters.crs)
    return deal_folds(fire_grounds(perimeters, frames, SamplingSettings(splits=splits), WINDOWS.side_m), splits)


def dealt_or_none(perimeters: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    try:
        return dealt(perimeters)
    except InputError:
        assume(False)
        raise


@settings(max_examples=60)
@given(fires_of_years(), st.integers(0, 9))
def test_no_two_folds_are_nearer_than_the_gap_and_every_fire_is_in_one(perimeters: gpd.GeoDataFrame, seed: int) -> None:
    table = dealt_or_none(perimeters)
    assert sorted(table["fire_id"]) == sorted(perimeters["fire_id"])
    apart = shapely.distance(table.geometry.to_numpy()[:, None], table.geometry.to_numpy()[None, :])
    other = table["fold"].to_numpy()[:, None] != table["fold"].to_numpy()[None, :]
    assert not other.any() or apart[other].min() >= FOLDS.fold_gap_m
    in_complex = perimeters[perimeters["complex_id"] != ""].merge(table, on=["fire_id", "fire_year"])
    assert (in_complex.groupby("fire_year")["fold"].nunique() <= 1).all(), "a complex is in one fold"
    sizes, groups = table["fold"].value_counts(), table["group_id"].value_counts()
    assert len(sizes) == FOLDS.folds
    assert sizes.max() - sizes.min() <= groups.max(), "uneven by no more than a group that can't be parted"
    again = dealt(perimeters.sample(frac=1, random_state=seed))
    assert again.drop(columns="geometry").equals(table.drop(columns="geometry"))


@settings(max_examples=40)
@given(fires_of_years(), st.integers(0, 10**6))
def test_ground_of_two_folds_is_at_least_the_gap_apart(perimeters: gpd.GeoDataFrame, seed: int) -> None:
    table = dealt_or_none(perimeters)
    ground = FoldMap(FOLDS, table)
    at = np.random.default_rng(seed).uniform(-170_000, 170_000, (400, 2))
    boxes = np.concatenate([np.hstack([at, at + 320]), shapely.bounds(table.geometry.to_numpy())])
    found = ground.splits_touched(boxes)
    assert found[400:].tolist() == table["fold"].tolist(), "a fire's own ground is its fold's"
    shapes, known = shapely.box(*boxes.T), found != NO_SPLIT
    apart = shapely.distance(shapes[known][:, None], shapes[known][None, :])
    other = found[known][:, None] != found[known][None, :]
    assert not other.any() or apart[other].min() >= FOLDS.fold_gap_m
    names = dict(zip(ground.block_names(*(boxes[known][:, :2] + 100).T), found[known], strict=True))
    assert all(name.endswith(str(fold)) for name, fold in names.items()), "no block without fire is in two folds"


def line_of_fires(count: int, apart_m: float) -> list[Fire]:
    return [Fire(number * apart_m - 100_000, 0, 1000, name=f"fire {number}") for number in range(count)]


def test_equal_fires_make_even_folds_and_another_seed_other_ones() -> None:
    table = dealt(perimeters_of(line_of_fires(8, 25_000)))
    assert sorted(table["fold"].value_counts()) == [2, 3, 3]
    other = dealt(perimeters_of(line_of_fires(8, 25_000)), SplitSettings(folds=3, seed=5))
    assert other["fold"].tolist() != table["fold"].tolist()


def test_fires_in_a_chain_share_a_fold_and_too_few_groups_are_an_error_with_its_remedy() -> None:
    with pytest.raises(InputError, match=r"8 fires form 1 groups .* fewer than 3 folds: take fewer folds"):
        dealt(perimeters_of(line_of_fires(8, 14_000)))


def points_of(fires: Sequence[Fire]) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    perimeters, sampling = perimeters_of(fires), SamplingSettings(splits=FOLDS)
    ground = FoldMap(FOLDS, table := dealt(perimeters))
    sampled = sample_points(
        perimeters, history_of([]), 2020, sampling, WINDOWS, land=LAND, hard_negatives=None, split_map=ground
    )
    return sampled.points, table


def test_points_have_the_fold_of_their_fire_and_keep_the_gap() -> None:
    points, table = points_of(line_of_fires(8, 25_000))
    of_fires = points[points["fire_id"] != ""]
    assert of_fires["split"].tolist() == of_fires["fire_id"].map(table.set_index("fire_id")["fold"]).tolist()
    assert (points["stratum"] == "land").any() and set(of_fires["fire_id"]) == set(table["fire_id"])
    for _, one in points.groupby("split"):
        others = points[points["split"] != one["split"].iloc[0]]
        assert others.distance(one.union_all()).min() > FOLDS.fold_gap_m
    assert (points.groupby("cluster_id")["split"].nunique() == 1).all()


def test_a_fire_that_is_newer_than_the_folds_is_told() -> None:
    with pytest.raises(MissingDataError, match=r"new.*burnscar refresh"):
        FoldMap(FOLDS, dealt(perimeters_of(line_of_fires(8, 25_000)))).folds_of(["new"])


def test_each_fold_is_tested_and_validated_once() -> None:
    roles = [Fold(number, 5).roles for number in range(5)]
    for name in roles[0]:
        given_to = [of_fold[name] for of_fold in roles]
        assert (given_to.count(Split.TEST), given_to.count(Split.VAL), given_to.count(Split.TRAIN)) == (1, 1, 3)


def test_settings_of_folds_change_nothing_where_there_are_none() -> None:
    assert not {"folds", "fold_gap_km"} & SplitSettings().model_dump().keys()
    assert SplitSettings.model_validate(FOLDS.model_dump()) == FOLDS
    for wrong in ({"folds": 2}, {"folds": 3, "fold_gap_km": 0.5}):
        with pytest.raises(ValidationError):
            SplitSettings(**wrong)
    with pytest.raises(ValidationError, match="max_fires_per_year"):
        SamplingSettings(splits=FOLDS, max_fires_per_year=5)
