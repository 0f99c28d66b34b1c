"""A whole simulated world of Landsat under Dagster, from perimeters to maps: each stage is at 30 m, in its bands."""

import json
from pathlib import Path

import pytest
import rasterio
import yaml

from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.sensors.load import load_sensor
from burnscar_assets.storage.contracts import EVALUATION_METRICS, MAP_SCORES, SETUP_COMPARISON, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, read_years
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.orchestration.fault_kit import copy_world
from burnscar_assets_tests.sensors.landsat_world import write_landsat_archive

pytestmark = [pytest.mark.slow]

YEARS = (2019, 2020)
SHIPPED = ("boosted-trees", "trees-per-pixel*", "olmoearth*", "galileo*", "segmentation", "unet")
TREES = {"title": "Trees", "kind": "trees", "trees": {"rounds": 20, "min_windows_in_leaf": 3}}


@pytest.fixture(scope="module")
def world(small_archive: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """Everything made of the small world's fires and of Landsat's scenes of them; its own model is the U-Net."""
    imagery = {
        "sensor": "landsat-c2-l2",
        "archive": "landsat/index.parquet",
        "dataset_config": "dataset-sensor-pre-post.json",
    }
    root = copy_world(
        small_archive,
        DataRoot(tmp_path_factory.mktemp("landsat") / "data"),
        imagery=imagery,
        training={"config": "model-unet.yaml", "max_epochs": 1, "learning_rate": 3e-3},
        setups={"exclude": [*SHIPPED], "reference": "nbr-threshold"},
        automation={"enabled": False},
    )
    (root.path / "setups").mkdir()
    (root.path / "setups" / "trees.yaml").write_text(yaml.safe_dump(TREES))
    write_landsat_archive(root)
    run_command(root, "burnscar", "refresh", "--in-process")
    return root


def test_each_stage_is_at_30_m_in_landsats_bands(world: DataRoot) -> None:
    sensor = load_sensor("landsat-c2-l2")
    windows, tiles = read_years(world, WINDOWS, YEARS), read_years(world, TILES, YEARS)
    assert set(windows["resolution_m"]) == {30} and set(windows["size_px"]) == {16}
    assert set(tiles["layer"]) == {"landsat", "landsat_pre"}
    assert tiles[tiles["complete"]].groupby("layer").size().min() > 20
    frames = [json.loads(path.read_text()) for path in world.path.glob("fire_scenes/windows/*/*/metadata.json")]
    assert frames and all(abs(frame["projection"]["x_resolution"]) == 30 for frame in frames)
    for year in YEARS:
        roots = {name: world.setup(name) for name in ("trees", "nbr-threshold", "dnbr-threshold")} | {"own": world}
        for name, root in roots.items():
            manifest = verify_checkpoint(root.checkpoint(year))
            assert manifest.sensor == sensor, name
            earlier = {"landsat_pre": sensor.burn_ratio} if name == "dnbr-threshold" else {}
            assert manifest.layers == {"landsat": sensor.names} | earlier
            assert len(read_table(root, EVALUATION_METRICS, year)) and len(read_table(root, MAP_SCORES, year))
    assert verify_checkpoint(world.checkpoint(2020)).per_pixel
    compared = read_table(world, SETUP_COMPARISON, None)["setup"]
    assert {"default", "trees", "nbr-threshold", "dnbr-threshold"} <= set(compared)


def test_maps_and_their_pages_say_30_m_and_whose_images_they_show(world: DataRoot) -> None:
    maps = sorted(path.parent for path in world.path.glob("maps/fire_year=*/*/map.json"))
    assert maps
    for place in maps:
        check_map(place)


def check_map(place: Path) -> None:
    record = json.loads((place / "map.json").read_text())
    assert record["resolution_m"] == 30 and record["imagery"]["shown"] == ["B7", "B5", "B4"]
    for name in ("burned", "probability", "after", "before", "dnbr", "severity"):
        with rasterio.open(place / f"{name}.tif") as source:
            assert source.res == (30, 30), name
    with rasterio.open(place / "after.tif") as source:
        assert source.descriptions == ("B7", "B5", "B4")
    page = (place / "index.html").read_text()
    assert "30 m, " in page and "Landsat 8–9 Collection 2 Level 2" in page
    assert "Sentinel-2" not in page
    assert "Sentinel" not in (place / "map.qgs").read_text() and "Sentinel" not in (place / "item.json").read_text()
