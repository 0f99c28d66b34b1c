"""What all stages share: how their assets are defined, and what surrounds each body when it runs.

A stage runs alone on its partition, however many runs ask for it, and tells with its result which settings it
read and what changed against the result before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd
from filelock import FileLock, Timeout

from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.artifacts import fetch_inputs, publish
from burnscar_assets.orchestration.metadata import picture, table_metadata
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.reporting import reporter
from burnscar_assets.orchestration.unfinished import begin, end
from burnscar_assets.orchestration.versions import code_version, stage_settings
from burnscar_assets.progress import Progress
from burnscar_assets.storage.atomic import storage_errors
from burnscar_assets.storage.changes import Changes, replace_table
from burnscar_assets.storage.tables import Table, table_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWNERS = ["team:burnscar"]
GPU_POOL = "gpu"
PREVIEW, CHANGES, SETTINGS = "burnscar/preview", "burnscar/changes", "burnscar/settings"
"""Metadata of every materialization: a picture; and what the plan reads: what changed, settings that were read."""

Preview = Callable[[], "Figure"]
"""Draws the picture of a result."""

LOCK_POLL_S = 5.0


@dataclass(frozen=True)
class StageRun:
    """One run of a stage on one partition."""

    world: World
    pair: Pair
    context: dg.AssetExecutionContext
    progress: Progress

    @property
    def year(self) -> int:
        """The fire year that the run is for."""
        return int(self.context.partition_key)

    def store(
        self,
        table: Table,
        rows: pd.DataFrame,
        metadata: Mapping[str, Any],
        preview: Preview,
        beside: Mapping[Table, pd.DataFrame] | None = None,
    ) -> dg.MaterializeResult:
        """Write the stage's table, after those that belong beside it; its data version is the hash of its content."""
        others = [self._replace(*part) for part in (beside or {}).items()]
        changes = self._replace(table, rows)
        same = not any(change.any for change in (changes, *others))
        return self.table_result(table, rows, changes, metadata, preview, same_picture=same)

    def table_result(
        self,
        table: Table,
        rows: pd.DataFrame,
        changes: Changes,
        metadata: Mapping[str, Any],
        preview: Preview,
        *,
        same_picture: bool = False,
        version: str | None = None,
    ) -> dg.MaterializeResult:
        """The result of a stage whose table is written already; its content is the data version unless one is given."""
        place = table_path(self.world.root, table, self.pair.fire_year)
        described = table_metadata(table, rows, place) | dict(metadata)
        said = changes.describe(table.row)
        return self.result(version or table.content_hash(rows), described, preview, said, same_picture=same_picture)

    def result(
        self, version: str, metadata: Mapping[str, Any], preview: Preview, changes: str, *, same_picture: bool = False
    ) -> dg.MaterializeResult:
        """The result of the stage: its data version, and what a person and the plan read of it.

        A preview that would come out the same is taken from the materialization before: drawing costs more than
        many a stage.
        """
        shown = {
            PREVIEW: (self._preview_before() if same_picture else None) or picture(preview()),
            **metadata,
            CHANGES: changes,
            SETTINGS: dg.MetadataValue.json(stage_settings(self.pair.asset, self.world.settings)),
        }
        return dg.MaterializeResult(metadata=shown | provenance(self.world), data_version=dg.DataVersion(version))

    def _replace(self, table: Table, rows: pd.DataFrame) -> Changes:
        return replace_table(self.world.root, table, rows, self.pair.fire_year)

    def _preview_before(self) -> dg.MetadataValue | None:
        partitions = None if self.pair.partition_key is None else [self.pair.partition_key]
        chosen = dg.AssetRecordsFilter(asset_key=self.pair.key, asset_partitions=partitions)
        for found in self.context.instance.fetch_materializations(chosen, limit=1).records:
            return found.asset_materialization.metadata.get(PREVIEW) if found.asset_materialization else None
        return None


Body = Callable[[StageRun], dg.MaterializeResult]


def stage(
    world: World,
    name: str,
    *,
    group: str,
    kinds: set[str],
    deps: Iterable[Any],
    description: str,
    partitioned: bool = True,
    **options: Any,
) -> Callable[[Body], dg.AssetsDefinition]:
    """Make an asset of a stage's body; further options go to `dg.asset`."""

    def define(body: Body) -> dg.AssetsDefinition:
        @dg.asset(
            key=dg.AssetKey.from_user_string(name),
            group_name=group,
            kinds=kinds,
            owners=OWNERS,
            deps=list(deps),
            description=description,
            code_version=code_version(name, world.settings),
            partitions_def=world.fire_years if partitioned else None,
            metadata=provenance(world),
            **options,
        )
        def asset(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
            pair = Pair(name, int(context.partition_key) if partitioned else None)
            with _alone(world, pair, context), _named(pair):
                fetch_inputs(world, pair)
                begin(context.instance, pair, context.run_id)
                result = body(StageRun(world, pair, context, reporter(context)))
                publish(world, pair, result.data_version.value if result.data_version else "")
                yield result
                end(context.instance, pair, context.run_id)

        return asset

    return define


def provenance(world: World) -> dict[str, Any]:
    """Which world this is, and what of it is simulated: shown with every asset and every materialization."""
    settings = world.settings
    return {
        "burnscar/world": settings.name,
        "burnscar/simulated_perimeters": settings.simulated_perimeters,
        "burnscar/simulated_imagery": settings.simulated_imagery,
    }


@contextmanager
def _named(pair: Pair) -> Iterator[None]:
    """Note in an error which stage ended with it, so that a refresh goes on with what doesn't come after."""
    try:
        yield
    except BurnscarError as error:
        error.asset = pair.asset
        raise


@contextmanager
def _alone(world: World, pair: Pair, context: dg.AssetExecutionContext) -> Iterator[None]:
    path = world.root.locks / f"{pair.asset}-{pair.fire_year or 'all'}.lock"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        while True:
            try:
                lock.acquire(timeout=LOCK_POLL_S)
                break
            except Timeout:
                context.log.info(f"another run is making {pair}; this one waits for it")
    try:
        yield
    finally:
        lock.release()
