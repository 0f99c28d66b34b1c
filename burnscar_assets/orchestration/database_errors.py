"""Failures of Dagster's databases, in one line that says what to do.

Nothing else here goes through SQLAlchemy, so its errors are those of Dagster's storages.
"""

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from burnscar_assets.errors import BurnscarError, StorageError
from burnscar_assets.storage.full_disk import chain, full_disk_errors

DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
"""Dagster's databases in its home, but for those of single runs."""


@contextmanager
def database_errors(home: Path) -> Iterator[None]:
    """Turn a failure of Dagster's databases into one that people can act on.

    Args:
        home: Dagster's home.

    Raises:
        StorageError: a database is locked, damaged, of another Dagster, can't be written, or doesn't answer.
    """
    try:
        with full_disk_errors(home):
            yield
    except BurnscarError:
        raise
    except Exception as error:
        for cause in chain(error):
            if isinstance(cause, DBAPIError):
                raise StorageError(_explained(str(cause.orig), home)) from error
        raise


def _explained(said: str, home: Path) -> str:
    if "is locked" in said:
        return (
            f"Dagster's database in {home} is locked: another process (burnscar ui, a refresh, a backup) is writing; "
            "wait until it is done or end it, then run the same again"
        )
    if "malformed" in said or "not a database" in said:
        return (
            f"Dagster's database {_damaged(home)} is damaged ({said}): put a copy of it back, or move {home} away; "
            "tables, imagery and checkpoints stay, but are taken for missing and made again by burnscar refresh"
        )
    if "readonly database" in said or "unable to open" in said:
        return f"Dagster's database in {home} can't be opened for writing ({said}): grant it, or choose another --data"
    if "no such table" in said or "no such column" in said or "has no column" in said:
        return (
            f"Dagster's database in {home} was made by another version of Dagster ({said}): run "
            f"DAGSTER_HOME={shlex.quote(str(home))} dagster instance migrate, or install the version that made it"
        )
    return f"Dagster's database in {home} failed ({said.splitlines()[0]}): check its storage, then run the same again"


def _damaged(home: Path) -> Path:
    """The database that doesn't pass a check; the home if all do."""
    for path in (home / name for name in DATABASES):
        if path.is_file():
            try:
                with closing(sqlite3.connect(path, timeout=1)) as connection:
                    if connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",):
                        continue
            except sqlite3.Error:
                pass
            return path
    return home
