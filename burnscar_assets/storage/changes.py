"""What two versions of a table differ in, counted in the table's own rows."""

import operator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from burnscar_assets.errors import BurnscarError
from burnscar_assets.storage.hashing import hash_rows, is_geometry
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, read_table, table_path, write_table


@dataclass(frozen=True)
class Changes:
    """Rows by what became of them, known by the table's keys."""

    kept: int
    added: int
    changed: int
    removed: int

    @property
    def rows(self) -> int:
        """How many rows differ."""
        return self.added + self.changed + self.removed

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return self.rows > 0

    def describe(self, noun: str) -> str:
        """In words: `1 fire changed, 2 added`; empty if nothing differs."""
        counts = {"changed": self.changed, "added": self.added, "removed": self.removed}
        parts = [(what, count) for what, count in counts.items() if count]
        named = [f"{count} {noun}{'s' if count > 1 else ''} {what}" for what, count in parts[:1]]
        return ", ".join([*named, *(f"{count} {what}" for what, count in parts[1:])])


def table_changes(table: Table, before: pd.DataFrame | None, after: pd.DataFrame) -> Changes:
    """Compare two versions of a table, row by row, to the precision of its content hash."""
    old, new = (table.conform(rows) for rows in (table.empty() if before is None else before, after))
    place = _keys(table, new).get_indexer(_keys(table, old))
    there, now = old[place >= 0], new.iloc[place[place >= 0]]
    other = ~_identical(there, now)
    changed = sum(one != two for one, two in zip(hash_rows(there[other]), hash_rows(now[other]), strict=True))
    return Changes(len(there) - changed, len(new) - len(there), changed, len(old) - len(there))


def replace_table(root: DataRoot, table: Table, rows: pd.DataFrame, fire_year: int | None) -> Changes:
    """Write a table's partition and tell what differs from the one before; the same content keeps its file."""
    before = read_if_whole(root, table, fire_year)
    changes = table_changes(table, before, rows)
    if before is None or changes.any:
        write_table(root, table, rows, fire_year)
    return changes


def read_if_whole(root: DataRoot, table: Table, fire_year: int | None) -> pd.DataFrame | None:
    """A table's partition; nothing if it is missing or damaged, so that it is to be made anew."""
    if not table_path(root, table, fire_year).exists():
        return None
    try:
        return table.conform(read_table(root, table, fire_year))
    except BurnscarError:
        return None


def _keys(table: Table, rows: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[list(table.keys)].astype(str))


def _identical(some: pd.DataFrame, others: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows of two tables of one contract hold the very same values, so that nothing need be hashed to know."""
    same = np.ones(len(some), dtype=bool)
    for name in some.columns if len(some) else ():
        one, two = some[name].array, others[name].array
        if is_geometry(some[name]):
            same &= shapely.equals_identical(np.asarray(one), np.asarray(two))
        elif one.dtype == object:
            same &= np.fromiter(map(operator.eq, one, two), dtype=bool, count=len(one))
        else:
            equal = pd.array(one == two, dtype="boolean").fillna(value=False)
            same &= np.asarray(equal, dtype=bool) | (one.isna() & two.isna())
    return same
