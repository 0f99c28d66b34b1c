import numpy as np
import pytest
from shapely import MultiPolygon, Point, box

from burnscar_assets.demo.fires import fire_shape
from burnscar_assets.demo.outlines import WRONG_SHARE, cut_short, drawn_outline


def off_by_m(one: object, other: object) -> float:
    """Root of the mean square distance of points along one outline to the other."""
    line = one.exterior
    points = [line.interpolate(share, normalized=True) for share in np.linspace(0, 1, 200)]
    return float(np.sqrt(np.mean([point.distance(other.exterior) ** 2 for point in points])))


@pytest.mark.parametrize("area_ha", [5, 60, 400, 1400])
def test_outlines_lie_off_in_proportion_to_the_fire_and_never_by_more_than_about_60_m(area_ha: float) -> None:
    off = []
    for seed in range(8):
        burned = fire_shape(seed, "f", area_ha)
        drawn = drawn_outline(seed, "f", burned)
        assert drawn.is_valid
        assert drawn.area == pytest.approx(burned.area, rel=0.15)
        assert len(drawn.exterior.coords) < 0.9 * len(burned.segmentize(40).exterior.coords)
        off.append(off_by_m(drawn, burned))
    side_m = np.sqrt(area_ha * 10_000)
    assert 0.004 * side_m < np.median(off) < 0.02 * side_m
    assert max(off) < 70


def test_an_outline_follows_from_seed_and_key_and_keeps_its_parts() -> None:
    burned = MultiPolygon([Point(0, 0).buffer(500), box(3000, 0, 3600, 800)])
    first = drawn_outline(7, "f", burned)
    assert len(first.geoms) == 2
    assert first.equals(drawn_outline(7, "f", burned))
    assert not first.equals(drawn_outline(8, "f", burned))


def test_a_few_outlines_end_at_a_straight_line_though_the_burn_goes_on() -> None:
    burned = fire_shape(1, "f", 300)
    outlines = [cut_short(7, str(number), burned) for number in range(400)]
    shares = np.array([outline.intersection(burned).area / burned.area for outline in outlines])
    assert (shares < 0.99).mean() == pytest.approx(WRONG_SHARE, abs=0.03)
    assert shares.min() > 0.5
    small = fire_shape(1, "f", 10)
    assert all(cut_short(7, str(number), small) is small for number in range(100))
