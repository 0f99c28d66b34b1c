"""Small packed files for tests."""

import json
from pathlib import Path

import numpy as np

from burnscar_assets.dataset.packed.data import PackedDataStorageFactory
from burnscar_assets.dataset.packed.pack import Pack, pack_path
from burnscar_assets.dataset.packed.rasters import Grid, Raster, RasterRow
from burnscar_assets.dataset.packed.storage import PackedWindowStorage, PackedWindowStorageFactory

GROUP = "2022"
LAYER = "sentinel2_l2a"
BANDS = ("B02", "B03", "B04")
GRID = Grid("EPSG:32610", 10, -10)


def pixels_of(number: int, count: int = len(BANDS), side: int = 32) -> np.ndarray:
    """Digital numbers of a window, (bands, 1, rows, columns)."""
    return np.random.default_rng(number).integers(0, 10_000, (count, 1, side, side)).astype("uint16")


def raster_of(number: int, bands: tuple[str, ...] = BANDS) -> Raster:
    return Raster(bands, pixels_of(number, len(bands)), GRID, 32 * number, -32)


def fill(pack: Pack, numbers: range) -> list[str]:
    """Windows `w<number>` with completed pixels; returns their names."""
    names = [f"w{number}" for number in numbers]
    with pack.transaction():
        pack.put_windows((name, json.dumps({"number": number})) for name, number in zip(names, numbers, strict=True))
        pack.rasters.put(RasterRow(f"w{number}", LAYER, 0, raster_of(number)) for number in numbers)
        pack.mark_completed((name, LAYER, 0) for name in names)
    return names


def pack_in(folder: Path) -> Pack:
    return Pack(pack_path(folder, GROUP))


def storage_in(folder: Path) -> tuple[PackedWindowStorage, PackedDataStorageFactory]:
    """rslearn's two storages of a dataset in a folder."""
    from upath import UPath

    return PackedWindowStorageFactory().get_storage(UPath(folder)), PackedDataStorageFactory()
