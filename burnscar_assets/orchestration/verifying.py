"""Looking for damage: every file of every result is read again and held against its hash of when it was made.

A disk, a copy or a person can change a file behind the platform's back; what is stale is reckoned from events, which
don't see it. Here such partitions are noted, so that they are stale with the cause "damaged" and are made again by the
next refresh, which moves their files to `damaged/` under the data root first.
"""

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import dagster as dg
from filelock import Timeout

from burnscar_assets.errors import StorageError
from burnscar_assets.orchestration.artifacts import DATASET, DATASET_STAGES, artifacts_of, configured_store
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage import lock_of
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.orchestration.unfinished import note_damage
from burnscar_assets.progress import Progress, silent
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.object_manifest import Record, recorded
from burnscar_assets.storage.object_store import UNPARTITIONED

JOB = "verify_results"
_NAMED = 5
"""Damaged files that an alert names."""


class Artifact(NamedTuple):
    """What is recorded as one: an asset's files, or `dataset` for what windows, matches and tiles share."""

    name: str
    partition: str

    def __str__(self) -> str:
        return self.name if self.fire_year is None else f"{self.name} {self.fire_year}"

    @property
    def fire_year(self) -> int | None:
        """Its fire year, if it has one."""
        return None if self.partition == UNPARTITIONED else int(self.partition)

    @property
    def pairs(self) -> list[Pair]:
        """The asset partitions that it consists of, in the order in which they are made."""
        return [Pair(name, self.fire_year) for name in (DATASET_STAGES if self.name == DATASET else (self.name,))]


AREAS: Final = Artifact("maps of areas", UNPARTITIONED)
"""Maps of areas of interest, which no asset has; each says itself what it consists of."""


class Damage(NamedTuple):
    """A file that is gone or isn't what was made."""

    artifact: Artifact
    path: str
    where: str


@dataclass
class Verified:
    """What a look at all results found.

    Attributes:
        files: How many files were read.
        damage: Those that are gone or aren't what was made.
        busy: Artifacts that a run was writing, so that they weren't read.
    """

    files: int = 0
    damage: list[Damage] = field(default_factory=list)
    busy: list[Artifact] = field(default_factory=list)

    def describe(self) -> str:
        """The finding in one line."""
        skipped = f"; not read, since a run is writing them: {', '.join(map(str, self.busy))}" if self.busy else ""
        if self.damage:
            areas = any(damage.artifact == AREAS for damage in self.damage)
            cure = "run burnscar refresh" + (", and burnscar map for those of areas" if areas else "")
            return f"{len(self.damage)} of {self.files} files are damaged or gone: {cure}{skipped}"
        if not self.files:
            return f"nothing is recorded of these fire years: run burnscar refresh{skipped}"
        return f"all {self.files} files are what was made{skipped}"


def verify(
    world: World, instance: dg.DagsterInstance, fire_years: Collection[int], progress: Progress = silent
) -> Verified:
    """Read the results of some fire years again, and those of none; note what is damaged.

    Args:
        world: Whose results, under its data root and in its object store if there is one.
        instance: Where damaged partitions are noted.
        fire_years: Fire years to look at.
        progress: Told the artifacts read.

    Raises:
        SourceUnavailableError: the object store doesn't answer.
    """
    known = {Artifact(*names) for names in recorded(world.root.path)} | _made(world, instance)
    chosen = [artifact for artifact in sorted(known) if artifact.fire_year in (None, *fire_years)]
    found = Verified()
    for number, artifact in enumerate(chosen):
        progress("results read again", number, len(chosen))
        with ExitStack() as held:
            try:
                for pair in artifact.pairs:
                    held.enter_context(lock_of(world, pair).acquire(blocking=False))
            except Timeout:
                found.busy.append(artifact)
                continue
            _look(world, artifact, found)
            if any(damage.artifact == artifact for damage in found.damage):
                note_damage(instance, artifact.pairs)
    _look_at_areas(world, found)
    progress("results read again", len(chosen), len(chosen))
    return found


def build_verify_job(world: World) -> dg.JobDefinition:
    """The job of a weekly schedule; its run fails if something is damaged, which alerts people."""

    @dg.op(description="Reads every result again; damaged partitions become stale.")
    def read_results(context: dg.OpExecutionContext) -> None:
        found = verify(world, context.instance, [int(key) for key in world.fire_years.get_partition_keys()])
        if found.damage:
            named = ", ".join(damage.path for damage in found.damage[:_NAMED])
            raise StorageError(f"{found.describe()} ({named})")
        context.log.info(found.describe())

    @dg.job(name=JOB, description="Looks for results that a disk, a copy or a person changed.")
    def verify_results() -> None:
        read_results()

    return verify_results


def _made(world: World, instance: dg.DagsterInstance) -> set[Artifact]:
    """What Dagster knows to have been made, so that there must be a record of it where results are.

    With an object store they may be on another machine, and only what is recorded here is looked at.
    """
    if configured_store():
        return set()
    pairs = []
    for key in instance.get_asset_keys():
        pair = Pair.of(key, None)
        spec = STAGES.get(pair.stage)
        if spec is None or not (pair.setup is None or pair.setup in world.setups):
            continue
        if not spec.is_partitioned:
            pairs += [pair] if instance.get_latest_materialization_event(key) else []
        else:
            pairs += [Pair.of(key, year) for year in instance.get_materialized_partitions(key)]
    return {Artifact(name, pair.partition_key or UNPARTITIONED) for pair in pairs for name in artifacts_of(pair.asset)}


def _look_at_areas(world: World, found: Verified) -> None:
    from burnscar_assets.publish.folder import MAP_FILE, damaged_files

    for root in (world.root, *(world.of(name).root for name in world.setups)):
        for path in sorted(root.maps(None).glob(f"*/{MAP_FILE}")):
            record = read_json(path)
            found.files += len(record.get("files") or {}) + 1
            bad = damaged_files(path.parent, record) if record.get("files") else [MAP_FILE]
            where = path.parent.relative_to(world.root.path).as_posix()
            found.damage += [Damage(AREAS, f"{where}/{name}", "data root") for name in bad]


def _look(world: World, artifact: Artifact, found: Verified) -> None:
    record = Record(world.root.path, *artifact)
    found.files += len(record.paths)
    found.damage += [Damage(artifact, path, "data root") for path in record.damaged()]
    if store := configured_store():
        bad = store.verify(artifact.name, artifact.pairs[0].partition_key)
        found.damage += [Damage(artifact, path, "object store") for path in bad]
