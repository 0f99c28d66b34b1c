"""Building the simulated world under `DataRoot.simulated`: labels, land, imagery, index, catalogue, manifest.

The manifest is written last: a world without one that fits is not whole, and is built on from the scenes
that are there. Scenes are put in place one by one, each whole; those of another world are replaced.
"""

import json
import shutil
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
from shapely.geometry import mapping

from burnscar_assets.catalog.stac_index import write_index
from burnscar_assets.dataset.parallel import run_batches
from burnscar_assets.demo.acquisitions import season_scenes
from burnscar_assets.demo.cogs import NOTICE
from burnscar_assets.demo.cover_map import COVER_FILE, write_cover_map
from burnscar_assets.demo.frap import NOTICE_FILE, is_release_of, write_release
from burnscar_assets.demo.given import plan_over
from burnscar_assets.demo.ignitions import simulate_fires
from burnscar_assets.demo.plan import ScenePlan, WorldPlan, project
from burnscar_assets.demo.regions import choose_regions
from burnscar_assets.demo.stac import rebased, write_catalogue
from burnscar_assets.demo.studio import ITEM_FILE, SceneTask, draw, read_item, scene_folder
from burnscar_assets.demo.truth import TRUTH_FILE, write_truth
from burnscar_assets.errors import SettingsError, StorageError
from burnscar_assets.progress import Progress, silent
from burnscar_assets.regions.load import default_region, working_region
from burnscar_assets.settings import DemoSettings, Settings
from burnscar_assets.storage.atomic import atomic_file, storage_errors, write_json
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot

GENERATOR_VERSION: Final = 2
"""Raised whenever the same settings would give another world."""

MANIFEST: Final = "manifest.json"
README: Final = f"""# {NOTICE}

Everything in this folder is simulated by `burnscar demo`: seeded, deterministic, and good for trying out the
platform. No scene is an observation of the Earth, and no figure computed from it says how well a model works.

- `fire_simulated_gdb.zip` (unless perimeters were given): fires in the schema of FRAP's release 24, with the kinds
  of defects that the real one has.
- `imagery/`: Sentinel-2 L2A as the archives lay it out (a COG per band at its native resolution, scene
  classification, STAC items, `index.parquet`, `catalog.json`), but in granules of 7 to 16 km instead of 110 km.
  A fire too large for its granules is covered in part.
- `land.geojson`: the ground that scenes show, and in which years.
- `{COVER_FILE}`: what grows there, in the classes of ESA WorldCover, but simulated; maps are scored by it.
- `true_burns.parquet`: what truly burned. Perimeters are drawn beside it, as agencies draw them; no stage reads it.
"""


@dataclass(frozen=True)
class Scale:
    """How large the simulated world is; tests build smaller ones.

    `fires_a_region` are usable fires of a year that a region has room for.
    """

    granule_m: float = 7_200.0
    fires_a_region: float = 1.75


DEFAULT_SCALE: Final = Scale()


@dataclass(frozen=True)
class SimulatedWorld:
    """What lies under `DataRoot.simulated`.

    `labels` is empty if perimeters were given; `truth` is read by no stage; fires are the burns that scenes show, old
    and prescribed ones included; `made` is False if all of it was there already.
    """

    labels: Path | None
    index: Path
    catalogue: Path
    land: Path
    truth: Path
    fires: int
    scenes: int
    bytes: int
    made: bool


def build_world(
    settings: Settings,
    root: DataRoot,
    perimeters: gpd.GeoDataFrame | None = None,
    progress: Progress = silent,
    workers: int = 2,
    scale: Scale = DEFAULT_SCALE,
) -> SimulatedWorld:
    """Make the simulated world, or what is missing of it; a whole one is left as it is.

    Without perimeters to make imagery over (contract FIRE_PERIMETERS), these are simulated too, at the scale. With one
    worker or none, scenes are drawn in the calling process.

    Raises:
        SettingsError: the settings have no `demo` section or no last year, or leave no ground for a split.
        StorageError: something could not be written; what is whole stays, and the next call builds on it.
    """
    demo = _demo_section(settings)
    digest = _world_digest(settings, demo, perimeters, scale)
    labels = _labels_path(settings, root) if perimeters is None else None
    there = _whole_world(root.simulated, labels, digest)
    if there is not None:
        return there
    with storage_errors(root.simulated):
        (root.simulated / MANIFEST).unlink(missing_ok=True)
    if perimeters is not None:
        plan = plan_over(demo.seed, perimeters)
    else:
        progress("simulating perimeters", 0, 1)
        plan = _simulate_labels(settings, demo, root, scale, digest)
    if not plan.scenes:
        raise SettingsError("there is no fire to simulate imagery over: choose other years or perimeters")
    _draw_scenes(plan, root.simulated / "imagery" / "scenes", digest, progress, workers)
    progress("writing what truly burned, and land cover", 0, 1)
    with storage_errors(root.simulated):
        write_truth(root.simulated / TRUTH_FILE, plan, workers)
        write_cover_map(root.simulated / COVER_FILE, plan, workers)
    progress("writing the STAC index", 0, 1)
    return _write_around(root.simulated, plan, labels, digest)


def plan_world(settings: Settings, root: DataRoot, scale: Scale = DEFAULT_SCALE) -> tuple[WorldPlan, str]:
    """What `build_world` draws where perimeters are simulated, and the digest that its items carry.

    The release is written if it isn't there.
    """
    demo = _demo_section(settings)
    digest = _world_digest(settings, demo, None, scale)
    return _simulate_labels(settings, demo, root, scale, digest), digest


def _demo_section(settings: Settings) -> DemoSettings:
    if settings.demo is None:
        raise SettingsError(f"{settings.name} is no simulated world: add a demo section to its settings")
    return settings.demo


def _labels_path(settings: Settings, root: DataRoot) -> Path:
    source = settings.release.source
    if "://" in source or not source.endswith(".zip"):
        raise SettingsError(f"release.source is {source}: the simulated release needs a path that ends in .zip")
    return root.resolve(source)


def _world_digest(settings: Settings, demo: DemoSettings, perimeters: gpd.GeoDataFrame | None, scale: Scale) -> str:
    """Identity of a world: the generator, what shapes it in the settings, and the perimeters given."""
    if perimeters is not None:
        return hash_json([GENERATOR_VERSION, demo.seed, FIRE_PERIMETERS.content_hash(perimeters)])[:16]
    region = settings.ground
    where = [] if region == default_region() else [region.model_dump_json()]
    digests = [part.digest() for part in (settings.years, settings.sampling.splits)]
    shaping = [*where, *digests, settings.release.source, asdict(scale)]
    return hash_json([GENERATOR_VERSION, demo.seed, demo.fires_per_year, *shaping])[:16]


def _simulate_labels(settings: Settings, demo: DemoSettings, root: DataRoot, scale: Scale, digest: str) -> WorldPlan:
    """Write the release, if it isn't there, and plan the imagery over its fires."""
    if settings.years.last is None:
        raise SettingsError("years.last is empty: the simulated world needs a last year")
    years = [y for y in range(settings.years.first, settings.years.last + 1) if y not in settings.years.exclude]
    regions = choose_regions(settings.sampling.splits, demo.fires_per_year, scale.granule_m, scale.fires_a_region)
    fires = simulate_fires(demo.seed, regions, years, demo.fires_per_year)
    labels = _labels_path(settings, root)
    if not is_release_of(labels, digest):
        write_release(labels, fires, regions, demo.seed, digest)
    scenes = season_scenes(demo.seed, regions, fires, years)
    granules = tuple(granule for region in regions for granule in region.granules)
    return WorldPlan(demo.seed, granules, tuple(fire.burn() for fire in fires), tuple(scenes))


def _draw_scenes(plan: WorldPlan, folder: Path, digest: str, progress: Progress, workers: int) -> None:
    """Draw the scenes that aren't there, and remove those that the plan doesn't know."""
    missing: dict[tuple[str, int], list[ScenePlan]] = defaultdict(list)
    for scene in plan.scenes:
        if read_item(folder, scene, digest) is None:
            missing[scene.granule.granule_id, scene.acquired.year].append(scene)
    tasks = [
        SceneTask(plan.seed, digest, scenes[0].granule, plan.burns_seen_by(scenes[0].granule), tuple(scenes), folder)
        for _, scenes in sorted(missing.items())
    ]
    total = len(plan.scenes)
    done = total - sum(len(task.scenes) for task in tasks)
    progress("drawing scenes", done, total)
    for count in run_batches(draw, tasks, workers if workers > 1 else 0):
        done += count
        progress("drawing scenes", done, total)
    wanted = {scene_folder(folder, scene) for scene in plan.scenes}
    for stale in [path for path in folder.glob("*/*") if path not in wanted]:
        shutil.rmtree(stale, ignore_errors=True)


def _write_around(folder: Path, plan: WorldPlan, labels: Path | None, digest: str) -> SimulatedWorld:
    """Write index, catalogue, land, notice and, at the end, the manifest."""
    imagery = folder / "imagery"
    items, hrefs = [], []
    for scene in sorted(plan.scenes, key=lambda scene: scene.scene_id):
        item = read_item(imagery / "scenes", scene, digest)
        if item is None:
            raise StorageError(f"scene {scene.scene_id} vanished from {imagery} while it was built: run the same again")
        place = scene_folder(imagery / "scenes", scene).relative_to(imagery).as_posix()
        items.append(rebased(item, place))
        hrefs.append(f"{place}/{ITEM_FILE}")
    write_index(items, imagery / "index.parquet")
    catalogue = write_catalogue(imagery, items, hrefs)
    write_json(folder / "land.geojson", _land(plan))
    with atomic_file(folder / NOTICE_FILE) as temporary:
        temporary.write_text(README, encoding="utf-8")
    world = SimulatedWorld(
        labels=labels,
        index=imagery / "index.parquet",
        catalogue=catalogue,
        land=folder / "land.geojson",
        truth=folder / TRUTH_FILE,
        fires=len(plan.burns),
        scenes=len(items),
        bytes=sum(path.stat().st_size for path in imagery.rglob("*.tif")),
        made=True,
    )
    told = {"world": digest, "fires": world.fires, "bytes": world.bytes, "items": hrefs}
    write_json(folder / MANIFEST, {"simulated": True, "generator_version": GENERATOR_VERSION} | told)
    return world


def _land(plan: WorldPlan) -> dict[str, Any]:
    """GeoJSON of the ground that scenes show, one part a granule."""
    years: dict[str, set[int]] = defaultdict(set)
    for scene in plan.scenes:
        years[scene.granule.granule_id].add(working_region().fire_year(scene.acquired))
    features = [
        {
            "type": "Feature",
            "properties": {"granule_id": name, "fire_years": sorted(years[name]), "simulated": True},
            "geometry": mapping(project(granule.utm_box, granule.epsg, "EPSG:4326")),
        }
        for granule, name in ((granule, granule.granule_id) for granule in plan.granules)
    ]
    return {"type": "FeatureCollection", "name": "SIMULATED imagery extent", "features": features}


def _whole_world(folder: Path, labels: Path | None, digest: str) -> SimulatedWorld | None:
    """The world that the manifest tells of, if it is this one and all of its files are there."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    if manifest.get("world") != digest:
        return None
    imagery, land, truth = folder / "imagery", folder / "land.geojson", folder / TRUTH_FILE
    index, catalogue = imagery / "index.parquet", imagery / "catalog.json"
    around = [index, catalogue, land, truth, folder / COVER_FILE, *([labels] if labels else [])]
    needed = [*around, *(imagery / href for href in manifest["items"])]
    if not all(path.is_file() for path in needed):
        return None
    scenes = len(manifest["items"])
    return SimulatedWorld(
        labels, index, catalogue, land, truth, manifest["fires"], scenes, manifest["bytes"], made=False
    )
