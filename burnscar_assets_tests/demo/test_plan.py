from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Point

from burnscar_assets.demo.plan import Burn, Granule, ScenePlan, WorldPlan


@pytest.mark.parametrize(
    ("epsg", "x_m", "y_m", "tile"),
    [(32610, -3000, 60_000, "10SGH"), (32611, 3000, 60_000, "11SKC"), (32610, -93_000, 380_000, "10TFL")],
)
def test_tiles_are_those_of_the_military_grid(epsg: int, x_m: float, y_m: float, tile: str) -> None:
    assert Granule.around("g", "r", "sierra", epsg, x_m, y_m, 3000).mgrs_tile == tile


@settings(max_examples=30)
@given(x=st.floats(-350_000, 500_000), y=st.floats(-600_000, 440_000), side=st.floats(1000, 16_000))
def test_granules_lie_on_the_grids_of_all_bands(x: float, y: float, side: float) -> None:
    granule = Granule.around("g", "r", "sierra", 32610 if x < 0 else 32611, x, y, side)
    assert granule.west_m % 60 == granule.north_m % 60 == 0
    assert granule.side_px % 12 == 0
    assert granule.side_m >= side
    assert granule.ground.centroid.distance(Point(x, y)) < 100


@pytest.mark.parametrize(
    ("day", "baseline", "offset"),
    [
        (date(2019, 8, 1), "02.14", False),
        (date(2021, 8, 1), "03.01", False),
        (date(2022, 1, 24), "03.01", False),
        (date(2022, 1, 25), "04.00", True),
        (date(2023, 8, 1), "05.09", True),
    ],
)
def test_offset_comes_with_baseline_four(day: date, baseline: str, offset: bool) -> None:
    granule = Granule.around("g", "r", "sierra", 32610, -3000, 60_000, 3000)
    scene = ScenePlan(granule, datetime(day.year, day.month, day.day, 18, 50, tzinfo=UTC), 0.0)
    assert (scene.baseline, scene.has_offset) == (baseline, offset)


def test_burns_of_a_granule_are_those_that_touch_it_oldest_first() -> None:
    granule = Granule.around("g", "r", "sierra", 32610, -60_000, 0, 3000)
    inside = Point(-60_000, 0).buffer(300)
    burns = tuple(
        Burn(name, shape, date(year, 8, 1), date(year, 8, 4), 0.5)
        for name, shape, year in (("b", inside, 2021), ("far", Point(0, 0).buffer(300), 2019), ("a", inside, 2020))
    )
    seen = WorldPlan(1, (granule,), burns, ()).burns_seen_by(granule)
    assert [burn.burn_id for burn in seen] == ["a", "b"]
