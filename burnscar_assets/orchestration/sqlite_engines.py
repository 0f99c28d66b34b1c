"""Dagster's SQLite storages, at less than half of their price.

They make an engine for each statement, which then compiles its SQL anew, read all of Dagster's migrations for each new
run, make its database's tables one by one, and let SQLite clear its log away after each statement, as the last
connection closes. Here engines and migrations are kept, a run's database begins as a copy of an empty one, and one
connection to each database stays open. What is read and written is the same.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage import sql
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

MOST_ENGINES = 16
"""The databases of an instance, and of the last runs."""


def keep_engines() -> None:
    """Let this process's SQLite storages use engines again; they hold no connections, so forks and threads are safe."""
    for storage in (sqlite_event_log, sqlite_run_storage):
        vars(storage)["create_engine"] = _engine
    for migrations in (sql, command):
        vars(migrations)["ScriptDirectory"] = _KeptScripts
    SqliteEventLogStorage._initdb = _begin_database  # type: ignore[method-assign, assignment]


@contextmanager
def open_databases(instance: dg.DagsterInstance) -> Iterator[None]:
    """Hold a connection to each of the instance's databases, if they are SQLite's, that are written to all the time."""
    events, runs = instance.event_log_storage, instance.run_storage
    connect: list[Callable[[], Any]] = []
    if isinstance(events, SqliteEventLogStorage):
        connect.append(lambda: _engine(events.conn_string_for_shard("index")).connect())
    if isinstance(runs, SqliteRunStorage):
        connect.append(lambda: _engine(runs._conn_string).connect())
    with ExitStack() as held:
        for open_connection in connect:
            connection = held.enter_context(open_connection())
            connection.execute(text("SELECT 1 FROM sqlite_master LIMIT 1")).fetchall()
            connection.rollback()
        yield


def _engine(url: str, poolclass: type = NullPool, connect_args: dict[str, Any] | None = None) -> Engine:
    return _kept_engine(url, poolclass, tuple(sorted((connect_args or {}).items())))


@lru_cache(maxsize=MOST_ENGINES)
def _kept_engine(url: str, poolclass: type, connect_args: tuple[tuple[str, Any], ...]) -> Engine:
    return create_engine(url, poolclass=poolclass, connect_args=dict(connect_args))


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
