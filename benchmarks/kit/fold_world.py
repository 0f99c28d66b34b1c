"""A simulated world whose fires are dealt into folds, made by the product's own command."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from burnscar_assets.comparison.read import Contestant
from burnscar_assets.environment import CONFIG_VARIABLE, CONFIGS_DIR, DATA_VARIABLE, settings_path
from burnscar_assets.orchestration.assets.setups import contestants
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import load_settings
from burnscar_assets.setups import FOLDER
from burnscar_assets.storage.paths import DataRoot
from kit.measure import environment, run
from kit.world import Size, build_archive

STAGES: Final = (
    "calfire_release", "fire_perimeters", "folds", "burn_history", "sample_points", "windows", "scene_matches", "tiles",
    "fire_scenes", "checkpoint", "evaluation_metrics",
)  # fmt: skip
"""What is made of the world's own set-up: no pages of maps, which nothing here looks at."""


@dataclass(frozen=True)
class Training:
    """How models of such a world are trained.

    Attributes:
        folds: that fires are dealt into.
        seeds: that every set-up is trained with.
        changes: of section `training`, for a small version.
    """

    folds: int
    seeds: tuple[int, ...]
    changes: dict[str, Any]


def make_fold_world(root: DataRoot, size: Size, training: Training, setups: Sequence[str]) -> World:
    """Simulate, train and judge; what is there of an earlier call stays.

    Args:
        root: where to work.
        size: of the archive.
        training: folds, seeds and changes.
        setups: names of the set-ups beside the world's own, the one that maps among them.
    """
    if not root.simulated.exists():
        build_archive(root, size)
    demo = yaml.safe_load((CONFIGS_DIR / "demo.yaml").read_text(encoding="utf-8"))
    shipped = sorted(path.stem for path in (CONFIGS_DIR / FOLDER).glob("*.yaml"))
    content = size.settings(
        sampling=demo["sampling"] | {"splits": {"folds": training.folds}},
        training=demo["training"] | {"seed": training.seeds[0], "further_seeds": list(training.seeds[1:])}
        | training.changes,
        imagery=demo["imagery"],
        mapping=demo["mapping"],
        setups={"exclude": [name for name in shipped if name not in setups]},
    )  # fmt: skip
    root.world_file.write_text(yaml.safe_dump(content), encoding="utf-8")
    (root.path / FOLDER).mkdir(exist_ok=True)
    for name in setups:
        setup = yaml.safe_load((CONFIGS_DIR / FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        text = yaml.safe_dump(setup | {"seeds": list(training.seeds)}, sort_keys=False)
        (root.path / FOLDER / f"{name}.yaml").write_text(text, encoding="utf-8")
    log = root.path / "refresh.log"
    command = ("-m", "burnscar_assets", "refresh", "--in-process", "--select", *STAGES, *setups)
    run(command, environment(None, BURNSCAR_DATA=str(root.path)), log)
    return open_world(root)


def open_world(root: DataRoot) -> World:
    """A world that was made; its set-ups are those of its own folder and the shipped ones."""
    os.environ[DATA_VARIABLE] = str(root.path)
    os.environ.pop(CONFIG_VARIABLE, None)
    return World(load_settings(settings_path(root.path)), root)


def judged_year(world: World) -> int:
    """The partition of its models."""
    return int(world.model_years.get_last_partition_key() or 0)


def by_name(world: World) -> dict[str, Contestant]:
    """Its set-ups, the world's own too, as a comparison takes them."""
    return {one.name: one for one in contestants(world)}
