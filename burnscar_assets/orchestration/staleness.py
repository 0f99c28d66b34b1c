"""Which (asset, fire year) pairs are stale or missing, by Dagster's own reckoning and by what is there.

The one module that reads Dagster's private staleness classes; pyproject.toml pins Dagster for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleCauseCategory, StaleStatus
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from burnscar_assets.orchestration.artifacts import missing
from burnscar_assets.orchestration.causes import Explainer
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World


@dataclass(frozen=True)
class StalePair:
    """One partition of one asset that isn't what its code, settings and inputs would make of it."""

    asset: str
    fire_year: int | None
    status: str
    causes: tuple[str, ...]

    @property
    def pair(self) -> Pair:
        """Which partition of which asset."""
        return Pair(self.asset, self.fire_year)


def stale_pairs(
    world: World, graph: AssetGraph, instance: dg.DagsterInstance, pairs: Iterable[Pair]
) -> list[StalePair]:
    """Those of the pairs that are stale, missing, or failed a blocking check, each with its causes, in their order."""
    finder = _Finder(world, graph, instance)
    return [found for pair in pairs if (found := finder.stale(pair)) is not None]


class _Finder:
    """Looks at pairs one by one; what Dagster answered is kept, so a new one is needed after each run."""

    def __init__(self, world: World, graph: AssetGraph, instance: dg.DagsterInstance) -> None:
        self._world, self._graph, self._instance = world, graph, instance
        self._resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        self._explainer = Explainer(world, graph, instance)

    def stale(self, pair: Pair) -> StalePair | None:
        status = self._resolver.get_status(pair.key, pair.partition_key)
        if status is StaleStatus.MISSING:
            return StalePair(*pair, status.value, ("never made",))
        if status is StaleStatus.STALE:
            return StalePair(*pair, status.value, self._causes(pair))
        version = self._resolver.get_current_data_version(pair.key, pair.partition_key).value
        gone = missing(self._world, pair, version)
        if gone:
            return StalePair(*pair, "MISSING", tuple(gone))
        failed = self._failed_checks(pair)
        return StalePair(*pair, "FAILED", tuple(f"blocking check {name} failed" for name in failed)) if failed else None

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

    def _failed_checks(self, pair: Pair) -> list[str]:
        """Blocking checks that failed last time: nothing after the pair may take it for good."""
        blocking = [check for check in self._graph.get(pair.key).check_keys if self._graph.get(check).blocking]
        if not blocking:
            return []
        chosen = PartitionKeyFilter(key=pair.partition_key) if pair.partition_key else None
        latest = self._instance.event_log_storage.get_latest_asset_check_execution_by_key(
            blocking, partition_filter=chosen
        )
        return sorted(
            check.name for check, run in latest.items() if run.status is AssetCheckExecutionRecordStatus.FAILED
        )
