"""Areas of interest as people give them, and as they should not."""

import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon, box

from burnscar_assets.cli.maps import with_bounding_box
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import Box, frame_around, zone_of
from burnscar_assets.publish import aoi
from burnscar_assets.publish.aoi import read_aoi
from burnscar_assets.publish.polygons import write_polygons

SQUARE = box(-120.4, 38.0, -120.3, 38.1)


def written(folder: Path, name: str, *shapes: shapely.Geometry, crs: str | None = "EPSG:4326") -> str:
    path = folder / name
    layer = gpd.GeoDataFrame({"n": range(len(shapes))}, geometry=list(shapes), crs="EPSG:4326" if crs else None)
    layer = layer.to_crs(crs) if crs else layer
    if path.suffix in (".parquet", ".geoparquet"):
        layer.rename_geometry("outline").to_parquet(path)
    else:
        layer.to_file(path, **({"driver": "KML"} if path.suffix == ".kml" else {}))
    return str(path)


@pytest.mark.parametrize(
    ("name", "crs"),
    [
        ("a.geojson", "EPSG:4326"),
        ("a.gpkg", "EPSG:3310"),
        ("a.shp", "EPSG:32610"),
        ("a.gpkg", "EPSG:2227"),
        ("a.parquet", "EPSG:3310"),
        ("a.geoparquet", "EPSG:4326"),
        ("a.shp.zip", "EPSG:32610"),
        ("a.fgb", "EPSG:32611"),
        ("a.kml", "EPSG:4326"),
    ],
)
def test_a_file_of_any_kind_and_coordinate_system_is_the_same_area(name: str, crs: str, tmp_path: Path) -> None:
    aoi = read_aoi(written(tmp_path, name, SQUARE, crs=crs))
    assert aoi.name == "a" and aoi.origin == name
    assert aoi.geometry.symmetric_difference(SQUARE).area < 1e-4 * SQUARE.area


def test_a_box_and_geojson_itself_are_areas_too() -> None:
    assert read_aoi("-120.4,38,-120.3,38.1").geometry.equals(SQUARE)
    assert read_aoi(shapely.to_geojson(SQUARE)).geometry.equals(SQUARE)
    assert with_bounding_box(["map", "--aoi", "-120,38,-119,39"]) == ["map", "--aoi=-120,38,-119,39"]
    assert with_bounding_box(["map", "--aoi", "a.gpkg", "--yes"]) == ["map", "--aoi", "a.gpkg", "--yes"]


def test_all_polygons_of_a_file_count_and_an_invalid_one_is_mended(tmp_path: Path) -> None:
    bowtie = Polygon([(-120, 38), (-119.9, 38.1), (-119.9, 38), (-120, 38.1)])
    area = read_aoi(written(tmp_path, "two.gpkg", SQUARE, bowtie)).geometry
    assert area.is_valid and area.area == pytest.approx(SQUARE.area + 0.005)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere.gpkg", "no file nowhere.gpkg"),
        ("170,1,-170,2", "crosses the antimeridian: map its two sides one by one"),
        ("-120,38,-120,39", "is empty"),
        ("-120,39,-119,38", "is empty"),
        ("-120,88,-119,89", "where UTM ends"),
        ("-600000,10,-599000,20", "no longitude and latitude.*they look like metres or feet"),
        ("38,-120,39,-119", r"did you mean -120,38,-119,39\?"),
        ("-120,-119,38,39", r"did you mean -120,38,-119,39\?"),
        ("38,39,-120,-119", r"did you mean -120,38,-119,39\?"),
        ("240,38,241,39", "no longitude and latitude.*take 360 from its longitudes"),
        ("179,50,181,51", "no longitude and latitude.*cross the antimeridian"),
        ("-120,38,-119.99999,38.00001", r"covers 0.97 m², less than a pixel"),
        ("nan,38,-119,39", "is empty"),
        ('{"type": "FeatureCollection", "features": []}', "is empty"),
        ('{"type": "Point", "coordinates": [-120, 38]}', "no area"),
        ('{"type": "Polygon", "coordinates": [[[38, -120], [39, -120], [39, -119], [38, -120]]]}', "swapped"),
        ('{"type": "nothing"}', "no GeoJSON"),
    ],
)
def test_what_is_no_area_is_refused_with_what_to_do(given: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_aoi(given)


def test_files_without_an_area_are_refused_each_with_its_reason(tmp_path: Path) -> None:
    text = tmp_path / "no.txt"
    text.write_text("hello")
    empty = tmp_path / "empty.gpkg"
    gpd.GeoDataFrame(geometry=gpd.GeoSeries([], crs="EPSG:4326")).to_file(empty, layer="a", geometry_type="Polygon")
    around_the_world = shapely.union(box(-179.9, 50, -179, 51), box(179, 50, 179.9, 51))
    cases = {
        str(text): "can't be read as vectors",
        str(empty): "has no features",
        written(tmp_path, "points.geojson", Point(-120, 38)): "has no area",
        written(tmp_path, "bare.shp", SQUARE, crs=None): "does not say its coordinate system",
        written(tmp_path, "aleutians.gpkg", around_the_world): "crosses the antimeridian",
    }
    for path, said in cases.items():
        with pytest.raises(InputError, match=said):
            read_aoi(path)


@given(
    west=st.floats(-122, -115), south=st.floats(33, 41), side=st.floats(0.01, 0.5),
    crs=st.sampled_from(["EPSG:4326", "OGC:CRS84", "EPSG:3310", "EPSG:26910", "EPSG:32611", "EPSG:3857", "EPSG:2227"]),
    kind=st.sampled_from(["gpkg", "parquet", "geoarrow", "extension", "zip"]),
    name=st.sampled_from(["shape", "wkb"]),
)  # fmt: skip
@settings(max_examples=14, deadline=None)
def test_what_is_written_is_read(west: float, south: float, side: float, crs: str, kind: str, name: str) -> None:
    area = box(west, south, west + side, south + side)
    layer = gpd.GeoDataFrame(geometry=[area], crs="EPSG:4326").to_crs(crs).rename_geometry(name)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / ("a.gpkg" if kind in ("gpkg", "zip") else "a.parquet")
        if kind == "parquet":
            layer.to_parquet(path, write_covering_bbox=True)
        elif kind == "geoarrow":
            layer.to_parquet(path, geometry_encoding="geoarrow", schema_version="1.1.0")
        elif kind == "extension":
            pq.write_table(pa.table(layer.to_arrow(geometry_encoding="geoarrow")), path)
        else:
            layer.to_file(path)
        if kind == "zip":
            with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
                archive.write(path, "folder of it/a.gpkg")
            path = path.with_suffix(".zip")
        found = read_aoi(str(path)).geometry
    assert found.symmetric_difference(area).area < 0.02 * area.area


@given(
    west=st.floats(-122, -115), south=st.floats(33, 41), side=st.floats(0.01, 0.5),
    crs=st.sampled_from(["EPSG:3310", "EPSG:26910", "EPSG:32611", "EPSG:3857"]), swapped=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_coordinates_that_are_not_what_their_crs_says_are_refused(
    west: float, south: float, side: float, crs: str, swapped: bool
) -> None:
    area = box(west, south, west + side, south + side)
    turned = shapely.transform(area, lambda xy: xy[:, ::-1])
    metres = gpd.GeoSeries([area], crs="EPSG:4326").to_crs(crs).iloc[0]
    if swapped:
        cases = [(turned, "EPSG:4326", "are longitude and latitude swapped")]
    else:
        cases = [(area, crs, "look like degrees, but says that they are")]
    for shape, named, expected in [*cases, (metres, "EPSG:4326", "no longitude and latitude")]:
        layer = gpd.GeoDataFrame(geometry=[shape], crs=named)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match=expected):
            patch.setattr(aoi, "read_layers", lambda path, layer=layer: {path.stem: layer})
            read_aoi(__file__)


@pytest.mark.parametrize(
    ("shape", "named", "expected"),
    [
        (shapely.transform(SQUARE, lambda xy: xy[:, ::-1]), "EPSG:4326", "are longitude and latitude swapped"),
        (SQUARE, "EPSG:26910", "look like degrees, but says that they are"),
        (box(700_000, 4_200_000, 701_000, 4_201_000), "EPSG:4326", "no longitude and latitude"),
    ],
)
def test_a_file_whose_crs_is_wrong_is_refused(tmp_path: Path, shape: Polygon, named: str, expected: str) -> None:
    gpd.GeoDataFrame(geometry=[shape], crs=named).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=expected):
        read_aoi(str(tmp_path / "a.parquet"))


def test_our_own_files_are_areas(tmp_path: Path) -> None:
    burned = gpd.GeoDataFrame(
        {"area_ha": [1.0], "holes": [0]}, geometry=[box(600_000, 4_200_000, 601_000, 4_201_000)], crs="EPSG:32610"
    )
    paths = write_polygons(burned, tmp_path, perimeter=burned.geometry.buffer(50), simulated=True)
    areas = [read_aoi(str(path)).geometry for path in paths]
    covered_ha = [gpd.GeoSeries([area], crs="EPSG:4326").to_crs(32610).area.item() / 1e4 for area in areas]
    assert covered_ha == pytest.approx([120.8, 100, 100], rel=1e-3), "the GeoPackage has the perimeter too"


def test_parquet_is_read_by_its_metadata_or_refused_for_what_it_lacks(tmp_path: Path) -> None:
    plain, damaged, local = (tmp_path / f"{name}.parquet" for name in ("plain", "damaged", "local"))
    pq.write_table(pa.table({"id": [1], "geometry": [SQUARE.wkb]}), plain)
    with pytest.raises(InputError, match=r"Parquet without geometry metadata \(columns id, geometry\): save it as"):
        read_aoi(str(plain))
    whole = Path(written(tmp_path, "whole.parquet", SQUARE)).read_bytes()
    for cut in (b"hello", whole[: len(whole) // 2]):
        damaged.write_bytes(cut)
        with pytest.raises(InputError, match="can't be read as GeoParquet"):
            read_aoi(str(damaged))
    gpd.GeoDataFrame(geometry=[SQUARE]).to_parquet(local)
    with pytest.raises(InputError, match="does not say its coordinate system"):
        read_aoi(str(local))


@given(
    kind=st.sampled_from(["geojson", "gpkg", "shp", "fgb", "kml", "parquet", "zip"]),
    keep=st.floats(0.05, 1), changes=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), max_size=20),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_a_damaged_file_is_an_area_or_an_error(kind: str, keep: float, changes: list[tuple[float, int]]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(written(Path(temporary), "a.gpkg" if kind == "zip" else f"a.{kind}", SQUARE))
        if kind == "zip":
            with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
                archive.write(path, "a.gpkg")
            path = path.with_suffix(".zip")
        content = bytearray(path.read_bytes())
        for place, value in changes:
            content[int(place * len(content))] = value
        path.write_bytes(content[: int(keep * len(content))])
        with suppress(InputError):
            assert read_aoi(str(path)).geometry.is_valid


def test_a_long_edge_bends_as_it_does_in_the_coordinate_system_of_the_file(tmp_path: Path) -> None:
    long = box(-200_000, -300_000, 300_000, -100_000)
    gpd.GeoDataFrame(geometry=[long], crs="EPSG:3310").to_parquet(tmp_path / "a.parquet")
    area = gpd.GeoSeries([read_aoi(str(tmp_path / "a.parquet")).geometry], crs="EPSG:4326").to_crs(3310).item()
    assert area.symmetric_difference(long).area < 1e-4 * long.area


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    for name, content, said in (("a.txt", "b", "holds no vector file"), ("a.gpkg", "b", "can't be read as vectors")):
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, content)
        with pytest.raises(InputError, match=said):
            read_aoi(str(path))
    (tmp_path / "not.zip").write_text("no zip")
    with pytest.raises(InputError, match="is not a zip"):
        read_aoi(str(tmp_path / "not.zip"))


def test_a_crs_that_is_there_but_is_none_gets_the_message_of_a_missing_one(tmp_path: Path) -> None:
    layer = gpd.GeoDataFrame(geometry=[SQUARE])
    undefined = 'LOCAL_CS["Undefined Cartesian SRS",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    layer.set_crs(undefined).to_parquet(tmp_path / "aoi.parquet")
    with pytest.raises(InputError, match=r"does not say its coordinate system.*save it with one"):
        read_aoi(str(tmp_path / "aoi.parquet"))


@pytest.mark.real_data
def test_a_geopackage_with_an_undefined_crs(real_data: Path) -> None:
    path = real_data.parent / "cases" / "06-undefined-crs" / "aoi.gpkg"
    if not path.is_file():
        pytest.skip(f"no case at {path}")
    with pytest.raises(InputError, match=r"aoi.gpkg.*does not say its coordinate system.*save it with one"):
        read_aoi(str(path))


@pytest.mark.real_data
def test_an_infrared_perimeter_in_a_kmz(real_data: Path) -> None:
    (path,) = (real_data / "kmz").glob("*.kmz")
    area = read_aoi(str(path)).geometry
    assert gpd.GeoSeries([area], crs="EPSG:4326").to_crs(3310).area.item() / 1e4 == pytest.approx(42_000, rel=0.05)


def test_a_map_lies_in_the_zone_that_has_most_of_it() -> None:
    assert zone_of(box(-120.5, 38, -119.8, 38.2)) == 32610 and zone_of(box(-120.2, 38, -119.5, 38.2)) == 32611
    assert zone_of(box(146, -36, 146.5, -35.5)) == 32755
    with pytest.raises(InputError, match=r"5.0° beyond UTM zone 11.*cut it"):
        frame_around(box(-125, 38, -110, 39), 10)


def test_a_frame_holds_its_area_and_its_blocks_are_the_frame() -> None:
    frame = frame_around(SQUARE, 10, buffer_m=500)
    assert frame.footprint.contains(SQUARE)
    covered = frame.covers(SQUARE, frame.box)
    assert covered.shape == frame.shape and covered.sum() / 1e4 == pytest.approx(97.5, rel=0.01), "square kilometres"
    seen = np.zeros(frame.shape, int)
    for block in frame.blocks(100):
        seen[block.slices_in(frame.box)] += 1
        rows, columns = block.slices_in(frame.box)
        assert np.array_equal(frame.covers(SQUARE, block), covered[rows, columns])
    assert (seen == 1).all()
    assert Box(0, 0, 3, 2).slices_in(Box(-1, -1, 5, 5)) == (slice(1, 3), slice(1, 4))
