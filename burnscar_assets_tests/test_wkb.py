import math
import struct

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.wkb import geometry_of, holds_arcs

SQUARE = [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0), (0.0, 0.0)]
CIRCLE = [(-1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)]


def numbers(points: list[tuple[float, float]]) -> bytes:
    return struct.pack("<I", len(points)) + b"".join(struct.pack("<dd", *point) for point in points)


def wkb(kind: int, *parts: bytes) -> bytes:
    return struct.pack("<BII", 1, kind, len(parts)) + b"".join(parts)


def line(kind: int, points: list[tuple[float, float]]) -> bytes:
    return struct.pack("<BI", 1, kind) + numbers(points)


POLYGON = wkb(3, numbers(SQUARE))
DISC = wkb(10, line(8, CIRCLE))


@pytest.mark.parametrize(
    ("given_wkb", "area"),
    [
        (wkb(3, numbers(SQUARE[:-1])), 81),
        (wkb(3, numbers(SQUARE), numbers([(1.0, 1.0), (2.0, 2.0)])), 81),
        (wkb(17, numbers([*SQUARE[:3], SQUARE[0]])), 40.5),
        (wkb(16, wkb(17, numbers([*SQUARE[:3], SQUARE[0]]))), 40.5),
        (wkb(15, POLYGON), 81),
        (DISC, math.pi),
        (wkb(12, DISC, POLYGON), math.pi + 81),
        (wkb(7, wkb(7, DISC)), math.pi),
        (wkb(10, wkb(9, line(8, CIRCLE[:3]), line(2, [(1.0, 0.0), (-1.0, 0.0)]))), math.pi / 2),
        (wkb(10, line(8, [(-1.0, 0.0), (1.0, 0.0), (-1.0, 0.0)])), math.pi),
    ],
)
def test_what_geos_does_not_take_becomes_polygons(given_wkb: bytes, area: float) -> None:
    assert geometry_of(given_wkb).area == pytest.approx(area, rel=2e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(st.sampled_from([POLYGON, DISC]), lambda inner: st.lists(inner, max_size=3).map(lambda p: wkb(7, *p)))
)
def test_whatever_is_cut_short_is_said_to_be(given_wkb: bytes) -> None:
    geometry_of(given_wkb)
    for end in range(0, len(given_wkb), 7):
        with pytest.raises(ValueError, match="cut short"):
            geometry_of(given_wkb[:end])


def test_what_geos_writes_is_read_alike() -> None:
    shape = shapely.from_wkt("GEOMETRYCOLLECTION (POLYGON ((0 0, 4 0, 4 4, 0 0)), LINESTRING (0 0, 1 1), POINT (3 3))")
    for flavor in ("iso", "extended"):
        for raised in (shape, shapely.force_3d(shape, 5.0)):
            assert geometry_of(shapely.to_wkb(raised, flavor=flavor)).equals(shape)


def test_nesting_has_an_end() -> None:
    deep = POLYGON
    for _ in range(100):
        deep = wkb(7, deep)
    with pytest.raises(ValueError, match="nested too deeply"):
        geometry_of(deep)
    with pytest.raises(ValueError, match="unknown type"):
        geometry_of(wkb(99, POLYGON))


def test_arcs_within_collections_are_noticed() -> None:
    read = shapely.from_wkb(wkb(7, wkb(7, DISC)), on_invalid="ignore")
    assert holds_arcs(read) or read is None
    assert not holds_arcs(shapely.GeometryCollection([shapely.box(*np.arange(4))]))
    assert not holds_arcs(None)
