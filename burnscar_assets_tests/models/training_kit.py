"""Settings of the tiny world, and the types of the fixtures that train on it."""

from typing import Any, Protocol

from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.settings import Settings, parse_settings
from burnscar_assets_tests.tiny_dataset import SPLITS

Event = dict[str, Any]
Trained = tuple[TrainingSpec, CheckpointManifest]


class Plan(Protocol):
    """Plans a run whose checkpoint goes to `folder`, with changed training settings."""

    def __call__(self, folder: str = "a", **training: Any) -> TrainingSpec: ...


class Run(Protocol):
    """Trains in this process; gives the manifest and the events."""

    def __call__(self, spec: TrainingSpec) -> tuple[CheckpointManifest, list[Event]]: ...


def tiny_settings(**training: Any) -> Settings:
    """Settings of the tiny world."""
    defaults = {
        "model": {"allow_random": True, "patch_size": 8},
        "max_epochs": 4,
        "freeze_epochs": 1,
        "learning_rate": 3e-4,
        "batch_size": 8,
        "accelerator": "cpu",
        "look_back_years": 1,
    }
    content = {
        "name": "tiny",
        "years": {"first": 2019, "last": 2020},
        "release": {"source": "none"},
        "training": defaults | training,
        "sampling": {"splits": SPLITS},
        "demo": {},
    }
    return parse_settings(content, "tiny")
