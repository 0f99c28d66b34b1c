"""Maps on the real chain: a year's held-out fires as an asset, any area from the terminal and from a job."""

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from burnscar_assets.classes import Split
from burnscar_assets.evaluation.spec import load_report
from burnscar_assets.publish.folder import damaged_files
from burnscar_assets.storage.contracts import BURNED_AREA_MAPS, FIRE_PERIMETERS, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs
from burnscar_assets_tests.imported import imported_by
from burnscar_assets_tests.orchestration.conftest import run_command
from burnscar_assets_tests.publish.catalogue_kit import check_whole

YEAR = 2019


@pytest.fixture(scope="module")
def mapped(trained_world: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The small world with the maps of its first year."""
    root = DataRoot(tmp_path_factory.mktemp("mapped") / "data")
    shutil.copytree(trained_world.path, root.path, symlinks=True)
    refresh(root)
    return root


def refresh(root: DataRoot) -> str:
    command = ("refresh", "--years", str(YEAR), "--in-process", "--select", "burned_area_maps")
    return run_command(root, "burnscar", *command).stdout


@pytest.mark.slow
def test_every_held_out_fire_has_a_map_by_the_checkpoint_that_has_not_seen_it(mapped: DataRoot) -> None:
    maps = read_table(mapped, BURNED_AREA_MAPS, YEAR).set_index("fire_id")
    windows = read_table(mapped, WINDOWS, YEAR)
    held_out = set(windows.loc[windows["split"] == Split.TEST, "fire_id"]) - {""}
    assert held_out and held_out <= set(maps.index)
    assert not set(maps.index) & (set(windows.loc[windows["split"] != Split.TEST, "fire_id"]) - {""})
    report = load_report(mapped, YEAR)
    assert set(maps["weights_sha256"]) == {report.held_out.weights_sha256}
    perimeters = read_table(mapped, FIRE_PERIMETERS, YEAR).set_index("fire_id")
    for fire_id, row in maps[maps["complete"].astype(bool)].iterrows():
        folder = mapped.maps(YEAR) / str(fire_id)
        record = json.loads((folder / "map.json").read_text())
        assert not damaged_files(folder, record) and record["simulated"]
        assert record["threshold"] == report.held_out.rules.for_maps.threshold
        contained = perimeters.loc[fire_id, "containment_date"]
        assert all(scene["acquired"] > contained.isoformat() for scene in record["scenes"])
        assert perimeters.loc[fire_id, "geometry"].within(row["geometry"])
        outlines = gpd.read_file(folder / "burned_area.gpkg", layer="perimeter").to_crs(3310).geometry.iloc[0]
        assert outlines.symmetric_difference(perimeters.loc[fire_id, "geometry"]).area < 1
        check_pixels_of_seen_windows(folder, windows)
    assert (mapped.maps(YEAR) / "index.html").is_file() and (mapped.maps(YEAR).parent / "index.html").is_file()
    assert "nothing is stale" in refresh(mapped)
    items = check_whole(mapped.maps(YEAR).parent)
    assert {item for _, item in items} == set(maps.index[maps["complete"].astype(bool)])


def check_pixels_of_seen_windows(folder: Path, windows: gpd.GeoDataFrame) -> None:
    with rasterio.open(folder / "burned.tif") as source:
        burned, left, top = source.read(1), source.transform.c, source.transform.f
        epsg = source.crs.to_epsg()
    for row in windows[(windows["split"] != Split.TEST) & (windows["utm_epsg"] == epsg)].itertuples():
        column, line = row.min_col - round(left / 10), row.min_row + round(top / 10)
        part = burned[max(line, 0) : max(line + row.size_px, 0), max(column, 0) : max(column + row.size_px, 0)]
        assert np.all(part == 255), "ground that was trained on has no answer"


@pytest.mark.slow
def test_a_map_that_is_damaged_or_gone_is_made_again_and_no_other(mapped: DataRoot) -> None:
    folders = sorted(path.parent for path in mapped.maps(YEAR).glob("*/map.json"))
    before = {folder: (folder / "map.json").stat().st_mtime_ns for folder in folders}
    shutil.rmtree(folders[0])
    (mapped.maps(YEAR) / "index.html").unlink()
    assert "1 partitions made" in refresh(mapped)
    after = {folder: (folder / "map.json").stat().st_mtime_ns for folder in folders}
    assert [folder for folder in folders if after[folder] != before[folder]] == folders[:1]


@pytest.mark.slow
def test_mapping_imports_nothing_of_training(mapped: DataRoot) -> None:
    shutil.rmtree(min(path.parent for path in mapped.maps(YEAR).glob("*/map.json")))
    process = imported_by("-m", "burnscar_assets.publish.mapper", str(mapped.path / "specs" / f"mapping-{YEAR}.json"))
    assert json.loads(process.said[-1])["made"] == 1
    assert "torch" in process.packages and not {"lightning", "torchmetrics", "wandb"} & process.packages


def draw_sample(folder: Path, perimeter: shapely.Geometry) -> Path:
    """Sixty points of a map at random, each with what the perimeter says."""
    with rasterio.open(folder / "burned.tif") as source:
        burned = source.read(1)
        rows, columns = np.random.default_rng(0).choice(np.argwhere(burned != 255), 60, replace=False).T
        points = gpd.GeoSeries(gpd.points_from_xy(*source.xy(rows, columns)), crs=source.crs)
    seen = np.where(points.to_crs(table_crs()).within(perimeter), "burnt", "unburnt")
    stratum = np.where(burned[rows, columns] == 1, "burnt", "unburnt")
    path = folder.parent / "reference.gpkg"
    gpd.GeoDataFrame({"seen": seen, "stratum": stratum}, geometry=points).to_crs(4326).to_file(path)
    return path


@pytest.mark.slow
def test_an_area_is_mapped_from_the_terminal_and_errors_say_what_to_do(mapped: DataRoot, tmp_path: Path) -> None:
    maps = read_table(mapped, BURNED_AREA_MAPS, YEAR)
    row = maps[maps["complete"].astype(bool)].iloc[0]
    fires = read_table(mapped, FIRE_PERIMETERS, YEAR).set_index("fire_id").loc[[row["fire_id"]]]
    fires[["geometry"]].to_file(tmp_path / "fire.gpkg")
    fire = json.loads((mapped.maps(YEAR) / row["fire_id"] / "map.json").read_text())
    earlier = fire["scenes_before"][0]["acquired"][:10]
    days = ("--start", row["start"], "--end", row["end"])
    before = ("--before-start", earlier, "--before-end", earlier)
    place = ("--aoi", str(tmp_path / "fire.gpkg"), "--out", str(tmp_path))
    said = run_command(mapped, "burnscar", "map", *place, *days, *before)
    assert all(words in said.stdout for words in ("SIMULATED", "ha as mapped", "severity: ", "no offset"))
    (folder,) = (path.parent for path in (tmp_path / "aoi").glob("*/map.json"))
    record = json.loads((folder / "map.json").read_text())
    assert record["agreement"] is None and record["aoi_name"] == "fire"
    assert record["scenes_before"] == fire["scenes_before"][:1] and (folder / "severity.tif").exists()
    assert list(check_whole(tmp_path)) == [("burned-area-aoi", folder.name)]
    assert {scene["item"] for scene in record["scenes"]} <= {scene["item"] for scene in fire["scenes"]}
    assert record["area_ha"]["estimate"] is None and "pixels counted" in said.stdout and "--reference" in said.stdout
    sample = draw_sample(folder, fires.geometry.iloc[0])
    sampled = run_command(mapped, "burnscar", "map", *place, *days, *before, "--reference", str(sample))
    assert "ha as estimated" in sampled.stdout
    estimated = json.loads((folder / "map.json").read_text())
    area = estimated["area_ha"]
    assert area["corrected_by"] == "sample" and area["mapped"] == record["area_ha"]["mapped"]
    assert estimated["sample"]["points"] == 60 and area["low"] < area["estimate"] <= area["high"]
    gpd.read_file(sample).set_crs(32610, allow_override=True).to_file(tmp_path / "elsewhere.gpkg")
    west, south, east, north = fires.to_crs(4326).total_bounds.round(3)
    box = f"{west},{south},{east},{north}"
    for arguments, expected in (
        (("--aoi", box, "--start", "2001-07-01", "--end", "2001-07-02"), "no scene of bbox"),
        (("--aoi", box, *days, "--year", "1999"), "no checkpoint"),
        (("--aoi", box, "--start", "2001-07-01", "--end", "2001-07-02"), "before the first image of Sentinel-2"),
        (("--aoi", box, "--start", "2018-07-01", "--end", "2018-07-02"), "no scene of bbox from 2018-07-01"),
        (("--aoi", box, "--start", "2048-07-01", "--end", "2048-07-02"), "is in the future"),
        (("--aoi", box, "--start", "01/07/2019", "--end", "2019-08-01"), "2019-01-07 or 2019-07-01"),
        (("--aoi", box, "--start", "soon", "--end", "2019-08-01"), "is no day"),
        (("--aoi", box, *days, "--before-start", earlier), "before_end '' is no day"),
        (("--aoi", box, *days, "--before-start", earlier, "--before-end", row["end"]), "must be from before"),
        ((*place, *days, "--reference", "none.gpkg"), "none.gpkg is not there"),
        ((*place, *days, "--reference", str(tmp_path / "elsewhere.gpkg")), "look like degrees"),
        (("--aoi", "-119,38,-118.9,38.1", *days, "--reference", str(sample)), "60 of 60 points lie off the map"),
        (("--aoi", "-125,32,-119,42", *days), "more than the 100,000 of one map"),
        (("--aoi", "-125,32,-110,42", *days), "beyond UTM zone"),
    ):
        failed = run_command(mapped, "burnscar", "map", *arguments, check=False)
        assert failed.returncode == 1 and expected in failed.stdout and "Traceback" not in failed.stdout, failed.stdout
