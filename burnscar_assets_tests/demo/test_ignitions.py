from collections import Counter

import numpy as np
import pytest
from shapely import box

from burnscar_assets.classes import Split
from burnscar_assets.demo.acquisitions import season_scenes
from burnscar_assets.demo.fires import M2_PER_HA, SimulatedFire
from burnscar_assets.demo.ignitions import EXTRA_DEFECTS, RECENT, simulate_fires
from burnscar_assets.demo.plan import ScenePlan
from burnscar_assets.demo.regions import Region, choose_regions, quotas
from burnscar_assets.errors import SettingsError
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import SplitSettings

YEARS = [2019, 2020, 2021, 2022]
SEED = 7


@pytest.fixture(scope="module")
def regions() -> list[Region]:
    return choose_regions(SplitSettings(), 12, 7200, 1.75)


@pytest.fixture(scope="module")
def fires(regions: list[Region]) -> list[SimulatedFire]:
    return simulate_fires(SEED, regions, YEARS, 12)


@pytest.fixture(scope="module")
def scenes(regions: list[Region], fires: list[SimulatedFire]) -> list[ScenePlan]:
    return season_scenes(SEED, regions, fires, YEARS)


def usable(fires: list[SimulatedFire]) -> list[SimulatedFire]:
    return [fire for fire in fires if fire.kind == "fire" and fire.defect not in EXTRA_DEFECTS]


def test_every_year_has_fires_on_the_ground_of_every_split(fires: list[SimulatedFire]) -> None:
    ground = SplitMap(SplitSettings())
    assert len([fire for fire in fires if fire.kind == "fire"]) >= 40
    for year in YEARS:
        this_year = [fire for fire in usable(fires) if fire.fire_year == year]
        boxes = [fire.geometry.buffer(1150).bounds for fire in this_year]
        count = Counter(ground.splits_touched(boxes).tolist())
        assert count[Split.TEST] >= 3
        assert count[Split.VAL] >= 2
        assert count[Split.TRAIN] >= 5
        assert len(this_year) >= 12


def test_what_the_world_promises_is_there(fires: list[SimulatedFire]) -> None:
    good = usable(fires)
    areas = [fire.geometry.area / M2_PER_HA for fire in good]
    assert min(areas) < 10
    assert max(areas) > 700
    across = box(-1, -700_000, 1, 700_000)
    assert any(fire.geometry.intersects(across) for fire in good)
    assert max(Counter(fire.part_of for fire in good if fire.part_of).values()) == 2
    assert any(
        a.geometry.intersection(b.geometry).area > 0.05 * b.geometry.area
        for a in good
        for b in good
        if a.fire_year < b.fire_year
    )
    assert any(fire.geometry.interiors for fire in good)
    assert {"old", "prescribed"} <= {fire.kind for fire in fires}
    assert set(EXTRA_DEFECTS) <= {fire.defect for fire in fires}


def test_fires_of_a_year_keep_apart_but_not_from_recent_scars(fires: list[SimulatedFire]) -> None:
    apart = [fire for fire in fires if not fire.key.startswith(RECENT)]
    for a in apart:
        for b in apart:
            if a.key < b.key and a.region == b.region and a.fire_year == b.fire_year:
                assert a.geometry.distance(b.geometry) >= 699
    scars = [fire for fire in fires if fire.key.startswith(RECENT)]
    assert any(fire.geometry.intersects(scar.geometry) for fire in usable(fires) for scar in scars)


def test_every_spring_grass_burns_and_is_seen_before_and_after(
    fires: list[SimulatedFire], scenes: list[ScenePlan]
) -> None:
    spring = [fire for fire in fires if fire.key.endswith("-spring")]
    assert {fire.fire_year for fire in spring} == set(YEARS)
    assert all(4 <= fire.containment.month <= 6 for fire in spring)
    for fire in spring:
        days = [s.acquired.date() for s in scenes if s.granule.region == fire.region and s.cloud_target <= 0.3]
        assert any(0 < (fire.alarm - day).days <= 60 for day in days)
        assert any(0 < (day - fire.containment).days <= 30 for day in days)


def test_perimeters_lie_beside_what_burned(fires: list[SimulatedFire]) -> None:
    good = usable(fires)
    shared = [a.geometry.intersection(a.perimeter).area / a.geometry.union(a.perimeter).area for a in good]
    assert all(fire.perimeter.is_valid for fire in fires)
    assert 0.88 < np.median(shared) < 0.97
    assert 0 < sum(share < 0.87 for share in shared) < 0.15 * len(good)


def test_granules_see_their_fires_in_both_zones(regions: list[Region], fires: list[SimulatedFire]) -> None:
    ground = {region.name: region.ground for region in regions}
    assert all(ground[fire.region].contains(fire.geometry) for fire in fires)
    assert {granule.epsg for region in regions for granule in region.granules} == {32610, 32611}
    west, east = regions[0].granules
    assert west.ground.intersection(east.ground).area > 0.15 * west.ground.area
    assert len({granule.granule_id for region in regions for granule in region.granules}) == len(regions) + 1


def test_usable_fires_are_seen_before_and_after(fires: list[SimulatedFire], scenes: list[ScenePlan]) -> None:
    for fire in usable(fires):
        days = [(s.acquired.date(), s.cloud_target) for s in scenes if s.granule.region == fire.region]
        after = [cloud for day, cloud in days if 0 <= (day - fire.containment).days <= 30]
        assert any(0 <= (fire.alarm - day).days <= 60 for day, _ in days) or fire.key.endswith("-late")
        if fire.key.endswith("-late"):
            assert min(after, default=1) > 0.6
        else:
            assert len(after) >= 3 * (2 if fire.region == "carson" else 1)
            assert min(after) <= 0.3


def test_clouds_vary_and_dates_are_unique(scenes: list[ScenePlan]) -> None:
    clouds = np.array([scene.cloud_target for scene in scenes])
    assert (clouds < 0.05).mean() > 0.3
    assert (clouds > 0.4).mean() > 0.08
    assert len({scene.scene_id for scene in scenes}) == len(scenes)


def test_fires_follow_from_the_seed(regions: list[Region], fires: list[SimulatedFire]) -> None:
    again = simulate_fires(SEED, regions, YEARS, 12)
    assert [(f.key, f.geometry.wkt) for f in again] == [(f.key, f.geometry.wkt) for f in fires]
    other = simulate_fires(SEED + 1, regions, YEARS, 12)
    assert [f.geometry.wkt for f in other] != [f.geometry.wkt for f in fires]


@pytest.mark.parametrize("count", [3, 5, 12, 20])
def test_every_split_has_its_quota(count: int) -> None:
    assert sum(quotas(count).values()) == count
    assert min(quotas(count).values()) >= 1
    regions = choose_regions(SplitSettings(), count, 7200, 1.75)
    assert {region.split for region in regions} == set(Split)


@pytest.mark.parametrize("seed", range(6))
def test_another_deal_of_the_ground_is_served_too(seed: int) -> None:
    settings = SplitSettings(seed=seed)
    ground = SplitMap(settings)
    for region in choose_regions(settings, 12, 7200, 1.75):
        assert ground.splits_touched([region.ground.bounds]).tolist() == [region.split]


def test_a_split_without_ground_is_named() -> None:
    with pytest.raises(SettingsError, match="val"):
        choose_regions(SplitSettings(train=0.9, val=1e-9), 12, 7200, 1.75)
