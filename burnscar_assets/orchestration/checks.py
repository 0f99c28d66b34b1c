"""Asset checks: a thin shell that hands tables to `burnscar_assets.checks`, and its findings to Dagster."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import dagster as dg

from burnscar_assets import checks
from burnscar_assets.checks import Finding
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.storage.contracts import (
    BURN_HISTORY,
    EVALUATION_METRICS,
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    PREDICTIONS,
    SAMPLE_POINTS,
    SCENE_MATCHES,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.tables import Table, read_table, read_years


class Check(NamedTuple):
    """One check of one asset's partition."""

    asset: str
    name: str
    blocking: bool
    evaluate: Callable[[int], Finding]


def build_checks(world: World) -> list[dg.AssetChecksDefinition]:
    """The checks of a world: blocking ones for corruption, warnings for quality."""
    return [_definition(world, check) for check in (*_corruption(world), *_quality(world))]


def _corruption(world: World) -> list[Check]:
    root = world.root
    tables = (
        FIRE_PERIMETERS, BURN_HISTORY, SAMPLE_POINTS, WINDOWS, SCENE_MATCHES, TILES, EVALUATION_METRICS
    )  # fmt: skip

    def whole(table: Table) -> Check:
        return Check(table.name, "whole", True, lambda y: checks.table_is_whole(table, read_table(root, table, y)))

    return [
        *map(whole, tables),
        Check("windows", "splits_disjoint", True, lambda y: checks.splits_are_disjoint(read_table(root, WINDOWS, y))),
        Check(
            "tiles",
            "accounted_for",
            True,
            lambda y: checks.tiles_are_accounted_for(read_table(root, WINDOWS, y), read_table(root, TILES, y)),
        ),
        Check("checkpoint", "verified", True, lambda y: checks.checkpoint_is_verified(root.checkpoint(y))),
        Check(
            "evaluation_metrics",
            "only_test_windows",
            True,
            lambda y: checks.only_test_windows_are_scored(read_table(root, PREDICTIONS, y)),
        ),
    ]


def _quality(world: World) -> list[Check]:
    root = world.root

    def metrics(year: int) -> Finding:
        before = [y for y in map(int, world.fire_years.get_partition_keys()) if y < year][-1:]
        return checks.metrics_keep_up(
            read_table(root, EVALUATION_METRICS, year), read_years(root, EVALUATION_METRICS, before)
        )

    def rejects(year: int) -> Finding:
        kept, rejected = (len(read_table(root, t, year)) for t in (FIRE_PERIMETERS, FIRE_PERIMETER_REJECTS))
        return checks.few_are_rejected(kept, rejected)

    return [
        Check("fire_perimeters", "few_rejected", False, rejects),
        Check("windows", "balanced", False, lambda y: checks.classes_are_balanced(read_table(root, WINDOWS, y))),
        Check("tiles", "few_left_out", False, lambda y: checks.few_are_left_out(read_table(root, TILES, y))),
        Check(
            "evaluation_metrics",
            "beats_baseline",
            False,
            lambda y: checks.model_beats_baseline(read_table(root, EVALUATION_METRICS, y)),
        ),
        Check("evaluation_metrics", "keeps_up", False, metrics),
    ]


def _definition(world: World, check: Check) -> dg.AssetChecksDefinition:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)

        @dg.asset_check(asset=check.asset, name=check.name, blocking=check.blocking, partitions_def=world.fire_years)
        def asset_check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
            finding = check.evaluate(int(context.partition_key))
            return dg.AssetCheckResult(
                passed=finding.holds,
                severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
                description=finding.detail,
                metadata={f"burnscar/{name}": value for name, value in finding.figures.items()},
            )

    return asset_check
