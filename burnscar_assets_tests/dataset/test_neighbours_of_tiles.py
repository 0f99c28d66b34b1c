"""A bright scene whose numbers prove nothing, beside a neighbour in time that is proved, in the archive of a user."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import StacDict, write_index
from burnscar_assets.dataset import tile_part
from burnscar_assets.dataset.materialize import materialize_tiles
from burnscar_assets.dataset.scene_radiometry import radiometry_table
from burnscar_assets.dataset.tiles import read_tile
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import WINDOW_PX, SmallScene, make_dataset, make_windows
from burnscar_assets_tests.dataset.test_radiometry_of_tiles import LAYER, TEN_METRES, write_as

PLACES = [(60, 48), (5, 5), (120, 90)]
DESERT = SmallScene("desert", "2022-08-10T18:50:00Z", cloud=0)
NEAR = SmallScene("near", "2022-08-13T18:50:00Z", cloud=20)
FAR = SmallScene("far", "2022-08-20T18:50:00Z", cloud=30)

Pixels = np.ndarray


def ground(pixels: Pixels) -> Pixels:
    """Bright ground without shadow or water, in digital numbers without an offset."""
    return (2_300 + pixels // 3).astype("uint16")


def swath(shift: int) -> Callable[[Pixels], Pixels]:
    """The ground shifted; the scene ends before the lake."""

    def made(pixels: Pixels) -> Pixels:
        result = ground(pixels) + np.uint16(1000) + np.int16(shift - 1000)
        result[lake(pixels)] = 0
        return result.astype("uint16")

    return made


def with_lake(shift: int) -> Callable[[Pixels], Pixels]:
    def made(pixels: Pixels) -> Pixels:
        return np.where(lake(pixels), 20 + pixels % 40 + shift, ground(pixels) + shift).astype("uint16")

    return made


def lake(pixels: Pixels) -> Pixels:
    found = np.zeros(pixels.shape, np.bool_)
    found[len(pixels) * 9 // 10 :] = True
    return found


def said(item: StacDict, baseline: str = "05.09", flag: bool | None = None) -> StacDict:
    flags = {} if flag is None else {"earthsearch:boa_offset_applied": flag}
    return item | {"properties": item["properties"] | {"s2:processing_baseline": baseline} | flags}


def desert(folder: Path, shift: int, flag: bool | None) -> StacDict:
    return said(write_as(folder, DESERT, swath(shift), nodata=0), flag=flag)


def near(folder: Path, shift: int = 0) -> StacDict:
    return said(write_as(folder, NEAR, with_lake(shift), nodata=0))


def made(root: DataRoot, folder: Path, items: list[StacDict], **settings: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table of tiles, and the desert's row of what was found out of scenes."""
    write_index(items, folder / "index.parquet")
    imagery = make_dataset(root, folder / "index.parquet", **settings)
    windows = make_windows(root, PLACES)
    matches, _ = match_scenes(windows, root.dataset, imagery)
    assert {tuple(names) for names in matches["item_ids"]} == {("desert",)}
    windows, matches = windows.iloc[::-1], matches.iloc[::-1]
    table, _ = materialize_tiles(windows.reset_index(drop=True), matches.reset_index(drop=True), root.dataset, imagery)
    found = radiometry_table(root.dataset, table).set_index("item_id")
    return table, found.loc["desert"].to_dict()


def assert_right(root: DataRoot, shift: int = 0) -> None:
    for number, (column, row) in enumerate(PLACES):
        tile = read_tile(root.dataset, "2022", f"w{number}", LAYER, BANDS)
        for band in TEN_METRES:
            expected = ground(DESERT.reflectance(band))[row : row + WINDOW_PX, column : column + WINDOW_PX]
            np.testing.assert_array_equal(tile[BANDS.index(band)], expected + shift)


@pytest.mark.parametrize("proved", [0, 1000], ids=["neighbour without", "neighbour with"])
@pytest.mark.parametrize("flag", [False, True, None])
@pytest.mark.parametrize("shift", [0, 1000])
def test_a_false_statement_yields_to_a_neighbour_that_is_proved(
    root: DataRoot, tmp_path: Path, shift: int, flag: bool | None, proved: int
) -> None:
    far = said(write_as(tmp_path, FAR, swath(1000 - shift), nodata=0))
    _, found = made(root, tmp_path, [desert(tmp_path, shift, flag), far, near(tmp_path, proved)])
    assert_right(root)
    assert (found["usable"], found["offset_dn"], found["decided_by"]) == (True, shift, "neighbour")
    assert "neighbour near" in found["evidence_for"][0]
    assert any("pixels prove nothing" in text for text in found["evidence_against"])
    is_false = (0 if flag else 1000) != shift
    assert any("boa_offset_applied" in t or "baseline" in t for t in found["evidence_against"]) == is_false


def test_an_offset_that_was_taken_off_twice_sets_a_scene_aside(root: DataRoot, tmp_path: Path) -> None:
    table, found = made(root, tmp_path, [desert(tmp_path, -1000, True), near(tmp_path)])
    assert (found["usable"], found["decided_by"]) == (False, "neighbour")
    assert {tuple(names) for names in table["item_ids"]} == {("near",)}
    assert all("neighbour near" in text for texts in table["passed_over"] for text in texts)
    assert_right(root)


def unproved(folder: Path) -> StacDict:
    return said(write_as(folder, NEAR, swath(0), nodata=0))


def of_another_grid(folder: Path) -> StacDict:
    item = near(folder)
    for path in (folder / "near").glob("*.tif"):
        with rasterio.open(path, "r+") as sink:
            sink.transform = sink.transform @ Affine.translation(1, 0)
    return item


def unreadable(folder: Path) -> StacDict:
    item = near(folder)
    (folder / "near" / "B12.tif").unlink()
    return item


def other_ground(folder: Path) -> StacDict:
    return said(write_as(folder, SmallScene("near", NEAR.time, NEAR.cloud, surface=5), with_lake(0), nodata=0))


@pytest.mark.parametrize(
    ("neighbour", "why"),
    [
        (unproved, "its own pixels don't"), (of_another_grid, "no bands in common"), (unreadable, "can't be read"),
        (other_ground, "proves nothing"),
    ],
    ids=["unproved", "other grid", "unreadable", "other ground"],
)  # fmt: skip
def test_a_neighbour_that_proves_nothing_leaves_the_decision_to_statements(
    root: DataRoot, tmp_path: Path, neighbour: Callable[[Path], StacDict], why: str
) -> None:
    _, found = made(root, tmp_path, [desert(tmp_path, 1000, False), neighbour(tmp_path)])
    assert (found["usable"], found["offset_dn"], found["decided_by"]) == (True, 1000, "statements")
    assert any("neighbour near" in text and why in text for text in found["evidence_against"])
    assert_right(root)


def test_scenes_that_prove_themselves_ask_no_neighbour(root: DataRoot, tmp_path: Path) -> None:
    proved = said(write_as(tmp_path, DESERT, with_lake(1000), nodata=0))
    _, found = made(root, tmp_path, [proved, near(tmp_path)])
    assert (found["offset_dn"], found["decided_by"]) == (1000, "pixels")
    assert not any("neighbour" in text for text in (*found["evidence_for"], *found["evidence_against"]))


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_and_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    items = [desert(tmp_path, 1000, True), near(tmp_path), said(write_as(tmp_path, FAR, with_lake(0), nodata=0))]
    whole = DataRoot(tmp_path / "whole")
    _, expected = made(whole, tmp_path, items)
    monkeypatch.setattr(tile_part, "SHARD_WINDOWS", (1, 1))
    parted = DataRoot(tmp_path / "parted")
    _, found = made(parted, tmp_path, items, workers=workers)
    assert found == expected
    assert_right(parted)
