"""History that nobody needs any more: old runs with their events and logs, old evaluations of conditions.

What is stale follows from the last event of each partition, and where an input was made again since, from that of it
which the partition was made from: the runs that they are of stay, however old. How long ticks of sensors and schedules
are kept is Dagster's own setting (`retention` of dagster.yaml).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from burnscar_assets.operations import AutomationSettings
from burnscar_assets.orchestration.dagster_private import delete_run
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.staleness import EventLog

JOB = "forget_history"
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_AT_ONCE = 200
"""Runs that are looked at in one question."""


@dataclass(frozen=True)
class Forgotten:
    """What was deleted, and how many old runs stay since a partition's last event is of them."""

    runs: int
    kept: int

    def describe(self) -> str:
        """In one line."""
        return f"{self.runs} old runs deleted, {self.kept} kept since partitions are as they made them"


def forget_history(log: EventLog, settings: AutomationSettings, now: datetime) -> Forgotten:
    """Delete runs that ended longer ago than `keep_runs_days`, and evaluations older than `keep_evaluations_days`.

    Args:
        log: Of the instance.
        settings: How long history is kept.
        now: The time, with its zone.
    """
    instance = log.instance
    needed = {record.run_id for record in _needed(log)}
    old = _old_runs(instance, now - timedelta(days=settings.keep_runs_days))
    unneeded = [run_id for run_id in old if run_id not in needed]
    for run_id in unneeded:
        delete_run(instance, run_id)
    if instance.schedule_storage is not None:
        oldest = now - timedelta(days=settings.keep_evaluations_days)
        instance.schedule_storage.purge_asset_evaluations(oldest.timestamp())
    return Forgotten(len(unneeded), len(old) - len(unneeded))


def _needed(log: EventLog) -> Iterator[dg.EventLogRecord]:
    """The last event of each partition, and the earlier ones of inputs that it is compared with."""
    latest = {key: log.latest(key) for key in log.graph.get_all_asset_keys()}
    for key, records in latest.items():
        yield from records.values()
        node = log.graph.get(key)
        partitions = [""] if node.partitions_def is None else node.partitions_def.get_partition_keys()
        for partition in records.keys() & set(partitions) if node.is_materializable else ():
            made = records[partition].asset_materialization
            origin = dg.DataProvenance.from_tags((made and made.tags) or {})
            if origin is None:
                continue
            for source in log.parents(Pair.of(key, partition or None)):
                pointer = origin.input_storage_ids.get(source.key)
                newest = latest[source.key].get(source.partition_key or "")
                if source.partition_key and pointer is not None and newest and newest.storage_id > pointer:
                    yield from filter(None, [log.before(source, pointer)])


def _old_runs(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Ids of runs that ended before a time."""
    ended = dg.RunsFilter(statuses=ENDED, updated_before=before.astimezone(UTC))
    found: list[str] = []
    cursor = None
    while page := instance.get_run_records(ended, limit=_AT_ONCE, cursor=cursor):
        found += [record.dagster_run.run_id for record in page]
        cursor = found[-1]
    return found


def build_retention_job(settings: AutomationSettings) -> dg.JobDefinition:
    """The job of a schedule."""

    @dg.op(description="Deletes old runs that no partition's last event is of, and old evaluations.")
    def forget(context: dg.OpExecutionContext) -> None:
        graph = context.repository_def.asset_graph
        done = forget_history(EventLog(graph, context.instance), settings, datetime.now(UTC))
        context.log.info(done.describe())

    @dg.job(name=JOB, description="Keeps Dagster's databases from growing for ever.")
    def forget_history_job() -> None:
        forget()

    return forget_history_job
