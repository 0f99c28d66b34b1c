"""Hashes of everything that the CPU stages make, to compare two data roots."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from burnscar_assets.errors import MissingDataError
from burnscar_assets.imagery.dataset import image_layers, open_dataset
from burnscar_assets.imagery.shelf import open_shelf
from burnscar_assets.imagery.tiles import measure_tiles
from burnscar_assets.storage.contracts import ALL_TABLES
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path


def content_hashes(root: DataRoot, fire_years: Iterable[int]) -> dict[str, str]:
    """The content hash of each partition of each table, of each window's place and label, and of each tile's pixels."""
    years = (None, *fire_years)
    tables = {
        f"{table.name} {year or ''}": table.content_hash(read_table(root, table, year))
        for table, year in product(ALL_TABLES, years)
        if table_path(root, table, year).exists()
    }
    return tables | dataset_contents(root)


def dataset_contents(root: DataRoot) -> dict[str, str]:
    """Hashes of each window's metadata and label, and of the pixels of its tiles, whatever the layout.

    Raises:
        MissingDataError: a tile that is marked whole can't be read.
    """
    from rslearn.utils.vector_format import GeojsonVectorFormat

    if not (root.dataset / "config.json").exists():
        return {}
    dataset = open_dataset(root.dataset)
    windows, label_format = dataset.load_windows(), GeojsonVectorFormat()
    found = {
        f"window {window.group}/{window.name}": hash_json([window.get_metadata(), _label(window, label_format)])
        for window in windows
    }
    for layer, group in product(image_layers(dataset), sorted({window.group for window in windows})):
        shelf = open_shelf(dataset, layer)
        names = sorted(shelf.completed(group))
        for name, content in zip(names, measure_tiles(shelf, group, names, 1), strict=True):
            if content is None:
                raise MissingDataError(f"{name} of {group} has a broken tile of {layer}")
            found[f"{layer} {group}/{name}"] = content.content_hash
    return found


def _label(window: Any, label_format: Any) -> list[Any]:
    if not window.is_layer_completed("label"):
        return []
    return [feature.to_geojson() for feature in window.data.read_vector("label", label_format)]


def differing(some: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Names whose hashes differ, or that only one of two data roots has."""
    return sorted(name for name in some.keys() | others.keys() if some.get(name) != others.get(name))
