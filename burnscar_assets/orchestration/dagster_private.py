"""The private parts of Dagster that are used here, each with the reason; no other module imports any.

A part stands here if Dagster has no public way, or one that costs a refresh too much. What any new version of it may
change is checked by `test_dagster_private.py`, which `test_newest_dagster.py` also runs with the newest Dagster.
"""

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.selector import PartitionRangeSelector, PartitionsByAssetSelector, PartitionsSelector
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.execution.plan import active
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.utils import make_new_backfill_id
from filelock import FileLock
from sqlalchemy import URL, Engine, create_engine, func, select
from sqlalchemy.pool import NullPool, QueuePool

from burnscar_assets.orchestration.pairs import INPUT_POINTER_TAG, INPUT_VERSION_TAG, VERSION_TAG, Pair

__all__ = ["AssetGraph", "DagsterAssetCheckFailedError"]  # Dagster returns and raises them, and exports neither name

STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_OVERFLOW = 15_000, 3600, 20
"""Of the web server's connections to a database, as Dagster's own command has them."""

POLL_MS = 2000
"""How often pages of the web UI ask for what is new."""

MOST_ENGINES = 16
"""The databases of an instance, and of the last runs."""


def run_in_threads(instance: dg.DagsterInstance) -> None:
    """Let several runs go on in this process at once, in threads.

    For each run, Dagster configures Python's logging anew, in which two threads can wait for each other for ever, and
    redirects standard output and error to a file. Here the first is done once, the second not at all.
    """
    active.logger.setLevel(logging.ERROR)  # it warns of checks of what a run leaves as it is
    handlers = instance.get_yaml_python_handlers()
    vars(instance)["get_yaml_python_handlers"] = lambda: handlers
    vars(instance)["_compute_log_manager"] = NoOpComputeLogManager()


def claim_in_turn(instance: dg.DagsterInstance) -> None:
    """Have processes ask for places in pools one after another.

    Dagster finds a free place and takes it in two statements, which SQLite doesn't keep together: of two processes
    that ask at the same moment both can be given the only one. Its other databases lock what they find.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage) or "claim_concurrency_slot" in vars(storage):
        return
    claim, lock = storage.claim_concurrency_slot, Path(instance.root_directory) / "claims.lock"

    def claim_alone(*args: Any, **options: Any) -> Any:
        with FileLock(lock):
            return claim(*args, **options)

    vars(storage)["claim_concurrency_slot"] = claim_alone


def failed_checks(instance: dg.DagsterInstance) -> Iterator[tuple[dg.AssetCheckKey, str | None]]:
    """The checks that failed when they ran last, each with its partition, in one question for all.

    A run that is at work, was killed, or left a pair as it was has only planned its checks. Dagster's own methods ask
    for the checks of one partition at a time.
    """
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)  # noqa: S101 - so are all of Dagster's
    done = AssetCheckExecutionsTable.c
    ran = done.execution_status != AssetCheckExecutionRecordStatus.PLANNED.value
    last = select(func.max(done.id)).where(ran).group_by(done.asset_key, done.check_name, done.partition)
    failures = select(done.asset_key, done.check_name, done.partition).where(
        done.id.in_(last), done.execution_status == AssetCheckExecutionRecordStatus.FAILED.value
    )
    with storage.index_connection() as connection:
        rows = connection.execute(failures).fetchall()
    for asset, name, partition in sorted(rows, key=str):
        key = dg.AssetKey.from_db_string(asset)
        if key is not None:
            yield dg.AssetCheckKey(key, name), partition


def as_of(
    made: dg.AssetMaterialization, source: str, events: Sequence[dg.EventLogRecord], metadata: Mapping[str, Any]
) -> dg.AssetMaterialization:
    """A materialization again, as of other events of an input, so that Dagster's marks take it for fresh.

    Dagster tells of what a partition was made from only where a step made it, in tags of its own: the version is a
    hash of those of the input's partitions in order, the pointer the latest of their events.
    """
    contents = [event.asset_materialization for event in events]
    versions = "".join((content.tags or {})[VERSION_TAG] for content in contents if content is not None)
    return dg.AssetMaterialization(
        asset_key=made.asset_key,
        partition=made.partition,
        metadata={**made.metadata, **metadata},
        tags={
            **(made.tags or {}),
            INPUT_VERSION_TAG + source: hashlib.sha256(versions.encode()).hexdigest(),
            INPUT_POINTER_TAG + source: str(max(event.storage_id for event in events)),
        },
    )


def ask_for_backfill(
    instance: dg.DagsterInstance,
    graph: AssetGraph,
    pairs: Collection[Pair],
    tags: Mapping[str, str],
    title: str,
    run_config: Mapping[str, Any] | None,
) -> str:
    """Have the daemon make pairs of one fire year; returns the backfill's id.

    It is done as Dagster's web server does it: the public way needs the address of one.
    """
    backfill_id, year = make_new_backfill_id(), next(iter(pairs)).partition_key
    years = None if year is None else PartitionsSelector([PartitionRangeSelector(year, year)])
    instance.add_backfill(
        PartitionBackfill.from_partitions_by_assets(
            backfill_id=backfill_id,
            asset_graph=graph,
            backfill_timestamp=datetime.now(UTC).timestamp(),
            tags=dict(tags),
            dynamic_partitions_store=instance,
            partitions_by_assets=[PartitionsByAssetSelector(asset_key=pair.key, partitions=years) for pair in pairs],
            title=title,
            description=", ".join(pair.asset for pair in pairs),
            run_config=run_config,
        )
    )
    return backfill_id


def unfinished_backfills(instance: dg.DagsterInstance, tag: str) -> list[str]:
    """Ids of the backfills with a tag that did not end yet."""
    unfinished = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    found = instance.get_backfills(filters=BulkActionsFilter(statuses=unfinished))
    return [backfill.backfill_id for backfill in found if tag in backfill.tags]


def is_finished(instance: dg.DagsterInstance, backfill_id: str) -> bool:
    """Whether a backfill has ended, or is gone."""
    backfill = instance.get_backfill(backfill_id)
    return backfill is None or backfill.status in BULK_ACTION_TERMINAL_STATUSES


def delete_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run with its events and logs; of SQLite's, Dagster would leave the file of its events."""
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        Path(storage.path_for_shard(run_id)).unlink(missing_ok=True)


@contextmanager
def web_application(workspace: str, *, read_only: bool) -> Iterator[Any]:
    """Dagster's web UI as an ASGI application; its own command serves one without a guard before it."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    target = WorkspaceFileTarget([workspace])
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(
            instance, target, version=__version__, read_only=read_only, code_server_log_level="warning"
        ) as context,
    ):
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_OVERFLOW)
        yield create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MS)


def keep_engines() -> None:
    """Let this process's SQLite storages use engines again, at half of the price of a run.

    They make an engine and a connection for each statement, which then compiles its SQL anew, and let SQLite clear its
    log away after each, as the last connection closes. What is read and written is the same; no two threads use a
    connection at once.
    """
    for storage in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        vars(storage)["create_engine"] = _engine


@contextmanager
def closing_databases() -> Iterator[None]:
    """Close the connections that this process keeps to databases when the block ends."""
    try:
        yield
    finally:
        with _LOCK:
            for engine in _ENGINES.values():
                Engine.dispose(engine)
            _ENGINES.clear()


_ENGINES: OrderedDict[tuple[Any, ...], Engine] = OrderedDict()
_LOCK = threading.Lock()


def _engine(url: str, poolclass: type = NullPool, connect_args: dict[str, Any] | None = None) -> Engine:
    """As `create_engine`, the same one for the same database; its connections stay when Dagster disposes of it.

    The pool that Dagster asks for keeps none, so it gets another one.
    """
    key = url, tuple(sorted((connect_args or {}).items()))
    with _LOCK:
        if key not in _ENGINES:
            _ENGINES[key] = create_engine(_address(url), poolclass=QueuePool, connect_args=connect_args or {})
            vars(_ENGINES[key])["dispose"] = lambda close=True: None
            while len(_ENGINES) > MOST_ENGINES:
                Engine.dispose(_ENGINES.popitem(last=False)[1])
        _ENGINES.move_to_end(key)
        return _ENGINES[key]


def _address(url: str) -> URL:
    """What Dagster puts together from a path as it is, in which `?` and `%` would be read as syntax."""
    return URL.create("sqlite", database=url.removeprefix("sqlite:///"))
