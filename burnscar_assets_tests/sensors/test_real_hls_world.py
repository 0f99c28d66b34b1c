"""The real pair of HLS through the chain at 30 m: own index, windows, tiles, scenes of fires, maps and perimeters."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml

from burnscar_assets.mapping.fire_scenes import FireScene, read_fire_scenes
from burnscar_assets.mapping.mosaic import Mosaic
from burnscar_assets.sensors.indices import nbr
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from burnscar_assets_tests.conftest import REAL_DATA
from burnscar_assets_tests.orchestration.conftest import run_command

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

YEAR = 2020
BANDS = ("blue", "green", "red", "swir1", "swir2", "nir")
SENSOR = {
    "title": "Six bands of HLS without Fmask",
    "layer": "hls",
    "resolution_m": 30,
    "window_px": 16,
    "bands": [{"name": name, "roles": [name], "metres": 30} for name in BANDS],
    "dtype": "int16",
    "nodata": -9999,
    "radiometry": {"scale": 0.0001},
}
DAYS = "file,start,end\npre.tif,2020-08-25,2020-08-25\npost.tif,2020-12-13,2020-12-13\n"
"""Assumed: the images don't say theirs. One before both alarms, one after the containment of SLATER."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The chain up to tiles and fire scenes; of each perimeter the part that the images show."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data not found at {REAL_DATA}")
    pair = REAL_DATA / "imagery" / "hls_pair"
    root = DataRoot(tmp_path_factory.mktemp("hls") / "data")
    (root.path / "sensors").mkdir(parents=True)
    (root.path / "sensors" / "hls-pair.yaml").write_text(yaml.safe_dump(SENSOR))
    with rasterio.open(pair / "post.tif") as image:
        shown = gpd.GeoSeries([shapely.box(*image.bounds)], crs=image.crs)
    shown.to_file(root.path / "land.geojson")
    fires = gpd.read_file(f"/vsizip/{REAL_DATA}/frap/fire241gdb.zip/fire24_1.gdb")
    fires = fires[(fires["YEAR_"] == YEAR) & fires["FIRE_NAME"].isin(["SLATER", "DEVIL"])]
    fires.clip(shown.to_crs(fires.crs).iloc[0]).to_file(root.path / "perimeters.gpkg", layer="firep24_1")
    (root.path / "days.csv").write_text(DAYS)
    settings = {
        "name": "HLS pair",
        "years": {"first": YEAR, "last": YEAR},
        "release": {"source": "perimeters.gpkg"},
        "perimeters": {"assumed_duration_days": 94},  # DEVIL has no containment date
        "sampling": {"land": "land.geojson", "only_on_land": True, "points_per_sqrt_window": 6, "granule_km": [0, 6]},
        "imagery": {
            "sensor": "hls-pair", "archive": "images.parquet", "allowed_hosts": [str(pair)], "max_cloud_cover": 100,
            "dataset_config": "dataset-sensor-pre-post.json",
        },
        "setups": {"exclude": ["*"]},
        "automation": {"enabled": False},
    }  # fmt: skip
    root.world_file.write_text(yaml.safe_dump(settings))
    index = ("--sensor", "hls-pair", "--days", str(root.path / "days.csv"), "--out", str(root.path / "images.parquet"))
    said = run_command(root, "burnscar", "index", str(pair), *index, "--config", str(root.world_file)).stdout
    assert "name no bands, which are taken for blue, green, red, swir1, swir2, nir" in " ".join(said.split())
    run_command(root, "burnscar", "refresh", "--no-gpu", "--in-process")
    return root


def test_windows_have_tiles_before_and_after_at_30_m(world: DataRoot) -> None:
    windows, tiles = read_table(world, WINDOWS, YEAR), read_table(world, TILES, YEAR)
    assert set(windows["resolution_m"]) == {30} and {"burnt", "unburnt"} <= set(windows["category"])
    assert tiles.groupby("layer")["complete"].agg(["sum", "size"]).to_numpy().tolist() == [[len(windows)] * 2] * 2
    assert set(tiles["layer"]) == {"hls", "hls_pre"}


def test_a_map_of_each_fire_by_its_change_is_compared_with_its_perimeter(world: DataRoot) -> None:
    fires = read_table(world, FIRE_PERIMETERS, YEAR).set_index("fire_id")
    scenes = {scene.fire_id: scene for scene in read_fire_scenes(world, YEAR, ["train", "val", "test"])}
    judged = {fires.loc[fire_id, "fire_name"]: scene for fire_id, scene in scenes.items() if fire_id is not None}
    assert set(judged) == {"SLATER", "DEVIL"}
    assert iou(judged["DEVIL"], 0.1) == pytest.approx(0.39, abs=0.03)
    assert iou(judged["SLATER"], 0.1) == pytest.approx(0.32, abs=0.03)
    assert all(iou(scene, -2) < 0.22 for scene in judged.values()), "what a map of everything burnt has"


def iou(scene: FireScene, least: float) -> float:
    """Of the perimeter and what has this dNBR."""
    after, before, truth = scene.after(scene.frame.box), scene.before(scene.frame.box), scene.truth()
    assert before is not None and scene.frame.resolution_m == 30
    change = ratio(before) - ratio(after)
    known = np.isfinite(change) & (truth != 255)
    assert known.mean() > 0.95
    burnt, mapped = known & (truth == 1), known & (change >= least)
    return float((burnt & mapped).sum() / (burnt | mapped).sum())


def ratio(image: Mosaic) -> np.ndarray:
    return nbr(image.pixels[BANDS.index("nir")], image.pixels[BANDS.index("swir2")])


def test_the_pair_is_mapped_by_hand_too(world: DataRoot, real_data: Path, tmp_path: Path) -> None:
    pair, out = real_data / "imagery" / "hls_pair", tmp_path / "map"
    images = ("--after", str(pair / "post.tif"), "--before", str(pair / "pre.tif"), "--nir", "6", "--swir", "5")
    perimeter = ("--perimeter", str(world.path / "perimeters.gpkg"))
    run_command(world, "burnscar", "map-image", *images, *perimeter, "--out", str(out))
    figures = json.loads((out / "figures.json").read_text())
    assert figures["index"] == "dnbr" and 0.3 < figures["agreement"]["iou"] < 0.5
