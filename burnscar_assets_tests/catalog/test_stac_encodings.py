"""stac-geoparquet as other tools write it: every encoding is read, or named with its cure."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import read_index
from burnscar_assets.errors import InputError
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import SmallScene, make_dataset, make_windows, write_scene

SHAPES = [shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]
ASSETS = [{key: {"href": f"./{name}/{key}.tif", "roles": ["data"]} for key in ("B02", "SCL")} for name in "ab"]
MOMENT = datetime(2022, 8, 10, 18, 50, 31, tzinfo=UTC)

Column = pa.Array | pa.ChunkedArray


def native(parts: bool, *, pairs: bool) -> Column:
    """Polygons as GeoArrow has them: lists of rings of coordinates, each a struct or a pair."""
    rings = [[[c if pairs else {"x": c[0], "y": c[1]} for c in shape.exterior.coords]] for shape in SHAPES]
    coordinate = pa.list_(pa.float64(), 2) if pairs else pa.struct([("x", pa.float64()), ("y", pa.float64())])
    kind = pa.list_(pa.list_(coordinate))
    return pa.array([[polygon] for polygon in rings], pa.list_(kind)) if parts else pa.array(rings, kind)


WKB = [shapely.to_wkb(shape) for shape in SHAPES]
GEOMETRIES: dict[str, Callable[[], Column]] = {
    "wkb": lambda: pa.array(WKB),
    "large wkb": lambda: pa.array(WKB, pa.large_binary()),
    "hex": lambda: pa.array([shapely.to_wkb(shape, hex=True) for shape in SHAPES]),
    "wkt": lambda: pa.array([shape.wkt for shape in SHAPES]),
    "ewkt": lambda: pa.array([f"SRID=4326;{shape.wkt}" for shape in SHAPES], pa.large_string()),
    "geojson": lambda: pa.array([shapely.to_geojson(shape) for shape in SHAPES]),
    "three dimensions": lambda: pa.array([shapely.to_wkb(shapely.force_3d(shape, 5)) for shape in SHAPES]),
    "dictionary": lambda: pa.array(WKB).dictionary_encode(),
    "dictionary of text": lambda: pa.array([shape.wkt for shape in SHAPES]).dictionary_encode(),
    "native": lambda: native(parts=False, pairs=False),
    "native pairs": lambda: native(parts=False, pairs=True),
    "native multipolygon": lambda: native(parts=True, pairs=False),
    "geojson struct": lambda: pa.array(
        [{"type": "Polygon", "coordinates": [[list(c) for c in shape.exterior.coords]]} for shape in SHAPES]
    ),
}
OF_ASSETS: dict[str, Callable[[], Column]] = {
    "struct": lambda: pa.array(ASSETS),
    "text": lambda: pa.array([json.dumps(assets) for assets in ASSETS]),
    "map": lambda: pa.array(
        [list(assets.items()) for assets in ASSETS],
        pa.map_(pa.string(), pa.struct([("href", pa.string()), ("roles", pa.list_(pa.string()))])),
    ),
    "map of text": lambda: pa.array(
        [[(key, json.dumps(asset)) for key, asset in assets.items()] for assets in ASSETS],
        pa.map_(pa.string(), pa.string()),
    ),
    "dictionary of text": lambda: pa.array([json.dumps(assets) for assets in ASSETS]).dictionary_encode(),
}
TIMES: dict[str, Callable[[], Column]] = {
    **{
        f"{unit} {zone}": lambda unit=unit, zone=zone: pa.array(
            [MOMENT if zone else MOMENT.replace(tzinfo=None)] * 2, pa.timestamp(unit, zone)
        )
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "America/Los_Angeles")
    },
    "text": lambda: pa.array(["2022-08-10T18:50:31Z"] * 2),
    "text of a zone": lambda: pa.array(["2022-08-10T11:50:31.000-07:00"] * 2),
    "text with a blank": lambda: pa.array(["2022-08-10 18:50:31+00:00"] * 2).dictionary_encode(),
}
BOXES: dict[str, Callable[[], Column] | None] = {
    "none": None,
    "struct": lambda: pa.array([dict(zip(("xmin", "ymin", "xmax", "ymax"), s.bounds, strict=True)) for s in SHAPES]),
    "list": lambda: pa.array([list(shape.bounds) for shape in SHAPES]),
    "text": lambda: pa.array([json.dumps(list(shape.bounds)) for shape in SHAPES]),
}


def write(path: Path, geo: dict[str, Any] | None = None, name: str = "geometry", **columns: Column) -> Path:
    table = pa.table({"id": pa.array(["a", "b"]), name: columns.pop("geometry"), **columns})
    if geo is not None:
        table = table.replace_schema_metadata({"geo": json.dumps(geo)})
    pq.write_table(table, path)
    return path


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(list(GEOMETRIES)),
    st.sampled_from(list(OF_ASSETS)),
    st.sampled_from(list(TIMES)),
    st.sampled_from(list(BOXES)),
    st.booleans(),
)
def test_every_encoding_is_read(
    tmp_path_factory: pytest.TempPathFactory, geometry: str, assets: str, time: str, box: str, nested: bool
) -> None:
    folder = tmp_path_factory.mktemp("index")
    columns = {"geometry": GEOMETRIES[geometry](), "assets": OF_ASSETS[assets](), "extra": pa.nulls(2)}
    made = BOXES[box]
    columns |= {"bbox": made()} if made else {}
    times = TIMES[time]()
    if nested and pa.types.is_string(times.type):
        columns["properties"] = pa.array([json.dumps({"datetime": moment}) for moment in times.to_pylist()])
    else:
        columns["datetime"] = times
    first, second = read_index(str(write(folder / "index.parquet", **columns)))
    assert [first["id"], second["id"]] == ["a", "b"]
    for item, shape in ((first, SHAPES[0]), (second, SHAPES[1])):
        assert shapely.equals(shapely.geometry.shape(item["geometry"]), shape)
        assert item["bbox"] == list(shape.bounds)
        assert item["assets"]["B02"] == {"href": str(folder / item["id"] / "B02.tif"), "roles": ["data"]}
        moment = datetime.fromisoformat(item["properties"]["datetime"])
        assert (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) == MOMENT


UTM = gpd.GeoSeries([], crs=32610).crs.to_json_dict()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"geometry": pa.array([1, 2])}, "column 'geometry' of type int64 holds no geometry .* write it as WKB"),
        ({"geometry": pa.array([b"xx", b"yy"])}, "write it as WKB"),
        ({"geometry": pa.array(["POLYGON", "?"])}, "write it as WKB"),
        ({"geometry": pa.array([shapely.to_wkb(shapely.box(5e5, 4e6, 6e5, 5e6))] * 2)}, "no degrees"),
        ({"assets": pa.array(["{", "{"])}, "STAC item a of .* assets must be a struct, a MAP or JSON text"),
        ({"assets": pa.array([1, 2])}, "STAC item a of .* is malformed"),
        ({"assets": pa.array([["B02"], ["B02"]])}, "STAC item a of .* is malformed"),
    ],
)
def test_what_cannot_be_read_names_file_encoding_and_cure(
    tmp_path: Path, columns: dict[str, Column], message: str
) -> None:
    path = write(tmp_path / "odd.parquet", **({"geometry": pa.array(WKB), "assets": pa.array(ASSETS)} | columns))
    with pytest.raises(InputError, match=message) as caught:
        read_index(str(path))[0]
    assert "odd.parquet" in str(caught.value)


def test_another_crs_is_named(tmp_path: Path) -> None:
    geo = {"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "crs": UTM}}}
    path = write(tmp_path / "odd.parquet", geo, geometry=pa.array(WKB), assets=pa.array(ASSETS))
    with pytest.raises(InputError, match=r"holds no degrees \(WGS 84 / UTM zone 10N\)"):
        read_index(str(path))


def test_a_geometry_column_of_another_name_is_found(tmp_path: Path) -> None:
    geo = {"primary_column": "footprint", "columns": {"footprint": {"encoding": "WKB"}}}
    path = write(tmp_path / "x.parquet", geo, "footprint", geometry=pa.array(WKB), assets=pa.array(ASSETS))
    assert [item["id"] for item in read_index(str(path))] == ["a", "b"]
    assert "footprint" not in read_index(str(path))[0]["properties"]


@pytest.mark.parametrize("geometry", ["native", "wkt", "geojson"])
def test_windows_are_matched_from_a_file_with_another_encoding(root: DataRoot, tmp_path: Path, geometry: str) -> None:
    item = write_scene(tmp_path, SmallScene("s"))
    shape = shapely.geometry.shape(item["geometry"])
    ring = [{"x": x, "y": y} for x, y in shape.exterior.coords]
    column = {"native": [[ring]], "wkt": [shape.wkt], "geojson": [shapely.to_geojson(shape)]}[geometry]
    table = {"id": ["s"], "geometry": column, "assets": [json.dumps(item["assets"])]}
    pq.write_table(
        pa.table(table | {key: [value] for key, value in item["properties"].items()}), tmp_path / "i.parquet"
    )
    settings = make_dataset(root, tmp_path / "i.parquet")
    matches, _ = match_scenes(make_windows(root, [(5, 5)]), root.dataset, settings)
    assert matches["item_ids"].tolist() == [["s"]]
