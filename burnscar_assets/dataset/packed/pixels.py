"""Pixels of many windows of a packed dataset at once, for training and statistics."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from burnscar_assets.dataset.packed.codec import Pixels
from burnscar_assets.dataset.packed.pack import Pack, pack_path
from burnscar_assets.errors import InputError

_BATCH: Final = 512


def read_pixels(
    dataset_path: Path,
    group: str,
    names: Sequence[str],
    layer: str,
    bands: Sequence[str] | None = None,
    group_idx: int = 0,
) -> Pixels:
    """Pixels of windows of one group as one array.

    Args:
        dataset_path: the packed dataset.
        group: group of the windows.
        names: windows, in the order wanted.
        layer: raster layer.
        bands: bands in the order wanted; by default all, as they are stored.
        group_idx: number of the item group.

    Returns:
        Array (windows, bands, rows, columns) in the layer's data type.

    Raises:
        MissingDataError: a window has no such pixels, completed and whole; the message names it.
        InputError: the windows' rasters differ in type, size or bands, or have several time steps.
    """
    rasters = Pack(pack_path(dataset_path, group)).rasters
    first = rasters.stacked(names[:_BATCH], layer, bands, group_idx)
    if len(names) <= _BATCH:
        return first
    pixels = np.empty((len(names), *first.shape[1:]), first.dtype)
    pixels[:_BATCH] = first
    for start in range(_BATCH, len(names), _BATCH):
        part = pixels[start : start + _BATCH]
        if rasters.stacked(names[start : start + _BATCH], layer, bands, group_idx, into=part) is not part:
            raise InputError(f"windows of group {group} have different rasters in {layer}: name the bands to read")
    return pixels


def iter_pixels(
    dataset_path: Path,
    group: str,
    names: Sequence[str],
    layer: str,
    bands: Sequence[str] | None = None,
    group_idx: int = 0,
    batch: int = _BATCH,
) -> Iterator[Pixels]:
    """The same in parts of `batch` windows; others can write between two parts. Arguments are `read_pixels`'."""
    rasters = Pack(pack_path(dataset_path, group)).rasters
    for start in range(0, len(names), batch):
        yield rasters.stacked(names[start : start + batch], layer, bands, group_idx)
