import json
from pathlib import Path

import pytest

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.dataset.config import open_dataset
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.storage.contracts import SCENE_MATCHES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import (
    SmallScene,
    make_dataset,
    make_windows,
    serve,
    write_archive,
    write_scene,
)

PLACES = [(5, 5), (60, 60), (150, 100)]


def test_windows_get_the_least_cloudy_scene_of_their_time(root: DataRoot, tmp_path: Path) -> None:
    index = write_archive(
        tmp_path,
        SmallScene("july", time="2022-07-10T18:50:00Z", cloud=0),
        SmallScene("cloudy", cloud=50),
        SmallScene("clear", time="2022-08-20T18:50:00Z", cloud=10),
    )
    settings = make_dataset(root, index)
    table, summary = match_scenes(make_windows(root, PLACES), root.dataset, settings)
    assert table["item_ids"].tolist() == [["clear"]] * 3
    assert table["cloud_cover"].tolist() == [10.0] * 3
    assert table["acquired"].dt.day.tolist() == [20] * 3
    assert (summary.windows, summary.matched, summary.unmatched, summary.scenes) == (3, 3, 0, 1)


def test_each_window_without_a_scene_has_its_reason(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, SmallScene("s", cloud=61)), max_cloud_cover=60)
    windows = make_windows(root, [(5, 5), (900, 900)])
    table, summary = match_scenes(windows, root.dataset, settings)
    assert table["reason"].tolist() == ["too_cloudy", "no_scene_in_time_range"]
    assert not table["matched"].any()
    assert table["acquired"].isna().all()
    assert summary.reasons == {"no_scene_in_time_range": 1, "too_cloudy": 1}
    items = json.loads((root.dataset / "windows" / "2022" / "w0" / "items.json").read_text())
    assert items[0]["serialized_item_groups"] == []


def test_cloud_limit_holds_for_sources_that_know_none(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, SmallScene("s", cloud=61)), max_cloud_cover=60)
    path = root.dataset / "config.json"
    content = json.loads(path.read_text())
    del content["layers"]["sentinel2_l2a"]["data_source"]["init_args"]["max_cloud_cover"]
    path.write_text(json.dumps(content))
    table, _ = match_scenes(make_windows(root, PLACES[:1]), root.dataset, settings)
    assert table["reason"].tolist() == ["too_cloudy"]


def test_window_across_two_scenes_gets_both(root: DataRoot, tmp_path: Path) -> None:
    scenes = [SmallScene("west", cloud=9), SmallScene("east", cloud=2, east_m=2_000)]
    settings = make_dataset(root, write_archive(tmp_path, *scenes))
    table, _ = match_scenes(make_windows(root, [(190, 50), (225, 50)]), root.dataset, settings)
    assert table["item_ids"].tolist() == [["east", "west"], ["east"]]


def test_only_what_changed_is_searched_again(root: DataRoot, tmp_path: Path) -> None:
    index = write_archive(tmp_path, SmallScene("a", cloud=20))
    settings = make_dataset(root, index)
    windows = make_windows(root, PLACES)
    first, summary = match_scenes(windows, root.dataset, settings)
    assert (summary.searched, summary.kept) == (3, 0)
    again, summary = match_scenes(windows, root.dataset, settings)
    assert (summary.searched, summary.kept) == (0, 3)
    assert SCENE_MATCHES.content_hash(again) == SCENE_MATCHES.content_hash(first)

    make_windows(root, PLACES[:1], start="2022-09-01", end="2022-09-30")
    later, summary = match_scenes(windows, root.dataset, settings)
    assert summary.searched == 1
    assert later["reason"].tolist() == ["no_scene_in_time_range", "", ""]

    write_archive(tmp_path, SmallScene("a", cloud=20), SmallScene("b", cloud=1))
    richer, summary = match_scenes(windows, root.dataset, settings)
    assert summary.searched == 3
    assert richer["item_ids"].tolist() == [[], ["b"], ["b"]]

    stricter = make_dataset(root, index, max_cloud_cover=0)
    none, summary = match_scenes(windows, root.dataset, stricter)
    assert (summary.searched, set(none["reason"])) == (3, {"no_scene_in_time_range", "too_cloudy"})


def test_interrupted_matching_is_done_again(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, SmallScene("a")))
    windows = make_windows(root, PLACES)
    first, _ = match_scenes(windows, root.dataset, settings)
    (root.dataset / "windows" / "2022" / "w1" / "items.json").unlink()
    again, summary = match_scenes(windows, root.dataset, settings)
    assert (summary.searched, summary.kept) == (1, 2)
    ledger = next((root.dataset / ".burnscar").glob("matched-*.json"))
    ledger.write_text("{ cut")
    once_more, summary = match_scenes(windows, root.dataset, settings)
    assert summary.searched == 3
    hashes = {SCENE_MATCHES.content_hash(table) for table in (first, again, once_more)}
    assert len(hashes) == 1


def test_matches_don_t_depend_on_order_or_workers(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, SmallScene("a"), SmallScene("b", east_m=1_000, cloud=10)))
    windows = make_windows(root, [(column, row) for column in range(0, 200, 20) for row in range(0, 200, 30)])
    forward, _ = match_scenes(windows, root.dataset, settings)
    for file in (root.dataset / ".burnscar").iterdir():
        file.unlink()
    workers = settings.model_copy(update={"workers": 2})
    seen: list[tuple[int, int]] = []
    backward, summary = match_scenes(
        windows.iloc[::-1], root.dataset, workers, lambda what, done, total: seen.append((done, total))
    )
    assert summary.searched == len(windows)
    assert SCENE_MATCHES.content_hash(backward) == SCENE_MATCHES.content_hash(forward)
    assert seen[0] == (0, len(windows))
    assert seen[-1] == (len(windows), len(windows))


def test_index_over_http_is_tried_again(root: DataRoot, tmp_path: Path) -> None:
    write_archive(tmp_path, SmallScene("a"))
    with serve(tmp_path, failing={"/index.parquet": 2}) as (address, requests):
        settings = make_dataset(root, f"{address}/index.parquet")
        table, _ = match_scenes(make_windows(root, PLACES), root.dataset, settings)
    assert table["matched"].all()
    assert requests == ["/index.parquet"] * 3
    with pytest.raises(SourceUnavailableError, match="try again later"):
        match_scenes(make_windows(root, PLACES), root.dataset, settings.model_copy(update={"retries": 0}))


def test_archive_without_a_band_is_an_error_before_any_work(root: DataRoot, tmp_path: Path) -> None:
    item = write_scene(tmp_path, SmallScene("s"))
    item["assets"] = {band: item["assets"][band] for band in BANDS if band != "B8A"}
    write_index([item], tmp_path / "index.parquet")
    settings = make_dataset(root, tmp_path / "index.parquet")
    windows = make_windows(root, PLACES)
    with pytest.raises(InputError, match="has B8A"):
        match_scenes(windows, root.dataset, settings)
    assert not list(root.dataset.rglob("items.json"))


def test_archive_that_is_not_there_is_named(root: DataRoot) -> None:
    settings = make_dataset(root, "simulated/index.parquet")
    with pytest.raises(InputError, match=r"there is no STAC index .*simulated/index\.parquet"):
        match_scenes(make_windows(root, PLACES), root.dataset, settings)


def test_packed_and_plain_datasets_are_matched_alike_and_as_rslearn_prepares_them(tmp_path: Path) -> None:
    from rslearn.dataset.manage import prepare_dataset_windows

    index = write_archive(tmp_path, SmallScene("a"), SmallScene("b", east_m=1_000, cloud=2))
    places = [(column, 50) for column in range(0, 400, 30)]
    said = []
    for packed, prepared in ((False, False), (True, False), (False, True)):
        root = DataRoot(tmp_path / f"{packed}-{prepared}")
        settings = make_dataset(root, index, packed=packed)
        windows = make_windows(root, places)
        dataset = open_dataset(root.dataset)
        if prepared:
            prepare_dataset_windows(dataset, dataset.load_windows())
        else:
            match_scenes(windows, root.dataset, settings)
        found = {window.name: window.load_layer_datas()["sentinel2_l2a"] for window in dataset.load_windows()}
        said.append({name: data.serialize() for name, data in sorted(found.items())})
    assert said[0] == said[1] == said[2]
    assert {len(data["serialized_item_groups"]) for data in said[0].values()} == {0, 1}
