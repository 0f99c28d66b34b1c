"""Hashes of what stages make, to compare two data roots."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from burnscar_assets.dataset.config import image_layers, open_dataset
from burnscar_assets.dataset.shelf import open_shelf
from burnscar_assets.dataset.tiles import measure_tiles
from burnscar_assets.errors import MissingDataError
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.storage.contracts import ALL_TABLES, SETUP_COMPARISON
from burnscar_assets.storage.hashing import hash_file, hash_json
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, read_table, table_path


def content_hashes(root: DataRoot, fire_years: Iterable[int]) -> dict[str, str]:
    """The content hash of each partition of each table, of each window's place and label, and of each tile's pixels."""
    return _tables(root, (None, *fire_years), ALL_TABLES) | dataset_contents(root)


def world_contents(world: World) -> dict[str, str]:
    """As `content_hashes`, of all fire years, and of what networks make: weights and rasters of maps, of all set-ups.

    What a set-up costs is left out of the comparison of set-ups: no two runs take the same time.
    """
    root, years = world.root, [int(key) for key in world.fire_years.get_partition_keys()]
    found = content_hashes(root, years)
    if found.pop(f"{SETUP_COMPARISON.name} ", None):
        compared = read_table(root, SETUP_COMPARISON, None).query("scope == 'quality'")
        found["what set-ups are worth"] = SETUP_COMPARISON.content_hash(compared)
    for part in (part.root for name in world.setups for part in world.of(name).by_seed()):
        tables = _tables(part, years, [table for table in ALL_TABLES if table.of_setup])
        found |= {f"{part.part} {name}": content for name, content in (tables | _weights(part, years)).items()}
    maps = root.maps(None).parent
    rasters = {str(path.relative_to(maps)): hash_file(path) for path in maps.rglob("*.tif")}
    return found | _weights(root, years) | rasters


def _weights(root: DataRoot, fire_years: Iterable[int]) -> dict[str, str]:
    folders = {year: root.checkpoint(year) for year in fire_years}
    return {
        f"weights {year}": verify_checkpoint(folder).weights_sha256
        for year, folder in folders.items()
        if folder.exists()
    }


def _tables(root: DataRoot, years: Iterable[int | None], tables: Iterable[Table]) -> dict[str, str]:
    return {
        f"{table.name} {year or ''}": table.content_hash(read_table(root, table, year))
        for table, year in product(tables, years)
        if table_path(root, table, year).exists()
    }


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
