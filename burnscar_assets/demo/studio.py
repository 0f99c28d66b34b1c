"""Drawing scenes, each put in place whole: a folder of COGs with its STAC item.

A scene is there if its folder holds an item of the same world; anything else is drawn (again).
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from burnscar_assets.demo.cogs import write_cog
from burnscar_assets.demo.plan import Burn, Granule, ScenePlan
from burnscar_assets.demo.scenes import SCL_RESOLUTION_M, make_ground, render
from burnscar_assets.demo.spectra import BAND_RESOLUTION_M
from burnscar_assets.demo.stac import StacDict, make_item
from burnscar_assets.storage.atomic import atomic_folder

ITEM_FILE: Final = "item.json"

_ground = lru_cache(maxsize=1)(make_ground)


@dataclass(frozen=True)
class SceneTask:
    """Scenes of one granule, drawn one after the other."""

    seed: int
    world: str
    granule: Granule
    burns: tuple[Burn, ...]
    scenes: tuple[ScenePlan, ...]
    folder: Path


def scene_folder(folder: Path, scene: ScenePlan) -> Path:
    """Where a scene lies."""
    return folder / scene.granule.granule_id / scene.scene_id


def read_item(folder: Path, scene: ScenePlan, world: str) -> StacDict | None:
    """The item of a scene that is there, whole and of this world; else nothing."""
    path = scene_folder(folder, scene) / ITEM_FILE
    try:
        item: StacDict = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return item if item.get("properties", {}).get("burnscar:world") == world else None


def draw(task: SceneTask) -> int:
    """Draw and write the scenes of a task; returns how many.

    Raises:
        StorageError: a scene could not be written; the scenes before it stay.
    """
    ground = _ground(task.seed, task.granule, task.burns)
    for plan in task.scenes:
        scene = render(ground, plan)
        with atomic_folder(scene_folder(task.folder, plan)) as folder:
            for band, pixels in scene.bands.items():
                write_cog(folder / f"{band}.tif", pixels, plan.granule, BAND_RESOLUTION_M[band])
            write_cog(folder / "SCL.tif", scene.classification, plan.granule, SCL_RESOLUTION_M)
            item = make_item(plan, scene.cloud_cover, task.world)
            (folder / ITEM_FILE).write_text(json.dumps(item, indent=1) + "\n", encoding="utf-8")
    return len(task.scenes)
