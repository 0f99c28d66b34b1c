"""Simulated worlds to measure on: one archive, and any number of data roots that share it."""

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import yaml
from shapely.affinity import translate

from burnscar_assets.dataset.parallel import run_batches
from burnscar_assets.demo.plan import ScenePlan
from burnscar_assets.demo.stac import make_item
from burnscar_assets.demo.studio import ITEM_FILE, SceneTask, draw, read_item, scene_folder
from burnscar_assets.demo.world import DEFAULT_SCALE, Scale, build_world, plan_world
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import Settings, load_settings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table

EDIT_M = 100.0
"""How far a corrected perimeter is moved east and north, in metres."""

_RELEASE = "release.gpkg"


@dataclass(frozen=True)
class Size:
    """How large a world is; everything else is as in the demo's settings.

    Attributes:
        first, last: fire years.
        fires_per_year: fires of a year that have imagery.
        scale: size of its granules.
        shared_scenes: whether the scenes of later years are those of the first one again, under their own dates: an
            eighth of the drawing and of the space, of imagery that no figure here looks at.
    """

    first: int
    last: int
    fires_per_year: int
    scale: Scale = DEFAULT_SCALE
    shared_scenes: bool = False

    @property
    def fire_years(self) -> list[int]:
        """All fire years."""
        return list(range(self.first, self.last + 1))

    @property
    def middle(self) -> int:
        """The fire year in the middle."""
        return (self.first + self.last) // 2

    def settings(self, **sections: Mapping[str, Any]) -> dict[str, Any]:
        """Such a world of images after alone, without set-ups and land cover; sections replace those of the demo."""
        content = yaml.safe_load((CONFIGS_DIR / "demo.yaml").read_text(encoding="utf-8"))
        del content["mapping"]["setup"], content["imagery"]["dataset_config"], content["evaluation"]
        content |= {
            "name": f"{len(self.fire_years)} years of {self.fires_per_year} fires (simulated)",
            "years": {"first": self.first, "last": self.last},
            "demo": {"fires_per_year": self.fires_per_year},
            "setups": {"exclude": ["*"]},
        }
        return content | sections


def build_archive(root: DataRoot, size: Size, progress: Progress = silent) -> None:
    """Make the simulated archive under a data root, and its release as a GeoPackage, which is easy to edit."""
    settings = load_settings(_write_settings(root, size.settings()))
    if size.shared_scenes:
        _share_scenes(settings, root, size, progress)
    labels = build_world(settings, root, progress=progress, scale=size.scale).labels
    release = root.path / _RELEASE
    release.unlink(missing_ok=True)
    for layer, _ in pyogrio.list_layers(labels):
        pyogrio.write_dataframe(pyogrio.read_dataframe(labels, layer=layer), release, layer=layer, driver="GPKG")


def _share_scenes(settings: Settings, root: DataRoot, size: Size, progress: Progress) -> None:
    """Draw the first year's scenes, and put links to them in place of those of the others."""
    plan, digest = plan_world(settings, root, size.scale)
    folder = root.simulated / "imagery" / "scenes"
    of_granule: dict[str, dict[int, list[ScenePlan]]] = defaultdict(lambda: defaultdict(list))
    for scene in plan.scenes:
        of_granule[scene.granule.granule_id][scene.acquired.year].append(scene)
    tasks = []
    for years in of_granule.values():
        missing = tuple(scene for scene in years[size.first] if read_item(folder, scene, digest) is None)
        if missing:
            granule = missing[0].granule
            tasks.append(SceneTask(plan.seed, digest, granule, plan.burns_seen_by(granule), missing, folder))
    for done, _ in enumerate(run_batches(draw, tasks, 2), start=1):
        progress("drawing the first year's scenes, granules", done, len(tasks))
    for years in of_granule.values():
        drawn = years[size.first]
        for year in size.fire_years[1:]:
            for number, scene in enumerate(years[year]):
                if read_item(folder, scene, digest) is None:
                    _link_scene(folder, drawn[number % len(drawn)], scene, digest)


def _link_scene(folder: Path, drawn: ScenePlan, scene: ScenePlan, digest: str) -> None:
    source, target = scene_folder(folder, drawn), scene_folder(folder, scene)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for band in source.glob("*.tif"):
        os.link(band, target / band.name)
    cloud_cover = json.loads((source / ITEM_FILE).read_text(encoding="utf-8"))["properties"]["eo:cloud_cover"]
    item = make_item(replace(scene, swath_edge=drawn.swath_edge), cloud_cover, digest)
    (target / ITEM_FILE).write_text(json.dumps(item), encoding="utf-8")


def new_world(root: DataRoot, archive: DataRoot, size: Size) -> DataRoot:
    """An empty data root over the archive of another; what was there before goes."""
    shutil.rmtree(root.path, ignore_errors=True)
    _write_settings(root, size.settings(release={"source": _RELEASE}))
    root.simulated.symlink_to(archive.simulated, target_is_directory=True)
    shutil.copyfile(archive.path / _RELEASE, root.path / _RELEASE)
    return root


def edit_one_fire(root: DataRoot, fire_year: int) -> str:
    """Move the perimeter of a fire with a middling number of windows; returns its name.

    The release is written whole under the same name, as a corrected one would come.
    """
    windows = read_table(root, WINDOWS, fire_year)
    counts = windows.loc[windows["category"] == "burnt", "fire_id"].value_counts()
    perimeters = read_table(root, FIRE_PERIMETERS, fire_year).set_index("fire_id")
    chosen = perimeters.loc[counts.index[len(counts) // 2]]
    release, edited = root.path / _RELEASE, root.path / "edited.gpkg"
    layers = {layer: pyogrio.read_dataframe(release, layer=layer) for layer, _ in pyogrio.list_layers(release)}
    for layer, rows in layers.items():
        if layer.startswith("firep"):
            _move(rows, chosen["geometry"])
        pyogrio.write_dataframe(rows, edited, layer=layer, driver="GPKG")
    edited.replace(release)
    return str(chosen["fire_name"])


def _move(rows: gpd.GeoDataFrame, perimeter: Any) -> None:
    nearest = rows.centroid.distance(perimeter.centroid).idxmin()
    rows.loc[nearest, "geometry"] = translate(rows.loc[nearest, "geometry"], EDIT_M, EDIT_M)


def _write_settings(root: DataRoot, content: Mapping[str, Any]) -> Path:
    root.path.mkdir(parents=True, exist_ok=True)
    root.world_file.write_text(yaml.safe_dump(dict(content)), encoding="utf-8")
    return root.world_file
