import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon, box

from burnscar_assets.demo.fires import M2_PER_HA, find_room, fire_shape
from burnscar_assets.errors import BurnscarError


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), area_ha=st.floats(3, 1500))
def test_shapes_are_valid_and_of_their_size(seed: int, area_ha: float) -> None:
    shape = fire_shape(seed, "f", area_ha)
    assert shape.is_valid
    assert Polygon(shape.exterior).area / M2_PER_HA == pytest.approx(area_ha)
    assert shape.area / M2_PER_HA > 0.85 * area_ha
    assert shape.convex_hull.area > 1.02 * shape.area


def test_large_shapes_have_islands_and_small_ones_none() -> None:
    assert sum(len(fire_shape(seed, "f", 500).interiors) for seed in range(10)) >= 10
    assert not any(fire_shape(seed, "f", 20).interiors for seed in range(10))


def test_room_keeps_the_distance() -> None:
    ground = box(0, 0, 4000, 4000)
    other = box(1500, 1500, 2500, 2500)
    for number in range(10):
        placed = find_room(fire_shape(1, str(number), 30), ground, [(other, 400)], ("room", number))
        assert ground.contains(placed)
        assert placed.distance(other) >= 400


def test_room_near_another_overlaps_it() -> None:
    earlier = box(1500, 1500, 2500, 2500)
    placed = find_room(fire_shape(1, "later", 60), box(0, 0, 4000, 4000), [], ("room",), near=earlier)
    assert placed.intersects(earlier)


def test_fires_shrink_until_they_fit_and_then_say_so() -> None:
    ground = box(0, 0, 1500, 1500)
    assert find_room(fire_shape(1, "big", 400), ground, [], ("room",)).within(ground)
    with pytest.raises(BurnscarError, match="fires_per_year"):
        find_room(fire_shape(1, "big", 400), ground, [(ground, 10)], ("room", "big"))
