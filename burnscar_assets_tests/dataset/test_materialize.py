import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.dataset.config import open_dataset
from burnscar_assets.dataset.materialize import TileSummary, materialize_tiles
from burnscar_assets.dataset.packed.pack import pack_path
from burnscar_assets.dataset.shelf import open_shelf
from burnscar_assets.dataset.tiles import read_tile, read_tiles
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import InputError, MissingDataError, SourceUnavailableError, StorageError
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.contracts import TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import (
    SmallScene,
    make_dataset,
    make_windows,
    serve,
    tree_state,
    write_archive,
    write_scene,
)

LAYER = "sentinel2_l2a"
PLACES = [(5, 5), (60, 60), (150, 100), (30, 180)]
OLD = SmallScene("old", baseline="02.14")
NEW = SmallScene("new", baseline="04.00", cloud=20)


def make(root: DataRoot, windows: gpd.GeoDataFrame, settings: ImagerySettings) -> tuple[pd.DataFrame, TileSummary]:
    matches, _ = match_scenes(windows, root.dataset, settings)
    return materialize_tiles(windows, matches, root.dataset, settings)


def tile_files(root: DataRoot, window: str = "*") -> list[Path]:
    return sorted(root.dataset.glob(f"windows/2022/{window}/layers/{LAYER}/*/geotiff.tif"))


def completed(root: DataRoot) -> list[str]:
    return sorted(open_shelf(open_dataset(root.dataset), LAYER).completed("2022"))


@pytest.fixture(params=[False, True], ids=["folders", "packed"])
def packed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def prepare_and_materialize_by_command_line(root: DataRoot) -> None:
    """What `rslearn dataset prepare` and `rslearn dataset materialize` do, in one process to save its imports."""
    script = """
import sys
from rslearn.main import main
for command in ("prepare", "materialize"):
    sys.argv = ["rslearn", "dataset", command, "--workers", "0", "--root", sys.argv[-1]]
    main()
"""
    environment = os.environ | {"RSLEARN_LOGLEVEL": "CRITICAL"}
    subprocess.run([sys.executable, "-c", script, str(root.dataset)], check=True, env=environment)


def test_offset_is_taken_off_exactly_once(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    pixels = {}
    for scene in (OLD, NEW):
        settings = make_dataset(root, write_archive(tmp_path / scene.name, scene), packed=packed)
        windows = make_windows(root, PLACES, prefix=scene.name)
        _, summary = make(root, windows, settings)
        assert (summary.complete, summary.made) == (len(PLACES), len(PLACES))
        pixels[scene.name] = list(read_tiles(root.dataset, windows, LAYER, BANDS))
        for (column, row), tile in zip(PLACES, pixels[scene.name], strict=True):
            expected = scene.reflectance("B02")[row : row + 32, column : column + 32]
            np.testing.assert_array_equal(tile[0], expected)
    np.testing.assert_allclose(np.float64(pixels["old"]), np.float64(pixels["new"]), atol=1)


def test_both_layouts_hold_the_same_tiles(tmp_path: Path) -> None:
    tables, pixels = [], []
    for name in ("folders", "packed"):
        root = DataRoot(tmp_path / name)
        settings = make_dataset(root, write_archive(tmp_path, NEW), packed=name == "packed")
        windows = make_windows(root, PLACES)
        table, _ = make(root, windows, settings)
        tables.append(TILES.content_hash(table))
        pixels.append(np.stack(list(read_tiles(root.dataset, windows, LAYER, BANDS))))
    assert tables[0] == tables[1]
    np.testing.assert_array_equal(*pixels)
    assert sorted(p.name for p in (tmp_path / "packed" / "dataset" / "packed").iterdir()) == ["2022.sqlite"]
    assert not (tmp_path / "packed" / "dataset" / "windows").exists()


def test_a_broken_packed_tile_is_made_again(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD), packed=True)
    windows = make_windows(root, PLACES)
    first, _ = make(root, windows, settings)
    with closing(sqlite3.connect(pack_path(root.dataset, "2022"))) as file, file:
        file.execute(
            "UPDATE rasters SET pixels = zeroblob(length(pixels)) WHERE window = (SELECT min(window) FROM rasters)"
        )
    with pytest.raises(MissingDataError, match="has no readable tile"):
        list(read_tiles(root.dataset, windows, LAYER, BANDS))
    again, summary = make(root, windows, settings)
    assert (summary.replaced, summary.kept) == (1, len(PLACES) - 1)
    assert TILES.content_hash(again) == TILES.content_hash(first)


@pytest.mark.parametrize("remote", [False, True])
def test_tiles_equal_those_of_the_rslearn_command_line(root: DataRoot, tmp_path: Path, remote: bool) -> None:
    write_archive(tmp_path, SmallScene("west", cloud=9, baseline="05.09"), SmallScene("east", cloud=2, east_m=2_000))
    with serve(tmp_path) as (address, _):
        settings = make_dataset(root, f"{address}/index.parquet" if remote else tmp_path / "index.parquet")
        windows = make_windows(root, [*PLACES, (190, 50), (225, 50)])
        make(root, windows, settings)
        ours = [path.read_bytes() for path in tile_files(root)]
        for path in root.dataset.glob("windows/2022/*/items.json"):
            path.unlink()
        for path in root.dataset.glob("windows/2022/*/layers"):
            shutil.rmtree(path)
        prepare_and_materialize_by_command_line(root)
    assert len(ours) == len(windows)
    assert [path.read_bytes() for path in tile_files(root)] == ours


def test_what_is_there_is_kept_byte_for_byte(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD))
    windows = make_windows(root, PLACES)
    first, _ = make(root, windows, settings)
    before = {path: path.stat().st_mtime_ns for path in root.dataset.rglob("*") if path.is_file()}
    again, summary = make(root, windows.sample(frac=1, random_state=1), settings)
    assert (summary.made, summary.kept) == (0, len(PLACES))
    assert TILES.content_hash(again) == TILES.content_hash(first)
    assert {path: path.stat().st_mtime_ns for path in root.dataset.rglob("*") if path.is_file()} == before


def test_a_scene_that_is_gone_takes_no_tile_with_it(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD), packed=packed)
    windows = make_windows(root, PLACES)
    first, _ = make(root, windows, settings)
    shutil.rmtree(tmp_path / "old")
    again, summary = make(root, windows, settings)
    assert (summary.made, summary.kept) == (0, len(PLACES))
    assert TILES.content_hash(again) == TILES.content_hash(first)


def test_changed_scenes_and_layers_make_new_tiles(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD), packed=packed)
    windows = make_windows(root, PLACES)
    first, _ = make(root, windows, settings)

    write_scene(tmp_path, SmallScene("old", surface=1))
    other_pixels, summary = make(root, windows, settings)
    assert (summary.made, summary.replaced) == (0, len(PLACES))
    assert not set(other_pixels["content_hash"]) & set(first["content_hash"])

    write_archive(tmp_path, SmallScene("old", surface=1), SmallScene("better", cloud=0))
    other_scene, summary = make(root, windows, settings)
    assert (summary.made, summary.replaced) == (0, len(PLACES))
    assert other_scene["item_ids"].tolist() == [["better"]] * len(PLACES)
    assert other_scene["content_hash"].tolist() == first["content_hash"].tolist()

    config = root.dataset / "config.json"
    config.write_text(config.read_text().replace('"bilinear"', '"nearest"'))
    nearest, summary = make(root, windows, settings)
    assert (summary.made, summary.replaced) == (0, len(PLACES))
    assert not set(nearest["content_hash"]) & set(first["content_hash"])


def test_interrupted_work_is_never_taken_for_whole(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD))
    windows = make_windows(root, PLACES)
    first, _ = make(root, windows, settings)
    files = tile_files(root)
    (files[0].parents[1] / "completed").unlink()
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:300])
    files[2].unlink()
    again, summary = make(root, windows, settings)
    assert (summary.made, summary.replaced, summary.kept) == (1, 2, 1)
    assert TILES.content_hash(again) == TILES.content_hash(first)

    for ledger in root.dataset.glob(".burnscar/tiles-*.json"):
        ledger.unlink()
    _, summary = make(root, windows, settings)
    assert summary.replaced == len(PLACES)


def test_work_goes_on_where_it_was_broken_off(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD), packed=packed)
    windows = make_windows(root, [(column, row) for column in range(0, 200, 20) for row in range(0, 200, 30)])
    matches, _ = match_scenes(windows, root.dataset, settings)

    def break_off(what: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        materialize_tiles(windows, matches, root.dataset, settings, break_off)
    done = len(completed(root))
    assert 0 < done < len(windows)
    _, summary = materialize_tiles(windows, matches, root.dataset, settings)
    assert (summary.kept, summary.made) == (done, len(windows) - done)
    assert summary.complete == len(windows)


def test_layers_that_want_ingesting_give_the_same_tiles(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    settings = make_dataset(root, write_archive(tmp_path, NEW), packed=packed)
    windows = make_windows(root, PLACES)
    direct, _ = make(root, windows, settings)
    config = root.dataset / "config.json"
    config.write_text(config.read_text().replace('"ingest": false', '"ingest": true'))
    ingested, summary = make(root, windows, settings)
    assert (summary.replaced, summary.complete) == (len(PLACES), len(PLACES))
    assert (root.dataset / "tiles").is_dir()
    assert ingested["content_hash"].tolist() == direct["content_hash"].tolist()


def test_windows_without_data_are_left_out_for_rslearn_too(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD), packed=packed)
    windows = make_windows(root, [*PLACES, (-16, 5)])
    table, summary = make(root, windows, settings)
    assert summary.reasons == {"nodata": 1}
    assert table.iloc[-1][["complete", "reason"]].tolist() == [False, "nodata"]
    assert table.iloc[-1]["nodata_fraction"] == pytest.approx(0.5, abs=0.1)
    assert table["nodata_fraction"].iloc[0] == 0
    assert completed(root) == ["w0", "w1", "w2", "w3"]

    prepare_and_materialize_by_command_line(root)
    assert completed(root) == ["w0", "w1", "w2", "w3"]
    again, summary = make(root, windows, settings)
    assert (summary.made, summary.kept) == (0, 4)
    assert TILES.content_hash(again) == TILES.content_hash(table)

    lenient = settings.model_copy(update={"max_nodata_fraction": 0.9})
    more, summary = make(root, windows, lenient)
    assert (summary.made, summary.complete) == (1, 5)
    assert more["content_hash"].tolist() == table["content_hash"].tolist()
    _, summary = make(root, windows, settings)
    assert (summary.removed, summary.kept) == (1, 4)
    assert (summary.complete, completed(root)) == (4, ["w0", "w1", "w2", "w3"])


def test_unmatched_windows_lose_their_old_tile(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD))
    windows = make_windows(root, PLACES)
    make(root, windows, settings)
    make_windows(root, PLACES[:1], start="2021-01-01", end="2021-02-01")
    table, summary = make(root, windows, settings)
    assert summary.reasons == {"no_scene": 1}
    assert (summary.kept, summary.removed) == (3, 1)
    assert table["reason"].tolist() == ["no_scene", "", "", ""]
    assert completed(root) == ["w1", "w2", "w3"]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [cut_short, Path.unlink])
def test_unreadable_scene_is_one_clear_error_and_leaves_what_was_there(
    root: DataRoot, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD))
    windows = make_windows(root, PLACES)
    first, _ = make(root, windows, settings)
    before = tree_state(root.dataset)

    config = root.dataset / "config.json"
    config.write_text(config.read_text().replace('"bilinear"', '"nearest"'))
    matches, _ = match_scenes(windows, root.dataset, settings)
    damage(tmp_path / "old" / "B11.tif")
    with pytest.raises(InputError, match=r"4 of 4 windows .*old/B11\.tif.*Fetch these files again"):
        materialize_tiles(windows, matches, root.dataset, settings)
    after = tree_state(root.dataset)
    assert {name: after[name] for name in after if "layers" in name} == {n: before[n] for n in before if "layers" in n}

    config.write_text(config.read_text().replace('"nearest"', '"bilinear"'))
    write_scene(tmp_path, OLD)
    repaired, summary = make(root, windows, settings)
    assert (summary.replaced, summary.complete) == (len(PLACES), len(PLACES))
    assert TILES.content_hash(repaired) == TILES.content_hash(first)


def test_a_few_unreadable_windows_are_listed_and_left_out(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    index = write_archive(tmp_path, OLD, SmallScene("east", east_m=2_400))
    settings = make_dataset(root, index, max_unreadable_fraction=0.2, packed=packed)
    windows = make_windows(root, [*PLACES, (300, 50)])
    (tmp_path / "east" / "B01.tif").unlink()
    table, summary = make(root, windows, settings)
    assert summary.reasons == {"unreadable": 1}
    assert table["reason"].tolist() == ["", "", "", "", "unreadable"]
    assert completed(root) == ["w0", "w1", "w2", "w3"]
    with pytest.raises(MissingDataError, match="w4 has no readable tile"):
        read_tile(root.dataset, "2022", "w4", LAYER, BANDS)
    write_scene(tmp_path, SmallScene("east", east_m=2_400))
    prepare_and_materialize_by_command_line(root)
    assert completed(root) == ["w0", "w1", "w2", "w3"]
    _, summary = make(root, windows, settings)
    assert (summary.made, summary.complete) == (1, 5)
    assert completed(root) == ["w0", "w1", "w2", "w3", "w4"]


def test_remote_scenes_are_tried_again(root: DataRoot, tmp_path: Path) -> None:
    write_archive(tmp_path, OLD)
    with serve(tmp_path, failing={"/old/B05.tif": 2, "/old/B12.tif": 1}) as (address, _):
        settings = make_dataset(root, f"{address}/index.parquet")
        _, summary = make(root, make_windows(root, PLACES), settings)
    assert summary.complete == len(PLACES)


def test_remote_archive_that_is_down_may_come_back(root: DataRoot, tmp_path: Path) -> None:
    write_archive(tmp_path, OLD)
    windows = None
    with serve(tmp_path) as (address, _):
        settings = make_dataset(root, f"{address}/index.parquet", retries=1)
        windows = make_windows(root, PLACES)
        matches, _ = match_scenes(windows, root.dataset, settings)
    with pytest.raises(SourceUnavailableError, match="4 of 4 windows"):
        materialize_tiles(windows, matches, root.dataset, settings)
    assert not completed(root)


def test_workers_make_the_same_tiles(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    settings = make_dataset(
        root, write_archive(tmp_path, OLD, SmallScene("east", east_m=1_500, cloud=3)), packed=packed
    )
    windows = make_windows(root, [(column, row) for column in range(0, 200, 20) for row in range(0, 200, 40)])
    matches, _ = match_scenes(windows, root.dataset, settings)
    alone, _ = materialize_tiles(windows, matches, root.dataset, settings)
    for ledger in root.dataset.glob(".burnscar/tiles-*.json"):
        ledger.unlink()
    workers = settings.model_copy(update={"workers": 2})
    together, summary = materialize_tiles(windows, matches, root.dataset, workers)
    assert summary.replaced == len(windows)
    assert TILES.content_hash(together) == TILES.content_hash(alone)


@pytest.mark.slow
def test_a_ray_cluster_makes_the_same_tiles(root: DataRoot, tmp_path: Path) -> None:
    scenes = [SmallScene(f"over {east}", east_m=east, surface=east) for east in (0, 2_400)]
    settings = make_dataset(root, write_archive(tmp_path, *scenes), packed=True)
    windows = make_windows(root, [(column, row) for column in range(0, 440, 40) for row in range(0, 200, 40)])
    alone, _ = make(root, windows, settings)
    for ledger in root.dataset.glob(".burnscar/tiles-*.json"):
        ledger.unlink()
    on_ray = settings.model_copy(update={"ray_address": "local"})
    together, summary = make(root, windows, on_ray)
    assert summary.replaced == summary.complete > 0
    assert TILES.content_hash(together) == TILES.content_hash(alone)


def test_full_disk_is_no_unreadable_scene(root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rslearn.utils import raster_format

    settings = make_dataset(root, write_archive(tmp_path, OLD))
    windows = make_windows(root, PLACES)
    make(root, windows, settings)
    before = tree_state(root.dataset / "windows")
    write_scene(tmp_path, SmallScene("old", surface=1))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(raster_format, "open_rasterio_upath_writer", full)
    with pytest.raises(StorageError, match="no space left"):
        make(root, windows, settings)
    assert tree_state(root.dataset / "windows") == before
    monkeypatch.undo()
    _, summary = make(root, windows, settings)
    assert (summary.replaced, summary.complete) == (len(PLACES), len(PLACES))


def test_matches_that_are_out_of_date_are_refused(root: DataRoot, tmp_path: Path) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD))
    windows = make_windows(root, PLACES)
    matches, _ = match_scenes(windows, root.dataset, settings)
    with pytest.raises(MissingDataError, match="matches of window w3 are missing or out of date"):
        materialize_tiles(windows, matches[matches["window_id"] != "w3"], root.dataset, settings)
    write_archive(tmp_path, OLD, SmallScene("better", cloud=0))
    match_scenes(windows, root.dataset, settings)
    with pytest.raises(MissingDataError, match="run burnscar refresh --years 2022"):
        materialize_tiles(windows, matches, root.dataset, settings)


def test_reading_asks_for_bands_by_name(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD), packed=packed)
    windows = make_windows(root, PLACES[:2])
    make(root, windows, settings)
    whole = read_tile(root.dataset, "2022", "w1", LAYER, BANDS)
    assert (whole.shape, whole.dtype) == ((12, 32, 32), np.uint16)
    swir = read_tile(root.dataset, "2022", "w1", LAYER, ("B12", "B8A", "B04"))
    np.testing.assert_array_equal(swir, whole[[9, 7, 2]])
    with pytest.raises(InputError, match="no layer 'sentinel2_l2a' with bands B10"):
        read_tile(root.dataset, "2022", "w1", LAYER, ("B10",))
    with pytest.raises(InputError, match="its layers are label_raster, sentinel2_l2a"):
        next(read_tiles(root.dataset, windows, "sentinel1", ("vv",)))


def test_a_year_without_windows_has_empty_tables(root: DataRoot, tmp_path: Path, packed: bool) -> None:
    settings = make_dataset(root, write_archive(tmp_path, OLD), packed=packed)
    windows = make_windows(root, PLACES[:1]).iloc[:0]
    table, summary = make(root, windows, settings)
    assert (len(table), summary.windows, summary.left_out) == (0, 0, 0)
