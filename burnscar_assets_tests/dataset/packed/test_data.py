"""Pixels and features through rslearn's API: the same as from rslearn's own layout."""

import pickle
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rslearn.dataset import Window
from rslearn.dataset.storage.file import FileWindowStorage
from rslearn.dataset.window import WindowLayerData
from rslearn.dataset.window_data_storage.per_item_group import PerItemGroupStorageFactory
from rslearn.utils.feature import Feature
from rslearn.utils.geometry import Projection, STGeometry
from rslearn.utils.raster_array import RasterArray, RasterMetadata
from rslearn.utils.raster_format import GeotiffRasterFormat
from rslearn.utils.vector_format import GeojsonCoordinateMode, GeojsonVectorFormat, TileVectorFormat
from upath import UPath

from burnscar_assets.dataset.packed.data import PackedData
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets_tests.dataset.packed.pack_kit import GROUP, storage_in

UTM = Projection(CRS.from_epsg(32610), 10, -10)
CORNER = (60_000, -430_002)
START = datetime(2022, 8, 1, 12, 30, 5, 7, tzinfo=UTC)
TIMES = (START, START + timedelta(days=30))
SEVERAL = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

PROJECTIONS = {
    "the same": UTM,
    "equal": Projection(CRS.from_string("EPSG:32610"), 10.0, -10.0),
    "half": Projection(UTM.crs, 20, -20),
    "double": Projection(UTM.crs, 5, -5),
    "next zone": Projection(CRS.from_epsg(32611), 10, -10),
    "web": Projection(CRS.from_epsg(3857), 12.5, -12.5),
}


def windows_in(tmp_path: Path, side: int = 16, projection: Projection = UTM, name: str = "w") -> tuple[Window, Window]:
    """The same window in rslearn's layout and packed, in a new folder."""
    tmp_path = Path(tempfile.mkdtemp(dir=tmp_path))
    packed, factory = storage_in(tmp_path / "packed")
    place = (*CORNER, CORNER[0] + side, CORNER[1] + side)
    folders = FileWindowStorage(UPath(tmp_path / "folders"))
    pair = []
    for storage, data in ((folders, PerItemGroupStorageFactory()), (packed, factory)):
        window = Window(storage, GROUP, name, projection, place, TIMES, {"split": "train"}, data_factory=data)
        window.save()
        pair.append(window)
    return pair[0], pair[1]


def moved(projection: Projection, left: int, top: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Bounds on a grid, `left` and `top` pixels from where the window's corner lies on it."""
    point = STGeometry(UTM, shapely.Point(*CORNER), None).to_projection(projection).shp
    column, row = int(point.x) + left, int(point.y) + top
    return column, row, column + width, row + height


def check_same(one: RasterArray, other: RasterArray) -> None:
    assert one.array.dtype == other.array.dtype
    np.testing.assert_array_equal(one.array, other.array)
    assert one.timestamps == other.timestamps
    a, b = one.metadata.nodata_value, other.metadata.nodata_value
    assert (a is None) == (b is None)
    assert a is None or np.array_equal(a, b, equal_nan=True)


@SEVERAL
@given(data=st.data())
def test_rasters_are_read_as_from_geotiffs(tmp_path: Path, data: st.DataObject) -> None:
    grid = data.draw(st.sampled_from([None, *sorted(PROJECTIONS)]))
    array, nodata = data.draw(rasters(whole=grid in (None, "the same", "equal")))
    times = [TIMES] * array.shape[1] if data.draw(st.booleans()) else None
    raster = RasterArray(array=array, timestamps=times, metadata=RasterMetadata(nodata))
    names = [f"B{number:02d}" for number in range(len(array))]
    choices: dict[str, Any] = {"group_idx": data.draw(st.integers(0, 2))}
    pair = windows_in(tmp_path, array.shape[-1])
    for window in pair:
        with window.data.open_layer_writer("layer") as writer:
            writer.write_raster(names, GeotiffRasterFormat(), UTM, window.bounds, raster, **choices)
    if grid is not None:
        onto, shift, size = PROJECTIONS[grid], st.integers(-20, 20), st.integers(1, 24)
        choices |= {"projection": onto, "bounds": moved(onto, *(data.draw(s) for s in (shift, shift, size, size)))}
        choices["resampling"] = data.draw(st.sampled_from([Resampling.nearest, Resampling.bilinear, Resampling.cubic]))
    expected, got = (window.data.read_raster("layer", names, GeotiffRasterFormat(), **choices) for window in pair)
    check_same(got, expected)
    assert got.array.flags.writeable


@st.composite
def rasters(draw: st.DrawFn, whole: bool) -> tuple[np.ndarray, float | None]:
    """Pixels and their nodata value; if `whole`, all bands of a pixel that GDAL would change lack data, or none."""
    dtype = draw(st.sampled_from(["uint8", "int16", "uint16", "int32", "float32"]))
    nodata = draw(st.sampled_from([None, 0, 7] + ([float("nan")] if dtype == "float32" else [])))
    bands, steps, side = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 16))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    array = rng.integers(10, 120, (bands, steps, side, side)).astype(dtype)
    lacking = rng.random((side, side) if whole and dtype in ("uint8", "int32") else array.shape) < draw(
        st.sampled_from([0.0, 0.3, 1.0])
    )
    array[np.broadcast_to(lacking, array.shape)] = 0 if nodata is None else nodata
    return array, nodata


def test_pixels_that_lack_data_in_some_bands_are_read_as_they_were_written(tmp_path: Path) -> None:
    """GDAL makes -1 of their 0 in 32-bit integers (and reads four bands of bytes as RGBA): we don't."""
    pair = windows_in(tmp_path, 2)
    array = np.array([[0, 9], [5, 5]], "int32").reshape(2, 1, 1, 2).repeat(2, axis=2)
    raster = RasterArray(array=array, metadata=RasterMetadata(0))
    read = []
    for window in pair:
        with window.data.open_layer_writer("layer") as writer:
            writer.write_raster(["a", "b"], GeotiffRasterFormat(), UTM, window.bounds, raster)
        read.append(window.data.read_raster("layer", ["a", "b"], GeotiffRasterFormat()).array)
    assert np.array_equal(read[1], array)
    assert read[0].min() == -1


@SOME
@given(data=st.data())
def test_features_are_read_as_from_geojson(tmp_path: Path, data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(list(GeojsonCoordinateMode)))
    vector_format = GeojsonVectorFormat(coordinate_mode=mode)
    written = PROJECTIONS[data.draw(st.sampled_from(["the same", "half", "next zone"]))]
    features = []
    for number in range(data.draw(st.integers(0, 3))):
        left, top = data.draw(st.integers(-30, 30)), data.draw(st.integers(-30, 30))
        box = shapely.box(*moved(written, left, top, data.draw(st.integers(1, 9)), 5))
        features.append(Feature(STGeometry(written, box, None), {"category": "bränt", "n": number, "x": None}))
    pair = windows_in(tmp_path)
    for window in pair:
        with window.data.open_layer_writer("label") as writer:
            writer.write_vector(vector_format, features)
    onto = PROJECTIONS[data.draw(st.sampled_from(["the same", "equal", "half", "next zone"]))]
    choices: dict[str, Any] = {}
    if data.draw(st.booleans()):
        choices = {"projection": onto, "bounds": moved(onto, data.draw(st.integers(-20, 20)), 0, 10, 10)}
    expected, got = (window.data.read_vector("label", vector_format, **choices) for window in pair)
    assert [feature.to_geojson() for feature in got] == [feature.to_geojson() for feature in expected]
    assert [feature.geometry.projection for feature in got] == [feature.geometry.projection for feature in expected]


def test_a_writer_that_fails_writes_nothing(tmp_path: Path) -> None:
    window = windows_in(tmp_path)[1]
    raster = RasterArray(chw_array=np.ones((1, 16, 16), "uint8"))

    def write(value: int) -> None:
        with window.data.open_layer_writer("layer") as writer:
            raster.array[:] = value
            writer.write_raster(["a"], GeotiffRasterFormat(), UTM, window.bounds, raster, 0)
            if value == 3:
                raise KeyboardInterrupt
            writer.write_raster(["a"], GeotiffRasterFormat(), UTM, window.bounds, raster, 1)

    write(2)
    with pytest.raises(KeyboardInterrupt):
        write(3)
    read = window.data.read_rasters("layer", ["a"], [1, 0], GeotiffRasterFormat())
    assert [raster.array.max() for raster in read] == [2, 2]
    with pytest.raises(MissingDataError, match="window w"):
        window.data.read_raster("layer", ["a"], GeotiffRasterFormat(), group_idx=2)
    with pytest.raises(MissingDataError, match="window w has no features of label"):
        window.data.read_vector("label", GeojsonVectorFormat())


def test_packed_pixels_need_packed_windows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="PackedWindowStorageFactory") as raised:
        PackedData(windows_in(tmp_path)[0])
    assert "window_data_storage" in str(raised.value)


def test_what_can_not_be_stored_is_refused(tmp_path: Path) -> None:
    window = windows_in(tmp_path)[1]
    raster = RasterArray(chw_array=np.ones((1, 16, 16), "uint8"))
    with window.data.open_layer_writer("layer") as writer:
        with pytest.raises(InputError, match="GeojsonVectorFormat"):
            writer.write_vector(TileVectorFormat(), [])
        with pytest.raises(InputError, match="correct the band set"):
            writer.write_raster(["a", "b"], GeotiffRasterFormat(), UTM, window.bounds, raster)
    with pytest.raises(InputError, match="local disk"):
        storage_in(UPath("memory://dataset"))
    with pytest.raises(InputError, match="name of a group"):
        window.storage.pack("../2022")


def test_window_storage_is_that_of_folders(tmp_path: Path) -> None:
    pair = windows_in(tmp_path)
    said = {
        "post": WindowLayerData("post", [[{"name": "a"}, {"name": "b"}], []], [TIMES, None], True),
        "pre": WindowLayerData("pre", [[{"name": "a"}]]),
    }
    results = []
    for window in pair:
        assert window.load_layer_datas() == {}
        window.save_layer_datas(said)
        window.mark_layer_completed("post")
        window.mark_layer_completed("post", 1)
        other = Window(window.storage, "2021", "v", PROJECTIONS["half"], (0, 1, 2, 3), None, {"n": [1, None]})
        other.save()
        storage = window.storage
        loaded = sorted(storage.get_windows(), key=lambda window: window.name)
        results.append(
            [
                [w.get_metadata() for w in loaded],
                [w.name for w in storage.get_windows(groups=["2021", "1999"])],
                [w.name for w in storage.get_windows(names=["w", "x"])],
                [w.name for w in storage.get_windows(groups=["2021"], names=["w"])],
                [data.serialize() for data in window.load_layer_datas().values()],
                sorted(window.list_completed_layers()),
                [window.is_layer_completed("post", 1), window.is_layer_completed("post", 2)],
                str(window.window_root)[len(str(storage.path)) :],
            ]
        )
    assert results[0] == results[1]
    storage = pair[1].storage
    assert storage.completed(GROUP, "post") == {"w"}
    assert {layer: data.serialize() for layer, data in storage.layer_datas(GROUP)["w"].items()} == {
        layer: data.serialize() for layer, data in said.items()
    }
    storage.remove_layer(GROUP, ["w"], "post")
    assert not pair[1].is_layer_completed("post") and pair[1].load_layer_datas()
    assert storage.remove_windows(GROUP, ["w"]) == 1
    assert [window.name for window in storage.get_windows()] == ["v"]
    assert not pair[1].window_root.exists()


def test_windows_travel_between_processes(tmp_path: Path) -> None:
    window = windows_in(tmp_path)[1]
    raster = RasterArray(chw_array=np.ones((1, 16, 16), "uint8"))
    with window.data.open_layer_writer("layer") as writer:
        writer.write_raster(["a"], GeotiffRasterFormat(), UTM, window.bounds, raster)
    copy: Window = pickle.loads(pickle.dumps(window))
    check_same(copy.data.read_raster("layer", ["a"], GeotiffRasterFormat()), raster)


def test_many_windows_in_one_transaction(tmp_path: Path) -> None:
    storage, factory = storage_in(tmp_path)
    label = {"type": "FeatureCollection", "properties": UTM.serialize(), "features": []}
    window = Window(storage, GROUP, "a", UTM, (0, 0, 8, 8), TIMES, {})
    with pytest.raises(KeyboardInterrupt), storage.transaction(GROUP):
        storage.put_windows(GROUP, [(window, label)], "label")
        raise KeyboardInterrupt
    assert storage.get_windows() == []
    storage.put_windows(GROUP, [(window, label), (window.get_metadata() | {"name": "b"}, None)], "label")
    loaded = storage.get_windows()
    assert [(w.name, w.is_layer_completed("label")) for w in loaded] == [("a", True), ("b", False)]
    assert factory.create(loaded[0]).read_vector("label", GeojsonVectorFormat()) == []
