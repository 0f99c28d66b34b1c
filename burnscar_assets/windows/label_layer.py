"""The label rasters in the rslearn dataset: a raster layer of its own, in either layout, written where it changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import geopandas as gpd
import numpy as np

from burnscar_assets.classes import UNLABELLED
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.windows.changes import LABEL_BAND, LABEL_RASTER_LAYER
from burnscar_assets.windows.label_rasters import Labels

if TYPE_CHECKING:
    from rslearn.utils.raster_array import RasterArray

_AT_ONCE: Final = 2048


def has_label_raster(dataset_path: Path) -> bool:
    """Whether the dataset's config.json declares the layer; one that a user brings may not."""
    return LABEL_RASTER_LAYER in read_json(dataset_path / "config.json").get("layers", {})


def write_labels(windows: gpd.GeoDataFrame, labels: Labels, dataset_path: Path) -> int:
    """Bring the label rasters of windows in line; those that are the same keep their bytes.

    Args:
        windows: table `windows`, which `write_windows` wrote before.
        labels: raster of each of them.
        dataset_path: folder of the rslearn dataset, whose config.json declares the layer.

    Returns:
        How many were written.

    Raises:
        MissingDataError: a window is not in the dataset.
        StorageError: no space, or no permission; every raster is then as it was, or whole.
    """
    from burnscar_assets.imagery.dataset import load_windows, open_dataset
    from burnscar_assets.imagery.shelf import open_shelf

    dataset = open_dataset(dataset_path)
    shelf, written = open_shelf(dataset, LABEL_RASTER_LAYER), 0
    for year, rows in windows.groupby("fire_year"):
        names = rows["window_id"].tolist()
        whole = shelf.completed(str(year))
        there = zip(names, shelf.read(str(year), names, [LABEL_BAND]), strict=True)
        other = {n for n, pixels in there if n not in whole or pixels is None or not _same(pixels, labels[n])}
        found = load_windows(dataset, rows[rows["window_id"].isin(other)]) if other else {}
        tiles = [(window, [[_raster(labels[name])]]) for name, window in found.items()]
        for start in range(0, len(tiles), _AT_ONCE):
            shelf.put(str(year), tiles[start : start + _AT_ONCE])
        written += len(tiles)
    return written


def _same(there: np.ndarray, wanted: np.ndarray) -> bool:
    return there.dtype == wanted.dtype and np.array_equal(there[0], wanted)


def _raster(label: np.ndarray) -> "RasterArray":
    from rslearn.utils.raster_array import RasterArray, RasterMetadata

    return RasterArray(chw_array=label[None], metadata=RasterMetadata(nodata_value=UNLABELLED))
