"""A map is made again into the folder of an earlier one: nothing of that one is left, or believed."""

import contextlib
import json
import sqlite3
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio

from burnscar_assets.cli import main
from burnscar_assets.publish.index_map import map_files
from burnscar_assets_tests.publish.own_images import DISC_HA, disc, north_up, reflectance, write
from burnscar_assets_tests.publish.test_own_images import CASES

OF_ONE_IMAGE = {"nbr.tif", "burned.tif", "map.png", "figures.json"} | {
    f"burned_area.{ending}" for ending in ("gpkg", "parquet", "geojson")
}


class Inputs:
    """A pair of images of a burnt disc, and a pair of later ones without it."""

    def __init__(self, folder: Path) -> None:
        grid = north_up()
        truth, none = disc(grid), np.zeros(grid.shape, dtype=bool)
        self.after = write(folder / "after.tif", reflectance(truth, 1), grid)
        self.before = write(folder / "before.tif", reflectance(none, 2), grid)
        self.later = write(folder / "later.tif", reflectance(none, 3), grid)
        self.mask = write(folder / "mask.tif", truth[None] * 1.0, grid, dtype="uint8", scale=1.0, names=())


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return Inputs(tmp_path)


def run(*arguments: object) -> int:
    return main(["map-image", *map(str, arguments)])


def intact_ha(path: Path) -> float:
    """Hectares in a GeoPackage that SQLite and GDAL find intact."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return float(gpd.read_file(path, layer="burned")["area_ha"].sum())


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("closes_first", [True, False])
def test_while_a_reader_has_the_polygons_open(inputs: Inputs, tmp_path: Path, writes: bool, closes_first: bool) -> None:
    out = tmp_path / "map"
    path = out / "burned_area.gpkg"
    assert run("--after", inputs.later, "--before", inputs.before, "--out", out) == 0
    assert intact_ha(path) < 1
    reader = sqlite3.connect(path)
    assert reader.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    if writes:
        reader.execute("CREATE TABLE styles (name TEXT)")
        reader.executemany("INSERT INTO styles VALUES (?)", [("x" * 900,)] * 500)
        reader.commit()
    reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    assert run("--after", inputs.after, "--before", inputs.before, "--out", out) == 0
    if closes_first:
        reader.close()
    assert intact_ha(path) == pytest.approx(DISC_HA, rel=0.01)
    reader.close()
    assert intact_ha(path) == pytest.approx(DISC_HA, rel=0.01)
    assert not list(out.glob("burned_area.gpkg?*")) and not list(out.glob(".*"))


def test_statistics_and_files_of_the_earlier_map_go_and_others_stay(inputs: Inputs, tmp_path: Path) -> None:
    out = tmp_path / "map"
    pair = ("--after", inputs.after, "--before", inputs.before)
    assert run(*pair, "--perimeter", inputs.mask, "--out", out) == 0
    beside = [out / "dnbr.tif.aux.xml", out / "burned.tif.ovr", out / "severity.tif.msk"]
    for path in beside:
        path.write_text("<PAMDataset/>")
    own = {"notes.txt": "mine", "severity.qml": "style", "project.qgz": "project"}
    for name, text in own.items():
        (out / name).write_text(text)
    (out / "dnbr.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><Metadata><MDI key="STATISTICS_MEAN">0.211</MDI></Metadata>'
        "</PAMRasterBand></PAMDataset>"
    )
    assert run("--after", inputs.later, "--before", inputs.before, "--out", out) == 0
    with rasterio.open(out / "dnbr.tif") as source:
        assert "STATISTICS_MEAN" not in source.tags(1)
        assert source.statistics(1).mean == pytest.approx(0, abs=0.02)
    assert not (out / "disagreements.geojson").exists()
    assert run("--after", inputs.after, "--out", out) == 0
    assert {path.name for path in out.iterdir()} == OF_ONE_IMAGE | set(own)
    assert all((out / name).read_text() == text for name, text in own.items())


def test_what_no_map_wrote_stays(inputs: Inputs, tmp_path: Path) -> None:
    out = tmp_path / "map"
    out.mkdir()
    (out / "severity.tif").write_text("mine")
    assert run("--after", inputs.after, "--out", out) == 0
    assert (out / "severity.tif").read_text() == "mine"


def test_an_image_is_not_written_over(inputs: Inputs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in map_files():
        if name.endswith(".tif"):
            image = inputs.after.rename(tmp_path / name)
            content = image.read_bytes()
            assert run("--after", image, "--out", tmp_path) == 1
            assert "would take its place" in capsys.readouterr().err
            assert image.read_bytes() == content
            inputs.after = image


@pytest.mark.real_data
def test_the_reported_cases(tmp_path: Path) -> None:
    if not CASES.is_dir():
        pytest.skip(f"cases not found at {CASES}")
    first, second, out = CASES / "12-plain-pair", CASES / "23-second-pair", tmp_path / "map"
    pair = ("--after", first / "post.tif", "--before", first / "pre.tif", "--out", out)
    assert run(*pair) == 0
    reader = sqlite3.connect(out / "burned_area.gpkg")
    reader.execute("PRAGMA journal_mode=WAL")
    reader.execute("SELECT count(*) FROM burned").fetchone()
    assert run(*pair) == 0
    assert intact_ha(out / "burned_area.gpkg") == pytest.approx(221.33, abs=1)
    reader.close()
    with rasterio.open(out / "dnbr.tif") as source:
        stale = source.statistics(1, approx=False, clear_cache=True).mean
    (out / "dnbr.tif.aux.xml").write_text(
        f'<PAMDataset><PAMRasterBand band="1"><Metadata><MDI key="STATISTICS_MEAN">{stale}</MDI></Metadata>'
        "</PAMRasterBand></PAMDataset>"
    )
    assert run("--after", second / "post2.tif", "--before", second / "pre2.tif", "--out", out) == 0
    with rasterio.open(out / "dnbr.tif") as source:
        assert "STATISTICS_MEAN" not in source.tags(1)
        assert source.statistics(1, approx=False).mean == pytest.approx(0.015, abs=0.005)
    assert run("--after", second / "post2.tif", "--out", out) == 0
    assert {path.name for path in out.iterdir()} == OF_ONE_IMAGE
    assert json.loads((out / "figures.json").read_text())["index"] == "nbr"
