"""A world of a few square fires in a GeoPackage, whose labels are made in seconds; nothing is simulated or fetched."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import geopandas as gpd
import pytest
import yaml
from dagster._core.storage.defs_state.base import set_defs_state_storage

from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.orchestration.execution import Runner, open_runner
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import load_settings
from burnscar_assets.storage.paths import DataRoot

LABELS = ("calfire_release", "fire_perimeters", "burn_history")
CHAIN = (
    *LABELS, "sample_points", "windows", "scene_matches", "tiles", "fire_scenes", "checkpoint", "evaluation_metrics",
    "burned_area_maps",
)  # fmt: skip
"""Assets of every world, from the release to maps."""

LONG_AGO_S = 3600.0
VARIABLES = (CONFIG_VARIABLE, DATA_VARIABLE, "DAGSTER_HOME", "WANDB_MODE")
"""What commands and runners set in the environment of their process."""


@contextmanager
def for_a_module() -> Iterator[None]:
    """Making a world that a module's tests copy leaves the environment, and what Dagster remembers, as it was."""
    with pytest.MonkeyPatch.context() as patched, set_defs_state_storage(None):
        for name in VARIABLES:
            patched.setenv(name, "")
        yield


@dataclass
class LabelWorld:
    """A data root, its settings file, and the release that they name."""

    root: DataRoot

    @property
    def release(self) -> Path:
        return self.root.path / "release.gpkg"

    @property
    def world(self) -> World:
        return World(load_settings(self.root.world_file), self.root)

    def copy(self, root: DataRoot) -> Self:
        """The same world in another data root."""
        shutil.copytree(self.root.path, root.path, symlinks=True)
        return type(self)(root)

    def configure(self, **sections: Any) -> None:
        """Write the settings: fire years 2019 to 2021 unless sections say otherwise."""
        content = {
            "name": "labels",
            "years": {"first": 2019, "last": 2021},
            "release": {"source": "release.gpkg"},
            "setups": {"exclude": ["*"]},
        }
        self.root.path.mkdir(parents=True, exist_ok=True)
        self.root.world_file.write_text(yaml.safe_dump(content | sections))

    def publish(self, fires: gpd.GeoDataFrame) -> None:
        """Put a release in the place of the one that is there, as if that was a while ago."""
        new = self.release.with_name("new.gpkg")
        new.unlink(missing_ok=True)
        fires.to_file(new, driver="GPKG")
        then = time.time() - LONG_AGO_S
        os.utime(new, (then, then))
        new.replace(self.release)

    @contextmanager
    def runner(self) -> Iterator[Runner]:
        """A runner that has looked at the sources."""
        with open_runner(self.world, self.root.world_file) as runner:
            runner.planner.observe()
            yield runner
