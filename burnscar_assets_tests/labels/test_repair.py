import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from burnscar_assets.labels.repair import RepairedGeometry, repair

OUTER = box(0, 0, 1000, 1000)
INNER = box(200, 200, 600, 600)
BOW_TIE = Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
UNKNOWN = float("nan")


def _repair(*shapes: shapely.Geometry | None, reported_area_ha: float = UNKNOWN) -> RepairedGeometry:
    array = np.empty(len(shapes), dtype=object)
    array[:] = shapes
    return repair(array, np.full(len(shapes), reported_area_ha))


def test_what_is_valid_stays_with_its_islands() -> None:
    shape = Polygon(OUTER.exterior.coords, [INNER.exterior.coords])
    done = _repair(shape, OUTER)
    assert done.geometry[0].equals_exact(shape, 0)
    assert not done.repaired.any()
    assert done.area_change.tolist() == [0, 0]


def test_the_reported_area_tells_an_island_from_ground_drawn_twice() -> None:
    nested = MultiPolygon([OUTER, INNER])
    with_island = OUTER.area - INNER.area
    assert _repair(nested, reported_area_ha=with_island / 1e4).geometry[0].area == with_island
    assert _repair(nested, reported_area_ha=OUTER.area / 1e4).geometry[0].area == OUTER.area
    assert _repair(nested).geometry[0].area == OUTER.area, "without a report no ground is taken away"


def test_overlapping_parts_become_one() -> None:
    parts = MultiPolygon([OUTER, box(500, 0, 1500, 1000)])
    assert _repair(parts, reported_area_ha=150).geometry[0].area == 1_500_000


def test_a_bow_tie_keeps_both_wings() -> None:
    done = _repair(BOW_TIE)
    assert done.repaired[0]
    assert done.geometry[0].area == pytest.approx(5000)
    assert done.area_change[0] == 1, "the signed areas of the wings cancel in what was delivered"


def test_spikes_go_and_polygons_stay() -> None:
    spike = Polygon([(0, 0), (100, 0), (100, 100), (300, 100), (100, 100), (0, 100)])
    for reported_area_ha in (UNKNOWN, 1.0, 0.0):
        found = _repair(spike, reported_area_ha=reported_area_ha).geometry[0]
        assert found.equals(box(0, 0, 100, 100))


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        Polygon(),
        Point(1, 1),
        LineString([(0, 0), (1, 1)]),
        Polygon([(0, 0), (1, 1), (2, 2)]),
        Polygon([(0, 0), (100, 0), (np.nan, 100)]),
        Polygon([(0, 0), (np.inf, 0), (100, 100)]),
        GeometryCollection([Point(0, 0)]),
    ],
)
def test_what_has_no_area_is_empty(nothing: shapely.Geometry | None) -> None:
    assert _repair(nothing, OUTER).geometry[0].is_empty


def test_heights_are_dropped() -> None:
    assert not _repair(shapely.force_3d(OUTER, 5.0)).geometry[0].has_z


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=8),
    st.one_of(st.none(), st.floats(0, 0.02)),
)
def test_whatever_the_rings_the_result_is_a_valid_polygon(
    first: list[tuple[int, int]], second: list[tuple[int, int]], reported: float | None
) -> None:
    shape = MultiPolygon([Polygon(first), Polygon(second)])
    found = _repair(shape, reported_area_ha=UNKNOWN if reported is None else reported).geometry[0]
    assert found.is_valid
    assert found.geom_type in ("Polygon", "MultiPolygon")
    assert found.area <= shapely.convex_hull(shape).area + 1e-9
