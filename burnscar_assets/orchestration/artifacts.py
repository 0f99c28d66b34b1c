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
from burnscar_assets.evaluation.champion_record import load_champion
from burnscar_assets.orchestration.pairs import RELEASE, Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage_spec import Partitions
from burnscar_assets.orchestration.stages import STAGES
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.contracts import BURNED_AREA_MAPS, IN_SEASON_MAPS
from burnscar_assets.storage.object_manifest import Record
from burnscar_assets.storage.object_store import UNPARTITIONED as STORED_WHOLE
from burnscar_assets.storage.object_store import ObjectStore, Owns, open_store, remember
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path

DATASET = "dataset"
DATASET_STAGES = tuple(name for name, spec in STAGES.items() if spec.in_dataset)
"""Stages that share it, in the order in which they are made."""

_MAPS_BY_CHAMPION = {table.name: table for table in (BURNED_AREA_MAPS, IN_SEASON_MAPS)}


def configured_store() -> ObjectStore | None:
    """The object store that the environment names, if any."""
    address = os.environ.get(STORE_VARIABLE)
    return open_store(address) if address else None


def outputs(world: World, pair: Pair) -> list[Path]:
    """The files and folders that a pair must have left behind when it was made."""
    spec, year = STAGES[pair.stage], pair.fire_year
    paths = [table_path(root, table, year) for root in _roots(world, pair) for table in spec.tables]
    paths += [made.path(root, year) / made.proof for root in _trained_roots(world, pair) for made in spec.folders]
    if spec.in_dataset and paths[0].exists() and row_count(paths[0]) > 0:
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
    table = _MAPS_BY_CHAMPION.get(pair.stage)
    if table is None or not table_path(world.root, table, pair.fire_year).exists():
        return []
    maps = read_table(world.root, table, pair.fire_year, columns=["checkpoint_year", "weights_sha256"])
    root = world.mapped.root
    champions = {int(year): load_champion(root, int(year)) for year in maps["checkpoint_year"].unique()}
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
    """Bring what a stage reads, and what it made before, from the object store; without one, do nothing.

    Args:
        world: as its own set-up sees it, since the members of an ensemble have places of their own.
        pair: what is to be made.
    """
    store = configured_store()
    if store is None:
        return
    seen = world.of(pair.setup)
    fetch(world, store, _assets_read(world, pair), _years_read(seen, pair))
    if STAGES[pair.stage].needs_config:
        write_dataset_config(seen.settings.imagery, world.root)


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
    spec = STAGES[made.stage]
    for root in dict.fromkeys((*_roots(world, made), *_trained_roots(world, made))):
        yield from (table_path(root, table, year) for table in spec.tables)
        yield from (folder.path(root, year) for folder in spec.folders)


def _roots(world: World, made: Pair) -> list[DataRoot]:
    """Where tables lie: of a set-up's first seed, then of the further ones, which have no maps; folds are joined."""
    seen = world.of(made.setup)
    return [seeded.root for seeded in (seen.by_seed() if STAGES[made.stage].per_setup else [seen])]


def _trained_roots(world: World, made: Pair) -> list[DataRoot]:
    """Where folders lie: of a stage that each set-up has, those of every checkpoint."""
    seen = world.of(made.setup)
    return [trained.root for trained in (seen.trained() if STAGES[made.stage].per_setup else [seen])]


def _group(world: World, year: int | None) -> Path:
    """The file or folder that holds a fire year of the dataset."""
    dataset = world.root.dataset
    return pack_path(dataset, str(year)) if is_packed(dataset) else dataset / "windows" / str(year)


def _partitions(asset: str, fire_years: list[int]) -> list[str | None]:
    return [str(year) for year in fire_years] if STAGES[Pair(asset, None).stage].is_partitioned else [None]


def _assets_read(world: World, pair: Pair) -> list[str]:
    """The asset itself, which may build on what it made before, and those before it."""
    found, ahead = dict[str, None](), [pair.asset]
    while ahead:
        asset = ahead.pop()
        if Pair(asset, None).stage in STAGES and asset not in found:
            found[asset] = None
            if asset == pair.asset or not STAGES[pair.stage].inputs_alone:
                ahead += [name for name, _ in world.inputs(asset)]
    return [RELEASE, *found]


def _years_read(world: World, pair: Pair) -> list[int]:
    """Its fire years and those of its inputs; of what models make, those that they were trained on."""
    if pair.fire_year is None:
        return [int(key) for key in world.fire_years.get_partition_keys()]
    read = {pair.fire_year}
    for asset, years in world.inputs(pair.asset):
        spec = STAGES.get(Pair(asset, None).stage)
        for year in world.years_of(years, pair.fire_year):
            is_model = spec is not None and spec.partitions is Partitions.MODEL_YEARS
            read |= {*world.training_years(year)} if is_model else {year}
    return sorted(read)


def row_count(path: Path) -> int:
    """Number of rows of a table's file."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
