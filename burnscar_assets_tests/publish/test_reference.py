"""Samples that people draw on maps: what is read of them, and one clear line for each way to get one wrong."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import frame_around
from burnscar_assets.mapping.spec import MapTask
from burnscar_assets.publish.reference import Reference, SampledMap, read_reference
from burnscar_assets_tests.publish.map_kit import degrees, task_of

AREA = degrees(200, -1400, 1500, -200)
FRAME = frame_around(AREA, 10)


def centres(*pixels: tuple[int, int]) -> list[shapely.Point]:
    """Middles of pixels by row and column of the map, EPSG:4326."""
    box = FRAME.box
    metres = [((box.left + column) * 10 + 5, -(box.top + row) * 10 - 5) for row, column in pixels]
    return list(gpd.GeoSeries(gpd.points_from_xy(*zip(*metres, strict=True), crs=FRAME.epsg)).to_crs(4326))


PLACES = centres((20, 20), (20, 60), (90, 40), (100, 100))
SAID = {"seen": ["burnt", " Burnt", "unburnt", "UNBURNT"]}


def write(folder: Path, points: list[shapely.Geometry] = PLACES, crs: object = 4326, **fields: object) -> Path:
    path = folder / "reference.gpkg"
    gpd.GeoDataFrame(fields or SAID, geometry=points, crs=crs).to_file(path)
    return path


def of_area(path: Path) -> Reference:
    return read_reference(path, of_fires=False)


def test_points_are_found_in_the_maps_pixels_whatever_their_crs_and_blocks(tmp_path: Path, task: MapTask) -> None:
    path = write(tmp_path)
    sample = of_area(path).on(FRAME, task)
    assert sample is not None
    assert list(zip(sample.row, sample.column, strict=True)) == [(20, 20), (20, 60), (90, 40), (100, 100)]
    gpd.read_file(path).to_crs(3310).to_file(tmp_path / "reference.gpkg")
    again = of_area(path).on(FRAME, task)
    assert again is not None and again.digest == sample.digest
    burned = np.zeros(FRAME.shape, np.uint8)
    burned[:50, :50], burned[95:, 95:] = 1, 255
    mapped = SampledMap(sample)
    for box in FRAME.blocks(32):
        mapped.look(box, FRAME, burned[box.slices_in(FRAME.box)])
    assert mapped.counts.tolist() == [[1, 0], [1, 1]] and mapped.without_answer == 1 and not mapped.drawn_elsewhere


@pytest.fixture
def task(tmp_path: Path) -> MapTask:
    return task_of(tmp_path, AREA)


def test_a_sample_knows_what_the_map_was_when_it_was_drawn(tmp_path: Path, task: MapTask) -> None:
    sample = of_area(write(tmp_path, **SAID, stratum=["burnt", "unburnt", "unburnt", "burnt"])).on(FRAME, task)
    assert sample is not None
    mapped = SampledMap(sample)
    mapped.look(FRAME.box, FRAME, np.ones(FRAME.shape, np.uint8))
    assert mapped.drawn_elsewhere == 2


def test_of_a_file_for_fires_each_map_gets_its_own_points(tmp_path: Path, task: MapTask) -> None:
    path = write(tmp_path, **SAID, fire_id=["f1", "f2", "f1", "f3"])
    reference = read_reference(path, of_fires=True)
    own = reference.on(FRAME, task.model_copy(update={"fire_id": "f1"}))
    assert own is not None and own.row.tolist() == [20, 90]
    assert reference.on(FRAME, task.model_copy(update={"fire_id": "f9"})) is None
    with pytest.raises(InputError, match=r"no field 'fire_id' .*the fire whose map"):
        read_reference(write(tmp_path), of_fires=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seen": ["burnt", "brunt", "?", "unburnt"]}, r"2 of 4 points say '\?', 'brunt' in field 'seen'.*burnt or"),
        ({"seen": ["burnt", None, "burnt", "unburnt"]}, "1 of 4 points say nothing in field 'seen'"),
        ({**SAID, "stratum": ["burnt", "forest", "burnt", "unburnt"]}, "1 of 4 points say 'forest' in field 'stratum'"),
        ({"class": ["burnt"] * 4}, r"no field 'seen' \(it has class\)"),
        ({"crs": None}, "no coordinate reference system|does not say its coordinate system"),
        ({"crs": 32610}, "look like degrees"),
        ({"points": [*PLACES[:3], PLACES[3].buffer(1)]}, "1 of its 4 features are no points"),
        ({"points": [*PLACES[:3], None]}, "1 of its 4 features are no points"),
    ],
)
def test_what_is_no_sample_is_refused_with_counts(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        of_area(write(tmp_path, **change))
    assert "reference.gpkg" in str(refused.value) and "\n" not in str(refused.value)


def test_points_off_the_map_are_counted(tmp_path: Path, task: MapTask) -> None:
    moved = [*PLACES[:2], *(shapely.Point(point.x + 1, point.y) for point in PLACES[2:])]
    with pytest.raises(InputError, match="2 of 4 points lie off the map of A: is the file's coordinate system"):
        of_area(write(tmp_path, moved)).on(FRAME, task)


def test_a_file_that_is_none_or_has_several_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        of_area(tmp_path / "none.gpkg")
    path = write(tmp_path)
    gpd.read_file(path).to_file(path, layer="second")
    with pytest.raises(InputError, match="2 layers"):
        of_area(path)
    virtual = tmp_path / "points.geojson"
    virtual.write_text("<OGRVRTDataSource><OGRVRTLayer name='x'/></OGRVRTDataSource>")
    with pytest.raises(InputError, match="can't be read"):
        of_area(virtual)
