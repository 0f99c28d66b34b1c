"""One SQLite file, opened by each process and thread for itself; transactions and errors.

Reading creates no file. Writers of several processes wait for each other. A rollback journal keeps the state
before a transaction: whoever opens the file after a killed writer gets that state back, and at rest there is one
file. A connection never crosses a fork: a child that closed its parent's would roll its parent's work back.
"""

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from burnscar_assets.errors import InputError, StorageError

APPLICATION_ID: Final = 0x4275726E
"""Marks the file as ours ("Burn")."""

WAIT_S: Final = 60
"""How long a writer, or a reader during a commit, waits for another one."""

_PAGE_BYTES = 8192
_CACHE_KIB = 64 * 1024
_REASONS = {
    sqlite3.SQLITE_NOTADB: (InputError, "is no packed group of windows: move it away, then run the same again"),
    sqlite3.SQLITE_CORRUPT: (StorageError, "is damaged: delete it, then run burnscar refresh"),
    sqlite3.SQLITE_BUSY: (StorageError, f"has been locked by another process for {WAIT_S} s: run the same again"),
    sqlite3.SQLITE_LOCKED: (StorageError, "is locked by this process: run the same again"),
    sqlite3.SQLITE_READONLY: (StorageError, "cannot be written: grant permission, or choose another BURNSCAR_DATA"),
    sqlite3.SQLITE_PERM: (StorageError, "cannot be opened: grant permission, or choose another BURNSCAR_DATA"),
    sqlite3.SQLITE_CANTOPEN: (StorageError, "cannot be opened: grant permission, or choose another BURNSCAR_DATA"),
    sqlite3.SQLITE_IOERR: (StorageError, "cannot be read or written: check the disk, then run the same again"),
}


@dataclass
class _Opened:
    connection: sqlite3.Connection
    file: tuple[int, int]
    """Device and number of the file, to notice that another one took its place."""
    depth: int = 0
    checked: bool = False


class _OfThread:
    """Connections of one thread, closed when it ends, in the process that opened them."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.by_path: dict[str, _Opened] = {}
        weakref.finalize(self, _close, self.process, self.by_path)


def _close(process: int, by_path: dict[str, _Opened]) -> None:
    if process != os.getpid():
        _PARENTS.append(by_path)
        return
    for opened in by_path.values():
        opened.connection.close()


_PARENTS: list[dict[str, _Opened]] = []
"""Connections that a forked process has from its parent, kept because it has no right to close them."""

_LOCAL = threading.local()


class Database:
    """An SQLite file of a given schema; can be copied, pickled and shared between threads and processes.

    Args:
        path: the file; need not exist.
        schema: statements that make an empty file one of this kind.
        version: version of that schema.
    """

    def __init__(self, path: Path, schema: Sequence[str], version: int) -> None:
        self.path, self.schema, self.version = path, tuple(schema), version

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query; none where the file isn't there yet.

        Raises:
            InputError: the file is something else, or newer than this program.
            StorageError: it is damaged, locked for long, or there is no permission.
        """
        with self._errors():
            opened = self._opened(create=False)
            return [] if opened is None else opened.connection.execute(query, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything in the block happens, or nothing; a block within a block is part of the outer one.

        Pages beyond 64 MiB are written before the commit, and readers then wait for it: keep blocks shorter
        where others read.

        Raises:
            InputError, StorageError: as for `rows`; no space left.
        """
        with self._errors():
            opened = self._opened(create=True)
            assert opened is not None  # noqa: S101 — it was created
            connection, depth = opened.connection, opened.depth
            connection.execute(f"SAVEPOINT level{depth}" if depth else "BEGIN IMMEDIATE")
        opened.depth += 1
        try:
            if not depth:
                self._make_schema(connection)
            yield connection
            with self._errors():
                connection.execute(f"RELEASE level{depth}" if depth else "COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute(f"ROLLBACK TO level{depth}" if depth else "ROLLBACK")
            if isinstance(error, sqlite3.Error):
                with self._errors():
                    raise
            raise
        finally:
            opened.depth -= 1

    def _opened(self, *, create: bool) -> _Opened | None:
        mine: _OfThread | None = getattr(_LOCAL, "mine", None)
        if mine is None or mine.process != os.getpid():
            mine = _LOCAL.mine = _OfThread()
        key = str(self.path)
        opened = mine.by_path.get(key)
        if opened is not None and opened.depth:
            return opened
        there = self._file()
        if opened is not None and opened.file != there:
            mine.by_path.pop(key).connection.close()
            opened = None
        if opened is None:
            if there is None and not create:
                return None
            opened = mine.by_path[key] = self._open(create=create)
        if not opened.checked:
            opened.checked = self._check(opened.connection)
        return opened if opened.checked or create else None

    def _file(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_dev, found.st_ino

    def _open(self, *, create: bool) -> _Opened:
        if create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(self.path if self.path.exists() else self.path.parent, os.W_OK)
        mode = ("rwc" if create else "rw") if writable else "ro"
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=WAIT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        for pragma in (f"page_size={_PAGE_BYTES}", f"cache_size=-{_CACHE_KIB}", "foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA user_version")
        file = self._file()
        assert file is not None  # noqa: S101 — it has been read
        return _Opened(connection, file)

    def _check(self, connection: sqlite3.Connection) -> bool:
        """Whether the file has its schema already; an empty file, which is being made, has not."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application == APPLICATION_ID and version == self.version:
            return True
        if application == APPLICATION_ID and version > self.version:
            raise InputError(f"{self.path} was written by a newer burnscar_assets: update this one")
        if application or version or connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise InputError(f"{self.path} is no packed group of windows: move it away, then run the same again")
        return False

    def _make_schema(self, connection: sqlite3.Connection) -> None:
        if self._check(connection):
            return
        for statement in self.schema:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={self.version}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLite's and the operating system's refusals into errors with a next step."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_FULL:
                said = f"no space left while writing {self.path}: free some, then run the same again"
                raise StorageError(said) from error
            if code in _REASONS:
                kind, reason = _REASONS[code]
                raise kind(f"{self.path} {reason} ({error})") from error
            raise
        except (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            raise StorageError(f"cannot write {self.path}: {error.strerror}; choose another BURNSCAR_DATA") from error
