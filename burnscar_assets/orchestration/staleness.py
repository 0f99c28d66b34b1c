"""Which (asset, fire year) pairs are stale or missing, by Dagster's own reckoning and by what is there.

The one module that reads Dagster's private classes of staleness; pyproject.toml pins Dagster for it. Dagster asks its
event log once or more for each input of each pair; here the log is asked once for each asset, and what an event says
is kept from plan to plan.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.data_version import (
    CachingStaleStatusResolver,
    DataProvenance,
    StaleCauseCategory,
    StaleStatus,
)
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from burnscar_assets.orchestration.artifacts import missing
from burnscar_assets.orchestration.causes import Explainer
from burnscar_assets.orchestration.lineage import parents
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.unfinished import Note, cut_off


@dataclass(frozen=True)
class StalePair:
    """One partition of one asset that isn't what its code, settings and inputs would make of it.

    Attributes:
        asset, fire_year: which.
        status: STALE, MISSING or FAILED.
        causes: in words.
        inputs: assets whose new content makes it stale, if nothing else is wrong with it.
    """

    asset: str
    fire_year: int | None
    status: str
    causes: tuple[str, ...]
    inputs: tuple[str, ...] = ()

    @property
    def pair(self) -> Pair:
        """Which partition of which asset."""
        return Pair(self.asset, self.fire_year)


class EventLog:
    """What the event log says last of each partition, for any number of plans.

    Args:
        graph: the assets.
        instance: whose event log.
    """

    def __init__(self, graph: AssetGraph, instance: dg.DagsterInstance) -> None:
        self.graph, self.instance = graph, instance
        self.inputs: dict[AssetKeyPartitionKey, Sequence[AssetKeyPartitionKey]] = {}
        """What pairs are made from: it follows from the graph."""
        self._read: dict[int, dg.EventLogRecord] = {}

    def latest(self, key: dg.AssetKey) -> dict[str, dg.EventLogRecord]:
        """The latest materialization of each partition of an asset; of one that isn't made, the latest observation."""
        made = self.graph.get(key).is_materializable
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION if made else dg.DagsterEventType.ASSET_OBSERVATION
        ids = self.instance.event_log_storage.get_latest_storage_id_by_partition(key, kind)
        unread = [number for number in ids.values() if number not in self._read]
        if unread:
            fetch = self.instance.fetch_materializations if made else self.instance.fetch_observations
            chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=unread)
            self._read |= {record.storage_id: record for record in fetch(chosen, limit=len(unread)).records}
        return {partition: self._read[number] for partition, number in ids.items()}

    def failed_checks(self) -> dict[tuple[str, str | None], list[str]]:
        """Names of the blocking checks that failed when they ran last, by asset and partition.

        A run that is at work, was killed, or left a pair as it was has only planned its checks.
        """
        from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
        from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
        from sqlalchemy import func, select

        storage = self.instance.event_log_storage
        assert isinstance(storage, SqlEventLogStorage)  # noqa: S101 - so are all of Dagster's
        done = AssetCheckExecutionsTable.c
        ran = done.execution_status != AssetCheckExecutionRecordStatus.PLANNED.value
        last = select(func.max(done.id)).where(ran).group_by(done.asset_key, done.check_name, done.partition)
        failures = select(done.asset_key, done.check_name, done.partition).where(
            done.id.in_(last), done.execution_status == AssetCheckExecutionRecordStatus.FAILED.value
        )
        with storage.index_connection() as connection:
            rows = connection.execute(failures).fetchall()
        failed: dict[tuple[str, str | None], list[str]] = defaultdict(list)
        for asset, name, partition in sorted(rows, key=str):
            check = dg.AssetCheckKey(_key(asset), name)
            if check in self.graph.asset_check_keys and self.graph.get(check).blocking:
                failed[check.asset_key.to_user_string(), partition].append(name)
        return failed


def stale_pairs(world: World, log: EventLog, pairs: Iterable[Pair], *, explain: bool = True) -> list[StalePair]:
    """Those of the pairs that are stale, missing, or failed a blocking check, in their order.

    Args:
        world: whose pairs.
        log: what is known of them; what other processes or runs have written since is read.
        pairs: to look at.
        explain: whether to say why, which takes a while for stale pairs.
    """
    pairs = list(pairs)
    finder = _Finder(world, log, cut_off(log.instance, pairs), explain=explain)
    return [found for pair in pairs if (found := finder.stale(pair)) is not None]


class _Resolver(CachingStaleStatusResolver):
    """Dagster's own reckoning, which asks the event log only where an input has a new event."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(log.instance, log.graph, LoadingContextForTest(log.instance))
        self._log = log
        self._latest: dict[dg.AssetKey, dict[str, dg.EventLogRecord]] = {}

    def latest(self, key: AssetKeyPartitionKey) -> dg.EventLogRecord | None:
        """The latest event of a partition, as of the first question about its asset."""
        if key.asset_key not in self._latest:
            self._latest[key.asset_key] = self._log.latest(key.asset_key)
        return self._latest[key.asset_key].get(key.partition_key or "")

    def _get_latest_data_version_record(self, key: AssetKeyPartitionKey) -> dg.EventLogRecord | None:
        if key.partition_key is not None and self.asset_graph.get(key.asset_key).is_materializable:
            return self.latest(key)
        return super()._get_latest_data_version_record(key=key)

    def _get_partition_dependencies(self, *, key: AssetKeyPartitionKey) -> Sequence[AssetKeyPartitionKey]:
        if key not in self._log.inputs:
            if key.partition_key is None:
                self._log.inputs[key] = super()._get_partition_dependencies(key=key)
            else:
                found = parents(self._log.graph, Pair.of(*key))
                self._log.inputs[key] = [AssetKeyPartitionKey(pair.key, pair.partition_key) for pair in found]
        return self._log.inputs[key]

    def _is_dep_updated(self, provenance: DataProvenance, dep_key: AssetKeyPartitionKey) -> bool:
        if dep_key.partition_key is not None:
            latest = self.latest(dep_key)
            if latest is None or latest.storage_id <= (provenance.input_storage_ids[dep_key.asset_key] or 0):
                return False
        return super()._is_dep_updated(provenance, dep_key)


class _Finder:
    """Looks at pairs one by one; what it saw is kept, so a new one is needed after each run."""

    def __init__(self, world: World, log: EventLog, cut_off: Mapping[Pair, Note], *, explain: bool) -> None:
        self._world, self._log, self._cut_off, self._explain = world, log, cut_off, explain
        self._resolver = _Resolver(log)
        self._explainer = Explainer(world, log.graph, log.instance)

    @cached_property
    def _failed_checks(self) -> dict[tuple[str, str | None], list[str]]:
        return self._log.failed_checks()

    def stale(self, pair: Pair) -> StalePair | None:
        status = self._resolver.get_status(pair.key, pair.partition_key)
        if status is StaleStatus.MISSING:
            return StalePair(*pair, status.value, ("never made",))
        if status is StaleStatus.STALE:
            return StalePair(*pair, status.value, self._causes(pair) if self._explain else (), self._inputs(pair))
        note = self._cut_off.get(pair)
        if note is not None and note.run_id != self._made_by(pair):
            return StalePair(*pair, StaleStatus.STALE.value, (note.cause(pair),))
        version = self._resolver.get_current_data_version(pair.key, pair.partition_key).value
        gone = missing(self._world, pair, version)
        if gone:
            return StalePair(*pair, "MISSING", tuple(gone))
        failed = self._failed_checks.get((pair.asset, pair.partition_key), [])
        return StalePair(*pair, "FAILED", tuple(f"blocking check {name} failed" for name in failed)) if failed else None

    def _inputs(self, pair: Pair) -> tuple[str, ...]:
        """The assets whose new content makes a pair stale; none if something else is wrong with it, too."""
        causes = self._resolver.get_stale_causes(pair.key, pair.partition_key)
        named = [cause.dependency for cause in causes if cause.category is StaleCauseCategory.DATA]
        failed = self._failed_checks.get((pair.asset, pair.partition_key))
        alone = len(named) == len(causes) and pair not in self._cut_off and not failed
        return tuple(dict.fromkeys(one.asset_key.to_user_string() for one in named if one)) if alone else ()

    def _made_by(self, pair: Pair) -> str | None:
        """The run that Dagster has a pair's last materialization of."""
        key = AssetKeyPartitionKey(pair.key, pair.partition_key)
        latest = self._resolver._get_latest_data_version_record(key)
        return latest.run_id if latest else None

    def _causes(self, pair: Pair) -> tuple[str, ...]:
        said: dict[str, None] = {}
        for cause in self._resolver.get_stale_causes(pair.key, pair.partition_key):
            dependency = cause.dependency
            if cause.category is StaleCauseCategory.CODE:
                said |= dict.fromkeys(self._explainer.code(pair))
            elif dependency is not None and cause.category is StaleCauseCategory.DATA:
                said[self._explainer.input(pair, Pair.of(dependency.asset_key, dependency.partition_key))] = None
            else:
                said[cause.reason] = None
        return tuple(said)


def _key(text: str) -> dg.AssetKey:
    """An asset's key of what Dagster's tables have for it."""
    key = dg.AssetKey.from_db_string(text)
    assert key is not None  # noqa: S101 - the column is never empty
    return key
