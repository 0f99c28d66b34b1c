"""Scenes that were fetched whole into the dataset's tile store, for layers with `ingest: true`."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from burnscar_assets.dataset.matched import load_all_matched
from burnscar_assets.storage.atomic import storage_errors

if TYPE_CHECKING:
    from rslearn.dataset import Dataset


def drop_done_granules(dataset: "Dataset", layer: str) -> list[str]:
    """Delete the scenes of the tile store that no window waits for, whatever its fire year.

    A window waits for its scenes from when it is matched until its tile is made or it is left out. Scenes that
    windows of other years turn out to need later are fetched again then.

    Args:
        dataset: the rslearn dataset.
        layer: name of a raster layer.

    Returns:
        Names of the scenes that were deleted; none if the layer has no local tile store.

    Raises:
        StorageError: a scene can't be deleted.
    """
    folder = _tile_folder(dataset, layer)
    if folder is None or not folder.is_dir():
        return []
    waiting = [window for window in dataset.load_windows() if not window.is_layer_completed(layer)]
    matched = (layers[layer] for _, layers in load_all_matched(waiting) if layer in layers)
    needed = {item["name"] for data in matched for group in data.serialized_item_groups for item in group}
    done = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name not in needed)
    with storage_errors(folder):
        for name in done:
            shutil.rmtree(folder / name)
    return done


def _tile_folder(dataset: "Dataset", layer: str) -> Path | None:
    """Where rslearn's default tile store keeps the scenes of a layer: a folder for each."""
    from rslearn.tile_stores import DefaultTileStore

    config = dataset.layers[layer].data_source
    store = dataset.get_tile_store()
    is_local = type(store) is DefaultTileStore and store.path.protocol in ("", "file")
    return Path(store.path) / layer if is_local and config is not None and config.ingest else None
