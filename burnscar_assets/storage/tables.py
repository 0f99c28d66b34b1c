"""The tables of a world: their columns, and how they are read and written by fire year.

Each table is GeoParquet (or plain Parquet, without a geometry) under `tables/<name>/fire_year=YYYY/`.
Geometries are in the equal-area CRS of the region (`table_crs`). A column that isn't in the contract is an error.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.regions.load import working_region
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.hashing import hash_table
from burnscar_assets.storage.paths import DataRoot

UNPARTITIONED = "all"

MOST_KEPT_BYTES = 64 * 2**20
"""What tables that are kept in memory after they were read take as files, in all; in memory they take more."""

ColumnType = Literal["string", "int", "float", "bool", "timestamp", "geometry", "strings", "floats"]

_PANDAS_TYPES = {"string": "string", "int": "Int64", "float": "float64", "bool": "boolean"}


def table_crs() -> str:
    """The CRS of all tables' geometries: that of the region that this process works in."""
    return working_region().crs


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    type: ColumnType
    description: str


@dataclass(frozen=True)
class Table:
    """The contract of one table."""

    name: str
    description: str
    keys: tuple[str, ...]
    columns: tuple[Column, ...]
    row: str = "row"
    """What one row is, in the singular."""
    of_setup: bool = False
    """Whether each set-up has one of its own."""

    @property
    def column_names(self) -> list[str]:
        """Names of the columns in their order."""
        return [column.name for column in self.columns]

    @property
    def has_geometry(self) -> bool:
        """Whether the table is a GeoDataFrame."""
        return any(column.type == "geometry" for column in self.columns)

    def conform(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with just this table's columns, in order, of the right types.

        Raises:
            InputError: a column is missing or unknown, or a key appears twice.
        """
        missing = set(self.column_names) - set(rows.columns)
        unknown = set(rows.columns) - set(self.column_names)
        if missing or unknown:
            raise InputError(f"table {self.name}: missing columns {sorted(missing)}, unknown {sorted(unknown)}")
        if rows.duplicated(list(self.keys)).any():
            raise InputError(f"table {self.name}: {', '.join(self.keys)} must be unique")
        out = {column.name: _cast(rows[column.name], column.type) for column in self.columns}
        if self.has_geometry:
            import geopandas as gpd

            return gpd.GeoDataFrame(out, geometry="geometry", crs=table_crs()).reset_index(drop=True)
        return pd.DataFrame(out).reset_index(drop=True)

    def empty(self) -> pd.DataFrame:
        """A table without rows."""
        columns = {column.name: pd.Series([], dtype=object) for column in self.columns}
        return self.conform(pd.DataFrame(columns))

    def content_hash(self, rows: pd.DataFrame) -> str:
        """Hash of the rows' content: the data version of the asset that writes them."""
        return hash_table(self.conform(rows), self.keys)


def _cast(column: pd.Series, kind: ColumnType) -> pd.Series:
    if kind == "geometry":
        import geopandas as gpd

        geometry = gpd.GeoSeries(column)
        if geometry.crs is None:
            return geometry.set_crs(table_crs())
        same = geometry.crs.to_authority() == tuple(table_crs().split(":"))
        return geometry if same else geometry.to_crs(table_crs())
    if kind == "timestamp":
        return pd.to_datetime(column, utc=True).astype("datetime64[us, UTC]")
    if kind in ("strings", "floats"):
        return column.map(list).astype(object)
    return column.astype(_PANDAS_TYPES[kind])


def table_path(root: DataRoot, table: Table, fire_year: int | None) -> Path:
    """The file of a table's fire year; `None` for a table that isn't partitioned."""
    partition = UNPARTITIONED if fire_year is None else f"fire_year={fire_year}"
    return (root.result_tables if table.of_setup else root.tables) / table.name / partition / "part.parquet"


def write_table(root: DataRoot, table: Table, rows: pd.DataFrame, fire_year: int | None) -> Path:
    """Write one fire year of a table, whole or not at all; returns its path."""
    path = table_path(root, table, fire_year)
    conforming = table.conform(rows)
    with atomic_file(path) as temporary:
        conforming.to_parquet(temporary, index=False)
    return path


def read_table(
    root: DataRoot, table: Table, fire_year: int | None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read one fire year of a table (a GeoDataFrame in the region's CRS if it has a geometry).

    With `columns`, no others are read, and the answer has no geometry.

    Raises:
        MissingDataError: naming the command that makes it.
        InputError: the file is damaged, or of another region.
    """
    path = table_path(root, table, fire_year)
    if not path.exists():
        which = "" if fire_year is None else f" for {fire_year}"
        raise MissingDataError(
            f"no {table.name}{which}: run burnscar refresh" + (f" --years {fire_year}" if which else "")
        )
    try:
        rows = _READ.get(path, columns, geometry=table.has_geometry and columns is None)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read ({error}): delete it and run burnscar refresh") from error
    _check_crs(path, rows)
    return rows


def _check_crs(path: Path, rows: pd.DataFrame) -> None:
    """See that a table was made in the region that is worked in.

    Raises:
        InputError: it was not; its coordinates would be taken for others.
    """
    crs = getattr(rows, "crs", None)
    if crs is not None and crs.to_authority() != tuple(table_crs().split(":")):
        raise InputError(
            f"{path} is in {crs.name}, but {working_region().title} has {table_crs()}: correct region in the "
            "settings, or give the world another data root"
        )


class _Lately:
    """Tables that were read lately: stages and checks of one run read the same ones one after the other.

    A file is replaced whole, so one that has changed is another file. What is handed out is a copy that shares its
    content until it is written to.
    """

    def __init__(self) -> None:
        self._read: OrderedDict[tuple[Path, tuple[str, ...] | None], tuple[_FileState, pd.DataFrame]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path, columns: Sequence[str] | None, *, geometry: bool) -> pd.DataFrame:
        """The rows of a file."""
        status = path.stat()
        state = _FileState(status.st_ino, status.st_mtime_ns, status.st_size)
        key = (path, None if columns is None else tuple(columns))
        with self._lock:
            known = self._read.pop(key, None)
        if known is None or known[0] != state:
            known = state, _read(path, columns, geometry=geometry)
        with self._lock:
            self._read[key] = known
            while sum(kept.size for kept, _ in self._read.values()) > MOST_KEPT_BYTES:
                self._read.popitem(last=False)
        return known[1].copy(deep=False)


def _read(path: Path, columns: Sequence[str] | None, *, geometry: bool) -> pd.DataFrame:
    if geometry:
        import geopandas as gpd

        return gpd.read_parquet(path)
    return pd.read_parquet(path, columns=columns)


class _FileState(NamedTuple):
    """What tells a file from the one that was in its place before."""

    inode: int
    modified_ns: int
    size: int


_READ = _Lately()


def read_years(root: DataRoot, table: Table, fire_years: Iterable[int]) -> pd.DataFrame:
    """Read several fire years of a table as one; years that were not made are left out."""
    parts = [read_table(root, table, y) for y in sorted(fire_years) if table_path(root, table, y).exists()]
    full = [part for part in parts if len(part)]
    return pd.concat(full, ignore_index=True) if full else table.empty()
