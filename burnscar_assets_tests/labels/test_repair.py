from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.errors import GEOSException
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from burnscar_assets.labels.repair import NOT_FINITE, RepairedGeometry, repair

OUTER = box(0, 0, 1000, 1000)
LINE = LineString([(0, 0), (9, 0)])
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


@pytest.mark.parametrize(
    ("shape", "problem", "burnt"),
    [
        (None, "no geometry", Polygon()),
        (GeometryCollection(), "an empty GeometryCollection", Polygon()),
        (OUTER.exterior, "no polygon in it, but LinearRing", OUTER),
        (
            GeometryCollection([LineString([(0, 0), (9, 0)]), Point(9, 9)]),
            "no polygon in it, but LineString, Point",
            None,
        ),
        (Polygon([(0, 0), (1, 1), (2, 2)]), "polygons without an area", None),
        (Polygon([(0, 0), (100, 0), (np.nan, 50), (100, 100), (0, 100)]), NOT_FINITE, box(0, 0, 100, 100)),
        (Polygon([(0, 0), (100, 0), (np.inf, 50), (100, 100), (0, 100)]), NOT_FINITE, box(0, 0, 100, 100)),
        (Polygon([(np.inf, np.inf), (np.inf, np.inf), (np.inf, np.inf)]), NOT_FINITE, Polygon()),
    ],
)
def test_what_is_no_label_has_a_cause_and_its_ground_is_kept(
    shape: shapely.Geometry | None, problem: str, burnt: shapely.Geometry | None
) -> None:
    done = _repair(shape, OUTER, reported_area_ha=0.5)
    assert done.geometry[0].is_empty
    assert done.problem.tolist() == [problem, ""]
    assert done.burnt[1].equals(OUTER)
    if burnt is None:
        assert done.burnt[0].covers(shape) and not done.burnt[0].is_empty
    else:
        assert done.burnt[0].equals(burnt)


def test_around_a_point_the_reported_area_burned() -> None:
    assert _repair(Point(5, 5), reported_area_ha=100.0).burnt[0].area == pytest.approx(1_000_000, rel=0.01)
    assert _repair(Point(5, 5)).burnt[0].is_empty


def test_a_vertex_that_is_off_the_earth_does_not_stretch_the_hull() -> None:
    shape = Polygon([(0, 0), (100, 0), (1e300, 50), (np.nan, 1), (100, 100), (0, 100)])
    assert _repair(shape).burnt[0].equals(box(0, 0, 100, 100))


def test_where_geos_fails_the_next_method_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = shapely.make_valid

    def failing(shapes: np.ndarray, *values: float, **options: Any) -> np.ndarray:
        if any(shape.area == BOW_TIE.area for shape in shapes):
            raise GEOSException("TopologyException: side location conflict")
        return plain(shapes, **options)

    monkeypatch.setattr(shapely, "make_valid", failing)
    done = _repair(BOW_TIE, MultiPolygon([OUTER, INNER]), OUTER)
    assert done.repaired.tolist() == [True, True, False]
    assert not done.geometry[0].is_empty
    assert done.geometry[1].area == OUTER.area
    monkeypatch.setattr(shapely, "buffer", failing)
    done = _repair(BOW_TIE)
    assert "can't be repaired (Self-intersection" in done.problem[0]
    assert done.burnt[0].equals(box(0, 0, 100, 100)), "the ground stays in the burn history"


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


PARTS = st.one_of(
    st.tuples(st.integers(0, 9), st.integers(0, 9)).map(
        lambda at: box(at[0] * 10, at[1] * 10, at[0] * 10 + 7, at[1] * 10 + 7)
    ),
    st.sampled_from([Point(3, 3), LineString([(0, 0), (5, 5)]), Polygon(), LineString(), OUTER.exterior]),
)
COLLECTIONS = st.recursive(
    PARTS, lambda inner: st.lists(inner, min_size=1, max_size=4).map(GeometryCollection), max_leaves=12
)


@settings(max_examples=80, deadline=None)
@given(COLLECTIONS)
def test_polygons_come_out_of_collections_whatever_their_depth(shape: shapely.Geometry) -> None:
    leaves = list(_leaves_of(shape))
    polygons = [leaf for leaf in leaves if leaf.geom_type == "Polygon"]
    done = _repair(shape)
    assert done.geometry[0].equals(shapely.union_all(polygons)) or (not polygons and done.geometry[0].is_empty)
    assert done.dropped[0] == (bool(polygons) and len(polygons) < len(leaves))
    assert (done.problem[0] == "") == bool(polygons)


def _leaves_of(shape: shapely.Geometry) -> Iterator[shapely.Geometry]:
    if shape.geom_type == "GeometryCollection":
        for part in shape.geoms:
            yield from _leaves_of(part)
    elif not shape.is_empty:
        yield shape
