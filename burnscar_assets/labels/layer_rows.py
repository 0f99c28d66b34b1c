"""Rows in the answers of an ArcGIS service: checked part by part, and made into a table.

An answer is a GeoJSON FeatureCollection or an Esri feature set of polygons, or it is refused. GDAL has no part in it:
it chooses its driver by content, and would ask the service for more by itself where an answer says that it is cut.
Format: https://developers.arcgis.com/rest/services-reference/enterprise/feature-object/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import geopandas as gpd
import pandas as pd
import pyproj
import shapely

from burnscar_assets.errors import InputError
from burnscar_assets.labels.cut_answers import says_cut
from burnscar_assets.labels.layer_shapes import esri_crs, esri_shape, geojson_crs, geojson_shape
from burnscar_assets.text import clean

_INTEGERS = frozenset({"OID", "SmallInteger", "Integer", "BigInteger", "Date"})
_FLOATS = frozenset({"Single", "Double"})
_PREFIX: Final = "esriFieldType"
_MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    shapely.GEOSException,
)


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
    if not isinstance(features, list) or not (is_geojson or not {"type", "transform"} & answer.keys()):
        raise InputError(f"{url} answered {clean(str(answer.get('type', 'something')))[:40]!r} in place of rows")
    take, properties = (geojson_shape, "properties") if is_geojson else (esri_shape, "attributes")
    attributes, shapes, bad = [], [], []
    for number, feature in enumerate(features, 1):
        try:
            attributes.append(_attributes(feature, properties))
            shapes.append(take(feature.get("geometry")))
        except _MALFORMED as error:
            bad.append(f"number {number}: {clean(str(error))[:200]}")
    if bad:
        raise InputError(f"{url} answered {len(features)} rows of which {len(bad)} cannot be read, first {bad[0]}")
    id_name = next((name for row in attributes[:1] for name in row if name.lower() == id_field.lower()), id_field)
    ids = [row.get(id_name, feature.get("id")) for row, feature in zip(attributes, features, strict=True)]
    if not all(isinstance(given, (int, str)) for given in ids):
        raise InputError(f"{url} answered rows without {id_field}, which tells them apart: choose another layer")
    crs = (geojson_crs(answer) if is_geojson else esri_crs(answer)) if features else None
    if features and crs is None:
        raise InputError(f"{url} answered rows without a CRS that has a code: choose another layer")
    return Page(attributes, ids, shapes, crs, says_cut(answer))


def read_sums(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Groups of an answer of statistics, names in small letters; none where it is cut or isn't made of groups."""
    features = answer.get("features")
    if says_cut(answer) or not isinstance(features, list):
        return []
    groups = [feature.get("attributes") if isinstance(feature, dict) else None for feature in features]
    if not all(isinstance(group, dict) for group in groups):
        return []
    return [{name.lower(): value for name, value in group.items()} for group in groups if group]


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


def _attributes(feature: Any, name: str) -> dict[str, Any]:
    if not isinstance(feature, dict) or (name == "properties" and feature.get("type") != "Feature"):
        raise ValueError("it is no feature")
    values = feature.get(name) or {}
    if not isinstance(values, dict):
        raise ValueError(f"its {name} are no object")
    for field, value in values.items():
        if isinstance(value, (dict, list)):
            raise ValueError(f"its field {clean(field)} holds more than a value")
    return {clean(field): value for field, value in values.items()}


def _typed(values: list[Any], kind: str) -> pd.Series:
    """Values of a field as its type has them; as they are, where one of them is of another type."""
    plain = pd.Series(values, dtype=object)
    if kind not in _INTEGERS | _FLOATS or any(isinstance(value, (str, bool)) for value in values):
        return plain
    try:
        return plain.astype("Int64" if kind in _INTEGERS else float)
    except (TypeError, ValueError, OverflowError):
        return plain
