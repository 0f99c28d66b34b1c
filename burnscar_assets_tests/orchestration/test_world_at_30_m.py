"""A sensor is one file: a whole simulated world of Landsat under Dagster, by a file beside its settings.

The file is the shipped one with names of its own, so that nothing can know them; every stage is at 30 m, in its bands.
"""

import json
from pathlib import Path

import pytest
import rasterio
import yaml

from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.publish.pages.page import licences
from burnscar_assets.publish.pages.records import read_map
from burnscar_assets.section import read_named
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.storage.contracts import EVALUATION_METRICS, MAP_SCORES, SETUP_COMPARISON, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, read_years
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.fault_kit import copy_world
from burnscar_assets_tests.sensors.landsat_world import write_landsat_archive

pytestmark = [pytest.mark.slow]

YEARS = (2019, 2020)
CHEAP = ("nbr-threshold", "dnbr-threshold")
SENSOR = Path("sensors/mine.yaml")
TREES = {"title": "Trees", "kind": "trees", "trees": {"rounds": 20, "min_windows_in_leaf": 3}}


@pytest.fixture(scope="module")
def world(small_archive: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """Everything made of the small world's fires and of Landsat's scenes of them; its own model is the U-Net."""
    imagery = {
        "sensor": "mine",
        "archive": "landsat/index.parquet",
        "dataset_config": "dataset-sensor-pre-post.json",
    }
    data = tmp_path_factory.mktemp("landsat") / "data"
    write_sensor(data / SENSOR)
    shipped = sorted(path.stem for path in (CONFIGS_DIR / "setups").glob("*.yaml"))
    root = copy_world(
        small_archive,
        DataRoot(data),
        imagery=imagery,
        training={"config": "model-unet.yaml", "max_epochs": 1, "learning_rate": 3e-3},
        setups={"exclude": [name for name in shipped if name not in CHEAP], "reference": "nbr-threshold"},
        automation={"enabled": False},
    )
    (root.path / "setups").mkdir()
    (root.path / "setups" / "trees.yaml").write_text(yaml.safe_dump(TREES))
    write_landsat_archive(root)
    run_command(root, "burnscar", "refresh", "--in-process")
    return root


def write_sensor(path: Path) -> None:
    content = yaml.safe_load((CONFIGS_DIR / "sensors" / "landsat-c2-l2.yaml").read_text())
    names = {band["name"]: band["roles"][0] for band in content["bands"]}
    keys = {names.get(name, name): key for name, key in content["assets"]["landsat-c2-l2"].items()}
    content |= {"title": "Landsat of mine", "layer": "mine", "assets": {"mine": keys}}
    content["bands"] = [band | {"name": names[band["name"]]} for band in content["bands"]]
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(content))


def test_each_stage_is_at_30_m_in_the_sensors_bands(world: DataRoot) -> None:
    sensor = read_named(world.path / SENSOR, "sensor", Sensor)
    windows, tiles = read_years(world, WINDOWS, YEARS), read_years(world, TILES, YEARS)
    assert set(windows["resolution_m"]) == {30} and set(windows["size_px"]) == {16}
    assert set(tiles["layer"]) == {"mine", "mine_pre"}
    assert tiles[tiles["complete"]].groupby("layer").size().min() > 20
    frames = [json.loads(path.read_text()) for path in world.path.glob("fire_scenes/windows/*/*/metadata.json")]
    assert frames and all(abs(frame["projection"]["x_resolution"]) == 30 for frame in frames)
    for year in YEARS:
        roots = {name: world.setup(name) for name in ("trees", *CHEAP)} | {"own": world}
        for name, root in roots.items():
            manifest = verify_checkpoint(root.checkpoint(year))
            assert manifest.sensor == sensor, name
            earlier = {"mine_pre": sensor.burn_ratio} if name == "dnbr-threshold" else {}
            assert manifest.layers == {"mine": sensor.names} | earlier
            assert len(read_table(root, EVALUATION_METRICS, year)) and len(read_table(root, MAP_SCORES, year))
    assert verify_checkpoint(world.checkpoint(2020)).per_pixel
    compared = read_table(world, SETUP_COMPARISON, None)["setup"]
    assert {"default", "trees", *CHEAP} <= set(compared)


def test_maps_and_their_pages_say_30_m_and_whose_images_they_show(world: DataRoot) -> None:
    maps = sorted(path.parent for path in world.path.glob("maps/fire_year=*/*/map.json"))
    assert maps
    for place in maps:
        check_map(place)


def check_map(place: Path) -> None:
    record = json.loads((place / "map.json").read_text())
    assert record["resolution_m"] == 30 and record["imagery"]["shown"] == ["swir2", "nir", "red"]
    for name in ("burned", "probability", "after", "before", "dnbr", "severity"):
        with rasterio.open(place / f"{name}.tif") as source:
            assert source.res == (30, 30), name
    with rasterio.open(place / "after.tif") as source:
        assert source.descriptions == ("swir2", "nir", "red")
    page = (place / "index.html").read_text()
    assert "30 m, " in page and "Landsat of mine" in page
    assert "Sentinel-2" not in page
    (credit, *_) = licences(read_map(place).record, simulated=False)
    assert credit == "Landsat imagery courtesy of the U.S. Geological Survey."
    assert "Sentinel" not in (place / "map.qgs").read_text() and "Sentinel" not in (place / "item.json").read_text()
