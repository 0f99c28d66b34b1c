"""A world of Landsat images at 30 m, from points to a map: nothing on the way knows another sensor."""

from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.classes import CLASS_NAMES
from burnscar_assets.dataset.config import write_dataset_config
from burnscar_assets.dataset.label_layer import write_labels
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.points_csv import windows_from_csv, write_csv_windows
from burnscar_assets.dataset.tile_plots import plot_chips
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.inference import check_mappable
from burnscar_assets.mapping.settings import MappingSettings
from burnscar_assets.mapping.spec import MapSpec
from burnscar_assets.models.baselines.trainer import train_baseline
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.models.model import load_model
from burnscar_assets.publish.making import MapModel, make_map
from burnscar_assets.sensors.load import load_sensor
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import Settings, parse_settings
from burnscar_assets.setups import Setup
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs, write_table
from burnscar_assets_tests.publish.map_kit import AS_ANSWERED, task_of
from burnscar_assets_tests.sensors.sensor_archive import (
    EPSG,
    LEFT,
    SIDE_M,
    TOP,
    SensorScene,
    outline,
    write_sensor_archive,
)

YEAR = 2022
CELL_M = 480
SETTINGS = {
    "name": "landsat",
    "years": {"first": YEAR, "last": YEAR},
    "release": {"source": "none"},
    "sampling": {"splits": {"block_km": 1}},
    "imagery": {"sensor": "landsat-c2-l2", "archive": "archive/index.parquet"},
    "training": {"look_back_years": 0},
    "demo": {},
}
PLANTS = {"blue": 0.03, "green": 0.06, "red": 0.04, "nir": 0.35, "swir1": 0.18, "swir2": 0.09, "coastal": 0.02}
CHAR = PLANTS | {"nir": 0.14, "swir1": 0.2, "swir2": 0.22}
KINDS = [
    Setup(name="nbr", title="NBR", kind="threshold"),
    Setup(name="trees", title="Trees", kind="trees", trees={"rounds": 30, "min_windows_in_leaf": 3}),  # type: ignore[arg-type]
    Setup(name="pixels", title="Pixels", kind="trees", trees={"per": "pixel", "rounds": 30}),  # type: ignore[arg-type]
]


def scar(pixels: int) -> np.ndarray:
    """Where a scene of so many pixels a side is burnt: every second strip of four windows from west to east."""
    columns = np.arange(pixels) * SIDE_M // pixels // CELL_M
    return np.broadcast_to(columns // 4 % 2 == 1, (pixels, pixels))


def scene(sensor: Sensor) -> SensorScene:
    """A scene of plants and scars with some noise, a corner of it under cloud."""
    side = SIDE_M // 30
    rng = np.random.default_rng(1)
    reflectance = {}
    for band in sensor.bands:
        role = band.roles[0]
        level = np.where(scar(side), CHAR[role], PLANTS[role])
        reflectance[band.name] = level * rng.normal(1, 0.05, level.shape)
    quality = np.full((side, side), 21824, np.uint16)
    quality[:32, :32] = 22280
    return SensorScene("LC08_L2SP_044033_20220820", reflectance, quality=quality)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return parse_settings(SETTINGS, "landsat")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> DataRoot:
    """A world after tiles."""
    root = DataRoot(tmp_path_factory.mktemp("landsat") / "data")
    write_sensor_archive(root.path / "archive", settings.sensor, scene(settings.sensor))
    write_dataset_config(settings.imagery, root)
    windows = windows_from_csv(
        points(root.path / "points.csv"), settings.windows, settings.sampling.splits, settings.sensor
    )
    write_csv_windows(windows, root.dataset)
    named = zip(windows["window_id"], windows["category"], strict=True)
    write_labels(
        windows, {name: np.full((16, 16), CLASS_NAMES.index(told), np.uint8) for name, told in named}, root.dataset
    )
    write_table(root, WINDOWS, windows, YEAR)
    no_fires = gpd.GeoDataFrame({name: [] for name in FIRE_PERIMETERS.column_names}, crs=table_crs())
    write_table(root, FIRE_PERIMETERS, no_fires, YEAR)
    matches, summary = match_scenes(windows, root.dataset, settings.imagery)
    assert summary.matched == len(windows)
    tiles, _ = materialize_tiles(windows, matches, root.dataset, settings.imagery)
    write_table(root, TILES, tiles, YEAR)
    return root


def points(path: Path) -> Path:
    """A labelled point in the middle of each window."""
    to_wgs84 = pyproj.Transformer.from_crs(EPSG, 4326, always_xy=True).transform
    count = SIDE_M // CELL_M
    x, y = np.meshgrid(*[np.arange(1, count - 1)] * 2)
    longitude, latitude = to_wgs84(
        (LEFT // CELL_M + x.ravel() + 0.5) * CELL_M, (TOP // CELL_M - y.ravel() - 0.5) * CELL_M
    )
    label = np.where(scar(count)[0, x.ravel()], "burnt", "unburnt")
    pd.DataFrame({"lon": longitude, "lat": latitude, "time": "2022-08-15", "label": label}).to_csv(path, index=False)
    return path


def test_windows_and_tiles_follow_the_sensor(world: DataRoot, settings: Settings) -> None:
    windows, tiles = read_table(world, WINDOWS, YEAR), read_table(world, TILES, YEAR)
    assert set(windows["resolution_m"]) == {30} and set(windows["size_px"]) == {16}
    assert tiles["complete"].all() and set(tiles["layer"]) == {"landsat"}
    clear = tiles.set_index("window_id")["clear_fraction"]
    assert clear.notna().all() and (clear < 0.9).any() and (clear == 1).mean() > 0.8, "a corner is cloudy by QA_PIXEL"
    figure = plot_chips(world.dataset, settings.sensor, windows, tiles, title="Landsat")
    assert sum(bool(axes.images) for axes in figure.axes) == 4 * 8


@pytest.mark.parametrize("setup", KINDS, ids=["threshold", "trees", "trees per pixel"])
def test_a_baseline_of_landsat_maps_scars_at_30_m(setup: Setup, world: DataRoot, settings: Settings) -> None:
    root = world.setup(setup.name)
    trained = train_baseline(setup, setup.applied_to(settings), root, YEAR, {})
    manifest = verify_checkpoint(root.checkpoint(YEAR))
    assert manifest == trained.manifest and manifest.sensor == settings.sensor
    assert manifest.layers == {"landsat": settings.sensor.names}
    task = task_of(root.path, outline().buffer(-0.02)).model_copy(
        update={"start": datetime(2022, 8, 1, tzinfo=UTC), "end": datetime(2022, 9, 1, tzinfo=UTC)}
    )
    spec = MapSpec(
        root=world.path, part=root.part, checkpoint_year=YEAR, tasks=(task,), sensor=settings.sensor,
        imagery=settings.imagery, settings=MappingSettings(block_px=128, min_area_ha=0, min_hole_ha=0),
        size_px=settings.windows.size_px, resolution_m=settings.windows.resolution_m, simulated=True,
    )  # fmt: skip
    model = load_model(root.checkpoint(YEAR))
    check_mappable(model, spec.imagery.layer, spec.sensor)
    outcome = make_map(task, spec, MapModel(model, manifest, AS_ANSWERED, None))
    assert outcome.record is not None and outcome.record["resolution_m"] == 30
    assert outcome.record["imagery"]["shown"] == ["B7", "B5", "B4"]
    with (
        rasterio.open(outcome.task.folder / "burned.tif") as burned,
        rasterio.open(outcome.task.folder / "after.tif") as after,
    ):
        assert burned.res == (30, 30) and after.descriptions == ("B7", "B5", "B4")
        found, left = burned.read(1), burned.transform.c
    columns = ((left + 15 + 30 * np.arange(found.shape[1]) - LEFT) // 30).astype(int)
    truth = np.broadcast_to(scar(SIDE_M // 30)[0, columns], found.shape)
    known = found != 255
    assert known.mean() > 0.8 and ((found == 1) == truth)[known].mean() > 0.85


def test_a_model_of_another_sensor_is_not_asked(world: DataRoot, settings: Settings) -> None:
    root = world.setup("other")
    train_baseline(KINDS[0], settings, root, YEAR, {})
    with pytest.raises(InputError, match=r"trained on Landsat 8–9 .*imagery is of Harmonized"):
        check_mappable(load_model(root.checkpoint(YEAR)), "landsat", load_sensor("hls"))
