"""The label rasters in the rslearn dataset: a raster layer of its own, in either layout, written where it changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import geopandas as gpd
import numpy as np

from burnscar_assets.classes import UNLABELLED
from burnscar_assets.dataset.label_rasters import Labels, draw_labels, label_hash, label_inputs
from burnscar_assets.dataset.layout import LABEL_BAND, LABEL_RASTER_LAYER
from burnscar_assets.dataset.ledger import Entry, open_ledgers
from burnscar_assets.storage.atomic import read_json

if TYPE_CHECKING:
    from rslearn.utils.raster_array import RasterArray

_AT_ONCE: Final = 2048

_DRAWN: Final = "drawn"
"""Kind of work in the ledgers: what each label raster was drawn from."""


def has_label_raster(dataset_path: Path) -> bool:
    """Whether the dataset's config.json declares the layer; one that a user brings may not."""
    return LABEL_RASTER_LAYER in read_json(dataset_path / "config.json").get("layers", {})


def bring_labels(
    windows: gpd.GeoDataFrame,
    perimeters: gpd.GeoDataFrame,
    burns: gpd.GeoDataFrame,
    margin_m: float,
    dataset_path: Path,
    *,
    code: str = "",
) -> tuple[Labels, int]:
    """Bring the label rasters of windows in line with perimeters and burns.

    What each was drawn from is remembered, so only those of an edited fire, or near another burn that changed, are
    drawn again. That counts only for the very pixels that it was remembered with: after a kill, or damage, they are
    drawn again. Those that come out the same keep their bytes.

    Args:
        windows: table `windows`, which `write_windows` wrote before.
        perimeters: table `fire_perimeters` of the windows' fires, the region's CRS.
        burns: table `burn_history` of the fire year, the region's CRS.
        margin_m: pixels nearer than this to an edge are unlabelled, in metres.
        dataset_path: folder of the rslearn dataset, whose config.json declares the layer.
        code: version of the code that draws; what other code drew is drawn again.

    Returns:
        The raster of each window, and how many were written.

    Raises:
        MissingDataError: a window is not in the dataset.
        StorageError: no space, or no permission; every raster is then as it was, or whole.
    """
    there = _read(windows, dataset_path)
    inputs = label_inputs(windows, perimeters, burns, margin_m)
    with open_ledgers(dataset_path, _DRAWN, LABEL_RASTER_LAYER, windows["fire_year"].astype(str)) as ledgers:
        of = dict(zip(windows["window_id"], windows["fire_year"].astype(str), strict=True))
        known = {name: ledgers[year].get(name) for name, year in of.items()}
        kept = {name: pixels for name, pixels in there.items() if known[name] == _entry(code, inputs[name], pixels)}
        drawn = draw_labels(windows[~windows["window_id"].isin(kept)], perimeters, burns, margin_m)
        labels = {name: (kept if name in kept else drawn)[name] for name in of}
        other = {name for name, label in labels.items() if name not in there or not _same(there[name], label)}
        write_labels(windows[windows["window_id"].isin(other)], labels, dataset_path)
        for ledger in ledgers.values():
            ledger.forget(ledger.entries.keys() - of.keys())
        for name, raster in drawn.items():
            ledgers[of[name]].remember(name, _entry(code, inputs[name], raster))
    return labels, len(other)


def labels_hold(
    windows: gpd.GeoDataFrame,
    perimeters: gpd.GeoDataFrame,
    burns: gpd.GeoDataFrame,
    margin_m: float,
    dataset_path: Path,
    *,
    code: str = "",
) -> bool:
    """Whether the label rasters of windows are what they would be if they were drawn now.

    Arguments are those of `bring_labels`. What was remembered is taken at its word; nothing is written.
    """
    inputs = label_inputs(windows, perimeters, burns, margin_m)
    with open_ledgers(dataset_path, _DRAWN, LABEL_RASTER_LAYER, windows["fire_year"].astype(str)) as ledgers:
        known = {name: entry for ledger in ledgers.values() for name, entry in ledger.entries.items()}
    if not all(known.get(name, {}).keys() >= {"code", "inputs"} and known[name]["code"] == code for name in inputs):
        return False
    near = [name for name, wanted in inputs.items() if known[name]["inputs"] != wanted]
    drawn = draw_labels(windows[windows["window_id"].isin(near)], perimeters, burns, margin_m)
    return all(known[name] == _entry(code, known[name]["inputs"], raster) for name, raster in drawn.items())


def write_labels(windows: gpd.GeoDataFrame, labels: Labels, dataset_path: Path) -> None:
    """Write the label rasters of windows.

    Args:
        windows: table `windows`, or some of its rows, which `write_windows` wrote before.
        labels: raster of each of them.
        dataset_path: folder of the rslearn dataset, whose config.json declares the layer.

    Raises:
        MissingDataError: a window is not in the dataset.
        StorageError: no space, or no permission; every raster is then as it was, or whole.
    """
    from burnscar_assets.dataset.config import load_windows, open_dataset
    from burnscar_assets.dataset.shelf import open_shelf

    dataset = open_dataset(dataset_path)
    shelf = open_shelf(dataset, LABEL_RASTER_LAYER)
    for year, rows in windows.groupby("fire_year"):
        found = load_windows(dataset, rows)
        tiles = [(window, [[_raster(labels[name])]]) for name, window in found.items()]
        for start in range(0, len(tiles), _AT_ONCE):
            shelf.put(str(year), tiles[start : start + _AT_ONCE])


def _entry(code: str, inputs: str, raster: np.ndarray) -> Entry:
    """What is remembered of a window's raster."""
    return {"code": code, "inputs": inputs, "label_hash": label_hash(raster)}


def _read(windows: gpd.GeoDataFrame, dataset_path: Path) -> Labels:
    """The whole rasters that the dataset has of windows."""
    from burnscar_assets.dataset.config import open_dataset
    from burnscar_assets.dataset.shelf import open_shelf

    shelf = open_shelf(open_dataset(dataset_path), LABEL_RASTER_LAYER)
    there: dict[str, np.ndarray] = {}
    for year, rows in windows.groupby("fire_year"):
        whole = shelf.completed(str(year))
        names = [name for name in rows["window_id"] if name in whole]
        pixels = zip(names, shelf.read(str(year), names, [LABEL_BAND]), strict=True)
        there |= {name: raster[0] for name, raster in pixels if raster is not None}
    return there


def _same(there: np.ndarray, wanted: np.ndarray) -> bool:
    return there.dtype == wanted.dtype and np.array_equal(there, wanted)


def _raster(label: np.ndarray) -> "RasterArray":
    from rslearn.utils.raster_array import RasterArray, RasterMetadata

    return RasterArray(chw_array=label[None], metadata=RasterMetadata(nodata_value=UNLABELLED))
