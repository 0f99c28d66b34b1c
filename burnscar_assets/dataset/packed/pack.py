"""A group's windows in one file: metadata, matched items, completed markers, labels and pixels.

Knows nothing of rslearn: texts are JSON that `storage` and `data` give their meaning. A window can have layers
before it has metadata, as in rslearn's own layout; it isn't listed then.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from burnscar_assets.dataset.packed.database import Database
from burnscar_assets.dataset.packed.rasters import Rasters
from burnscar_assets.errors import MissingDataError

SUFFIX: Final = ".sqlite"
FOLDER: Final = "packed"
SCHEMA_VERSION: Final = 1

_SCHEMA = (
    "CREATE TABLE windows (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, metadata TEXT)",
    "CREATE TABLE items (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, item TEXT NOT NULL)",
    """CREATE TABLE layer_datas (
        id INTEGER PRIMARY KEY, window INTEGER NOT NULL REFERENCES windows ON DELETE CASCADE, layer TEXT NOT NULL,
        groups TEXT NOT NULL, time_ranges TEXT, materialized INTEGER NOT NULL, UNIQUE (window, layer))""",
    """CREATE TABLE completed (
        window INTEGER NOT NULL REFERENCES windows ON DELETE CASCADE, layer TEXT NOT NULL, group_idx INTEGER NOT NULL,
        PRIMARY KEY (window, layer, group_idx)) WITHOUT ROWID""",
    """CREATE TABLE vectors (
        id INTEGER PRIMARY KEY, window INTEGER NOT NULL REFERENCES windows ON DELETE CASCADE, layer TEXT NOT NULL,
        group_idx INTEGER NOT NULL, crc INTEGER NOT NULL, features TEXT NOT NULL, UNIQUE (window, layer, group_idx))""",
    "CREATE TABLE forms (id INTEGER PRIMARY KEY, form TEXT NOT NULL UNIQUE)",
    """CREATE TABLE rasters (
        id INTEGER PRIMARY KEY, window INTEGER NOT NULL REFERENCES windows ON DELETE CASCADE, layer TEXT NOT NULL,
        group_idx INTEGER NOT NULL, bands TEXT NOT NULL, form INTEGER NOT NULL REFERENCES forms,
        min_col INTEGER NOT NULL, min_row INTEGER NOT NULL, timestamps TEXT, crc INTEGER NOT NULL, pixels BLOB NOT NULL,
        UNIQUE (window, layer, group_idx, bands))""",
)


@dataclass(frozen=True)
class LayerItems:
    """What was matched to a window in one layer.

    Attributes:
        groups: item groups, each a list of serialized items.
        time_ranges: per group its start and end in ISO 8601, or None.
        materialized: rslearn's own flag.
    """

    groups: list[list[Any]]
    time_ranges: list[list[str] | None] | None = None
    materialized: bool = False


class Vector(NamedTuple):
    """A vector layer of a window: a GeoJSON FeatureCollection as text."""

    window: str
    layer: str
    group_idx: int
    features: str


def pack_path(dataset_path: Path, group: str) -> Path:
    """The file of a group of a dataset."""
    return dataset_path / FOLDER / f"{group}{SUFFIX}"


def pack_groups(dataset_path: Path) -> list[str]:
    """Groups of a dataset that have a file, sorted."""
    return sorted(path.stem for path in (dataset_path / FOLDER).glob(f"[!.]*{SUFFIX}"))


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """A window's metadata as it is stored."""
    return json.dumps({key: value for key, value in metadata.items() if key not in ("group", "name")})


class Pack:
    """The file of one group. Can be pickled; each process and thread opens it for itself.

    Every method that writes is a transaction, part of the one around it if there is one. Names are those of
    windows; `names=None` means all windows. Errors are those of `Database`.

    Args:
        path: the file; the first write creates it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.group = path, path.stem
        self.database = Database(path, _SCHEMA, SCHEMA_VERSION)
        self.rasters = Rasters(self.database, self.group)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes in the block happen, or none."""
        with self.database.transaction():
            yield

    def windows(self, names: Sequence[str] | None = None) -> list[tuple[str, str]]:
        """Names and metadata, in the order in which windows were made."""
        query, parameters = _of_windows("SELECT w.name, w.metadata FROM windows w", names)
        return self.database.rows(f"{query} AND w.metadata IS NOT NULL ORDER BY w.id", parameters)

    def put_windows(self, windows: Iterable[tuple[str, str]]) -> None:
        """Make windows, or replace the metadata of those that are there; their layers stay."""
        with self.database.transaction() as connection:
            connection.executemany(
                "INSERT INTO windows (name, metadata) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET metadata = excluded.metadata",
                windows,
            )

    def make_windows_anew(self, windows: Sequence[tuple[str, str, str]], layer: str) -> None:
        """Make windows, each given as name, metadata and features of a vector layer, which is completed then.

        They lose what they had.
        """
        there = {name for (name,) in self.database.rows("SELECT name FROM windows")}
        self.remove_windows(name for name, _, _ in windows if name in there)
        with self.database.transaction() as connection:
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM windows").fetchone()
            numbered = list(enumerate(windows, last + 1))
            connection.executemany(
                "INSERT INTO windows (id, name, metadata) VALUES (?, ?, ?)",
                ((number, name, metadata) for number, (name, metadata, _) in numbered),
            )
            connection.executemany(
                "INSERT INTO vectors (window, layer, group_idx, crc, features) VALUES (?, ?, 0, ?, ?)",
                ((number, layer, zlib.crc32(text.encode()), text) for number, (_, _, text) in numbered),
            )
            connection.executemany(
                "INSERT INTO completed (window, layer, group_idx) VALUES (?, ?, 0)",
                ((number, layer) for number, _ in numbered),
            )

    def remove_windows(self, names: Iterable[str]) -> int:
        """Remove windows with all that they have; returns how many there were."""
        with self.database.transaction() as connection:
            return connection.executemany("DELETE FROM windows WHERE name = ?", ((name,) for name in names)).rowcount

    def remove_layer(self, names: Iterable[str], layer: str) -> None:
        """Remove pixels, features and completed markers of a layer, in all item groups; its items stay."""
        rows = [(layer, name) for name in names]
        with self.database.transaction() as connection:
            for table in ("completed", "vectors", "rasters"):
                connection.executemany(
                    f"DELETE FROM {table} WHERE layer = ? AND window = (SELECT id FROM windows WHERE name = ?)",  # noqa: S608
                    rows,
                )

    def completed_groups(self, name: str) -> list[tuple[str, int]]:
        """Layer and number of each completed item group of a window."""
        return self.database.rows(
            "SELECT c.layer, c.group_idx FROM completed c JOIN windows w ON w.id = c.window WHERE w.name = ?", (name,)
        )

    def completed(self, layer: str, group_idx: int = 0) -> set[str]:
        """Windows that have an item group of a layer completed."""
        rows = self.database.rows(
            "SELECT w.name FROM completed c JOIN windows w ON w.id = c.window WHERE c.layer = ? AND c.group_idx = ?",
            (layer, group_idx),
        )
        return {name for (name,) in rows}

    def is_completed(self, name: str, layer: str, group_idx: int = 0) -> bool:
        """Whether an item group of a window is completed."""
        rows = self.database.rows(
            "SELECT 1 FROM completed WHERE window = (SELECT id FROM windows WHERE name = ?) "
            "AND layer = ? AND group_idx = ?",
            (name, layer, group_idx),
        )
        return bool(rows)

    def mark_completed(self, marks: Iterable[tuple[str, str, int]]) -> None:
        """Mark item groups completed, each given as window, layer and number."""
        rows = list(marks)
        with self.database.transaction() as connection:
            ensure_windows(connection, (name for name, _, _ in rows))
            connection.executemany(
                "INSERT OR IGNORE INTO completed SELECT id, ?2, ?3 FROM windows WHERE name = ?1", rows
            )

    def vectors(self, layer: str, group_idx: int = 0, names: Sequence[str] | None = None) -> dict[str, str | None]:
        """Features of windows that have some in a layer; None where they don't fit their checksum."""
        query, parameters = _of_windows(
            "SELECT w.name, v.crc, CAST(v.features AS BLOB) FROM windows w JOIN vectors v ON v.window = w.id", names
        )
        rows = self.database.rows(f"{query} AND v.layer = ? AND v.group_idx = ?", (*parameters, layer, group_idx))
        return {name: features.decode() if zlib.crc32(features) == crc else None for name, crc, features in rows}

    def vector(self, name: str, layer: str, group_idx: int = 0) -> str:
        """Features of one window.

        Raises:
            MissingDataError: it has none in this layer, or they are damaged.
        """
        rows = self.database.rows(
            "SELECT crc, CAST(features AS BLOB) FROM vectors WHERE window = (SELECT id FROM windows WHERE name = ?) "
            "AND layer = ? AND group_idx = ?",
            (name, layer, group_idx),
        )
        if not rows or zlib.crc32(rows[0][1]) != rows[0][0]:
            damaged = "damaged" if rows else "no"
            raise MissingDataError(
                f"window {name} has {damaged} features of {layer}: run burnscar refresh --years {self.group}"
            )
        text: str = rows[0][1].decode()
        return text

    def put_vectors(self, vectors: Iterable[Vector]) -> None:
        """Write features, in place of those that are there."""
        rows = [(name, layer, index, zlib.crc32(text.encode()), text) for name, layer, index, text in vectors]
        with self.database.transaction() as connection:
            ensure_windows(connection, (row[0] for row in rows))
            connection.executemany(
                "INSERT INTO vectors (window, layer, group_idx, crc, features) "
                "SELECT id, ?2, ?3, ?4, ?5 FROM windows WHERE name = ?1 "
                "ON CONFLICT (window, layer, group_idx) DO UPDATE SET crc = excluded.crc, features = excluded.features",
                rows,
            )

    def layer_items(self, names: Sequence[str] | None = None) -> dict[str, dict[str, LayerItems]]:
        """Matched items by window and layer. The same item of several windows is one object: don't change it."""
        query, parameters = _of_windows(
            "SELECT w.name, l.layer, l.groups, l.time_ranges, l.materialized "
            "FROM windows w JOIN layer_datas l ON l.window = w.id",
            names,
        )
        rows = self.database.rows(f"{query} ORDER BY l.id", parameters)
        numbers = [json.loads(row[2]) for row in rows]
        wanted = {number for groups in numbers for group in groups for number in group}
        items = self._items(wanted)
        found: dict[str, dict[str, LayerItems]] = {}
        for (name, layer, _, time_ranges, materialized), groups in zip(rows, numbers, strict=True):
            found.setdefault(name, {})[layer] = LayerItems(
                [[items[number] for number in group] for group in groups],
                None if time_ranges is None else json.loads(time_ranges),
                bool(materialized),
            )
        return found

    def put_layer_items(self, windows: Mapping[str, Mapping[str, LayerItems]]) -> None:
        """Say what was matched to windows, in place of all that was said of them before."""
        with self.database.transaction() as connection:
            ensure_windows(connection, windows)
            connection.executemany(
                "DELETE FROM layer_datas WHERE window = (SELECT id FROM windows WHERE name = ?)",
                ((name,) for name in windows),
            )
            numbers: dict[int | str, int] = {}
            connection.executemany(
                "INSERT INTO layer_datas (window, layer, groups, time_ranges, materialized) "
                "SELECT id, ?2, ?3, ?4, ?5 FROM windows WHERE name = ?1",
                (
                    (
                        name,
                        layer,
                        json.dumps([[_number(connection, item, numbers) for item in group] for group in said.groups]),
                        None if said.time_ranges is None else json.dumps(said.time_ranges),
                        said.materialized,
                    )
                    for name, layers in windows.items()
                    for layer, said in layers.items()
                ),
            )

    def _items(self, numbers: set[int]) -> dict[int, Any]:
        if not numbers:
            return {}
        rows = self.database.rows(
            "SELECT id, item FROM items WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(sorted(numbers)),)
        )
        return {number: json.loads(item) for number, item in rows}


def ensure_windows(connection: Any, names: Iterable[str]) -> None:
    """Give windows that have nothing yet a row to refer to."""
    connection.executemany(
        "INSERT OR IGNORE INTO windows (name) VALUES (?)", ((name,) for name in dict.fromkeys(names))
    )


def _of_windows(query: str, names: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    """Restrict a query over windows `w` to names; ends in a WHERE that conditions can be added to."""
    if names is None:
        return f"{query} WHERE true", ()
    return f"{query} WHERE w.name IN (SELECT value FROM json_each(?))", (json.dumps(list(names)),)  # noqa: S608


def _number(connection: Any, item: Any, numbers: dict[int | str, int]) -> int:
    """The number of an item's row, which is made if there is none; `numbers` remembers those asked for.

    They are known by their identity, as all live until the end of the transaction, and by their text.
    """
    if id(item) not in numbers:
        numbers[id(item)] = _number_of_text(connection, json.dumps(item), numbers)
    return numbers[id(item)]


def _number_of_text(connection: Any, text: str, numbers: dict[int | str, int]) -> int:
    if text not in numbers:
        digest = hashlib.sha256(text.encode()).digest()
        connection.execute("INSERT OR IGNORE INTO items (hash, item) VALUES (?, ?)", (digest, text))
        (numbers[text],) = connection.execute("SELECT id FROM items WHERE hash = ?", (digest,)).fetchone()
    return numbers[text]
