"""What the network does to reads: tried again, then told per window; nothing else is lost."""

import itertools
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rslearn.config import LayerConfig
from rslearn.tile_stores import TileStoreWithLayer
from rslearn.utils.geometry import Projection

from burnscar_assets.errors import SourceUnavailableError
from burnscar_assets.reader.files import Pool
from burnscar_assets.reader.read import read_windows
from burnscar_assets.reader.request import ReadOptions, WindowImage, WindowRequest
from burnscar_assets_tests.reader.faulty_server import Faults, serve
from burnscar_assets_tests.reader.files_source import (
    LAYER,
    FilesSource,
    by_rslearn,
    make_item,
    make_layer,
    same_raster,
)

WEST, NORTH, SIDE_PX, BLOCK = 700_020, 4_200_000, 512, 128
BANDS = ["a", "b"]
OPTIONS = ReadOptions(retries=3, retry_backoff_s=0.05, connections=4)


@dataclass
class World:
    """Two scenes side by side on a server, and four windows on each."""

    folder: Path
    source: FilesSource
    layer: LayerConfig
    requests: list[WindowRequest]
    expected: dict[str, list]
    faults: Faults

    def read(self, options: ReadOptions = OPTIONS) -> dict[str, WindowImage]:
        """Read all windows; those without an error must be rslearn's."""
        store = TileStoreWithLayer(self.source, LAYER)
        images = {image.name: image for image in read_windows(self.requests, self.layer, self.source, store, options)}
        assert set(images) == set(self.expected)
        for name, image in images.items():
            if not image.error:
                assert same_raster(image.rasters[0][0], self.expected[name][0][0]) == 0
        return images


_numbers = itertools.count()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    # A folder of its own in the address: GDAL remembers files that were missing.
    folder = tmp_path / f"n{next(_numbers)}"
    folder.mkdir()
    source = FilesSource({band: [band] for band in BANDS})
    items = []
    for number in range(2):
        west = WEST + number * SIDE_PX * 10
        for band in BANDS:
            pixels = (
                np.random.default_rng([number, ord(band)]).integers(1, 9999, (1, SIDE_PX, SIDE_PX)).astype("uint16")
            )
            source.add(
                f"s{number}", band, folder / f"s{number}{band}.tif", pixels, 32610, nodata=0, tiled=True,
                blockxsize=BLOCK, blockysize=BLOCK, compress="deflate", transform=from_origin(west, NORTH, 10, 10),
            )  # fmt: skip
        items.append(make_item(f"s{number}", (west, NORTH - SIDE_PX * 10, west + SIDE_PX * 10, NORTH), 32610))
    layer = make_layer(BANDS, "uint16", 0)
    projection = Projection(CRS.from_epsg(32610), 10, -10)
    requests = []
    for number, place in itertools.product(range(2), range(4)):
        left, top = WEST // 10 + number * SIDE_PX + place * BLOCK + 10, -NORTH // 10 + place * BLOCK + 10
        requests.append(
            WindowRequest(f"s{number}w{place}", projection, (left, top, left + 32, top + 32), [[items[number]]])
        )
    expected = {request.name: by_rslearn(request, layer, source) for request in requests}
    with serve(tmp_path) as (address, faults):
        for key, path in source.addresses.items():
            source.addresses[key] = f"{address}/{folder.name}/{Path(path).name}"
        yield World(folder, source, layer, requests, expected, faults)


@pytest.mark.parametrize("fault", ["500", "429", "reset", "short", "slow"])
def test_a_passing_fault_costs_nothing(world: World, fault: str) -> None:
    world.faults.plan = lambda path, before: fault if path.endswith("s0a.tif") and before < 2 else ""
    assert not any(image.error for image in world.read().values())


@pytest.mark.parametrize("fault", ["500", "429", "reset", "short"])
def test_a_lasting_fault_costs_the_windows_of_that_file(world: World, fault: str) -> None:
    world.faults.plan = lambda path, before: fault if path.endswith("s0a.tif") else ""
    images = world.read()
    failed = {name for name, image in images.items() if image.error}
    assert failed == {f"s0w{place}" for place in range(4)}
    assert all("s0a.tif" in images[name].error for name in failed)


def test_a_missing_file_costs_its_windows(world: World) -> None:
    (world.folder / "s1b.tif").unlink()
    images = world.read()
    assert {name for name, image in images.items() if image.error} == {f"s1w{place}" for place in range(4)}


def test_a_missing_asset_costs_its_windows(world: World) -> None:
    del world.source.addresses["s1", "b"]
    images = world.read()
    assert {name for name, image in images.items() if image.error} == {f"s1w{place}" for place in range(4)}
    assert "s1 has no asset b" in images["s1w0"].error


@pytest.mark.parametrize("local", [False, True])
def test_a_corrupt_tile_costs_the_windows_on_it(world: World, local: bool) -> None:
    path = world.folder / "s0a.tif"
    break_tile(path, row=1, column=1)
    if local:
        copies = world.folder / "copies"
        shutil.copytree(world.folder, copies)
        for key, address in world.source.addresses.items():
            world.source.addresses[key] = str(copies / address.rsplit("/", 1)[1])
    images = world.read()
    assert {name for name, image in images.items() if image.error} == {"s0w1"}


def break_tile(path: Path, row: int, column: int) -> None:
    """Overwrite a block with bytes that can't be inflated."""
    import rasterio

    with rasterio.open(path) as source:
        start, size = (
            int(source.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")
        )
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\xff" * size
    path.write_bytes(content)


def test_a_silent_archive_ends_the_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "1")
    world.faults.plan = lambda path, before: "silent"
    with pytest.raises(SourceUnavailableError, match="does not answer"):
        world.read()


def test_one_silent_file_costs_its_windows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "1")
    world.faults.plan = lambda path, before: "silent" if path.endswith("s0a.tif") else ""
    images = world.read()
    assert {name for name, image in images.items() if image.error} == {f"s0w{place}" for place in range(4)}


def test_closing_the_iterator_ends_the_reading(world: World) -> None:
    world.faults.plan = lambda path, before: "silent" if path.endswith("s1a.tif") else ""
    store = TileStoreWithLayer(world.source, LAYER)
    images = read_windows(world.requests, world.layer, world.source, store, OPTIONS)
    first = next(images)
    assert first.name.startswith("s0")
    images.close()
    assert any(thread.name.startswith("imagery-") for thread in threading.enumerate())  # it did not wait for the thread


@pytest.mark.parametrize("fill", [float("nan"), -9999.0, 0.0])
@pytest.mark.parametrize("first_has_data", [False, True])
def test_scenes_without_data_at_a_window_are_told(tmp_path: Path, fill: float, first_has_data: bool) -> None:
    source = FilesSource({"a": ["a"]})
    items = []
    for name, value in (("first", 5.0 if first_has_data else fill), ("second", 7.0)):
        pixels = np.full((1, 64, 64), value, "float32")
        place = {"nodata": fill, "transform": from_origin(WEST, NORTH, 10, 10)}
        source.add(name, "a", tmp_path / f"{name}.tif", pixels, 32610, **place)
        items.append(make_item(name, (WEST, NORTH - 640, WEST + 640, NORTH), 32610))
    left, top = WEST // 10 + 8, -NORTH // 10 + 8
    request = WindowRequest("w", Projection(CRS.from_epsg(32610), 10, -10), (left, top, left + 32, top + 32), [items])
    store = TileStoreWithLayer(source, LAYER)
    (image,) = read_windows([request], make_layer(["a"], "float32", None), source, store, OPTIONS)
    assert image.failure is None
    assert image.empty == (() if first_has_data else ("first",))


def test_calls_that_wait_when_reading_ends_are_cancelled() -> None:
    pool, began, over = Pool(1, {}), threading.Event(), threading.Event()
    running, waiting = pool.submit(lambda: began.set() or over.wait(10)), pool.submit(list)
    assert began.wait(10)
    pool.stop()
    over.set()
    assert running.result(10)
    with pytest.raises(CancelledError):
        waiting.result(10)
