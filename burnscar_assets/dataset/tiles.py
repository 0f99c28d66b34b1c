"""Materialized pixels of windows: reading them for chips and baselines, and what they are judged by.

Knows nothing of scenes or of why a tile is made.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from burnscar_assets.dataset.config import open_dataset
from burnscar_assets.dataset.shelf import Pixels, Shelf, open_shelf
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.reader.clearness import runs_of

if TYPE_CHECKING:
    from rslearn.config import LayerConfig


@dataclass(frozen=True)
class TileContent:
    """What a tile holds.

    Attributes:
        nodata_fraction: share of its pixels that lack data in some band, 0–1.
        content_hash: of all pixels.
        lacking: these pixels, as `runs_of` gives them.
    """

    nodata_fraction: float
    content_hash: str
    lacking: str = ""


def read_tile(
    dataset_path: Path, group: str, window_id: str, layer: str, bands: Sequence[str], group_index: int = 0
) -> Pixels:
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
    shelf = _shelf(dataset_path, layer, bands)
    return next(_read_bands(shelf, group, [window_id], bands, group_index))


def read_tiles(dataset_path: Path, windows: pd.DataFrame, layer: str, bands: Sequence[str]) -> Iterator[Pixels]:
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
    shelf = _shelf(dataset_path, layer, bands)
    rows = zip(windows["fire_year"].astype(str), windows["window_id"], strict=True)
    for group, stretch in groupby(rows, key=itemgetter(0)):
        yield from _read_bands(shelf, group, [name for _, name in stretch], bands, 0)


def measure_tiles(shelf: Shelf, group: str, names: Sequence[str], groups: int) -> Iterator[TileContent | None]:
    """What tiles hold, all band sets and item groups read; None for one that is missing or broken.

    Args:
        shelf: the tiles of a layer.
        group: group of the windows.
        names: windows, all with the same number of item groups.
        groups: how many item groups a tile has.
    """
    parts = [
        shelf.read(group, names, band_set.bands, index)
        for index in range(groups)
        for band_set in shelf.config.band_sets
    ]
    for planes in zip(*parts, strict=True):
        whole = [plane for plane in planes if plane is not None]
        yield measure(shelf.config, whole) if len(whole) == len(parts) else None


def measure(config: "LayerConfig", planes: Sequence[Pixels]) -> TileContent:
    """What a tile holds, given its pixels.

    Args:
        config: the layer.
        planes: arrays (bands, height, width): for each item group, one for each band set.
    """
    digest = hashlib.sha256()
    lacking: list[npt.NDArray[np.bool_]] = []
    for number, pixels in enumerate(planes):
        index, band_set = divmod(number, len(config.band_sets))
        bands, nodata = config.band_sets[band_set].bands, config.band_sets[band_set].nodata_value or 0
        digest.update(f"{index} {','.join(bands)} {pixels.dtype.str} {pixels.shape}".encode())
        digest.update(np.ascontiguousarray(pixels).data)
        lacking.append((pixels == nodata).any(axis=0))
    share = float(np.concatenate([mask.ravel() for mask in lacking]).mean())
    return TileContent(share, digest.hexdigest(), runs_of(np.logical_or.reduce(lacking)))


def _shelf(dataset_path: Path, layer: str, bands: Sequence[str]) -> Shelf:
    dataset = open_dataset(dataset_path)
    layers = {name: config for name, config in sorted(dataset.layers.items()) if config.band_sets}
    there = [band for band_set in layers[layer].band_sets for band in band_set.bands] if layer in layers else []
    if layer not in layers or not set(bands) <= set(there):
        raise InputError(
            f"{dataset_path / 'config.json'} has no layer {layer!r} with bands {', '.join(bands)}; "
            f"its layers are {', '.join(layers) or 'none'}, with bands {', '.join(there) or 'none'}"
        )
    return open_shelf(dataset, layer)


def _read_bands(shelf: Shelf, group: str, names: Sequence[str], bands: Sequence[str], index: int) -> Iterator[Pixels]:
    """The wanted bands of windows, put together from the band sets that hold them."""
    sets = [band_set.bands for band_set in shelf.config.band_sets if set(bands) & set(band_set.bands)]
    order = [band for band_set in sets for band in band_set]
    chosen = [order.index(band) for band in bands]
    for name, *planes in zip(names, *(shelf.read(group, names, band_set, index) for band_set in sets), strict=True):
        whole = [plane for plane in planes if plane is not None]
        if len(whole) < len(sets):
            raise MissingDataError(
                f"window {name} has no readable tile of {shelf.layer}: run burnscar refresh --years {group}"
            )
        yield (whole[0] if len(whole) == 1 else np.concatenate(whole))[chosen]
