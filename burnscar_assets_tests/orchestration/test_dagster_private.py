"""What `dagster_private.py` relies on: fails where a new Dagster does otherwise, and says what it does.

Marks of what is stale are compared with Dagster's own in `test_planning.py`, backfills are read in `test_queue.py`,
the web UI is asked in `test_web_server.py`.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from sqlalchemy import text

from burnscar_assets.orchestration.dagster_private import (
    claim_in_turn,
    closing_databases,
    delete_run,
    failed_checks,
    keep_engines,
    run_in_threads,
)
from burnscar_assets.orchestration.unfinished import in_process_executor

KEY = dg.AssetKey("thing")
ELSEWHERE = """
import dagster as dg
with dg.DagsterInstance.get() as instance:
    print(len(instance.fetch_materializations(dg.AssetKey("thing"), limit=9).records))
    instance.report_runless_asset_event(dg.AssetMaterialization("thing"))
"""


@dg.asset
def thing(context: dg.AssetExecutionContext) -> None:
    print("heard by whoever started the process")


def test_a_run_leaves_logging_and_output_of_the_process_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    configured: list[object] = []
    monkeypatch.setattr("logging.config.dictConfig", configured.append)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run_in_threads(instance)
        assert len(configured) <= 1
        configured.clear()
        run = dg.materialize([thing], instance=instance).dagster_run
        assert configured == [], "Dagster configures logging for each run in another way: two threads may lock up"
        assert not [*tmp_path.rglob("*.out")], "Dagster redirects a run's output in another way: see run_in_threads"
        events = instance.event_log_storage.path_for_shard(run.run_id)  # type: ignore[attr-defined]
        assert Path(events).is_file(), "the events of a run lie elsewhere: delete_run would leave them"
        delete_run(instance, run.run_id)
        assert not Path(events).exists() and not instance.has_run(run.run_id)
    assert "heard by whoever" in capfd.readouterr().out


@dg.op(pool="gpu")
def pooled() -> None: ...


@dg.job(executor_def=in_process_executor)
def pooled_job() -> None:
    pooled()


def test_places_in_pools_are_asked_for_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, at_once, most = SqliteEventLogStorage.claim_concurrency_slot, [0], [0]

    def slow(*args: Any, **options: Any) -> Any:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.2)
        at_once[0] -= 1
        return claim(*args, **options)

    monkeypatch.setattr(SqliteEventLogStorage, "claim_concurrency_slot", slow)
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as one,
        dg.DagsterInstance.local_temp(str(tmp_path)) as other,
        ThreadPoolExecutor(2) as threads,
    ):
        one.event_log_storage.set_concurrency_slots("gpu", 1)
        for instance in (one, other):
            claim_in_turn(instance)
            claim_in_turn(instance)
        asked = [
            threads.submit(instance.event_log_storage.claim_concurrency_slot, "gpu", run, "step")
            for instance, run in ((one, "a"), (other, "b"))
        ]
        assert sorted(one.result().is_claimed for one in asked) == [False, True]
        assert most == [1], "two asked at the same moment"


def test_a_run_asks_for_its_place_in_turn(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.event_log_storage.set_concurrency_slots("gpu", 1)
        with dg.execute_job(dg.reconstructable(pooled_job), instance) as done:
            assert done.success
        assert (tmp_path / "claims.lock").exists(), "Dagster asks for places in another way: see claim_in_turn"


def test_a_check_that_failed_last_is_known_until_it_passes(tmp_path: Path) -> None:
    passes: bool | None = False

    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition(["a", "b"]),
        check_specs=[dg.AssetCheckSpec("fine", asset="part", partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))],
        output_required=False,
    )
    def part() -> Iterator[dg.MaterializeResult]:
        if passes is not None:
            yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=passes)])

    def failed() -> list[tuple[dg.AssetCheckKey, str | None]]:
        dg.materialize([part], instance=instance, partition_key="a", raise_on_error=False)
        return list(failed_checks(instance))

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        (found,) = failed()
        assert found == (dg.AssetCheckKey(dg.AssetKey("part"), "fine"), "a")
        passes = None
        assert failed() == [found], "a run that only plans a check says nothing of it"
        passes = True
        assert failed() == []


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
        assert engines[0] is engines[1], "SqliteEventLogStorage makes its engines in another way: see keep_engines"
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
