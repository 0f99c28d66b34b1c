"""The files of each stage: what must be there when it was made, and what goes to an object store and comes from it.

Windows, their matches and their tiles share folders, so a fire year of the rslearn dataset is one artifact, which each
of these stages publishes whole.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from burnscar_assets.dataset.config import write_dataset_config
from burnscar_assets.dataset.layout import is_packed
from burnscar_assets.dataset.ledger import FOLDER as LEDGERS
from burnscar_assets.dataset.packed.pack import pack_path
from burnscar_assets.environment import STORE_VARIABLE
from burnscar_assets.evaluation.champion_record import RECORD_FILE, champion_folder, load_champion
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import SEASON_LOOK_BACK_YEARS, World, member_asset
from burnscar_assets.orchestration.versions import (
    CHAIN,
    COMPARISON,
    FOLDS_VERSIONS,
    IN_SEASON_VERSIONS,
    REVIEW_VERSIONS,
)
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.contracts import ALL_TABLES, BURNED_AREA_MAPS, IN_SEASON_MAPS
from burnscar_assets.storage.object_manifest import Record
from burnscar_assets.storage.object_store import UNPARTITIONED as STORED_WHOLE
from burnscar_assets.storage.object_store import ObjectStore, Owns, open_store, remember
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path

DATASET = "dataset"
DATASET_STAGES = ("windows", "scene_matches", "tiles")
MODEL_STAGES = ("checkpoint", "evaluation_metrics")
FIRE_SCENES = "fire_scenes"
MAPS = "burned_area_maps"
SEASON_MAPS = "in_season_maps"
GPU_STAGES = (*MODEL_STAGES, MAPS, SEASON_MAPS)
"""Stages that run a network."""

UNPARTITIONED = ("calfire_release", *FOLDS_VERSIONS, *REVIEW_VERSIONS, COMPARISON)
NEED_CONFIG = (*DATASET_STAGES, FIRE_SCENES, *GPU_STAGES)
"""Stages that read the dataset's config.json, which follows from the settings and isn't in the store."""

TABLES = {
    "calfire_release": ("release_records",),
    "fire_perimeters": ("fire_perimeters", "fire_perimeter_rejects"),
    "in_season_perimeters": ("in_season_perimeters", "in_season_rejects", "in_season_burns"),
    "sample_points": ("sample_points", "sample_losses"),
    "tiles": ("tiles", "scene_radiometry"),
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
    stage, year = pair.stage, pair.fire_year
    paths: list[Path] = []
    if year is not None and stage in MODEL_STAGES:
        roots = [trained.root for trained in world.of(pair.setup).trained()]
        records = (root.checkpoint(year) / "manifest.json" for root in roots)
        champions = (champion_folder(root, year) / RECORD_FILE for root in roots)
        paths += records if stage == "checkpoint" else champions
    for root in _roots(world, pair):
        paths += _tables(root, stage, year)
        if year is not None and stage == FIRE_SCENES:
            paths.append(root.fire_scene_windows(year))
        if year is not None and stage == MAPS:
            paths.append(root.maps(year) / "index.html")
        if year is not None and stage == SEASON_MAPS:
            paths.append(root.season_maps(year) / "index.html")
    if pair.asset == COMPARISON:
        paths.append(world.root.comparison)
    if stage in REVIEW_VERSIONS:
        paths.append(world.root.label_doubts / "index.html")
    if stage in DATASET_STAGES and paths[0].exists() and row_count(paths[0]) > 0:
        paths.append(_group(world, year))
    return paths


def missing(world: World, pair: Pair, version: str) -> list[str]:
    """What a pair that was made in a version lacks: on disk, or in the object store where there is one."""
    store = configured_store()
    if store is None:
        gone = [f"{path} is gone" for path in outputs(world, pair) if not path.exists()]
        return gone or _of_another_champion(world, pair)
    manifest = store.manifest(pair.asset, pair.partition_key)
    if manifest is None:
        return ["it is not in the object store"]
    if manifest.version != version:
        return ["the object store has another version of it"]
    return _of_another_champion(world, pair)


def _of_another_champion(world: World, pair: Pair) -> list[str]:
    """Why a pair lacks something where a person made another checkpoint champion: no data version knows of that."""
    if pair.stage == "evaluation_metrics":
        return _season_of_another(world, pair)
    table = {MAPS: BURNED_AREA_MAPS, SEASON_MAPS: IN_SEASON_MAPS}.get(pair.stage)
    if table is None or not table_path(world.root, table, pair.fire_year).exists():
        return []
    maps = read_table(world.root, table, pair.fire_year, columns=["checkpoint_year", "weights_sha256"])
    champions = {int(year): load_champion(world.root, int(year)) for year in maps["checkpoint_year"].unique()}
    return [
        f"the champion of {year} is another checkpoint than that of the maps"
        for year, champion in champions.items()
        if champion is not None
        and (maps.loc[maps["checkpoint_year"] == year, "weights_sha256"] != champion.reign.weights_sha256).any()
    ]


def _season_of_another(world: World, pair: Pair) -> list[str]:
    from burnscar_assets.evaluation.spec import REPORT_FILE

    if pair.fire_year is None:
        return []
    for root in _roots(world, pair):
        judged = read_json(root.evaluation(pair.fire_year) / REPORT_FILE).get("season", {}).get("judgement")
        champion = load_champion(root, judged["checkpoint_year"]) if judged else None
        if champion is not None and champion.reign.weights_sha256 != judged["weights_sha256"]:
            return [f"the champion of {champion.fire_year} is another checkpoint than that of the season"]
    return []


def fetch_inputs(world: World, pair: Pair) -> None:
    """Bring what a stage reads, and what it made before, from the object store; without one, do nothing."""
    store = configured_store()
    if store is None:
        return
    fetch(world, store, _assets_read(world, pair), _years_read(world.of(pair.setup), pair))
    if pair.stage in NEED_CONFIG:
        write_dataset_config(world.settings.imagery, world.root)


def fetch(world: World, store: ObjectStore, assets: list[str], fire_years: list[int]) -> int:
    """Bring what the store has of some assets and years; returns the number of files that came."""
    came = 0
    wanted = [
        (name, year) for asset in assets for name in artifacts_of(asset) for year in _partitions(asset, fire_years)
    ]
    for name, year in dict.fromkeys(wanted):
        if store.manifest(name, year) is not None:
            came += store.fetch(name, year, world.root.path, owned(world, name, year)).downloaded
    return came


def publish(world: World, pair: Pair, version: str) -> None:
    """Send what a stage made to the object store; without one, record its files alone."""
    store, root = configured_store(), world.root.path
    for name in artifacts_of(pair.asset):
        files = [path for path in _files(world, name, pair.fire_year) if path.exists()]
        if store is None:
            remember(name, pair.partition_key, root, files)
        else:
            store.publish(name, pair.partition_key, version, root, files)


def republish(world: World, pair: Pair) -> None:
    """Send, and record, what a person's word changed beside a stage's result; its version stays."""
    store = configured_store()
    manifest = None if store is None else store.manifest(pair.asset, pair.partition_key)
    if store is None or manifest is not None:
        publish(world, pair, "" if manifest is None else manifest.version)


def set_aside_damaged(world: World, pair: Pair) -> None:
    """Move what a pair's artifacts consist of out of the way where a file of it isn't what was made."""
    root = world.root.path
    for name in artifacts_of(pair.asset):
        partition = pair.partition_key or STORED_WHOLE
        if Record(root, name, partition).damaged():
            aside = world.root.damaged / name / partition
            for path in filter(Path.exists, _files(world, name, pair.fire_year)):
                target = aside / path.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.is_dir():
                    shutil.rmtree(target)
                path.replace(target)


def owned(world: World, artifact: str, partition: str | None) -> Owns:
    """Which files an artifact may consist of: those in its own places, and none that a link there leads elsewhere."""
    year = None if partition is None else int(partition)
    dataset = world.root.dataset
    if artifact == DATASET:
        group = str(year)
        places = [pack_path(dataset, group), dataset / "windows" / group]
    else:
        places = list(_files(world, artifact, year))

    def owns(path: Path) -> bool:
        if artifact == DATASET and path.parent == dataset / LEDGERS:
            return path.name.endswith(f"-{year}.json") and not path.is_symlink()
        return any(path.is_relative_to(place) and path.resolve().is_relative_to(place.resolve()) for place in places)

    return owns


def artifacts_of(asset: str) -> tuple[str, ...]:
    """What an asset's files are kept as: its own, and the dataset that its stage shares with others."""
    return (asset, DATASET) if asset in DATASET_STAGES else (asset,)


def _files(world: World, artifact: str, year: int | None) -> Iterator[Path]:
    if artifact == DATASET:
        yield _group(world, year)
        yield from sorted((world.root.dataset / LEDGERS).glob(f"*-{year}.json"))
        return
    made = Pair(artifact, year)
    checkpoints = [trained.root for trained in world.of(made.setup).trained()] if made.stage in MODEL_STAGES else []
    for root in dict.fromkeys((*_roots(world, made), *checkpoints)):
        yield from _tables(root, made.stage, year)
        if year is not None and made.stage == "checkpoint":
            yield root.checkpoint(year)
        if year is not None and made.stage == "evaluation_metrics":
            yield root.evaluation(year)
        if year is not None and made.stage == FIRE_SCENES:
            yield root.fire_scene_windows(year)
        if year is not None and made.stage == MAPS:
            yield root.maps(year)
        if year is not None and made.stage == SEASON_MAPS:
            yield root.season_maps(year)
    if artifact == COMPARISON:
        yield world.root.comparison
    if artifact in REVIEW_VERSIONS:
        yield world.root.label_doubts


def _tables(root: DataRoot, stage: str, year: int | None) -> list[Path]:
    return [table_path(root, table, year) for table in ALL_TABLES if table.name in TABLES.get(stage, (stage,))]


def _roots(world: World, made: Pair) -> list[DataRoot]:
    """Where results lie: of a set-up's first seed, then of the further ones, which have no maps; folds are joined."""
    seen = world.of(made.setup)
    seeds = seen.by_seed() if made.stage in MODEL_STAGES else [seen]
    return [trained.root for trained in seeds]


def _group(world: World, year: int | None) -> Path:
    """The file or folder that holds a fire year of the dataset."""
    dataset = world.root.dataset
    return pack_path(dataset, str(year)) if is_packed(dataset) else dataset / "windows" / str(year)


def _partitions(asset: str, fire_years: list[int]) -> list[str | None]:
    return [None] if asset in UNPARTITIONED else [str(year) for year in fire_years]


def _assets_read(world: World, pair: Pair) -> list[str]:
    """The asset itself, which may build on what it made before, and those before it."""
    if pair.asset == COMPARISON:
        return [COMPARISON, "evaluation_metrics", *(f"{name}/evaluation_metrics" for name in world.setups)]
    if pair.asset == SEASON_MAPS:
        return [*CHAIN[: CHAIN.index("evaluation_metrics") + 1], *IN_SEASON_VERSIONS]
    if pair.asset in IN_SEASON_VERSIONS:
        return [*CHAIN[: CHAIN.index("burn_history")], *IN_SEASON_VERSIONS]
    if pair.asset in FOLDS_VERSIONS:
        return [*CHAIN[: CHAIN.index("burn_history")], *FOLDS_VERSIONS]
    if pair.asset in REVIEW_VERSIONS:
        return [*CHAIN[: CHAIN.index(FIRE_SCENES) + 1], *world.folds, *REVIEW_VERSIONS]
    earlier = [*CHAIN[: CHAIN.index(pair.stage) + 1], *world.folds]
    own = f"{pair.setup}/" if pair.setup else ""
    setup = world.of(pair.setup).setup
    members = [member_asset(name) for name in (setup and setup.members) or () if pair.stage == "checkpoint"]
    return [*(f"{own}{stage}" if stage in MODEL_STAGES else stage for stage in earlier), *members]


def _years_read(world: World, pair: Pair) -> list[int]:
    if pair.asset in (COMPARISON, *FOLDS_VERSIONS, *REVIEW_VERSIONS):
        return [int(key) for key in world.fire_years.get_partition_keys()]
    if pair.fire_year is None:
        return []
    if pair.asset == SEASON_MAPS:
        earlier = range(pair.fire_year - SEASON_LOOK_BACK_YEARS, pair.fire_year)
        return sorted({pair.fire_year, *(seen for year in earlier for seen in world.training_years(year))})
    if pair.stage not in GPU_STAGES:
        return [pair.fire_year]
    before = world.year_before(pair.fire_year) if pair.stage == "evaluation_metrics" else None
    return sorted({*world.training_years(pair.fire_year), *(world.training_years(before) if before else [])})


def row_count(path: Path) -> int:
    """Number of rows of a table's file."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
