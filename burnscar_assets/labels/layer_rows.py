"""Rows in the answers of an ArcGIS service: checked part by part, and made into a table.

An answer is a GeoJSON FeatureCollection or an Esri feature set of polygons, or it is refused. GDAL has no part in it:
it chooses its driver by content, and would ask the service for more by itself where an answer says that it is cut.
Formats: RFC 7946; https://developers.arcgis.com/rest/services-reference/enterprise/feature-object/
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray

from burnscar_assets.errors import InputError

_INTEGERS = frozenset({"OID", "SmallInteger", "Integer", "BigInteger", "Date"})
_FLOATS = frozenset({"Single", "Double"})
_PREFIX: Final = "esriFieldType"
_CRS_NAME = re.compile(r"(?:urn:ogc:def:crs:)?(EPSG|ESRI|OGC):(?:[\d.]*:)?(\w+)", re.IGNORECASE)
_SAVED_AS = frozenset({".json", ".geojson"})
_CUT = re.compile(rb'"exceededTransferLimit"\s*:\s*"?true', re.IGNORECASE)
_CHUNK_BYTES = 1 << 20
_FEWEST_POINTS = 4
"""Points of a closed ring that has an area."""


@dataclass(frozen=True)
class Page:
    """Rows of one answer.

    Attributes:
        attributes: Values of each row by field.
        ids: What tells one row from another, by the service.
        shapes: Geometry of each row, polygons in two dimensions, or None.
        crs: Of the geometry; None where the answer has no rows.
        more: Whether the answer says that it is cut.
    """

    attributes: list[dict[str, Any]]
    ids: list[int | str]
    shapes: list[shapely.Geometry | None]
    crs: pyproj.CRS | None
    more: bool


def read_page(answer: Mapping[str, Any], id_field: str, url: str) -> Page:
    """Take an answer apart.

    Args:
        answer: As the service gave it.
        id_field: The field that tells rows apart.
        url: How errors name the service.

    Raises:
        InputError: it is something else than rows with polygons, attributes and a CRS.
    """
    features, is_geojson = answer.get("features"), answer.get("type") == "FeatureCollection"
    if not isinstance(features, list) or not (is_geojson or "type" not in answer):
        raise InputError(f"{url} answered {str(answer.get('type', 'something'))[:40]!r} in place of rows")
    take, properties = (_geojson_shape, "properties") if is_geojson else (_esri_shape, "attributes")
    attributes, shapes = [], []
    for number, feature in enumerate(features):
        try:
            attributes.append(_attributes(feature, properties))
            shapes.append(take(feature.get("geometry")))
        except (ValueError, TypeError, LookupError, OverflowError, shapely.errors.ShapelyError) as error:
            raise InputError(f"{url} answered rows of which number {number + 1} cannot be read: {error}") from error
    id_name = next((name for row in attributes[:1] for name in row if name.lower() == id_field.lower()), id_field)
    ids = [row.get(id_name, feature.get("id")) for row, feature in zip(attributes, features, strict=True)]
    if not all(isinstance(given, (int, str)) for given in ids):
        raise InputError(f"{url} answered rows without {id_field}, which tells them apart: choose another layer")
    crs = (_geojson_crs(answer) if is_geojson else _esri_crs(answer)) if features else None
    if features and crs is None:
        raise InputError(f"{url} answered rows without a CRS that has a code: choose another layer")
    return Page(attributes, ids, shapes, crs, says_cut(answer))


def says_cut(answer: Mapping[str, Any]) -> bool:
    """Whether an answer says that there are more rows: in itself, or under `properties` as GeoJSON has it."""
    within = answer.get("properties")
    said = (answer, within) if isinstance(within, Mapping) else (answer,)
    return any(str(part.get("exceededTransferLimit", "")).lower() == "true" for part in said)


def as_table(pages: list[Page], types: Mapping[str, str], url: str) -> gpd.GeoDataFrame:
    """The rows of all pages, with fields of the types that the layer's description gives.

    Dates stay as the service writes them: epoch milliseconds, or text.

    Args:
        pages: At least one has rows.
        types: Esri's type by field.
        url: How errors name the service.

    Raises:
        InputError: the CRS differs from page to page.
    """
    crs = {page.crs for page in pages if page.crs is not None}
    if len(crs) != 1:
        raise InputError(f"{url} answered rows in {len(crs)} coordinate reference systems: choose another layer")
    rows = [row for page in pages for row in page.attributes]
    kinds = {name.lower(): kind.removeprefix(_PREFIX) for name, kind in types.items()}
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _typed([row.get(name) for row in rows], kinds.get(name.lower(), "")) for name in names}
    shapes = [shape for page in pages for shape in page.shapes]
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=crs.pop(), index=range(len(rows)))


def refuse_saved_page(path: Path) -> None:
    """Refuse a file that holds one page of a layer: an answer that says it is cut, saved as it came.

    Raises:
        InputError: it is one.
    """
    if path.suffix.lower() not in _SAVED_AS or not path.is_file() or not _mentions_cut(path):
        return
    try:
        answer = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return  # whoever reads the layer says what is wrong with it
    if isinstance(answer, dict) and says_cut(answer):
        found = answer.get("features")
        raise InputError(
            f"{path.name} is one page of a layer, {len(found) if isinstance(found, list) else 0} of more rows: it says "
            "itself that it is cut (exceededTransferLimit). Give the layer's address (…/FeatureServer/0) as the "
            "source, or export the whole layer"
        )


def _mentions_cut(path: Path) -> bool:
    overlap = b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            if _CUT.search(overlap + chunk):
                return True
            overlap = chunk[-100:]
    return False


def _attributes(feature: Any, name: str) -> dict[str, Any]:
    if not isinstance(feature, dict) or (name == "properties" and feature.get("type") != "Feature"):
        raise ValueError("it is no feature")
    values = feature.get(name) or {}
    if not isinstance(values, dict):
        raise ValueError(f"its {name} are no object")
    for field, value in values.items():
        if isinstance(value, (dict, list)):
            raise ValueError(f"its field {field} holds more than a value")
    return values


def _typed(values: list[Any], kind: str) -> pd.Series:
    """Values of a field as its type has them; as they are, where one of them is of another type."""
    plain = pd.Series(values, dtype=object)
    if kind not in _INTEGERS | _FLOATS or any(isinstance(value, (str, bool)) for value in values):
        return plain
    try:
        return plain.astype("Int64" if kind in _INTEGERS else float)
    except (TypeError, ValueError, OverflowError):
        return plain


def _geojson_shape(geometry: Any) -> shapely.Geometry | None:
    if geometry is None:
        return None
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection":
        parts = [_geojson_parts(member) for member in geometry["geometries"]]
        return _joined([part for found in parts for part in found])
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"its geometry is {str(kind)[:40]!r}, no polygon")
    return _joined(_geojson_parts(geometry))


def _geojson_parts(geometry: Any) -> list[shapely.Polygon]:
    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        return []
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    rings = [[_ring(points) for points in part] for part in parts]
    return [
        shapely.Polygon(shell, [hole for hole in holes if hole is not None])
        for shell, *holes in filter(None, rings)
        if shell is not None
    ]


def _esri_shape(geometry: Any) -> shapely.Geometry | None:
    """A polygon of Esri's: shells go clockwise, holes the other way, in any order.

    A hole belongs to the smallest shell about it; one that has none is a shell drawn the wrong way.
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


def _geojson_crs(answer: Mapping[str, Any]) -> pyproj.CRS | None:
    """EPSG:4326, unless the answer names another one, as older servers do."""
    member = answer.get("crs")
    if member is None:
        return pyproj.CRS("EPSG:4326")
    properties = member.get("properties") if isinstance(member, dict) else None
    name = _CRS_NAME.fullmatch(str(properties.get("name", ""))) if isinstance(properties, dict) else None
    if name is None:
        return None
    authority, code = name[1].upper(), name[2]
    return _by_code("EPSG", "4326") if (authority, code) == ("OGC", "CRS84") else _by_code(authority, code)


def _esri_crs(answer: Mapping[str, Any]) -> pyproj.CRS | None:
    reference = answer.get("spatialReference")
    codes = [reference.get(name) for name in ("latestWkid", "wkid")] if isinstance(reference, dict) else []
    found = (_by_code(name, str(code)) for code in codes if code for name in ("EPSG", "ESRI"))
    return next((crs for crs in found if crs is not None), None)


def _by_code(authority: str, code: str) -> pyproj.CRS | None:
    try:
        return pyproj.CRS.from_authority(authority, code)
    except pyproj.exceptions.CRSError:
        return None
