"""Numbers of any sensor's files become digital numbers of a layer: reflectance × 10,000, 0 without data."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import yaml
from rasterio.crs import CRS
from rslearn.config import LayerConfig, QueryConfig
from rslearn.tile_stores import get_tile_store_with_layer
from rslearn.utils.geometry import Projection, STGeometry

from burnscar_assets.catalog.archive import CogArchive
from burnscar_assets.catalog.band_assets import band_hrefs
from burnscar_assets.catalog.bulk_items import search_in_parts
from burnscar_assets.catalog.search_options import SearchOptions
from burnscar_assets.dataset.config import (
    data_source,
    decisive_config,
    open_dataset,
    validate_layers,
    write_dataset_config,
)
from burnscar_assets.environment import CONFIG_VARIABLE
from burnscar_assets.reader.read import read_windows
from burnscar_assets.reader.request import WindowImage, WindowRequest
from burnscar_assets.sensors.load import default_sensor, load_sensor
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.sensors.sensor_archive import (
    EPSG,
    LEFT,
    TOP,
    Reflectance,
    SensorScene,
    random_reflectance,
    write_sensor_archive,
)
from burnscar_assets_tests.sensors.test_sensors import OWN

AUGUST = datetime(2022, 8, 1, tzinfo=UTC), datetime(2022, 8, 31, tzinfo=UTC)
OTHERS = pytest.mark.parametrize("name", ["landsat-c2-l2", "hls"])


def dataset(root: DataRoot, sensor: Sensor, *scenes: SensorScene) -> Any:
    """The dataset of a world of this sensor."""
    index = write_sensor_archive(root.path / "archive", sensor, *scenes)
    imagery = ImagerySettings(
        sensor=sensor.name, layer=sensor.layer, dataset_config="dataset-sensor.json", archive=str(index)
    )
    write_dataset_config(imagery, root)
    return open_dataset(root.dataset)


def window(sensor: Sensor) -> STGeometry:
    """The archive's first 16 by 16 pixels."""
    side = sensor.resolution_m
    left, top = LEFT / side, -TOP / side
    shape = shapely.box(left, top, left + 16, top + 16)
    return STGeometry(Projection(CRS.from_epsg(EPSG), side, -side), shape, AUGUST)


def read(root: DataRoot, sensor: Sensor, *scenes: SensorScene) -> WindowImage:
    """The first window of an archive, read by the engine."""
    opened = dataset(root, sensor, *scenes)
    config, source = opened.layers[sensor.layer], data_source(opened, sensor.layer)
    asked = window(sensor)
    groups = source.get_items([asked], QueryConfig())[0]
    bounds = tuple(int(edge) for edge in asked.shp.bounds)
    request = WindowRequest("w", asked.projection, bounds, [list(group.items) for group in groups])
    store = get_tile_store_with_layer(opened.get_tile_store(), sensor.layer, config)
    return next(iter(read_windows([request], config, source, store)))


def expected(sensor: Sensor, reflectance: Reflectance) -> np.ndarray:
    planes = np.stack([reflectance[name][:16, :16] for name in sensor.names])
    return np.where(np.isnan(planes), 0, np.clip(planes * 10_000, 1, None))


@OTHERS
@pytest.mark.parametrize("nodata_named", [True, False])
def test_reflectance_comes_back_whatever_scale_offset_and_fill(name: str, nodata_named: bool, root: DataRoot) -> None:
    sensor = load_sensor(name)
    reflectance = random_reflectance(sensor)
    for plane in reflectance.values():
        plane[:2, :5] = np.nan
    reflectance[sensor.names[0]][4, 4] = -0.01
    reflectance[sensor.names[0]][5, 5] = 0 if sensor.nodata else 0.5
    image = read(root, sensor, SensorScene("s", reflectance, nodata_named=nodata_named))
    assert image.failure is None and [d.decided_by for d in image.radiometry] == ["sensor"]
    pixels = image.rasters[0][0].get_chw_array()
    assert pixels.dtype == np.uint16 and pixels.shape == (len(sensor.names), 16, 16)
    assert np.abs(pixels - expected(sensor, reflectance)).max() <= 1
    assert (pixels[:, :2, :5] == 0).all() and pixels[0, 4, 4] == 1, "dark ground is no missing pixel"


def test_rslearns_own_command_makes_the_same_pixels(root: DataRoot) -> None:
    sensor = load_sensor("landsat-c2-l2")
    scene = SensorScene("s", random_reflectance(sensor))
    ours = read(root, sensor, scene).rasters[0][0].get_chw_array()
    source = data_source(open_dataset(root.dataset), sensor.layer)
    asked = window(sensor)
    item = source.get_items([asked], QueryConfig())[0][0].items[0]
    bounds = tuple(int(edge) for edge in asked.shp.bounds)
    planes = [
        source.read_raster(sensor.layer, item, [band], asked.projection, bounds).get_chw_array()
        for band in sensor.names
    ]
    assert np.array_equal(ours, np.concatenate(planes))


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"scale": 0.0000275, "offset": -0.2}, ""),
        ({"scale": 0.0001, "offset": 0.0}, "scale 0.0001, offset 0 is stated"),
    ],
)
def test_what_an_item_states_must_agree_with_the_sensor(stated: dict, reason: str, root: DataRoot) -> None:
    sensor = load_sensor("landsat-c2-l2")
    image = read(root, sensor, SensorScene("s", random_reflectance(sensor), stated=stated))
    assert (image.failure is None) is not bool(reason)
    assert reason in (image.failure.reason if image.failure else "")


def test_numbers_of_another_type_are_set_aside(root: DataRoot) -> None:
    landsat = load_sensor("landsat-c2-l2")
    alike = landsat.model_copy(update={"dtype": "int16"})
    write_sensor_archive(root.path / "x", alike, SensorScene("s", random_reflectance(alike)))
    (root.path / "x").rename(root.path / "archive")
    imagery = ImagerySettings(
        sensor=landsat.name, layer="landsat", dataset_config="dataset-sensor.json", archive="archive/index.parquet"
    )
    write_dataset_config(imagery, root)
    opened = open_dataset(root.dataset)
    source = data_source(opened, "landsat")
    asked = window(landsat)
    groups = [list(group.items) for group in source.get_items([asked], QueryConfig())[0]]
    request = WindowRequest("w", asked.projection, tuple(int(e) for e in asked.shp.bounds), groups)
    store = get_tile_store_with_layer(opened.get_tile_store(), "landsat", opened.layers["landsat"])
    image = next(iter(read_windows([request], opened.layers["landsat"], source, store)))
    assert image.failure is not None and "numbers are of type int16, not uint16" in image.failure.reason


def test_each_product_of_hls_is_read_by_its_own_names(tmp_path: Path) -> None:
    sensor = load_sensor("hls")
    for product, keys in sensor.assets.items():
        others = {"B10": {"href": "thermal"}, "B11": {"href": "B11"}, "B06": {"href": "B06"}, "B05": {"href": "B05"}}
        assets = others | {key: {"href": key} for key in keys.values()}
        assert band_hrefs(assets, sensor.names, {}, sensor) == {name: keys[name] for name in sensor.names}, product
    lacking = {key: {"href": key} for key in sensor.assets["hls-l30"].values() if key != "B06"} | {"B11": {"href": "t"}}
    assert "swir1" not in band_hrefs(lacking, sensor.names, {}, sensor), "B11 of L30 is thermal"


@pytest.mark.parametrize("without", ["B8A", "B12", "B11"])
def test_an_s30_item_of_hls_that_lacks_a_band_is_not_read_as_l30(without: str) -> None:
    sensor = load_sensor("hls")
    keys = sensor.assets["hls-s30"]
    there = {"B01", "B05", "B06", "B07", "B08", "B09", "B10", *keys.values()} - {without}
    found = band_hrefs({key: {"href": key} for key in there}, sensor.names, {}, sensor)
    assert found == {name: keys[name] for name in sensor.names if keys[name] != without}


def test_a_composite_is_of_a_window_only_with_all_its_days(tmp_path: Path) -> None:
    sensor = load_sensor("hls").model_copy(update={"kind": "composites"})
    reflectance = random_reflectance(sensor)
    index = write_sensor_archive(
        tmp_path,
        sensor,
        SensorScene("whole", reflectance, "2022-08-02T00:00:00Z", "2022-08-20T00:00:00Z"),
        SensorScene("earlier", reflectance, "2022-07-20T00:00:00Z", "2022-08-10T00:00:00Z"),
    )

    def found(kind: str) -> set[str]:
        told = sensor.model_copy(update={"kind": kind}).model_dump(mode="json")
        groups = CogArchive(str(index), sensor=told).get_items([window(sensor)], QueryConfig(max_matches=9))[0]
        return {item.name for group in groups for item in group.items}

    assert found("composites") == {"whole"} and found("scenes") == {"whole", "earlier"}


def test_windows_that_share_a_search_get_the_composites_of_their_own_days(tmp_path: Path) -> None:
    sensor = load_sensor("hls").model_copy(update={"kind": "composites"})
    scene = SensorScene("c", random_reflectance(sensor), "2022-07-20T00:00:00Z", "2022-08-10T00:00:00Z")
    source = CogArchive(str(write_sensor_archive(tmp_path, sensor, scene)), sensor=sensor.model_dump(mode="json"))
    late = window(sensor)
    early = STGeometry(
        late.projection, late.shp, (datetime(2022, 7, 10, tzinfo=UTC), datetime(2022, 8, 15, tzinfo=UTC))
    )
    found = {
        position: ([item.name for group in groups for item in group.items], [item.name for item in ranked])
        for part in search_in_parts(source, [late, early], QueryConfig(), SearchOptions(candidates=3))
        for position, groups, ranked in zip(part.positions, part.groups, part.ranked, strict=True)
    }
    assert found == {0: ([], []), 1: (["c"], ["c"])}, "the fire is between the first day of the composite and the late"


def test_the_configuration_of_sentinel_2_names_no_sensor(root: DataRoot) -> None:
    write_dataset_config(ImagerySettings(archive="a.parquet"), root)
    layer = open_dataset(root.dataset).layers["sentinel2_l2a"]
    assert "sensor" not in layer.data_source.init_args
    assert tuple(layer.band_sets[0].bands) == default_sensor().names


def test_a_layer_is_known_by_what_of_its_sensor_decides_results() -> None:
    def known(sensor: Sensor) -> Any:
        source = {"class_path": "a.B", "init_args": {"sensor": sensor.model_dump(mode="json")}}
        return decisive_config(LayerConfig(type="raster", band_sets=[sensor.band_set()], data_source=source))

    sensor = load_sensor("hls")
    assert known(sensor) == known(sensor.model_copy(update={"title": "Other", "scene_km": 9}))
    assert known(sensor) != known(sensor.model_copy(update={"nodata": 9}))


def test_composites_of_a_sensor_of_ones_own_are_read_as_its_file_says(
    root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "world.yaml"))
    (tmp_path / "sensors").mkdir()
    own = OWN | {"dtype": "float32", "nodata": -1.0, "radiometry": {"scale": 1.0}}
    (tmp_path / "sensors" / "own.yaml").write_text(yaml.safe_dump(own))
    sensor = load_sensor("own")
    reflectance = random_reflectance(sensor)
    reflectance["n"][3, 3] = np.nan
    image = read(root, sensor, SensorScene("c", reflectance, "2022-08-02T00:00:00Z", "2022-08-28T00:00:00Z"))
    pixels = image.rasters[0][0].get_chw_array()
    assert image.failure is None and np.abs(pixels - expected(sensor, reflectance)).max() <= 1


def test_images_before_and_after_are_layers_of_whatever_sensor(root: DataRoot) -> None:
    sensor = load_sensor("landsat-c2-l2")
    imagery = ImagerySettings(
        sensor=sensor.name, layer="landsat", dataset_config="dataset-sensor-pre-post.json", archive="a.parquet"
    )
    write_dataset_config(imagery, root)
    for layer in ("landsat", "landsat_pre"):
        validate_layers(root.dataset, layer, sensor.names)
        assert data_source(open_dataset(root.dataset), layer).sensor == sensor
