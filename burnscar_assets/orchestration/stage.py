"""What all stages share: what surrounds each body when it runs, and how it tells its result.

A stage runs alone on its partition, however many runs ask for it, and tells with its result which settings it
read and what changed against the result before.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg
import pandas as pd
from filelock import FileLock, Timeout

from burnscar_assets.network.environment import share_transport
from burnscar_assets.orchestration.artifacts import fetch_inputs, publish, set_aside_damaged
from burnscar_assets.orchestration.metadata import picture, table_metadata
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.reporting import in_words, reporter, told_of
from burnscar_assets.orchestration.unfinished import begin, end, is_damaged
from burnscar_assets.orchestration.versions import stage_settings
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import Settings
from burnscar_assets.setups import Setup
from burnscar_assets.storage.atomic import storage_errors
from burnscar_assets.storage.changes import Changes, replace_table
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import Table, table_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWNERS = ["team:burnscar"]
GPU_POOL = "gpu"
ACCEPT = "accept_suspicious"
"""Name of the configuration that gives a person's word for what looks wrong."""

PREVIEW, CHANGES, SETTINGS = "burnscar/preview", "burnscar/changes", "burnscar/settings"
"""Metadata of every materialization: a picture; and what the plan reads: what changed, settings that were read."""

PREVIEW_BEHIND = "burnscar/preview_rows_behind"
"""Metadata of a picture that was not drawn anew: how many rows changed since it was."""

MOST_WEAR = 0.05
"""Share of rows that may change before a picture is drawn anew; a picture of a year hardly shows less."""

Preview = Callable[[], "Figure"]
"""Draws the picture of a result."""

LOCK_POLL_S = 5.0


class Wear(NamedTuple):
    """How much of what a picture shows changed: rows, of how many."""

    changed: int
    rows: int


@dataclass(frozen=True)
class StageRun:
    """One run of a stage on one partition.

    Attributes:
        world: as the set-up sees it whose stage it is.
        own: as its own set-up sees it.
        pair: what is made.
        context: of the step.
        progress: told of the work.
        redone: whether an earlier run of it did not come to its end: what is on disk tells nothing of what changed.
    """

    world: World
    own: World
    pair: Pair
    context: dg.AssetExecutionContext
    progress: Progress = silent
    redone: bool = False

    @property
    def year(self) -> int:
        """The fire year that the run is for."""
        return int(self.context.partition_key)

    @property
    def root(self) -> DataRoot:
        """Where the set-up's results lie."""
        return self.world.root

    @property
    def settings(self) -> Settings:
        """The settings as the set-up has them."""
        return self.world.settings

    @property
    def setup(self) -> Setup:
        """The set-up whose stage it is, beside the world's own."""
        assert self.world.setup is not None  # noqa: S101 - the world's own has no stage that asks
        return self.world.setup

    @property
    def accepts(self) -> bool:
        """Whether a person's word is given for what looks wrong."""
        return bool(self.context.op_execution_context.op_config[ACCEPT])

    def store(
        self,
        table: Table,
        rows: pd.DataFrame,
        metadata: Mapping[str, Any],
        preview: Preview,
        beside: Mapping[Table, pd.DataFrame] | None = None,
        *,
        version: str | None = None,
    ) -> dg.MaterializeResult:
        """Write the stage's table, after those beside it; its content is the data version unless one is given."""
        parts = [*(beside or {}).items(), (table, rows)]
        changes = [self._replace(*part) for part in parts]
        wear = Wear(sum(change.rows for change in changes), sum(len(part) for _, part in parts))
        return self.table_result(table, rows, changes[-1], metadata, preview, wear=wear, version=version)

    def table_result(
        self,
        table: Table,
        rows: pd.DataFrame,
        changes: Changes,
        metadata: Mapping[str, Any],
        preview: Preview,
        *,
        wear: Wear | None = None,
        version: str | None = None,
    ) -> dg.MaterializeResult:
        """The result of a stage whose table is written already; its content is the data version unless one is given."""
        place = table_path(self.root, table, self.pair.fire_year)
        described = table_metadata(table, rows, place) | dict(metadata)
        said = changes.describe(table.row)
        return self.result(version or table.content_hash(rows), described, preview, said, wear=wear)

    def result(
        self, version: str, metadata: Mapping[str, Any], preview: Preview, changes: str, *, wear: Wear | None = None
    ) -> dg.MaterializeResult:
        """The result of the stage: its data version, and what a person and the plan read of it.

        A preview that would look the same is taken from the materialization before, with a word on the rows that
        changed since it was drawn: drawing costs more than many a stage.
        """
        shown = {
            **(self._kept_preview(wear) or {PREVIEW: picture(preview())}),
            **metadata,
            CHANGES: changes,
            SETTINGS: dg.MetadataValue.json(stage_settings(self.pair.asset, self.settings)),
        }
        return dg.MaterializeResult(metadata=shown | provenance(self.world), data_version=dg.DataVersion(version))

    def _replace(self, table: Table, rows: pd.DataFrame) -> Changes:
        return replace_table(self.root, table, rows, self.pair.fire_year)

    def _kept_preview(self, wear: Wear | None) -> dict[str, Any]:
        """The preview of the materialization before, if it still shows what there is."""
        if wear is None or self.redone:
            return {}
        partitions = None if self.pair.partition_key is None else [self.pair.partition_key]
        chosen = dg.AssetRecordsFilter(asset_key=self.pair.key, asset_partitions=partitions)
        records = self.context.instance.fetch_materializations(chosen, limit=1).records
        made = records[0].asset_materialization if records else None
        if made is None or PREVIEW not in made.metadata:
            return {}
        before = made.metadata.get(PREVIEW_BEHIND)
        behind = wear.changed + (before.value if isinstance(before, dg.IntMetadataValue) and before.value else 0)
        if behind > MOST_WEAR * wear.rows:
            return {}
        return {PREVIEW: made.metadata[PREVIEW]} | ({PREVIEW_BEHIND: behind} if behind else {})


Body = Callable[[StageRun], dg.MaterializeResult]

_wanted: ContextVar[Callable[[Pair], bool]] = ContextVar("wanted", default=lambda _pair: True)


@contextmanager
def only_if(wanted: Callable[[Pair], bool]) -> Iterator[None]:
    """Within the block, stages that run in this process make only what is wanted when their turn comes.

    The run records nothing of the others, and what comes after them in the same run is left out, too.
    """
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def run_stage(body: Body, run: StageRun) -> Iterator[dg.MaterializeResult]:
    """Run a stage's body, with all that surrounds it."""
    world, pair, context = run.world, run.pair, run.context
    with _alone(world, pair, context), _named(pair):
        if not _wanted.get()(pair):
            context.log.info(f"{pair} is left as it is: it would come out the same")
            return
        share_transport()
        if is_damaged(context.instance, pair):
            set_aside_damaged(world, pair)
        fetch_inputs(run.own, pair)
        with told_of(pair) as told:
            before = begin(context.instance, pair, context.run_id)
            progress = reporter(context, told.progress)
            result = body(replace(run, progress=progress, redone=before is not None))
            publish(world, pair, result.data_version.value if result.data_version else "")
            yield result
            end(context.instance, pair, context.run_id)
            told.made = in_words(pair, result.metadata or {})


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
    except Exception as error:
        error.asset = pair.asset  # type: ignore[attr-defined]
        raise


def lock_of(world: World, pair: Pair) -> FileLock:
    """The lock that whoever makes or judges a pair holds.

    Raises:
        StorageError: no permission.
    """
    path = world.root.locks / f"{pair.asset}-{pair.fire_year or 'all'}.lock"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


@contextmanager
def _alone(world: World, pair: Pair, context: dg.AssetExecutionContext) -> Iterator[None]:
    lock = lock_of(world, pair)
    with storage_errors(Path(lock.lock_file)):
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
