"""Answers of a service: only checked parts of them become rows."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.errors import InputError
from burnscar_assets.labels.layer_rows import as_table, read_page
from burnscar_assets_tests.labels.label_servers import rings_of

URL = "https://example.org/FeatureServer/0"
SQUARE = [[[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]]


def feature(**changes: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": 1,
        "geometry": {"type": "Polygon", "coordinates": SQUARE},
        "properties": {"OBJECTID": 1},
    } | changes


def collection(*features: Any, **changes: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)} | changes


def esri(geometry: Any, **changes: Any) -> dict[str, Any]:
    rows = [{"attributes": {"OBJECTID": 1}, "geometry": geometry}]
    return {"spatialReference": {"wkid": 102600, "latestWkid": 3310}, "features": rows} | changes


def shape_of(answer: dict[str, Any]) -> shapely.Geometry:
    return read_page(answer, "OBJECTID", URL).shapes[0]


@pytest.mark.parametrize(
    "answer",
    [
        {"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read /etc/passwd ! write stdout"},
        {"type": "gdal_streamed_alg", "features": [feature()]},
        {"type": "Feature", "features": [feature()]},
        {"type": "Topology", "objects": {}, "features": []},
        {"features": "http://127.0.0.1/"},
        {},
        collection(None),
        collection("<OGRVRTDataSource/>"),
        collection(feature(type="gdal_streamed_alg")),
        collection(feature(properties=[1])),
        collection(feature(properties={"OBJECTID": 1, "FIRE_NAME": {"a": 1}})),
        collection(feature(properties={}, id=None)),
        collection(feature(properties={}, id=[1])),
        collection(feature(geometry={"type": "Point", "coordinates": [0, 0]})),
        collection(feature(geometry={"type": "Polygon"})),
        collection(feature(geometry={"type": "Polygon", "coordinates": [[["a", "b"], [0, 1], [1, 1]]]})),
        collection(feature(geometry={"type": "Polygon", "coordinates": 3})),
        collection(feature(geometry={"type": "MultiPolygon", "coordinates": SQUARE})),
        collection(feature(geometry="POLYGON ((0 0, 0 1, 1 1, 0 0))")),
        collection(feature(geometry={"type": "GeometryCollection", "geometries": [None]})),
        collection(feature(), crs={"type": "name", "properties": {"name": "+proj=longlat +nadgrids=/etc/passwd"}}),
        collection(feature(), crs={"type": "link", "properties": {"href": "file:///etc/passwd"}}),
        esri({"rings": SQUARE}, spatialReference={"wkt": "LOCAL_CS[]"}),
        esri({"rings": SQUARE}, spatialReference=None),
        esri({"curveRings": [[[0, 0], {"c": [[1, 1], [0, 1]]}]]}),
        esri({"rings": SQUARE}, transform={"scale": [1, 1], "translate": [0, 0]}),
        collection(feature(geometry=json.loads('{"type":"GeometryCollection","geometries":[' * 400 + "]}" * 400))),
        esri({"x": 1, "y": 2}),
    ],
)
def test_what_is_no_set_of_polygons_is_refused(answer: Any) -> None:
    with pytest.raises(InputError, match=URL):
        read_page(answer, "OBJECTID", URL)


def test_rows_that_cannot_be_read_are_counted() -> None:
    curves = {"attributes": {"OBJECTID": 2}, "geometry": {"curveRings": []}}
    answer = esri({"rings": SQUARE})
    answer["features"] += [curves, curves]
    with pytest.raises(InputError, match=r"3 rows of which 2 cannot be read, first number 2: .*curves \(curveRings\)"):
        read_page(answer, "OBJECTID", URL)


def test_shapes_of_every_kind_come_in_two_dimensions() -> None:
    deep = [[[0, 0, 5], [0, 1, 5], [1, 1], [1, 0, 5, 7]]]
    assert shape_of(collection(feature(geometry={"type": "Polygon", "coordinates": deep}))).equals(
        shapely.box(0, 0, 1, 1)
    )
    assert shape_of(collection(feature(geometry=None))) is None
    assert shape_of(collection(feature(geometry={"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}))) is None
    line = {"type": "LineString", "coordinates": [[0, 0], [9, 9]]}
    mixed = {"type": "GeometryCollection", "geometries": [line, {"type": "Polygon", "coordinates": SQUARE}]}
    assert shape_of(collection(feature(geometry=mixed))).area == 1, "lines are left to whoever repairs"
    assert shape_of(esri({"rings": deep, "hasZ": True})).equals(shapely.box(0, 0, 1, 1))
    assert shape_of(esri(None)) is None
    assert shape_of(esri({"rings": []})) is None


def test_the_crs_is_that_of_the_answer() -> None:
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3310"}}
    for answer, code in (
        (collection(feature()), 4326),
        (collection(feature(), crs=None), 4326),
        (collection(feature(), crs=named), 3310),
        (collection(feature(), crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}), 4326),
        (esri({"rings": SQUARE}), 3310),
        (esri({"rings": SQUARE}, spatialReference={"wkid": 102100}), 3857),
    ):
        crs = read_page(answer, "OBJECTID", URL).crs
        assert crs is not None and crs.to_epsg() == code, answer
    pages = [read_page(answer, "OBJECTID", URL) for answer in (collection(feature()), collection(feature(), crs=named))]
    with pytest.raises(InputError, match="2 coordinate reference systems"):
        as_table(pages, {}, URL)


@st.composite
def archipelagos(draw: st.DrawFn) -> shapely.MultiPolygon:
    """Islands apart from each other, each with lakes, and an island in a lake of each."""
    parts: list[shapely.Polygon] = []
    for column in range(draw(st.integers(1, 4))):
        shell, lakes = shapely.box(column * 100, 0, column * 100 + 90, 90), draw(st.integers(0, 3))
        holes = [shapely.box(column * 100 + 5, 25 * n + 5, column * 100 + 60, 25 * n + 20) for n in range(lakes)]
        parts.append(shapely.Polygon(shell.exterior, [hole.exterior for hole in holes]))
        if lakes and draw(st.booleans()):
            parts.append(shapely.box(column * 100 + 10, 8, column * 100 + 20, 15))
    return shapely.MultiPolygon(parts)


@given(shape=archipelagos(), data=st.data())
def test_rings_of_esri_in_any_order_are_the_shape_they_came_from(
    shape: shapely.MultiPolygon, data: st.DataObject
) -> None:
    rings = data.draw(st.permutations(rings_of(shape)))
    found = shape_of(esri({"rings": rings}))
    assert found.is_valid and found.equals(shape)


@given(shape=archipelagos())
@settings(max_examples=20)
def test_rings_of_esri_are_as_gdal_reads_them(shape: shapely.MultiPolygon) -> None:
    answer = esri({"rings": rings_of(shape)}, geometryType="esriGeometryPolygon", fields=[])
    assert shape_of(answer).equals(pyogrio.read_dataframe(json.dumps(answer).encode()).geometry[0])


def test_a_ring_drawn_the_wrong_way_is_ground_all_the_same() -> None:
    assert shape_of(esri({"rings": [SQUARE[0][::-1]]})).equals(shapely.box(0, 0, 1, 1))


def test_fields_have_the_types_of_the_layer_on_every_page() -> None:
    types = {
        "OBJECTID": "esriFieldTypeOID",
        "YEAR_": "esriFieldTypeSmallInteger",
        "ALARM_DATE": "esriFieldTypeDate",
        "DAY": "esriFieldTypeDateOnly",
        "SEEN": "esriFieldTypeTimestampOffset",
        "ACRES": "esriFieldTypeDouble",
        "INC_NUM": "esriFieldTypeString",
    }
    rows: list[dict[str, Any]] = [
        {"YEAR_": 2020, "ALARM_DATE": 1596265200000, "DAY": "2020-08-01", "SEEN": "2020-08-01T10:00:00-07:00"},
        {"YEAR_": None, "ALARM_DATE": None, "ACRES": 3, "INC_NUM": "00012"},
        {"year_": 2021, "ALARM_DATE": None, "ACRES": 2.5},
    ]
    pages = [
        read_page(collection(feature(properties={"OBJECTID": n, **row})), "objectid", URL) for n, row in enumerate(rows)
    ]
    table = as_table(pages, types, URL)
    assert table["YEAR_"].tolist()[0] == 2020 and str(table["YEAR_"].dtype) == "Int64"
    assert table["ALARM_DATE"].dropna().tolist() == [1596265200000]
    assert np.isnan(table["ACRES"][0]) and table["ACRES"].tolist()[1:] == [3.0, 2.5]
    assert table["INC_NUM"].dropna().tolist() == ["00012"]
    assert table["DAY"].dropna().tolist() == ["2020-08-01"]
    text = read_page(collection(feature(properties={"OBJECTID": 1, "YEAR_": "twenty"})), "OBJECTID", URL)
    assert as_table([text], types, URL)["YEAR_"].tolist() == ["twenty"], "whoever reads years says what is wrong"
    huge = read_page(collection(feature(properties={"OBJECTID": 1, "YEAR_": 10**30})), "OBJECTID", URL)
    assert pd.api.types.is_object_dtype(as_table([huge], types, URL)["YEAR_"].dtype)
