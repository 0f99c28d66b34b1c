"""Asset checks: a thin shell that hands tables to `burnscar_assets.checks`, and its findings to Dagster."""

import inspect
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final, NamedTuple

import dagster as dg
import pandas as pd

from burnscar_assets import checks
from burnscar_assets.checks import Finding
from burnscar_assets.funnel import funnel
from burnscar_assets.orchestration.pairs import RELEASE
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import RELEASE_SOURCE, looked_at
from burnscar_assets.orchestration.stage import PREVIEW
from burnscar_assets.orchestration.stage_spec import StageSpec
from burnscar_assets.storage.contracts import (
    BURN_HISTORY,
    BURNED_AREA_MAPS,
    EVALUATION_METRICS,
    FIRE_PERIMETER_REJECTS,
    FIRE_PERIMETERS,
    FIRE_SCENES,
    IN_SEASON_MAPS,
    IN_SEASON_PERIMETERS,
    PREDICTIONS,
    RELEASE_RECORDS,
    SAMPLE_POINTS,
    TILES,
    WINDOWS,
)
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, read_table, read_years


class Check(NamedTuple):
    """One check of an asset: a function of `burnscar_assets.checks`, and what it is given.

    Attributes:
        asset: which.
        name: of the check, among those of the asset.
        judge: whether what is given holds.
        given: arguments of `judge` for a fire year; for `None`, those of the release.
        show: makes a Markdown table of the same arguments.
    """

    asset: str
    name: str
    judge: Callable[..., Finding]
    given: Callable[[Any], Iterable[Any]]
    show: Callable[..., str] | None = None


def build_checks(world: World) -> list[dg.AssetChecksDefinition]:
    """The checks of a world: blocking ones for corruption, warnings for quality."""
    return [
        _freshness(world),
        *(_definition(world, check, blocking=True) for check in _corruption(world)),
        *(_definition(world, check, blocking=False) for check in _quality(world)),
    ]


def _corruption(world: World) -> list[Check]:
    root, read = world.root, _reader(world.root)

    def labels(year: int) -> Iterable[Any]:
        return [*read(SAMPLE_POINTS, FIRE_PERIMETERS, BURN_HISTORY)(year), world.settings.windows.side_m]

    return [
        Check(RELEASE, "whole", checks.release_is_whole, read(RELEASE_RECORDS)),
        Check("sample_points", "labels_agree", checks.labels_agree, labels),
        Check("sample_points", "both_classes", checks.training_has_both_classes, read(SAMPLE_POINTS)),
        Check("windows", "splits_disjoint", checks.splits_are_disjoint, read(WINDOWS)),
        Check("tiles", "accounted_for", checks.tiles_are_accounted_for, read(WINDOWS, TILES)),
        _funnel_check(world),
        Check(
            "fire_scenes",
            "windows_whole",
            checks.scenes_are_whole,
            lambda y: [read_table(root, FIRE_SCENES, y), root.fire_scene_windows(y)],
        ),
        Check(
            "burned_area_maps",
            "files_whole",
            checks.maps_are_whole,
            lambda y: [read_table(root, BURNED_AREA_MAPS, y), root.maps(y)],
        ),
        *_in_season(world),
        *(check for name in (None, *world.setups) for check in _of_setup(world.of(name))),
    ]


def _of_setup(world: World) -> list[Check]:
    """The checks of a set-up's results, of all its seeds; tables that are brought as delivered may have faults."""
    roots = [trained.root for trained in world.by_seed()]

    def whole(spec: StageSpec, table: Table) -> Check:
        places = roots if spec.per_setup else [world.root]
        judge = _of_all(checks.table_is_whole)
        return Check(
            world.asset(spec.makes), "whole", judge, lambda y: [(table, read_table(root, table, y)) for root in places]
        )

    return [
        *(whole(spec, spec.tables[0]) for spec in world.stages if spec.tables and not spec.can_look_wrong),
        Check(
            world.asset("checkpoint"),
            "verified",
            _of_all(checks.checkpoint_is_verified),
            lambda year: [(trained.root.checkpoint(year),) for trained in world.trained()],
        ),
        Check(
            world.asset("evaluation_metrics"),
            "only_test_windows",
            _of_all(checks.only_test_windows_are_scored),
            lambda year: [(read_table(root, PREDICTIONS, year),) for root in roots],
        ),
    ]


def _of_all(judge: Callable[..., Finding]) -> Callable[..., Finding]:
    """Judges several, each by its own arguments: the first that doesn't hold, else the first."""

    @wraps(judge)
    def judged(*parts: tuple[Any, ...]) -> Finding:
        findings = [judge(*part) for part in parts]
        return next((finding for finding in findings if not finding.holds), findings[0])

    return judged


def _in_season(world: World) -> list[Check]:
    root = world.root
    if not world.settings.in_season.enabled:
        return []

    def both(year: int) -> Iterable[Any]:
        return [read_table(root, IN_SEASON_PERIMETERS, year), read_years(root, FIRE_PERIMETERS, [year])]

    def maps(year: int) -> Iterable[Any]:
        return [read_table(root, IN_SEASON_MAPS, year), root.season_maps(year)]

    return [
        Check(IN_SEASON_PERIMETERS.name, "superseded", checks.no_fire_is_in_both_sources, both),
        Check(IN_SEASON_MAPS.name, "files_whole", checks.maps_are_whole, maps),
    ]


def _quality(world: World) -> list[Check]:
    root, read = world.root, _reader(world.root)

    def two_years(year: int) -> Iterable[Any]:
        before = [y for y in map(int, world.fire_years.get_partition_keys()) if y < year][-1:]
        return [read_table(root, EVALUATION_METRICS, year), read_years(root, EVALUATION_METRICS, before)]

    def clearness(year: int) -> Iterable[Any]:
        return [read_table(root, TILES, year), world.settings.imagery.min_clear_fraction]

    judged = read(FIRE_PERIMETERS, FIRE_PERIMETER_REJECTS)
    return [
        Check("fire_perimeters", "few_rejected", checks.few_are_rejected, judged),
        Check("windows", "balanced", checks.classes_are_balanced, read(WINDOWS)),
        Check("tiles", "few_nodata", checks.few_pixels_lack_data, read(TILES)),
        Check("tiles", "few_left_out", checks.few_are_left_out, read(TILES)),
        Check("tiles", "few_cloudy", checks.few_are_cloudy, clearness),
        Check("fire_scenes", "few_without_image", checks.few_frames_lack_images, read(FIRE_SCENES)),
        Check("evaluation_metrics", "beats_baseline", checks.model_beats_baseline, read(EVALUATION_METRICS)),
        Check("evaluation_metrics", "keeps_up", checks.metrics_keep_up, two_years),
        Check("burned_area_maps", "most_mapped", checks.most_fires_are_mapped, read(BURNED_AREA_MAPS)),
    ]


def _funnel_check(world: World) -> Check:
    settings = world.settings

    def show(rows: pd.DataFrame) -> str:
        from burnscar_assets.funnel import markdown_funnel

        return markdown_funnel(rows, title="From records to examples", simulated=settings.simulated_imagery)

    def given(year: int) -> Iterable[Any]:
        return [funnel(world.root, year, settings.imagery.layer, settings.imagery.min_clear_fraction)]

    return Check("tiles", "funnel_adds_up", checks.funnel_adds_up, given, show)


LOOKED_AT_LATELY: Final = "looked_at_lately"


def freshness(world: World, instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    """Whether the release's source was looked at lately; nothing else of a world grows old by itself."""
    seen = looked_at(instance, RELEASE_SOURCE)
    finding = checks.was_looked_at_lately(seen, datetime.now(UTC), world.settings.automation.stale_source_days)
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(RELEASE_SOURCE),
        check_name=LOOKED_AT_LATELY,
        passed=finding.holds,
        severity=dg.AssetCheckSeverity.WARN,
        description=finding.detail,
    )


def _freshness(world: World) -> dg.AssetChecksDefinition:
    description = inspect.getdoc(checks.was_looked_at_lately)

    @dg.asset_check(asset=RELEASE_SOURCE, name=LOOKED_AT_LATELY, description=description)
    def looked_at_lately(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        found = freshness(world, context.instance)
        return dg.AssetCheckResult(passed=found.passed, severity=found.severity, description=found.description)

    return looked_at_lately


def _reader(root: DataRoot) -> Callable[..., Callable[[int | None], Iterable[pd.DataFrame]]]:
    """Makes, of some tables, the function that reads a fire year of them."""

    def read(*tables: Table) -> Callable[[int | None], Iterable[pd.DataFrame]]:
        return lambda year: [read_table(root, table, year) for table in tables]

    return read


def _definition(world: World, check: Check, *, blocking: bool) -> dg.AssetChecksDefinition:
    partitions = world.partitions_of(check.asset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)

        @dg.asset_check(
            asset=dg.AssetKey.from_user_string(check.asset),
            name=check.name,
            description=(inspect.getdoc(check.judge) or "").partition("\n")[0],
            blocking=blocking,
            partitions_def=partitions,
        )
        def asset_check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
            given = check.given(None if partitions is None else int(context.partition_key))
            finding = check.judge(*given)
            shown = {PREVIEW: dg.MetadataValue.md(check.show(*given))} if check.show else {}
            return dg.AssetCheckResult(
                passed=finding.holds,
                severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
                description=finding.detail,
                metadata=shown | {f"burnscar/{name}": value for name, value in finding.figures.items()},
            )

    return asset_check
