"""The engine's windows are rslearn's, pixel by pixel, whatever the files and the windows.

rslearn is right where a file's value without data is the layer's. Where it is another one, or none, the windows are
those that rslearn makes of the same files with the layer's; but a pixel with data that comes out as the file's value is
the number next to it, as GDAL has it.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform
from rslearn.utils.geometry import Projection

from burnscar_assets.reader.read import read_windows
from burnscar_assets.reader.request import ReadOptions, WindowRequest, supports
from burnscar_assets_tests.reader.files_source import (
    LAYER,
    FilesSource,
    TileStoreWithLayer,
    by_rslearn,
    make_item,
    make_layer,
    same_raster,
)

WEST, NORTH, SIDE_M = 700_020, 4_200_000, 2_400
SIZES_M = {"a": 10, "b": 20, "c": 60}
MOST_DIFFERENT = 0.002


@dataclass(frozen=True)
class Files:
    """How the files of two overlapping scenes are written."""

    seed: int
    dtype: str
    nodata: float | None
    band_nodata: float | None
    hole: tuple[int, int, int]
    block: int
    shift_m: tuple[int, int]
    one_file: bool


files = st.builds(
    Files,
    seed=st.integers(0, 99),
    dtype=st.sampled_from(["uint16", "uint16", "uint8", "int16", "float32"]),
    nodata=st.sampled_from([0, 0, None, 7]),
    band_nodata=st.sampled_from([0, 0, None, 3]),
    hole=st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 25)),
    block=st.sampled_from([0, 16, 64, 128]),
    shift_m=st.sampled_from([(0, 0), (1200, 0), (1740, -600), (-35, 15)]),
    one_file=st.booleans(),
)
places = st.lists(
    st.tuples(st.integers(-40, 260), st.integers(-40, 260), st.integers(1, 48), st.integers(1, 48)),
    min_size=1,
    max_size=6,
)
grids = st.sampled_from([(32610, 10), (32610, 10), (32610, 10), (32610, 20), (32610, 13), (32610, 35), (32611, 10)])


def write_files(folder: Path, how: Files, like_layer: bool = False) -> tuple[FilesSource, list]:
    """Two scenes of three bands: 10 m, 20 m and 60 m, or one file of three bands of 10 m.

    With `like_layer`, the files have the layer's value without data.
    """
    folder.mkdir(exist_ok=True)
    bands = {"abc": ["a", "b", "c"]} if how.one_file else {band: [band] for band in SIZES_M}
    source = FilesSource(bands)
    items = []
    for number, (east, north) in enumerate([(0, 0), how.shift_m]):
        name = f"s{number}"
        for asset, names in bands.items():
            size = 10 if how.one_file else SIZES_M[asset]
            count = SIDE_M // size
            seed = np.random.default_rng([how.seed, number, size])
            pixels = seed.integers(1, 250, (len(names), count, count)).astype(how.dtype)
            if None not in (how.nodata, how.band_nodata) and how.nodata != how.band_nodata:
                pixels[np.isin(pixels, (how.nodata, how.band_nodata))] += 1
            if how.nodata is not None:
                row, column, extent = (value * 60 // size for value in how.hole)
                pixels[:, row : row + extent, column : column + extent] = how.nodata
            nodata = how.nodata
            if like_layer and how.band_nodata is not None:
                pixels = np.where(pixels == nodata, how.band_nodata, pixels).astype(how.dtype)
                nodata = how.band_nodata
            profile = {"nodata": nodata, "transform": from_origin(WEST + east, NORTH + north, size, size)}
            if how.block:
                profile |= {"tiled": True, "blockxsize": how.block, "blockysize": how.block, "compress": "deflate"}
            source.add(name, asset, folder / f"{name}{asset}.tif", pixels, 32610, **profile)
        left, top = WEST + east, NORTH + north
        items.append(make_item(name, (left, top - SIDE_M, left + SIDE_M, top), 32610))
    return source, items


def make_requests(where: list[tuple[int, int, int, int]], epsg: int, size_m: int, items: list) -> list[WindowRequest]:
    """Windows at places in tens of metres from the scenes' corner; every other is a mosaic of both scenes."""
    projection = Projection(CRS.from_epsg(epsg), size_m, -size_m)
    requests = []
    for number, (column, row, width, height) in enumerate(where):
        (x,), (y,) = transform("EPSG:32610", projection.crs, [WEST + column * 10], [NORTH - row * 10])
        left, top = int(x // size_m), int(-y // size_m)
        bounds = (left, top, left + width, top + height)
        groups = [items, items[:1]] if number % 2 else [items[::-1]]
        requests.append(WindowRequest(f"w{number}", projection, bounds, groups))
    return requests


def compare(
    how: Files, where: list[tuple[int, int, int, int]], grid: tuple[int, int], resampling: str, options: ReadOptions
) -> tuple[int, int]:
    """Pixels that differ, and all pixels, of windows by the engine and by rslearn."""
    with tempfile.TemporaryDirectory() as folder:
        source, items = write_files(Path(folder), how)
        reference_source, _ = write_files(Path(folder, "like layer"), how, like_layer=True)
        layer = make_layer(list(SIZES_M), how.dtype, how.band_nodata, resampling)
        requests = make_requests(where, *grid, items)
        store = TileStoreWithLayer(source, LAYER)
        assert supports(layer, source, store) == ""
        images = {image.name: image for image in read_windows(requests, layer, source, store, options)}
        assert set(images) == {request.name for request in requests}
        different = total = 0
        for request in requests:
            assert images[request.name].error == ""
            expected = by_rslearn(request, layer, reference_source)
            for ours, theirs in zip(images[request.name].rasters, expected, strict=True):
                for raster, reference in zip(ours, theirs, strict=True):
                    keep_off(reference.array, how)
                    different += same_raster(raster, reference)
                    total += raster.array.size
        return different, total


def keep_off(pixels: np.ndarray, how: Files) -> None:
    """Have pixels with data that are as the files' value without the number next to it."""
    if pixels.dtype.kind in "iu" and None not in (how.nodata, how.band_nodata) and how.nodata != how.band_nodata:
        is_least = how.nodata == np.iinfo(pixels.dtype).min
        pixels[pixels == how.nodata] = how.nodata + 1 if is_least else how.nodata - 1


@settings(max_examples=70)
@given(
    how=files,
    where=places,
    grid=grids,
    resampling=st.sampled_from(["bilinear", "nearest", "cubic", "cubic_spline"]),
    options=st.sampled_from([ReadOptions(threads=2), ReadOptions(threads=2, memory_bytes=1 << 16)]),
)
def test_windows_are_rslearns(
    how: Files, where: list[tuple[int, int, int, int]], grid: tuple[int, int], resampling: str, options: ReadOptions
) -> None:
    different, total = compare(how, where, grid, resampling, options)
    assert different <= max(2, MOST_DIFFERENT * total)


@pytest.mark.parametrize("nodata", [0, 7])
@pytest.mark.parametrize("resampling", ["bilinear", "cubic"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_pixels_with_data_never_become_the_layers_value_without(dtype: str, resampling: str, nodata: int) -> None:
    different = 0
    for seed in (0, 3, 14):
        how = Files(seed, dtype, nodata, 3, (0, 0, 0), 0, (0, 0), False)
        different += compare(how, [(0, 0, 48, 48)], (32610, 10), resampling, ReadOptions(threads=2))[0]
    assert different == 0


@pytest.mark.parametrize("width", [513, 700])
def test_wide_windows_are_rslearns(width: int) -> None:
    how = Files(1, "uint16", 0, 0, (3, 3, 2), 128, (1200, 0), False)
    different, total = compare(
        how, [(-20, 5, width, 30), (-300, 3, width, 200)], (32610, 10), "bilinear", ReadOptions()
    )
    assert different <= MOST_DIFFERENT * total


def test_coarser_windows_at_a_scenes_corner_are_rslearns() -> None:
    how = Files(11, "int16", 7, 3, (14, 30, 14), 0, (1740, -600), False)
    different, _ = compare(how, [(163, 148, 6, 44), (224, 29, 17, 9)], (32610, 35), "bilinear", ReadOptions())
    assert different == 0


def test_a_number_interpolated_to_the_layers_value_has_data_in_coarser_windows_too() -> None:
    how = Files(13, "uint16", 7, 0, (0, 0, 0), 0, (0, 0), False)
    different, _ = compare(how, [(0, 0, 35, 17)], (32610, 13), "cubic", ReadOptions())
    assert different == 0


def test_little_memory_makes_no_difference() -> None:
    how = Files(2, "uint16", 0, 0, (3, 3, 20), 16, (1200, 0), False)
    seed = np.random.default_rng(5)
    where = [(*seed.integers(-20, 230, 2).tolist(), 24, 24) for _ in range(300)]
    different, total = compare(how, where, (32610, 10), "bilinear", ReadOptions(threads=3, memory_bytes=1))
    assert different <= MOST_DIFFERENT * total
