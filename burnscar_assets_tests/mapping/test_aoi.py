"""Areas of interest as people give them, and as they should not."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from shapely.geometry import Point, Polygon, box

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.aoi import read_aoi
from burnscar_assets.mapping.aoi_command import with_bounding_box
from burnscar_assets.mapping.frame import Box, frame_around, zone_of

SQUARE = box(-120.4, 38.0, -120.3, 38.1)


def written(folder: Path, name: str, *shapes: shapely.Geometry, crs: str | None = "EPSG:4326") -> str:
    path = folder / name
    layer = gpd.GeoDataFrame({"n": range(len(shapes))}, geometry=list(shapes), crs="EPSG:4326" if crs else None)
    (layer.to_crs(crs) if crs else layer).to_file(path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "crs"),
    [("a.geojson", "EPSG:4326"), ("a.gpkg", "EPSG:3310"), ("a.shp", "EPSG:32610"), ("a.gpkg", "EPSG:2227")],
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
        ("-600000,10,-599000,20", "no longitude and latitude"),
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
    for given, said in cases.items():
        with pytest.raises(InputError, match=said):
            read_aoi(given)


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
