"""What takes the place of a scene that can't be used, found without another search."""

from pathlib import Path

import pytest

from burnscar_assets.catalog.items import read_candidates
from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.selection import next_match
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.dataset.config import data_source, image_layers, open_dataset
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import SmallScene, make_dataset, make_windows, write_archive
from burnscar_assets_tests.catalog.test_selection import ground, scene

LAYER = "sentinel2_l2a"


def names_after(root: DataRoot, window: str, excluding: set[str], selection: str = "granule") -> list[list[str]]:
    dataset = open_dataset(root.dataset)
    (found,) = dataset.load_windows(names=[window])
    config = image_layers(dataset)[LAYER]
    groups = next_match(found, LAYER, data_source(dataset, LAYER), config, selection, excluding)
    return [[item["name"] for item in group] for group in groups]


@pytest.mark.parametrize("packed", [False, True])
def test_scenes_give_way_in_the_order_of_preference(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    scenes = [SmallScene(name, cloud=cloud) for name, cloud in (("good", 20), ("best", 1), ("last", 40), ("no", 90))]
    settings = make_dataset(root, write_archive(tmp_path, *scenes), packed=packed, max_cloud_cover=60)
    table, _ = match_scenes(make_windows(root, [(5, 5)]), root.dataset, settings)
    assert table["item_ids"].tolist() == [["best"]]
    assert names_after(root, "w0", set()) == [["best"]]
    assert names_after(root, "w0", {"best"}) == [["good"]]
    assert names_after(root, "w0", {"best", "good"}) == [["last"]]
    assert names_after(root, "w0", {"best", "good", "last"}) == []


def test_mosaic_keeps_the_scenes_that_can_be_used(root: DataRoot, tmp_path: Path) -> None:
    east = SmallScene("east", cloud=2, east_m=2_000)
    scenes = [SmallScene("west", cloud=9), SmallScene("other west", cloud=12), east]
    settings = make_dataset(root, write_archive(tmp_path, *scenes))
    match_scenes(make_windows(root, [(190, 50)]), root.dataset, settings)
    assert names_after(root, "w0", {"west"}) == [["east", "other west"]]
    assert names_after(root, "w0", {"west", "other west"}) == [["east"]]


def test_no_more_scenes_are_kept_than_asked_for(root: DataRoot, tmp_path: Path) -> None:
    scenes = [SmallScene(f"s{number}", cloud=number) for number in range(6)]
    settings = make_dataset(root, write_archive(tmp_path, *scenes), candidates=3)
    match_scenes(make_windows(root, [(5, 5)]), root.dataset, settings)
    (window,) = open_dataset(root.dataset).load_windows()
    assert [item["name"] for item in read_candidates(window, LAYER)] == ["s0", "s1", "s2"]


def test_by_window_the_next_clearest_comes_next(root: DataRoot, tmp_path: Path) -> None:
    shares = [("least cloudy granule", 0.9), ("clearest", 0.0), ("next", 0.3)]
    items = [scene(tmp_path, shares[day][0], 5 + day, ground(shares[day][1]), cloud=day) for day in range(3)]
    write_index(items, tmp_path / "index.parquet")
    settings = make_dataset(root, tmp_path / "index.parquet", selection="window")
    table, _ = match_scenes(make_windows(root, [(5, 60)]), root.dataset, settings)
    assert table["item_ids"].tolist() == [["clearest"]]
    assert names_after(root, "w0", {"clearest"}, "window") == [["next"]]
    assert names_after(root, "w0", {"clearest", "next"}, "window") == [["least cloudy granule"]]
