"""Polygons and coordinate reference systems in the answers of an ArcGIS service, GeoJSON or Esri's own JSON.

Formats: RFC 7946; https://developers.arcgis.com/rest/services-reference/enterprise/geometry-objects/
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

_CRS_NAME = re.compile(r"(?:urn:ogc:def:crs:)?(EPSG|ESRI|OGC):(?:[\d.]*:)?(\w+)", re.IGNORECASE)
_FEWEST_POINTS = 4
"""Points of a closed ring that has an area."""


def geojson_shape(geometry: Any) -> shapely.Geometry | None:
    """The shape of a GeoJSON feature, in two dimensions; a polygon without a ring of four points is none.

    Raises:
        ValueError, TypeError, LookupError, AttributeError: it isn't one of polygons, or isn't GeoJSON.
    """
    if geometry is None:
        return None
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection":  # what in it has no area is left to `repair`, as in a file
        if any(part["type"] == kind for part in geometry["geometries"]):
            raise ValueError("its geometry is a collection of collections")
        return shapely.force_2d(shapely.geometry.shape(geometry))
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"its geometry is {str(kind)[:40]!r}, no polygon")
    parts = geometry["coordinates"] if kind == "MultiPolygon" else [geometry["coordinates"]]
    rings = [[_ring(points) for points in part] for part in parts]
    return _joined(
        [
            shapely.Polygon(shell, [hole for hole in holes if hole is not None])
            for shell, *holes in filter(None, rings)
            if shell is not None
        ]
    )


def esri_shape(geometry: Any) -> shapely.Geometry | None:
    """A polygon of Esri's, in two dimensions: shells go clockwise, holes the other way, in any order.

    A hole belongs to the smallest shell about it; one that has none is a shell drawn the wrong way.

    Raises:
        ValueError, TypeError, LookupError: it isn't a polygon, or has curves.
    """
    if geometry is None or geometry == {}:
        return None
    if "curveRings" in geometry:
        raise ValueError("its geometry has curves (curveRings), which were not asked for")
    rings = [ring for points in geometry["rings"] if (ring := _ring(points)) is not None]
    clockwise = [_signed_area(ring) <= 0 for ring in rings]
    shells = [ring for ring, is_shell in zip(rings, clockwise, strict=True) if is_shell]
    holes = [ring for ring, is_shell in zip(rings, clockwise, strict=True) if not is_shell]
    inner: dict[int | None, list[NDArray[np.float64]]] = {}
    for hole, owner in zip(holes, _smallest_about(holes, shells), strict=True):
        inner.setdefault(owner, []).append(hole)
    parts = [shapely.Polygon(shell, inner.get(number)) for number, shell in enumerate(shells)]
    return _joined(parts + [shapely.Polygon(ring) for ring in inner.get(None, [])])


def _smallest_about(holes: list[NDArray[np.float64]], shells: list[NDArray[np.float64]]) -> list[int | None]:
    owners: list[int | None] = [None] * len(holes)
    if not holes or not shells:
        return owners
    areas = [abs(_signed_area(shell)) for shell in shells]
    within = shapely.point_on_surface([shapely.Polygon(hole) for hole in holes])
    pairs = shapely.STRtree([shapely.Polygon(shell) for shell in shells]).query(within, predicate="intersects")
    for hole, shell in zip(*pairs.tolist(), strict=True):
        owner = owners[hole]
        if owner is None or areas[shell] < areas[owner]:
            owners[hole] = shell
    return owners


def _ring(points: Any) -> NDArray[np.float64] | None:
    """A closed ring in two dimensions; None where it has too few points for an area."""
    ring = np.array([point[:2] for point in points], dtype=float)
    if not len(ring):
        return None
    if ring.ndim != 2 or ring.shape[1] != 2:
        raise ValueError("its rings are no pairs of coordinates")
    closed = ring if (ring[0] == ring[-1]).all() else np.vstack([ring, ring[:1]])
    return closed if len(closed) >= _FEWEST_POINTS else None


def _signed_area(ring: NDArray[np.float64]) -> float:
    x, y = (ring - ring[0]).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def _joined(parts: list[shapely.Polygon]) -> shapely.Geometry | None:
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def geojson_crs(answer: Mapping[str, Any]) -> pyproj.CRS | None:
    """EPSG:4326, unless the answer names another one, as older servers do; None where that has no code."""
    member = answer.get("crs")
    if member is None:
        return pyproj.CRS("EPSG:4326")
    properties = member.get("properties") if isinstance(member, dict) else None
    name = _CRS_NAME.fullmatch(str(properties.get("name", ""))) if isinstance(properties, dict) else None
    if name is None:
        return None
    authority, code = name[1].upper(), name[2]
    return _by_code("EPSG", "4326") if (authority, code) == ("OGC", "CRS84") else _by_code(authority, code)


def esri_crs(answer: Mapping[str, Any]) -> pyproj.CRS | None:
    """The CRS that the answer names; None where it has no code."""
    reference = answer.get("spatialReference")
    codes = [reference.get(name) for name in ("latestWkid", "wkid")] if isinstance(reference, dict) else []
    found = (_by_code(name, str(code)) for code in codes if code for name in ("EPSG", "ESRI"))
    return next((crs for crs in found if crs is not None), None)


def _by_code(authority: str, code: str) -> pyproj.CRS | None:
    try:
        return pyproj.CRS.from_authority(authority, code)
    except pyproj.exceptions.CRSError:
        return None
