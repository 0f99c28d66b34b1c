"""Dagster's instance of a world: what its processes read from the environment, its home, its pools, its databases.

A failure of its databases is one line that says what to do. Nothing else here goes through SQLAlchemy, so its errors
are those of Dagster's storages.
"""

import os
import re
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import DBAPIError

from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE, INSTANCE_FILE, INSTANCE_VARIABLE
from burnscar_assets.errors import BurnscarError, SettingsError, StorageError
from burnscar_assets.orchestration.capacity import gpu_limit, networks_use_cpu, runs_at_once
from burnscar_assets.orchestration.dagster_private import closing_databases, keep_engines
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage import GPU_POOL
from burnscar_assets.orchestration.unfinished import fail_interrupted_runs
from burnscar_assets.storage.atomic import atomic_file, chain, full_disk_errors, storage_errors
from burnscar_assets.storage.paths import DataRoot


def prepare_environment(world: World, settings_file: Path, home: Path | None = None) -> None:
    """Set what Dagster's processes read from the environment, and put the instance's `dagster.yaml` in its home.

    Args:
        world: whose instance.
        settings_file: of the world.
        home: Dagster's home; empty: that of the data root.

    Raises:
        SettingsError: BURNSCAR_INSTANCE names no file.
    """
    home = home or world.root.dagster_home
    with storage_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    source = Path(os.environ.get(INSTANCE_VARIABLE) or INSTANCE_FILE)
    if not source.is_file():
        raise SettingsError(f"{INSTANCE_VARIABLE} is {source}, which is no file: give the path of a dagster.yaml")
    _write_if_changed(home / "dagster.yaml", _instance_settings(world, source))
    if networks_use_cpu(world):
        os.environ.setdefault("OMP_NUM_THREADS", str(world.settings.compute.stage_cores))
    os.environ.update(
        {
            "DAGSTER_HOME": str(home),
            DATA_VARIABLE: str(world.root.path),
            CONFIG_VARIABLE: str(settings_file.resolve()),
            "WANDB_MODE": "disabled",
        }
    )


def _instance_settings(world: World, source: Path) -> str:
    """An instance's file; the queue of the package's own admits as many runs as this machine holds."""
    content = source.read_text(encoding="utf-8")
    if source != INSTANCE_FILE:
        return content
    return re.sub(r"(max_concurrent_runs:) \d+", rf"\1 {runs_at_once(world)}", content)


def _write_if_changed(path: Path, content: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        with atomic_file(path) as temporary:
            temporary.write_text(content, encoding="utf-8")


@contextmanager
def open_instance(world: World, settings_file: Path, *, only_look: bool = False) -> Iterator[dg.DagsterInstance]:
    """The world's persistent instance, with its pools set and runs whose process is gone reported as failed.

    Args:
        world: whose instance.
        settings_file: of the world.
        only_look: nothing is to be made, so a data root that can't be written is looked at through a copy of its
            databases, in which observations are lost at the end of the block.

    Raises:
        StorageError: the data root can't be written, or Dagster's database failed.
    """
    with _home(world.root, only_look=only_look) as home, database_errors(home):
        prepare_environment(world, settings_file, home)
        keep_engines()
        with closing_databases(), dg.DagsterInstance.get() as instance:
            storage, limit = instance.event_log_storage, gpu_limit(world)
            limits = {pool.name: pool.limit for pool in storage.get_pool_limits()}
            if limits.get(GPU_POOL) != limit:
                storage.set_concurrency_slots(GPU_POOL, limit)
            fail_interrupted_runs(instance)
            yield instance


@contextmanager
def _home(root: DataRoot, *, only_look: bool) -> Iterator[Path]:
    """Dagster's home, or a copy of it where the root is read-only."""
    home = root.dagster_home
    places = [place for place in (root.path, home, *(home / name for name in DATABASES)) if place.exists()]
    if all(os.access(place, os.W_OK) for place in places):
        yield home
        return
    if not only_look:
        raise StorageError(
            f"{root.path} can't be written, it can only be looked at (plan, sql, compare, funnel, champion, doctor and "
            "the pages of maps): grant it, or copy it and choose the copy with --data"
        )
    with tempfile.TemporaryDirectory(prefix="burnscar-") as folder:
        for path in (found for name in DATABASES for found in (home / name, home / f"{name}-wal")):
            if path.exists():
                copy = Path(folder) / path.relative_to(home)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        yield Path(folder)


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
