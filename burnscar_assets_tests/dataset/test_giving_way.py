"""A scene that can't be used at a window gives way to the next one, and the window says which and why."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import StacDict, write_index
from burnscar_assets.dataset.config import open_dataset
from burnscar_assets.dataset.giving_way import GivingWay
from burnscar_assets.dataset.materialize import TileSummary, materialize_tiles
from burnscar_assets.dataset.materialize_batch import TileOutcome
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.reader.request import Failure, FailureKind
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.contracts import TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import (
    EPSG,
    LEFT,
    SIDE_M,
    TOP,
    WINDOW_PX,
    SmallScene,
    footprint,
    make_dataset,
    make_windows,
    serve,
    write_scene,
)
from burnscar_assets_tests.dataset.test_radiometry_of_tiles import wrapped, write_as

LAYER = "sentinel2_l2a"
PLACES = [(5, 5), (60, 60), (150, 100)]
BEST = SmallScene("best", cloud=0)
GOOD = SmallScene("good", "2022-08-13T18:50:00Z", cloud=20, surface=3)
_folders = itertools.count()


def make(root: DataRoot, index: str | Path, **settings: Any) -> tuple[pd.DataFrame, TileSummary, ImagerySettings]:
    imagery = make_dataset(root, index, **settings)
    windows = make_windows(root, PLACES)
    matches, _ = match_scenes(windows, root.dataset, imagery)
    assert {tuple(items) for items in matches["item_ids"]} == {("best",)}
    table, summary = materialize_tiles(windows, matches, root.dataset, imagery)
    return table, summary, imagery


def again(root: DataRoot, settings: ImagerySettings) -> tuple[pd.DataFrame, TileSummary]:
    windows = make_windows(root, PLACES)
    matches, _ = match_scenes(windows, root.dataset, settings)
    return materialize_tiles(windows, matches, root.dataset, settings)


def assert_good(root: DataRoot, table: pd.DataFrame, why: str) -> None:
    assert table["complete"].all()
    assert {tuple(items) for items in table["item_ids"]} == {("good",)}
    for (column, row), name in zip(PLACES, table["window_id"], strict=True):
        tile = read_tile(root.dataset, "2022", name, LAYER, BANDS)
        expected = GOOD.reflectance("B02")[row : row + WINDOW_PX, column : column + WINDOW_PX]
        np.testing.assert_array_equal(tile[0], expected)
    for passed in table["passed_over"]:
        assert [text.partition(": ")[0] for text in passed] == ["best"]
        assert why in passed[0]


def elsewhere(folder: Path) -> StacDict:
    """A scene whose footprint holds the windows, with pixels far from them."""
    item = write_scene(folder, SmallScene("best", cloud=0, east_m=40_000))
    return item | {"geometry": shapely.geometry.mapping(footprint(BEST))}


def impossible(folder: Path) -> StacDict:
    return write_as(folder, BEST, wrapped, nodata=0)


def half(folder: Path) -> StacDict:
    """A scene that ends west of the windows' last columns."""

    def cut(pixels: np.ndarray) -> np.ndarray:
        result = pixels.copy()
        result[:, : len(result) * 170 // 240] = 0
        return result

    return write_as(folder, BEST, cut, nodata=0)


def in_doubt(folder: Path) -> StacDict:
    return write_as(folder, BEST, lambda dn: (dn / 100).astype("float32"))


def no_band(folder: Path) -> StacDict:
    item = write_scene(folder, BEST)
    (folder / "best" / "B11.tif").unlink()
    return item


def a_page(folder: Path) -> StacDict:
    item = write_scene(folder, BEST)
    (folder / "best" / "B11.tif").write_text("<html>moved</html>")
    return item


def classified_as_nothing(folder: Path) -> StacDict:
    """A scene whose classification says that there is nothing, though its bands have numbers."""
    item = write_scene(folder, BEST)
    size = SIDE_M // 20
    profile = {
        "driver": "GTiff", "width": size, "height": size, "count": 1, "dtype": "uint8", "nodata": 0,
        "crs": f"EPSG:{EPSG}", "transform": from_origin(LEFT, TOP, 20, 20),
    }  # fmt: skip
    with rasterio.open(folder / "best" / "SCL.tif", "w", **profile) as sink:
        sink.write(np.zeros((size, size), "uint8"), 1)
    item["assets"]["SCL"] = {"href": "./best/SCL.tif"}
    return item


CASES = {
    elsewhere: "no pixels there",
    impossible: "no pixels there",
    half: "",
    in_doubt: "neither reflectance",
    no_band: "B11.tif",
    a_page: "not recognized",
    classified_as_nothing: "without data",
}


@pytest.mark.parametrize("packed", [False, True], ids=["folders", "packed"])
@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.__name__)
@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
def test_the_next_scene_takes_the_place(root: DataRoot, tmp_path: Path, bad: Any, packed: bool, remote: bool) -> None:
    folder = tmp_path / f"n{next(_folders)}"
    folder.mkdir()
    write_index([bad(folder), write_scene(folder, GOOD)], folder / "index.parquet")
    with serve(tmp_path) as (address, _):
        index = f"{address}/{folder.name}/index.parquet" if remote else folder / "index.parquet"
        table, summary, settings = make(root, index, packed=packed)
        assert_good(root, table, CASES[bad])
        repeated, kept = again(root, settings)
    assert (summary.made, kept.kept, kept.made) == (3, 3, 0)
    assert TILES.content_hash(repeated) == TILES.content_hash(table)


def test_the_first_choice_is_taken_as_soon_as_it_is_there(root: DataRoot, tmp_path: Path) -> None:
    write_index([no_band(tmp_path), write_scene(tmp_path, GOOD)], tmp_path / "index.parquet")
    table, _, settings = make(root, tmp_path / "index.parquet")
    assert_good(root, table, "B11.tif")
    write_scene(tmp_path, BEST)
    table, summary = again(root, settings)
    assert (summary.replaced, summary.kept) == (3, 0)
    assert {tuple(items) for items in table["item_ids"]} == {("best",)}
    assert not table["passed_over"].map(len).any()


def test_another_first_choice_that_comes_later_is_found(root: DataRoot, tmp_path: Path) -> None:
    bad = impossible(tmp_path)
    write_index([bad], tmp_path / "index.parquet")
    table, _, settings = make(root, tmp_path / "index.parquet")
    assert set(table["reason"]) == {"nodata"}
    assert table["passed_over"].map(list).tolist() == [["best: it has no pixels there"]] * 3
    write_index([bad, write_scene(tmp_path, GOOD)], tmp_path / "index.parquet")
    table, _ = again(root, settings)
    assert_good(root, table, "no pixels there")


def test_what_takes_the_place_is_chosen_anew_when_the_choice_changes(root: DataRoot, tmp_path: Path) -> None:
    items = [impossible(tmp_path), write_scene(tmp_path, GOOD)]
    write_index(items, tmp_path / "index.parquet")
    table, _, settings = make(root, tmp_path / "index.parquet")
    assert_good(root, table, "no pixels there")
    clearer = SmallScene("clearer", "2022-08-16T18:50:00Z", cloud=10, surface=5)
    write_index([*items, write_scene(tmp_path, clearer)], tmp_path / "index.parquet")
    table, summary = again(root, settings)
    assert {tuple(names) for names in table["item_ids"]} == {("clearer",)} and summary.replaced == 3
    table, summary = again(root, settings)
    assert (summary.kept, summary.replaced) == (3, 0)
    table, _ = again(root, settings.model_copy(update={"exclude": ["clearer"]}))
    assert_good(root, table, "no pixels there")


def test_without_another_scene_the_window_says_why(root: DataRoot, tmp_path: Path) -> None:
    write_index([in_doubt(tmp_path)], tmp_path / "index.parquet")
    with pytest.raises(InputError, match="neither reflectance") as told:
        make(root, tmp_path / "index.parquet")
    assert "imagery.exclude" in str(told.value)


def test_a_fault_that_may_pass_makes_no_scene_give_way(root: DataRoot, tmp_path: Path) -> None:
    write_index([write_scene(tmp_path, BEST), write_scene(tmp_path, GOOD)], tmp_path / "index.parquet")
    failing = {"/best/B11.tif": 99}
    with serve(tmp_path, failing) as (address, _), pytest.raises(SourceUnavailableError, match="same again later"):
        make(root, f"{address}/index.parquet", retries=1)


def test_a_fault_that_may_pass_is_no_scene_that_gave_way(root: DataRoot, tmp_path: Path) -> None:
    write_index([write_scene(tmp_path, BEST)], tmp_path / "index.parquet")
    settings = make_dataset(root, tmp_path / "index.parquet")
    match_scenes(make_windows(root, PLACES[:1]), root.dataset, settings)
    dataset = open_dataset(root.dataset)
    (window,) = dataset.load_windows()
    giving_way = GivingWay(dataset, LAYER, settings)
    outcome = TileOutcome(window.name, True, None, Failure("best", "HTTP 503", FailureKind.PASSING))
    assert not giving_way.next(window, [[{"name": "best"}]], outcome, lacks_data=False)
    assert not giving_way.passed_over


def test_tiles_stay_where_the_second_scene_lacks_data_and_the_run_fails(root: DataRoot, tmp_path: Path) -> None:
    items = [write_scene(tmp_path, BEST), write_as(tmp_path, GOOD, wrapped, nodata=0)]
    write_index(items, tmp_path / "index.parquet")
    table, _, settings = make(root, tmp_path / "index.parquet")
    before = [read_tile(root.dataset, "2022", name, LAYER, BANDS) for name in table["window_id"]]
    (tmp_path / "best" / "B11.tif").unlink()
    for ledger in root.dataset.glob(".burnscar/tiles-*.json"):
        ledger.unlink()
    with pytest.raises(InputError, match="tiles that were there are as before"):
        again(root, settings)
    for name, tile in zip(table["window_id"], before, strict=True):
        np.testing.assert_array_equal(read_tile(root.dataset, "2022", name, LAYER, BANDS), tile)
