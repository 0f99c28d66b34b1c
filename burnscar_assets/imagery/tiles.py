"""Materialized pixels as they lie in the windows of the rslearn dataset: reading, measuring, replacing.

Reads the GeoTIFFs at their own grid, without rslearn's reprojection, which is what chips, baselines and
content hashes want. Knows nothing of scenes or of why a tile is made.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from upath import UPath

from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.imagery.dataset import open_dataset
from burnscar_assets.storage.atomic import storage_errors

if TYPE_CHECKING:
    from rslearn.config import LayerConfig

RETIRED = ".before-"


@dataclass(frozen=True)
class TileContent:
    """What a tile holds: share of its pixels that lack data in some band, and the hash of all pixels."""

    nodata_fraction: float
    content_hash: str


def read_tile(
    dataset_path: Path, group: str, window_id: str, layer: str, bands: Sequence[str], group_index: int = 0
) -> npt.NDArray[np.generic]:
    """Pixels of one window.

    Args:
        dataset_path: the rslearn dataset.
        group: group of the window: its fire year.
        window_id: name of the window.
        layer: raster layer.
        bands: bands to read, in the order wanted.
        group_index: number of the item group.

    Returns:
        Array (bands, height, width) in the layer's data type: digital numbers, 0 without data.

    Raises:
        InputError: the layer or a band is not in the dataset's configuration.
        MissingDataError: the window has no tile, or it can't be read.
    """
    config = _layer(dataset_path, layer, bands)
    return _read(_window_root(dataset_path, group, window_id), layer, config, bands, group_index)


def read_tiles(
    dataset_path: Path, windows: pd.DataFrame, layer: str, bands: Sequence[str]
) -> Iterator[npt.NDArray[np.generic]]:
    """Pixels of many windows, in the table's order.

    Args:
        dataset_path: the rslearn dataset.
        windows: table with `window_id` and `fire_year`.
        layer: raster layer.
        bands: bands to read, in the order wanted.

    Yields:
        Arrays (bands, height, width), as `read_tile`.

    Raises:
        InputError: the layer or a band is not in the dataset's configuration.
        MissingDataError: a window has no tile, or it can't be read.
    """
    config = _layer(dataset_path, layer, bands)
    for year, window_id in zip(windows["fire_year"], windows["window_id"], strict=True):
        yield _read(_window_root(dataset_path, str(year), window_id), layer, config, bands, 0)


def measure_tile(window_root: Path, layer: str, config: "LayerConfig", groups: int) -> TileContent:
    """Read a whole tile, all band sets and item groups.

    Raises:
        OSError: a file of the tile is missing or broken.
    """
    digest = hashlib.sha256()
    lacking: list[npt.NDArray[np.bool_]] = []
    for index in range(groups):
        for band_set in config.band_sets:
            with rasterio.open(_geotiff(window_root, layer, band_set.bands, index)) as source:
                pixels = source.read()
            digest.update(f"{index} {','.join(band_set.bands)} {pixels.dtype.str} {pixels.shape}".encode())
            digest.update(np.ascontiguousarray(pixels).tobytes())
            lacking.append((pixels == (band_set.nodata_value or 0)).any(axis=0).ravel())
    return TileContent(float(np.concatenate(lacking).mean()), digest.hexdigest())


def retire_tile(window_root: Path, layer: str) -> None:
    """Move a tile out of rslearn's sight until the new one is judged; earlier left-overs go."""
    discard_retired(window_root, layer)
    for folder in _folders(window_root, layer, ""):
        with storage_errors(folder):
            folder.rename(folder.with_name(RETIRED + folder.name))


def restore_retired(window_root: Path, layer: str) -> bool:
    """Put a retired tile back in place of whatever is there; tells whether there was one."""
    retired = _folders(window_root, layer, RETIRED)
    if retired:
        remove_tile(window_root, layer)
    for folder in retired:
        folder.rename(folder.with_name(folder.name.removeprefix(RETIRED)))
    return bool(retired)


def discard_retired(window_root: Path, layer: str) -> None:
    """Delete a retired tile."""
    for folder in _folders(window_root, layer, RETIRED):
        with storage_errors(folder):
            shutil.rmtree(folder)


def remove_tile(window_root: Path, layer: str) -> None:
    """Delete a tile; its `completed` marker goes first, so that a part of it is never taken for whole."""
    for folder in _folders(window_root, layer, ""):
        with storage_errors(folder):
            (folder / "completed").unlink(missing_ok=True)
            shutil.rmtree(folder)


def _folders(window_root: Path, layer: str, prefix: str) -> list[Path]:
    layers = window_root / "layers"
    there = sorted(layers.iterdir()) if layers.is_dir() else []
    return [f for f in there if f.name == prefix + layer or f.name.startswith(f"{prefix}{layer}.")]


def _layer(dataset_path: Path, layer: str, bands: Sequence[str]) -> "LayerConfig":
    layers = {name: config for name, config in sorted(open_dataset(dataset_path).layers.items()) if config.band_sets}
    there = [band for band_set in layers[layer].band_sets for band in band_set.bands] if layer in layers else []
    if layer not in layers or not set(bands) <= set(there):
        raise InputError(
            f"{dataset_path / 'config.json'} has no layer {layer!r} with bands {', '.join(bands)}; "
            f"its layers are {', '.join(layers) or 'none'}, with bands {', '.join(there) or 'none'}"
        )
    return layers[layer]


def _read(
    window_root: Path, layer: str, config: "LayerConfig", bands: Sequence[str], group_index: int
) -> npt.NDArray[np.generic]:
    planes: dict[str, npt.NDArray[np.generic]] = {}
    for band_set in config.band_sets:
        wanted = [band for band in bands if band in band_set.bands]
        if not wanted:
            continue
        try:
            with rasterio.open(_geotiff(window_root, layer, band_set.bands, group_index)) as source:
                pixels = source.read([band_set.bands.index(band) + 1 for band in wanted])
        except OSError as error:
            raise MissingDataError(
                f"window {window_root.name} has no readable tile of {layer}: "
                f"run burnscar refresh --years {window_root.parent.name}"
            ) from error
        planes |= dict(zip(wanted, pixels, strict=True))
    return np.stack([planes[band] for band in bands])


def _window_root(dataset_path: Path, group: str, window_id: str) -> Path:
    return dataset_path / "windows" / group / window_id


def _geotiff(window_root: Path, layer: str, bands: list[str], group_index: int) -> str:
    from rslearn.dataset.window_data_storage.per_item_group import per_item_group_raster_dir
    from rslearn.utils.raster_format import GeotiffRasterFormat

    return str(per_item_group_raster_dir(UPath(window_root), layer, bands, group_index) / GeotiffRasterFormat.fname)
