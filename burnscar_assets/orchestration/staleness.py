"""Which (asset, fire year) pairs are stale or missing, by Dagster's own reckoning and by what lies on disk.

The one module that reads Dagster's private staleness classes; pyproject.toml pins Dagster for it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from burnscar_assets.orchestration.partitions import World
from burnscar_assets.storage.contracts import ALL_TABLES
from burnscar_assets.storage.tables import table_path


@dataclass(frozen=True)
class StalePair:
    """One partition of one asset that isn't what its code, settings and inputs would make of it."""

    asset: str
    fire_year: int | None
    status: str
    causes: tuple[str, ...]


def stale_pairs(
    world: World, graph: AssetGraph, instance: dg.DagsterInstance, fire_years: Collection[int]
) -> list[StalePair]:
    """Stale and missing pairs in topological order; the release, which has no year, comes with any."""
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    pairs = []
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        if not node.is_materializable:
            continue
        for partition in map(str, sorted(fire_years)) if node.is_partitioned else [None]:
            pair = _stale_pair(world, resolver, key, partition) or _failed_pair(graph, instance, key, partition)
            if pair is not None:
                pairs.append(pair)
    return pairs


def _stale_pair(
    world: World, resolver: CachingStaleStatusResolver, key: dg.AssetKey, partition: str | None
) -> StalePair | None:
    name, year = key.to_user_string(), None if partition is None else int(partition)
    status = resolver.get_status(key, partition)
    if status is StaleStatus.FRESH:
        absent = [path for path in outputs(world, name, year) if not path.exists()]
        return StalePair(name, year, "MISSING", tuple(f"{p} is gone" for p in absent)) if absent else None
    causes = tuple(
        sorted(
            {
                cause.reason + (f" ({_name(cause.dependency)})" if cause.dependency else "")
                for cause in resolver.get_stale_causes(key, partition)
            }
        )
    )
    return StalePair(name, year, status.value, causes or ("never materialized",))


def _failed_pair(
    graph: AssetGraph, instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None
) -> StalePair | None:
    """The pair if a blocking check of it failed last time: nothing after it may take it for good."""
    blocking = [check for check in graph.get(key).check_keys if graph.get(check).blocking]
    if not blocking or partition is None:
        return None
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        blocking, partition_filter=PartitionKeyFilter(key=partition)
    )
    failed = [check.name for check, run in latest.items() if run.status is AssetCheckExecutionRecordStatus.FAILED]
    causes = tuple(f"blocking check {name} failed" for name in sorted(failed))
    return StalePair(key.to_user_string(), int(partition), "FAILED", causes) if failed else None


def _name(key: "dg.AssetKey | object") -> str:
    asset = getattr(key, "asset_key", key)
    partition = getattr(key, "partition_key", None)
    return asset.to_user_string() + (f" {partition}" if partition else "")  # type: ignore[attr-defined]


def outputs(world: World, asset: str, fire_year: int | None) -> list[Path]:
    """The files and folders that a materialized pair must have left behind."""
    if asset == "checkpoint" and fire_year is not None:
        return [world.root.checkpoint(fire_year) / "manifest.json"]
    paths = [table_path(world.root, table, fire_year) for table in ALL_TABLES if table.name == asset]
    has_windows = paths and paths[0].exists() and asset in ("windows", "tiles") and _rows(paths[0]) > 0
    return [*paths, world.root.dataset / "windows" / str(fire_year)] if has_windows else paths


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
