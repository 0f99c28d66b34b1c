"""Dagster's SQLite storages, at less than half of their price.

They make an engine and a connection for each statement, which then compiles its SQL anew, read all of Dagster's
migrations for each new run, make its database's tables one by one, and let SQLite clear its log away after each
statement, as the last connection closes. Here engines, connections and migrations are kept, and a run's database begins
as a copy of an empty one. What is read and written is the same.
"""

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage import sql
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool, QueuePool

MOST_ENGINES = 16
"""The databases of an instance, and of the last runs."""


def keep_engines() -> None:
    """Let this process's SQLite storages use engines again; no two threads use a connection at once."""
    for storage in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        vars(storage)["create_engine"] = _engine
    for migrations in (sql, command):
        vars(migrations)["ScriptDirectory"] = _KeptScripts
    SqliteEventLogStorage._initdb = _begin_database  # type: ignore[method-assign, assignment]


@contextmanager
def closing_databases() -> Iterator[None]:
    """Close the connections that this process keeps to databases when the block ends."""
    try:
        yield
    finally:
        with _LOCK:
            for engine in _KEPT.values():
                Engine.dispose(engine)
            _KEPT.clear()


_KEPT: OrderedDict[tuple[Any, ...], Engine] = OrderedDict()
_LOCK = threading.Lock()


def _engine(url: str, poolclass: type = NullPool, connect_args: dict[str, Any] | None = None) -> Engine:
    """As `create_engine`, the same one for the same database; its connections stay when Dagster disposes of it.

    The pool that Dagster asks for keeps none, so it gets another one.
    """
    key = url, tuple(sorted((connect_args or {}).items()))
    with _LOCK:
        if key not in _KEPT:
            _KEPT[key] = create_engine(_address(url), poolclass=QueuePool, connect_args=connect_args or {})
            vars(_KEPT[key])["dispose"] = lambda close=True: None
            while len(_KEPT) > MOST_ENGINES:
                Engine.dispose(_KEPT.popitem(last=False)[1])
        _KEPT.move_to_end(key)
        return _KEPT[key]


def _address(url: str) -> URL:
    """What Dagster puts together from a path as it is, in which `?` and `%` would be read as syntax."""
    return URL.create("sqlite", database=url.removeprefix("sqlite:///"))


_make_database = SqliteEventLogStorage._initdb


def _begin_database(storage: SqliteEventLogStorage, engine: Engine, for_index_shard: bool = False) -> None:
    """As Dagster does it, but for a copy of an empty one where a run has none; the instance's own it makes itself."""
    path = Path(engine.url.database or "")
    if not for_index_shard and path.stem != INDEX_SHARD_NAME and not path.exists():
        _put(_empty_database(storage), path)
    else:
        _make_database(storage, engine, for_index_shard)


_EMPTY: list[bytes] = []


def _empty_database(storage: SqliteEventLogStorage) -> bytes:
    """What Dagster makes for a run, made once a process."""
    if not _EMPTY:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.db"
            _make_database(storage, create_engine(f"sqlite:///{path}", poolclass=NullPool))
            _EMPTY.append(path.read_bytes())
    return _EMPTY[0]


def _put(content: bytes, path: Path) -> None:
    """Put a file in place whole; one that another process put there meanwhile stays."""
    file = path.with_name(f"{path.stem}.{os.getpid()}.tmp")
    file.write_bytes(content)
    try:
        with suppress(FileExistsError):
            os.link(file, path)
    finally:
        file.unlink()


class _KeptScripts(ScriptDirectory):
    """Migrations that are read once a folder."""

    @classmethod
    def from_config(cls, config: Config) -> ScriptDirectory:
        return _kept_scripts(config.get_main_option("script_location") or "")


@lru_cache
def _kept_scripts(folder: str) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", folder)
    return ScriptDirectory.from_config(config)
