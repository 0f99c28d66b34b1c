"""A tiny world for the tests of training, made once, and the means to train on it in this process."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.plan import plan_training
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.models.training_kit import Event, Plan, Run, Trained, tiny_settings
from burnscar_assets_tests.tiny_dataset import make_tiny_dataset


@pytest.fixture(autouse=True)
def _offline_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """Two fire years of 80 windows each, and one window a year without a tile."""
    root = DataRoot(tmp_path_factory.mktemp("tiny") / "data")
    make_tiny_dataset(root, years=(2019, 2020), windows_per_year=80, seed=1, incomplete_per_year=1)
    return root


@pytest.fixture(scope="session")
def packed_world(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The same, packed, of fewer windows."""
    root = DataRoot(tmp_path_factory.mktemp("packed") / "data")
    make_tiny_dataset(root, years=(2019, 2020), windows_per_year=30, seed=1, incomplete_per_year=1, packed=True)
    return root


@pytest.fixture
def plan(tiny_world: DataRoot, tmp_path: Path) -> Plan:
    """Plans a run of 2020 whose checkpoint goes to a folder of the test's own."""
    return _planner(tiny_world, tmp_path)


@pytest.fixture
def packed_plan(packed_world: DataRoot, tmp_path: Path) -> Plan:
    """The same on the packed dataset."""
    return _planner(packed_world, tmp_path)


def _planner(root: DataRoot, folder_of_all: Path) -> Plan:
    def make(folder: str = "a", **training: Any) -> TrainingSpec:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec = plan_training(tiny_settings(**training), root, 2020, {"tiles 2020": "abc"})
        return spec.model_copy(update={"checkpoint": folder_of_all / folder / "checkpoints" / "fire_year=2020"})

    return make


@pytest.fixture(scope="session")
def undisturbed(tiny_world: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What an undisturbed run of `plan()` comes to; its checkpoint must not be changed."""
    from burnscar_assets.models.trainer import train

    folder = tmp_path_factory.mktemp("undisturbed") / "checkpoints" / "fire_year=2020"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec = plan_training(tiny_settings(), tiny_world, 2020, {"tiles 2020": "abc"})
    spec = spec.model_copy(update={"checkpoint": folder})
    return spec, train(spec, lambda event: None)


@pytest.fixture
def checkpoint(undisturbed: Trained, tmp_path: Path) -> Path:
    """A copy of the undisturbed run's checkpoint, to be spoilt."""
    return Path(shutil.copytree(undisturbed[0].checkpoint, tmp_path / "copy" / "fire_year=2020"))


@pytest.fixture
def run() -> Run:
    """Trains in this process; gives the manifest and the events."""
    from burnscar_assets.models.trainer import train

    def go(spec: TrainingSpec) -> tuple[CheckpointManifest, list[Event]]:
        events: list[Event] = []
        return train(spec, events.append), events

    return go
