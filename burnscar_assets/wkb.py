"""Well-known binary that GEOS doesn't take: rings that aren't closed, arcs within collections, triangles, surfaces.

Format: OGC 06-103r4, ISO 13249-3. What GEOS reads by itself never comes here.
"""

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

_POINT, _LINE, _POLYGON, _ARCS, _COMPOUND, _CURVE_POLYGON, _TRIANGLE = 1, 2, 3, 8, 9, 10, 17
_COLLECTIONS: Final = frozenset({4, 5, 6, 7, 11, 12, 15, 16})
_DEEPEST: Final = 64
_STEP_RAD: Final = np.radians(4.0)
"""Angle of the line segments that stand for an arc, as GDAL has it."""

Points = NDArray[np.float64]


def geometry_of(wkb: bytes) -> shapely.Geometry:
    """The geometry in a WKB, with arcs as line segments and open rings closed.

    Raises:
        ValueError: it is cut short, nested too deeply, or of an unknown type.
    """
    try:
        shape, _ = _Reader(wkb).geometry(0, 0)
    except (struct.error, IndexError) as error:
        raise ValueError("its geometry is cut short") from error
    return shape


def holds_arcs(shape: shapely.Geometry | None) -> bool:
    """Whether GEOS read arcs within a collection, with which it can do nothing else."""
    if shape is None or shape.geom_type != "GeometryCollection":
        return False
    try:
        return any(holds_arcs(part) for part in shapely.get_parts(shape))
    except NotImplementedError:  # shapely has no object for an arc
        return True


class _Reader:
    def __init__(self, wkb: bytes) -> None:
        self._wkb = wkb

    def geometry(self, at: int, depth: int) -> tuple[shapely.Geometry, int]:
        """The geometry that begins at a byte, and where it ends."""
        kind, order, dimensions, at = self._head(at)
        if depth > _DEEPEST:
            raise ValueError("its geometry is nested too deeply")
        if kind in (_POINT, _LINE, _ARCS, _COMPOUND):
            points, at = self._curve(kind, order, dimensions, at)
            return _line(points), at
        count, at = self._number(order, at)
        if kind in (_POLYGON, _TRIANGLE):
            rings = []
            for _ in range(count):
                points, at = self._points(order, dimensions, at)
                rings.append(points)
            return _polygon(rings), at
        parts: list[shapely.Geometry] = []
        rings = []
        for _ in range(count):
            if kind == _CURVE_POLYGON:
                inner, inner_order, inner_dimensions, at = self._head(at)
                points, at = self._curve(inner, inner_order, inner_dimensions, at)
                rings.append(points)
            elif kind in _COLLECTIONS:
                part, at = self.geometry(at, depth + 1)
                parts.append(part)
            else:
                raise ValueError(f"its geometry is of the unknown type {kind}")
        return (_polygon(rings) if kind == _CURVE_POLYGON else shapely.GeometryCollection(parts)), at

    def _head(self, at: int) -> tuple[int, str, int, int]:
        order = "<" if self._wkb[at] else ">"
        kind, at = self._number(order, at + 1)
        extended = (kind >> 30 & 1) + (kind >> 31 & 1)
        kind &= 0x0FFFFFFF
        return kind % 1000, order, 2 + extended + (0, 1, 1, 2)[kind // 1000 % 4], at

    def _number(self, order: str, at: int) -> tuple[int, int]:
        return struct.unpack_from(f"{order}I", self._wkb, at)[0], at + 4

    def _points(self, order: str, dimensions: int, at: int, count: int | None = None) -> tuple[Points, int]:
        if count is None:
            count, at = self._number(order, at)
        end = at + 8 * dimensions * count
        if end > len(self._wkb):
            raise ValueError("its geometry is cut short")
        numbers = np.frombuffer(self._wkb, f"{order}f8", dimensions * count, at)
        return numbers.reshape(count, dimensions)[:, :2].astype(float), end

    def _curve(self, kind: int, order: str, dimensions: int, at: int) -> tuple[Points, int]:
        """Points along a line, an arc, or several of them."""
        if kind == _POINT:
            return self._points(order, dimensions, at, 1)
        if kind != _COMPOUND:
            points, at = self._points(order, dimensions, at)
            return (np.concatenate([points[:1], *_arcs(points)]) if kind == _ARCS else points), at
        count, at = self._number(order, at)
        parts: list[Points] = [np.empty((0, 2))]
        for _ in range(count):
            inner, inner_order, inner_dimensions, at = self._head(at)
            if inner not in (_LINE, _ARCS):
                raise ValueError(f"its geometry has a curve of the unknown type {inner}")
            points, at = self._curve(inner, inner_order, inner_dimensions, at)
            parts.append(points)
        return np.concatenate(parts), at


def _arcs(points: Points) -> Iterator[Points]:
    """Points along each arc, which is given by its start, a point on it, and its end; without the start."""
    for start, middle, end in zip(points[:-2:2], points[1:-1:2], points[2::2], strict=False):
        full = (start == end).all()
        centre = (start + middle) / 2 if full else _centre(start, middle, end)
        if centre is None:
            yield np.array([middle, end])
            continue
        angles = [np.arctan2(*(point - centre)[::-1]) for point in (start, middle, end)]
        forward = (angles[1] - angles[0]) % (2 * np.pi)
        sweep = 2 * np.pi if full else (angles[2] - angles[0]) % (2 * np.pi)
        sweep = sweep if full or forward <= sweep else sweep - 2 * np.pi
        steps = angles[0] + np.linspace(0, sweep, max(int(np.ceil(abs(sweep) / _STEP_RAD)), 2) + 1)[1:]
        radius = np.hypot(*(start - centre))
        arc = centre + radius * np.column_stack([np.cos(steps), np.sin(steps)])
        arc[-1] = end
        yield arc


def _centre(a: Points, b: Points, c: Points) -> Points | None:
    """Centre of the circle through three points; None if they lie on a line."""
    (bx, by), (cx, cy) = b - a, c - a
    d = 2 * (bx * cy - by * cx)
    if not np.isfinite(d) or abs(d) < 1e-9:
        return None
    b2, c2 = bx**2 + by**2, cx**2 + cy**2
    return np.asarray(a + np.array([cy * b2 - by * c2, bx * c2 - cx * b2]) / d)


def _line(points: Points) -> shapely.Geometry:
    if not len(points):
        return shapely.LineString()
    return shapely.LineString(points) if len(points) > 1 else shapely.Point(points[0])


def _polygon(rings: list[Points]) -> shapely.Geometry:
    """A polygon of its rings, each closed; the points of rings that enclose nothing are kept as a line."""
    closed = [ring if len(ring) and (ring[0] == ring[-1]).all() else np.vstack([ring, ring[:1]]) for ring in rings]
    if not closed or len(closed[0]) < 4:
        return _line(closed[0]) if closed else shapely.Polygon()
    return shapely.Polygon(closed[0], [ring for ring in closed[1:] if len(ring) >= 4])
