"""A group's file: what is in it, and what becomes of it when things go wrong."""

import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from burnscar_assets.dataset.packed import database
from burnscar_assets.dataset.packed.pack import LayerItems, Pack, Vector, pack_groups
from burnscar_assets.dataset.packed.pixels import iter_pixels, read_pixels
from burnscar_assets.dataset.packed.rasters import Grid, Raster, RasterRow
from burnscar_assets.errors import InputError, MissingDataError, StorageError
from burnscar_assets_tests.dataset.packed.pack_kit import BANDS, GROUP, LAYER, fill, pack_in, pixels_of, raster_of


def test_reading_makes_no_file(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    assert pack.windows() == []
    assert pack.completed(LAYER) == set()
    with pytest.raises(MissingDataError, match=r"w0.*burnscar refresh --years 2022"):
        pack.rasters.get("w0", LAYER, BANDS)
    assert list(tmp_path.iterdir()) == []


def test_a_group_is_one_file_at_rest(tmp_path: Path) -> None:
    fill(pack_in(tmp_path), range(3))
    assert [path.name for path in (tmp_path / "packed").iterdir()] == ["2022.sqlite"]
    assert pack_groups(tmp_path) == [GROUP]


def test_a_raster_comes_back_exactly(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    times = (("2022-08-01T00:00:00+00:00", "2022-08-02T00:00:00+00:00"), ("2022-09-01T00:00:00", "2022-09-02T00:00:00"))
    pixels = np.random.default_rng(0).normal(size=(2, 2, 5, 7)).astype("float32")
    put = Raster(("a_b", "c"), pixels, Grid("EPSG:3310", 2.5, -2.5), -4, 7, times, float("nan"))
    pack.rasters.put([RasterRow("w", LAYER, 3, put)])
    got = pack.rasters.get("w", LAYER, ["a_b", "c"], 3)
    assert np.array_equal(got.pixels, pixels) and got.pixels.dtype == pixels.dtype
    assert (got.grid, got.min_col, got.min_row, got.timestamps) == (put.grid, -4, 7, times)
    assert np.isnan(got.nodata)
    with pytest.raises(MissingDataError):
        pack.rasters.get("w", LAYER, ["c", "a_b"], 3)
    assert pack.windows() == []


def test_items_are_stored_once_and_come_back_in_order(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    scenes = [{"name": f"s{number}", "z": 1, "a": [number]} for number in range(3)]
    times = [["2022-08-01T00:00:00+00:00", "2022-08-02T00:00:00+00:00"], None]
    said = {
        "w1": {"post": LayerItems([[scenes[2], scenes[0]], []], times, True), "pre": LayerItems([])},
        "w0": {"pre": LayerItems([[scenes[0]]]), "post": LayerItems([[scenes[0]]])},
    }
    pack.put_layer_items(said)
    pack.put_layer_items({"w0": said["w0"]})
    assert pack.layer_items() == said
    assert [list(layers) for layers in pack.layer_items(["w0"]).values()] == [["pre", "post"]]
    assert list(pack.layer_items()["w0"]["pre"].groups[0][0]) == ["name", "z", "a"]
    assert pack.database.rows("SELECT count(*) FROM items") == [(2,)]
    pack.put_layer_items({"w1": {}})
    assert list(pack.layer_items()) == ["w0"]


def test_removing_a_layer_leaves_the_others_and_the_items(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    names = fill(pack, range(3))
    for index in (0, 1):
        pack.put_vectors([Vector("w0", "label", index, "{}")])
        pack.mark_completed([("w0", "label", index)])
        pack.rasters.put([RasterRow("w0", LAYER, index, raster_of(5))])
        pack.mark_completed([("w0", LAYER, index)])
    pack.put_layer_items({"w0": {LAYER: LayerItems([["item"]])}})
    pack.remove_layer(["w0", "w2", "nobody"], LAYER)
    assert pack.completed(LAYER) == {"w1"}
    assert sorted(pack.completed_groups("w0")) == [("label", 0), ("label", 1)]
    assert pack.vector("w0", "label", 1) == "{}"
    assert pack.layer_items(["w0"]) == {"w0": {LAYER: LayerItems([["item"]])}}
    assert pack.remove_windows([*names, "nobody"]) == 3
    for table in ("windows", "rasters", "vectors", "completed", "layer_datas"):
        assert pack.database.rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_bulk_reading_is_in_the_order_of_the_names(tmp_path: Path) -> None:
    fill(pack_in(tmp_path), range(20))
    order = [f"w{number}" for number in np.random.default_rng(0).integers(0, 20, 50)]
    expected = np.stack([pixels_of(int(name[1:]))[:, 0] for name in order])
    assert np.array_equal(read_pixels(tmp_path, GROUP, order, LAYER), expected)
    parts = list(iter_pixels(tmp_path, GROUP, order, LAYER, ["B04", "B02"], batch=7))
    assert [len(part) for part in parts] == [7] * 7 + [1]
    assert np.array_equal(np.concatenate(parts), expected[:, [2, 0]])
    assert len(read_pixels(tmp_path, GROUP, [], LAYER)) == 0


def test_bulk_reading_of_more_than_one_batch(tmp_path: Path) -> None:
    fill(pack_in(tmp_path), range(3))
    order = [f"w{number % 3}" for number in range(1300)]
    pixels = read_pixels(tmp_path, GROUP, order, LAYER)
    assert all(np.array_equal(pixels[number], pixels_of(number % 3)[:, 0]) for number in (0, 511, 512, 1025, 1299))


def test_bulk_reading_joins_band_sets(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    names = fill(pack, range(2))
    pack.rasters.put(RasterRow(f"w{number}", LAYER, 0, raster_of(10 + number, ("B11", "B12"))) for number in range(2))
    pixels = read_pixels(tmp_path, GROUP, names, LAYER, ["B12", "B03"])
    assert np.array_equal(pixels[1], np.stack([pixels_of(11, 2)[1, 0], pixels_of(1)[1, 0]]))
    assert read_pixels(tmp_path, GROUP, names, LAYER).shape == (2, 5, 32, 32)


def test_bulk_reading_names_what_is_missing(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    fill(pack, range(4))
    pack.rasters.put([RasterRow("half", LAYER, 0, raster_of(0))])
    for names in (["w1", "nobody"], ["half", "w1"]):
        with pytest.raises(MissingDataError, match=r"nobody|half"):
            read_pixels(tmp_path, GROUP, names, LAYER)
    with pytest.raises(MissingDataError, match="w1, w2, w3 "):
        read_pixels(tmp_path, GROUP, ["w1", "w2", "w3", "w0"], LAYER, ["B99"])
    pack.rasters.put([RasterRow("w1", LAYER, 0, Raster(BANDS, pixels_of(0, side=8), raster_of(0).grid, 0, 0))])
    with pytest.raises(InputError, match="different rasters"):
        read_pixels(tmp_path, GROUP, ["w0", "w1"], LAYER)


def test_damaged_pixels_are_noticed_for_their_window_only(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    fill(pack, range(4))
    ((blob,),) = pack.database.rows(
        "SELECT pixels FROM rasters WHERE window = (SELECT id FROM windows WHERE name = 'w2')"
    )
    raw = bytearray(pack.path.read_bytes())
    raw[raw.index(blob[:64]) + 40] ^= 0xFF
    damaged = pack.path.with_name("damaged")
    damaged.write_bytes(raw)
    damaged.replace(pack.path)
    with pytest.raises(MissingDataError, match="window w2"):
        pack.rasters.get("w2", LAYER, BANDS)
    with pytest.raises(MissingDataError, match="window w2"):
        read_pixels(tmp_path, GROUP, ["w1", "w2", "w3"], LAYER)
    assert np.array_equal(pack.rasters.get("w1", LAYER, BANDS).pixels, pixels_of(1))
    pack.rasters.put([RasterRow("w2", LAYER, 0, raster_of(2))])
    assert len(read_pixels(tmp_path, GROUP, ["w1", "w2", "w3"], LAYER)) == 3


def test_blocks_within_blocks(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)

    def put_and_fail(name: str) -> None:
        with pack.transaction():
            pack.put_windows([(name, "{}")])
            raise KeyboardInterrupt

    with pack.transaction():
        pack.put_windows([("a", "{}")])
        with pytest.raises(KeyboardInterrupt):
            put_and_fail("b")
        pack.put_windows([("c", "{}")])
        assert [name for name, _ in pack.windows()] == ["a", "c"]
    assert [name for name, _ in pack.windows()] == ["a", "c"]
    with pytest.raises(KeyboardInterrupt), pack.transaction():
        pack.remove_windows(["a", "c"])
        put_and_fail("d")
    assert [name for name, _ in pack.windows()] == ["a", "c"]


def test_others_see_a_change_when_it_is_whole(tmp_path: Path) -> None:
    pack, seen = pack_in(tmp_path), []
    fill(pack, range(1))

    def look() -> None:
        seen.append([name for name, _ in pack_in(tmp_path).windows()])

    with pack.transaction():
        pack.put_windows([("new", "{}")])
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    look()
    assert seen == [["w0"], ["w0", "new"]]


def test_another_file_in_its_place_is_noticed(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    fill(pack, range(2))
    assert len(pack.windows()) == 2
    pack.path.unlink()
    assert pack.windows() == []
    fill(pack, range(1))
    assert len(pack.windows()) == 1


def _write_from_a_process(path: Path, first: int) -> None:
    pack = Pack(path)
    for number in range(first, first + 10):
        fill(pack, range(number, number + 1))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_that_write_one_group_wait_for_each_other(tmp_path: Path, method: str) -> None:
    pack = pack_in(tmp_path)
    if method == "fork":
        fill(pack, range(1000, 1001))
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=_write_from_a_process, args=(pack.path, 10 * n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    names = [f"w{number}" for number in range(30)]
    assert pack.completed(LAYER) >= set(names)
    expected = np.stack([pixels_of(number)[:, 0] for number in range(30)])
    assert np.array_equal(read_pixels(tmp_path, GROUP, names, LAYER), expected)


def test_a_fork_in_a_transaction_takes_nothing_from_it(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    fill(pack, range(1))
    with pack.transaction():
        pack.put_windows([("mine", "{}")])
        child = os.fork()
        if child == 0:
            os._exit(0 if [name for name, _ in pack.windows()] == ["w0"] else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert [name for name, _ in pack.windows()] == ["w0", "mine"]


def test_a_killed_writer_leaves_what_was_there(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    fill(pack, range(5))
    before = sorted(pack.windows())
    script = """
import sys, time
from pathlib import Path
from burnscar_assets.dataset.packed.pack import Pack
from burnscar_assets_tests.dataset.packed.pack_kit import fill
pack = Pack(Path(sys.argv[1]))
with pack.database.transaction() as connection:
    connection.execute("PRAGMA cache_size=1")  # so that changes reach the disk before the commit
    pack.remove_windows(["w0", "w1"])
    fill(pack, range(3, 300))
    print("written", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script, pack.path], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "written\n"
        journal = Path(f"{pack.path}-journal")
        assert journal.stat().st_size > 0
        writer.send_signal(signal.SIGKILL)
    assert sorted(pack.windows()) == before
    assert not journal.exists()
    expected = np.stack([pixels_of(number)[:, 0] for number in range(5)])
    assert np.array_equal(read_pixels(tmp_path, GROUP, [f"w{number}" for number in range(5)], LAYER), expected)
    fill(pack, range(5, 6))


def test_an_empty_file_is_a_group_that_is_being_made(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    pack.path.parent.mkdir()
    pack.path.touch()
    assert pack.windows() == []
    fill(pack, range(1))
    assert len(pack.windows()) == 1


def test_a_pack_can_be_pickled_and_used_by_threads(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    fill(pack, range(3))
    copy: Pack = pickle.loads(pickle.dumps(pack))
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(copy.windows()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 4


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    fill(pack, range(1))
    connection = sqlite3.connect(pack.path)
    connection.execute("PRAGMA user_version=2")
    connection.close()
    other = Pack(tmp_path / "packed" / "2023.sqlite")
    pack.path.rename(other.path)
    for use in (other.windows, lambda: fill(other, range(1))):
        with pytest.raises(InputError, match=r"2023\.sqlite was written by a newer burnscar_assets"):
            use()


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    pack.path.parent.mkdir()
    pack.path.write_text("no database at all, but long enough to look like one" * 10)
    before = pack.path.read_bytes()
    for use in (pack.windows, lambda: fill(pack, range(1))):
        with pytest.raises(InputError, match="is no packed group"):
            use()
    assert pack.path.read_bytes() == before
    other = pack.path.with_name("2023.sqlite")
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(InputError, match="is no packed group"):
        Pack(other).put_windows([("w", "{}")])


def test_a_cut_file_is_a_clear_error(tmp_path: Path) -> None:
    pack = pack_in(tmp_path)
    fill(pack, range(20))
    size = pack.path.stat().st_size
    os.truncate(pack.path, size // 2 + 100)
    with pytest.raises((StorageError, MissingDataError), match="burnscar refresh"):
        read_pixels(tmp_path, GROUP, [f"w{number}" for number in range(20)], LAYER)


def test_a_lock_that_is_never_given_back_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = pack_in(tmp_path)
    fill(pack, range(1))
    holder = sqlite3.connect(pack.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(database, "WAIT_S", 0.1)
    errors: list[BaseException] = []

    def write() -> None:
        try:
            fill(pack, range(2))
        except StorageError as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    holder.execute("ROLLBACK")
    holder.close()
    assert "locked by another process" in str(errors[0])


def test_a_folder_in_its_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "packed").write_text("")
    assert pack_in(tmp_path).windows() == []
    with pytest.raises(StorageError, match="cannot write"):
        fill(pack_in(tmp_path), range(1))
