"""The files of each stage: what must be there when it was made, and what goes to an object store and comes from it.

Windows, their matches and their tiles share folders, so a fire year of the rslearn dataset is one artifact, which each
of these stages publishes whole.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from burnscar_assets.environment import STORE_VARIABLE
from burnscar_assets.imagery.dataset import write_dataset_config
from burnscar_assets.imagery.ledger import FOLDER as LEDGERS
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.versions import STAGE_VERSIONS
from burnscar_assets.storage.contracts import ALL_TABLES
from burnscar_assets.storage.object_store import ObjectStore, open_store
from burnscar_assets.storage.tables import table_path

DATASET = "dataset"
DATASET_STAGES = ("windows", "scene_matches", "tiles")
MODEL_STAGES = ("checkpoint", "evaluation_metrics")
NEED_CONFIG = (*DATASET_STAGES, *MODEL_STAGES)
"""Stages that read the dataset's config.json, which follows from the settings and isn't in the store."""

TABLES = {
    "calfire_release": ("release_records",),
    "fire_perimeters": ("fire_perimeters", "fire_perimeter_rejects"),
    "sample_points": ("sample_points", "sample_losses"),
    "checkpoint": (),
    "evaluation_metrics": ("evaluation_metrics", "predictions", "season_predictions"),
}
"""Tables of each stage; a stage that isn't named here has one of its own name."""


def configured_store() -> ObjectStore | None:
    """The object store that the environment names, if any."""
    address = os.environ.get(STORE_VARIABLE)
    return open_store(address) if address else None


def outputs(world: World, pair: Pair) -> list[Path]:
    """The files and folders that a pair must have left behind when it was made."""
    asset, year = pair
    paths = [table_path(world.root, t, year) for t in ALL_TABLES if t.name in TABLES.get(asset, (asset,))]
    if year is not None and asset == "checkpoint":
        paths.append(world.root.checkpoint(year) / "manifest.json")
    if asset in DATASET_STAGES and paths[0].exists() and _rows(paths[0]) > 0:
        paths.append(_group(world, year))
    return paths


def missing(world: World, pair: Pair, version: str) -> list[str]:
    """What a pair that was made in a version lacks: on disk, or in the object store where there is one."""
    store = configured_store()
    if store is None:
        return [f"{path} is gone" for path in outputs(world, pair) if not path.exists()]
    manifest = store.manifest(pair.asset, pair.partition_key)
    if manifest is None:
        return ["it is not in the object store"]
    return [] if manifest.version == version else ["the object store has another version of it"]


def fetch_inputs(world: World, pair: Pair) -> None:
    """Bring what a stage reads, and what it made before, from the object store; without one, do nothing."""
    store = configured_store()
    if store is None:
        return
    stages = list(STAGE_VERSIONS)
    earlier = stages[: stages.index(pair.asset) + 1]
    fetch(world, store, earlier, _years_read(world, pair))
    if pair.asset in NEED_CONFIG:
        write_dataset_config(world.settings.imagery, world.root)


def fetch(world: World, store: ObjectStore, stages: list[str], fire_years: list[int]) -> int:
    """Bring what the store has of some stages and years; returns the number of files that came."""
    came = 0
    wanted = [(name, year) for stage in stages for name in _artifacts(stage) for year in _partitions(stage, fire_years)]
    for name, year in dict.fromkeys(wanted):
        if store.manifest(name, year) is not None:
            came += store.fetch(name, year, world.root.path).downloaded
    return came


def publish(world: World, pair: Pair, version: str) -> None:
    """Send what a stage made to the object store; without one, do nothing."""
    store = configured_store()
    if store is None:
        return
    for name in _artifacts(pair.asset):
        files = [path for path in _files(world, name, pair.fire_year) if path.exists()]
        store.publish(name, pair.partition_key, version, world.root.path, files)


def republish(world: World, pair: Pair) -> None:
    """Send what a person's word changed beside a stage's result; its version stays. Without a store, do nothing."""
    store = configured_store()
    manifest = None if store is None else store.manifest(pair.asset, pair.partition_key)
    if manifest is not None:
        publish(world, pair, manifest.version)


def _artifacts(asset: str) -> tuple[str, ...]:
    return (asset, DATASET) if asset in DATASET_STAGES else (asset,)


def _files(world: World, artifact: str, year: int | None) -> Iterator[Path]:
    root = world.root
    if artifact == DATASET:
        yield _group(world, year)
        yield from sorted((root.dataset / LEDGERS).glob(f"*-{year}.json"))
        return
    yield from (table_path(root, t, year) for t in ALL_TABLES if t.name in TABLES.get(artifact, (artifact,)))
    if year is not None and artifact == "checkpoint":
        yield root.checkpoint(year)
    if year is not None and artifact == "evaluation_metrics":
        yield root.evaluation(year)


def _group(world: World, year: int | None) -> Path:
    """The file or folder that holds a fire year of the dataset."""
    from burnscar_assets.packed.pack import pack_path
    from burnscar_assets.windows.dataset import is_packed

    dataset = world.root.dataset
    return pack_path(dataset, str(year)) if is_packed(dataset) else dataset / "windows" / str(year)


def _partitions(stage: str, fire_years: list[int]) -> list[str | None]:
    return [None] if stage == "calfire_release" else [str(year) for year in fire_years]


def _years_read(world: World, pair: Pair) -> list[int]:
    if pair.fire_year is None:
        return []
    if pair.asset not in MODEL_STAGES:
        return [pair.fire_year]
    before = world.year_before(pair.fire_year) if pair.asset == "evaluation_metrics" else None
    return sorted({*world.training_years(pair.fire_year), *(world.training_years(before) if before else [])})


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
