"""SQL over the tables of a data root: DuckDB views over the Parquet as it lies there, never a copy.

The SQL may come from anybody, so it reads the tables and nothing else. DuckDB's own file access is
switched off and locked; the tables reach it through a file system that refuses to write and to leave the
tables' folder, because DuckDB's `allowed_directories` would allow writing as well.
"""

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import shapely
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from burnscar_assets.errors import InputError
from burnscar_assets.storage.contracts import ALL_TABLES, EVALUATION_METRICS
from burnscar_assets.storage.paths import OWN, DataRoot
from burnscar_assets.storage.tables import Table

if TYPE_CHECKING:
    import duckdb

SCHEME = "tables"
SETUPS = "setups"
SETUP_METRICS = "setup_metrics"
"""View of the metrics of all set-ups: table `evaluation_metrics` with `setup` and `seed` before it."""

_PART = re.compile(r"(?P<setup>[a-z0-9-]+)(/seed=(?P<seed>[0-9]+))?")
_TABLE_OF_SETUP = re.compile(r"(^|/)tables/[a-z_]+/[^/]+/part\.parquet$")

VIEWS = {
    "perimeters": """
        SELECT * FROM fire_perimeters
        UNION ALL BY NAME SELECT * EXCLUDE (incident_id, contained_by) FROM in_season_perimeters
    """
}
"""What is asked of several tables together: every perimeter, with the source that it is from."""

_SQL_TYPES = {
    "string": "VARCHAR",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "geometry": "GEOMETRY",
    "strings": "VARCHAR[]",
    "floats": "DOUBLE[]",
}


class ReadOnlyTables(DirFileSystem):
    """The tables' folder as an fsspec file system that can only be read."""

    protocol = SCHEME
    cachable = False

    def __init__(self, root: DataRoot) -> None:
        super().__init__(path=str(root.tables), fs=LocalFileSystem())

    def _join(self, path: Any) -> Any:
        if isinstance(path, str) and ".." in path.split("/"):
            raise PermissionError("paths must stay in the tables' folder")
        return super()._join(path)

    def glob(self, path: str, **options: Any) -> list[str]:
        """Files that a pattern matches, whatever characters the folder's own path has.

        Raises:
            PermissionError: the pattern leaves the folder.
        """
        folder = Path(self._join(""))
        pattern = Path(self._join(path)).relative_to(folder)
        return sorted(found.relative_to(folder).as_posix() for found in folder.glob(pattern.as_posix()))

    def open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
        """Open a file for reading.

        Raises:
            PermissionError: for any other mode.
        """
        if mode not in ("r", "rb"):
            raise PermissionError("the tables can only be read")
        return super().open(path, mode, *args, **options)


class ReadOnlySetupTables(ReadOnlyTables):
    """The tables that set-ups have of their own: no other files of theirs."""

    protocol = SETUPS

    def __init__(self, root: DataRoot) -> None:
        DirFileSystem.__init__(self, path=str(root.path / SETUPS), fs=LocalFileSystem())

    def open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
        """Open a table's file for reading.

        Raises:
            PermissionError: for any other mode or file.
        """
        if not _TABLE_OF_SETUP.search(path):
            raise PermissionError("of set-ups, only tables can be read")
        return super().open(path, mode, *args, **options)


def connect(root: DataRoot) -> "duckdb.DuckDBPyConnection":
    """An in-memory DuckDB connection with a view for every table, and those of `VIEWS`; close it after use.

    A view reads the Parquet files that are there when it is queried: one row set over all fire years, with
    `fire_year` once. A table that has not been made yet is an empty view with its columns, until one
    connects anew. Geometries are DuckDB's GEOMETRY in the region's CRS (`st_astext(geometry)` for WKT; functions
    that compute need DuckDB's spatial extension, which is not fetched). Times are UTC.

    Raises:
        InputError: a table's file can't be read.
    """
    import duckdb

    offline = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    connection = duckdb.connect(config=offline)
    connection.execute("SET TimeZone = 'UTC'; SET enable_external_file_cache = false; SET temp_directory = ''")
    connection.register_filesystem(ReadOnlyTables(root))
    connection.register_filesystem(ReadOnlySetupTables(root))
    for table in ALL_TABLES:
        try:
            connection.execute(f"CREATE VIEW {table.name} AS {_view(root, table)}")
        except duckdb.Error as error:
            connection.close()
            remedy = "delete that file and run burnscar refresh"
            raise InputError(f"table {table.name} can't be read: {_reason(error)}\n{remedy}") from error
    for name, sql in (VIEWS | {SETUP_METRICS: _setup_metrics(root)}).items():
        try:
            connection.execute(f"CREATE VIEW {name} AS {sql}")
        except duckdb.Error as error:
            connection.close()
            raise InputError(f"view {name} can't be read: {_reason(error)}\nrun burnscar refresh") from error
    connection.execute(f"SET allowed_directories = ['{SCHEME}://', '{SETUPS}://']; SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _view(root: DataRoot, table: Table) -> str:
    if any((root.tables / table.name).glob("*/part.parquet")):
        files = f"{SCHEME}://{table.name}/*/part.parquet"
        lists = [
            f"{c.name}::{_SQL_TYPES[c.type]} AS {c.name}" for c in table.columns if c.type in ("strings", "floats")
        ]
        # Parquet gives a list column that holds no value no type, so the contract's is named.
        typed = f" REPLACE ({', '.join(lists)})" if lists else ""
        parquet = f"read_parquet('{files}', hive_partitioning = false, union_by_name = true)"
        return f"SELECT *{typed} FROM {parquet}"  # noqa: S608
    columns = ", ".join(f"NULL::{_SQL_TYPES[c.type]} AS {c.name}" for c in table.columns)
    return f"SELECT {columns} WHERE false"


def _setup_metrics(root: DataRoot) -> str:
    """Metrics of every set-up that has any, by its name, and by seed where it isn't the first."""
    name = EVALUATION_METRICS.name
    parts = [f"SELECT '{OWN}' AS setup, NULL::BIGINT AS seed, * FROM {name}"]  # noqa: S608
    places = (f"{part}/tables/{name}" for part in ("*", "*/seed=*"))
    for folder in sorted(folder for place in places for folder in (root.path / SETUPS).glob(place)):
        place = folder.relative_to(root.path / SETUPS)
        found = _PART.fullmatch(place.parent.parent.as_posix())
        if found and any(folder.glob("*/part.parquet")):
            seed = "NULL" if found["seed"] is None else found["seed"]
            files = f"read_parquet('{SETUPS}://{place.as_posix()}/*/part.parquet', hive_partitioning = false)"
            parts.append(f"SELECT '{found['setup']}' AS setup, {seed}::BIGINT AS seed, * FROM {files}")  # noqa: S608
    return " UNION ALL BY NAME ".join(parts)


def query(root: DataRoot, sql: str) -> pd.DataFrame:
    """The answer to one SELECT (or DESCRIBE, SHOW, SUMMARIZE) over the tables, geometries as shapely's.

    Raises:
        InputError: the SQL is faulty, is more than one statement, would change something, or reads a file
            that is no table; the message says what DuckDB objects to and which tables there are.
    """
    import duckdb

    with closing(connect(root)) as connection:
        try:
            statements = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise InputError("give one SELECT, DESCRIBE, SHOW or SUMMARIZE statement: tables can only be read")
            answer = connection.sql(sql)
            kinds = [str(kind) for kind in answer.types]
            rows = answer.df()
        except duckdb.Error as error:
            raise InputError(
                f"{_reason(error)}\nTables: {', '.join([*(table.name for table in ALL_TABLES), *VIEWS, SETUP_METRICS])}"
            ) from error
    for position, kind in enumerate(kinds):
        if kind.startswith("GEOMETRY"):
            name = rows.columns[position]
            rows[name] = shapely.from_wkb([None if pd.isna(blob) else bytes(blob) for blob in rows[name]])
    return rows


def _reason(error: Exception) -> str:
    """What DuckDB says, without the traceback that it adds to errors of the file system."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Traceback"):
        return f"that is not allowed here: {lines[-1].split(': ', 1)[-1]}"
    return "\n".join(lines)
