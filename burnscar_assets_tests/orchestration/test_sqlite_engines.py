"""Engines are kept, and what one process writes through them another one reads at once."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from sqlalchemy import text

from burnscar_assets.orchestration import sqlite_engines
from burnscar_assets.orchestration.sqlite_engines import closing_databases, keep_engines

KEY = dg.AssetKey("thing")
ELSEWHERE = """
import dagster as dg
with dg.DagsterInstance.get() as instance:
    print(len(instance.fetch_materializations(dg.AssetKey("thing"), limit=9).records))
    instance.report_runless_asset_event(dg.AssetMaterialization("thing"))
"""


def test_an_engine_is_made_once_for_each_database_and_another_process_writes_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    keep_engines()
    with closing_databases(), dg.DagsterInstance.get() as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, SqliteEventLogStorage)
        engines = []
        for _ in range(2):
            with storage.index_connection() as connection:
                engines.append(connection.engine)
        assert engines[0] is engines[1]
        instance.report_runless_asset_event(dg.AssetMaterialization(KEY))
        there = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True)
        assert there.stdout.split() == ["1"]
        assert len(instance.fetch_materializations(KEY, limit=9).records) == 2
    with dg.DagsterInstance.get() as instance:
        assert len(instance.fetch_materializations(KEY, limit=9).records) == 2


def test_connections_are_kept_but_never_shared_and_end_with_the_instance(tmp_path: Path) -> None:
    keep_engines()
    engine = sqlite_event_log.create_engine(f"sqlite:///{tmp_path}/kept.db")
    with closing_databases():
        with engine.connect() as outer, engine.connect() as inner:
            outer.execute(text("CREATE TABLE things (name)"))
            outer.commit()
            inner.execute(text("INSERT INTO things VALUES ('a')"))
            assert outer.execute(text("SELECT count(*) FROM things")).scalar() == 0
            inner.commit()
            assert outer.execute(text("SELECT count(*) FROM things")).scalar() == 1
        engine.dispose()
        assert engine.pool.checkedin() == 2, "Dagster disposes of an engine after each statement"
    assert sqlite_event_log.create_engine(f"sqlite:///{tmp_path}/kept.db") is not engine


def test_databases_of_other_folders_have_engines_of_their_own(tmp_path: Path) -> None:
    keep_engines()
    one, other = (sqlite_event_log.create_engine(f"sqlite:///{tmp_path}/{name}.db") for name in "ab")
    assert one is not other


def test_a_runs_database_is_as_dagster_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for name, begin in (("dagster", sqlite_engines._make_database), ("here", sqlite_engines._begin_database)):
        monkeypatch.setattr(SqliteEventLogStorage, "_initdb", begin)
        storage = SqliteEventLogStorage(str(tmp_path / name))
        with closing_databases():
            for run in ("one", "two"):
                with storage.run_connection(run) as connection:
                    tables = connection.execute(text("SELECT sql FROM sqlite_master ORDER BY name")).fetchall()
                    version = connection.execute(text("SELECT * FROM alembic_version")).fetchall()
                    mode = connection.execute(text("PRAGMA journal_mode")).scalar()
                made.append((tables, version, mode))
    assert made[1:] == made[:-1] and made[0][2] == "wal"
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"index.db", "one.db", "two.db"}
    assert (tmp_path / "here" / "two.db").stat().st_mode == (tmp_path / "dagster" / "two.db").stat().st_mode
