"""Hashes of everything that the CPU stages make, to compare two data roots."""

from collections.abc import Iterable, Mapping
from itertools import product

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
    return tables | _windows(root)


def _windows(root: DataRoot) -> dict[str, str]:
    from rslearn.utils.vector_format import GeojsonVectorFormat

    dataset = open_dataset(root.dataset)
    windows, label_format = dataset.load_windows(), GeojsonVectorFormat()
    found = {
        f"window {window.group}/{window.name}": hash_json(
            [window.get_metadata(), [f.to_geojson() for f in window.data.read_vector("label", label_format)]]
        )
        for window in windows
    }
    for layer, group in product(image_layers(dataset), sorted({window.group for window in windows})):
        shelf = open_shelf(dataset, layer)
        names = sorted(shelf.completed(group))
        for name, content in zip(names, measure_tiles(shelf, group, names, 1), strict=True):
            found[f"{layer} {group}/{name}"] = content.content_hash if content else "broken"
    return found


def differing(some: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Names whose hashes differ, or that only one of two data roots has."""
    return sorted(name for name in some.keys() | others.keys() if some.get(name) != others.get(name))
