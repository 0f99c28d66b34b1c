"""The few fires that a small run samples."""

import numpy as np
import pytest

from burnscar_assets.sampling.clusters import fire_clusters, fire_splits
from burnscar_assets.sampling.selection import SIZE_CLASSES_HA, select_fires
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import SamplingSettings
from burnscar_assets_tests.sampling.fire_worlds import Fire, perimeters_of, shuffled


def many_fires(count: int = 150, seed: int = 3) -> list[Fire]:
    rng = np.random.default_rng(seed)
    radii = np.exp(rng.uniform(np.log(60), np.log(8_000), count))
    places = rng.uniform(-400_000, 400_000, (count, 2))
    return [Fire(round(x), round(y), round(r)) for (x, y), r in zip(places, radii, strict=True)]


FIRES = many_fires()
PERIMETERS = perimeters_of(FIRES)


@pytest.mark.parametrize("count", [3, 12, 40])
def test_it_is_spread_over_splits_and_sizes(count: int) -> None:
    settings = SamplingSettings(max_fires_per_year=count)
    chosen = select_fires(PERIMETERS, settings)
    splits = fire_splits(PERIMETERS, fire_clusters(PERIMETERS, settings), SplitMap(settings.splits))
    counts = splits.loc[chosen["fire_id"]].value_counts()
    assert len(chosen) == count
    assert counts["test"] >= count / 4
    assert counts["val"] >= count * 0.15
    if count >= 12:
        assert len(set(np.digitize(chosen["area_ha"], SIZE_CLASSES_HA))) >= 4


def test_twelve_fires_are_seven_three_and_two() -> None:
    settings = SamplingSettings(max_fires_per_year=12)
    chosen = select_fires(PERIMETERS, settings)
    splits = fire_splits(PERIMETERS, fire_clusters(PERIMETERS, settings), SplitMap(settings.splits))
    assert splits.loc[chosen["fire_id"]].value_counts().to_dict() == {"train": 7, "test": 3, "val": 2}


def test_row_order_does_not_matter() -> None:
    settings = SamplingSettings(max_fires_per_year=12)
    for seed in range(3):
        again = select_fires(shuffled(PERIMETERS, seed), settings)
        assert again["fire_id"].tolist() == select_fires(PERIMETERS, settings)["fire_id"].tolist()


def test_without_one_that_was_not_chosen_the_choice_is_the_same() -> None:
    settings = SamplingSettings(max_fires_per_year=12)
    chosen = select_fires(PERIMETERS, settings)["fire_id"].tolist()
    clusters = fire_clusters(PERIMETERS, settings)
    alone = clusters[~clusters.duplicated(keep=False)].index
    others = [fire for fire in alone if fire not in chosen][::9]
    for fire_id in others:
        rest = PERIMETERS[PERIMETERS["fire_id"] != fire_id]
        assert select_fires(rest, settings)["fire_id"].tolist() == chosen


def test_a_year_without_test_ground_still_gives_as_many_fires() -> None:
    settings = SamplingSettings(max_fires_per_year=12)
    splits = fire_splits(PERIMETERS, fire_clusters(PERIMETERS, settings), SplitMap(settings.splits))
    only = PERIMETERS[(splits.loc[PERIMETERS["fire_id"]] == "train").to_numpy()]
    assert len(select_fires(only, settings)) == 12


def test_fires_below_half_a_window_come_last() -> None:
    tiny = [Fire(f.x_m, f.y_m, 50) for f in FIRES[:100]]
    chosen = select_fires(perimeters_of(tiny + FIRES[100:]), SamplingSettings(max_fires_per_year=20))
    assert (chosen["area_ha"] >= SIZE_CLASSES_HA[0]).all()


def test_without_a_limit_all_are_chosen() -> None:
    assert len(select_fires(PERIMETERS, SamplingSettings())) == len(PERIMETERS)
    assert len(select_fires(PERIMETERS.head(5), SamplingSettings(max_fires_per_year=12))) == 5
    assert len(select_fires(PERIMETERS.head(0), SamplingSettings(max_fires_per_year=12))) == 0
