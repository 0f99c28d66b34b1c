"""Columns of a stac-geoparquet file, however its writer encoded them, as STAC has them.

A geometry may be WKB, text, GeoJSON or native (geoarrow); a structure may be a struct, a MAP or JSON text; a time may
be a timestamp or text; each of them may be dictionary-encoded.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Sequence
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyproj
import shapely

from burnscar_assets.errors import InputError

JSON_OR_MAP: Final = ("assets", "bbox", "links", "properties", "stac_extensions")
SPEC_VERSION: Final = "1.1.0"
"""Of stac-geoparquet and of GeoParquet."""

CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
CURE: Final = "write it as WKB in degrees, as stac-geoparquet has it"

_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){5,}")
_MOST_DEGREES = 540.0
_OF_DEPTH: Final[dict[int, Callable[[Any], Any]]] = {
    0: shapely.Point,
    1: shapely.LineString,
    2: lambda rings: shapely.Polygon(rings[0], rings[1:]) if rings else shapely.Polygon(),
    3: lambda parts: shapely.MultiPolygon([(rings[0], rings[1:]) for rings in parts if rings]),
}


def geo_metadata(kinds: Collection[str], bbox: Sequence[float]) -> dict[str, Any]:
    """GeoParquet's metadata of a file whose column `geometry` is WKB in degrees, with boxes in `bbox`."""
    column = {
        "encoding": "WKB",
        "geometry_types": sorted(kinds),
        "bbox": [float(edge) for edge in bbox],
        "covering": {"bbox": {corner: ["bbox", corner] for corner in CORNERS}},
    }
    return {"version": SPEC_VERSION, "primary_column": "geometry", "columns": {"geometry": column}}


def geometries(table: pa.Table, column: str, source: str) -> npt.NDArray[np.object_]:
    """Shapes of a table's geometry column, which has no empty values; in degrees, two-dimensional.

    Raises:
        InputError: the encoding isn't known, or the coordinates are no degrees; names the file (`source`) and the cure.
    """
    values = _decoded(table[column])
    try:
        shapes = np.asarray(_shapes(values), dtype=object)
    except (ValueError, TypeError, LookupError, shapely.errors.ShapelyError, pa.ArrowException) as error:
        raise InputError(
            f"{source}: column {column!r} of type {table.schema.field(column).type} holds no geometry that can be read "
            f"({error}): {CURE}"
        ) from error
    shapes = np.asarray(shapely.force_2d(shapes), dtype=object)
    _check_degrees(table, column, shapes, source)
    return shapes


def primary_geometry(table: pa.Table) -> str:
    """Name of the geometry column: `geometry`, or what the file's metadata say."""
    return "geometry" if "geometry" in table.column_names else str(_geo(table).get("primary_column", "geometry"))


def plain(value: Any) -> Any:
    """A value of a row as STAC has it: text for times, dictionaries for MAPs, no empty fields of structs."""
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, dict):
        kept = {key: plain(part) for key, part in value.items() if part is not None}
        return {key: part for key, part in kept.items() if part is not None} or None
    if isinstance(value, list):
        if value and all(isinstance(part, tuple) and len(part) == 2 for part in value):
            return plain(dict(value))
        return [plain(part) for part in value]
    return value


def structure(value: Any) -> Any:
    """A value that STAC has as an object or a list: as `plain`, and out of JSON text where it is that.

    Raises:
        ValueError: it is text, and no JSON.
    """
    if isinstance(value, str | bytes):
        return plain(json.loads(value)) if value else None
    found = plain(value)
    if isinstance(found, dict):
        return {key: structure(part) if _looks_like_json(part) else part for key, part in found.items()}
    return found


def box(value: Any) -> list[float] | None:
    """A bounding box as west, south, east, north, of four or six numbers or a struct of edges; None if it is none."""
    if isinstance(value, dict):
        value = [value.get(edge) for edge in ("xmin", "ymin", "xmax", "ymax")]
    if not isinstance(value, list | tuple) or len(value) not in (4, 6):
        return None
    edges = [*value[:2], *value[len(value) // 2 :][:2]]
    numbers = [float(edge) for edge in edges if isinstance(edge, int | float) and math.isfinite(edge)]
    return numbers if len(numbers) == 4 else None


def _looks_like_json(value: Any) -> bool:
    return isinstance(value, str) and value[:1] in ("{", "[") and value[-1:] in ("}", "]")


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without dictionary and extension types, in one piece."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type=column.type.storage_type)
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _shapes(values: pa.ChunkedArray) -> list[Any]:
    kind = values.type
    every = values.to_pylist()
    if str(kind) in ("binary", "large_binary", "binary_view"):
        return list(shapely.from_wkb(np.array(every, dtype=object)))
    if str(kind) in ("string", "large_string", "string_view"):
        return [_of_text(text.strip()) for text in every]
    if pa.types.is_struct(kind) and "coordinates" in {field.name for field in kind}:
        return [shapely.geometry.shape(value) for value in every]
    depth = _depth(kind)
    if depth not in _OF_DEPTH:
        raise ValueError("this encoding is not known here")
    return [_OF_DEPTH[depth](_coordinates(value, depth)) for value in every]


def _of_text(text: str) -> shapely.Geometry:
    if text.startswith("{"):
        return shapely.from_geojson(text)
    return shapely.from_wkb(text) if _HEX.fullmatch(text) else shapely.from_wkt(text.partition(";")[2] or text)


def _depth(kind: pa.DataType) -> int:
    """How many lists lie around a coordinate of a native encoding; -1 where it is none."""
    depth = 0
    while pa.types.is_list(kind) or pa.types.is_large_list(kind):
        depth, kind = depth + 1, kind.value_type
    is_coordinate = pa.types.is_fixed_size_list(kind) or (
        pa.types.is_struct(kind) and {"x", "y"} <= {field.name for field in kind}
    )
    return depth if is_coordinate else -1


def _coordinates(value: Any, depth: int) -> Any:
    if depth:
        return [_coordinates(part, depth - 1) for part in value]
    return (value["x"], value["y"]) if isinstance(value, dict) else tuple(value[:2])


def _check_degrees(table: pa.Table, column: str, shapes: npt.NDArray[np.object_], source: str) -> None:
    told = _geo(table).get("columns", {}).get(column, {}).get("crs")
    try:
        crs = pyproj.CRS.from_user_input(told) if told else None
    except pyproj.exceptions.CRSError as error:
        raise InputError(f"{source}: the CRS of column {column!r} can't be read ({error}): {CURE}") from error
    widest = np.nanmax(np.abs(shapely.bounds(shapes)), initial=0.0) if len(shapes) else 0.0
    if (crs is not None and not crs.is_geographic) or widest > _MOST_DEGREES:
        name = crs.name if crs is not None else f"coordinates up to {widest:.0f}"
        raise InputError(f"{source}: column {column!r} holds no degrees ({name}): {CURE}")


def _geo(table: pa.Table) -> dict[str, Any]:
    try:
        found = json.loads((table.schema.metadata or {}).get(b"geo", b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
