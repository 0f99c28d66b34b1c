"""Hashes of everything that the CPU stages make, to compare two data roots."""

from collections.abc import Iterable, Mapping
from itertools import product

from burnscar_assets.storage.contracts import ALL_TABLES
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path


def content_hashes(root: DataRoot, fire_years: Iterable[int]) -> dict[str, str]:
    """The content hash of each partition of each table, and of the bytes of each file of a window's layers."""
    years = (None, *fire_years)
    tables = {
        f"{table.name} {year or ''}": table.content_hash(read_table(root, table, year))
        for table, year in product(ALL_TABLES, years)
        if table_path(root, table, year).exists()
    }
    windows = root.dataset / "windows"
    files = (path for path in windows.glob("*/*/layers/**/*") if path.is_file())
    return tables | {path.relative_to(windows).as_posix(): hash_file(path) for path in files}


def differing(some: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Names whose hashes differ, or that only one of two data roots has."""
    return sorted(name for name in some.keys() | others.keys() if some.get(name) != others.get(name))
