"""The settings of a world, a module a subject; every field has its unit in its description.

A stage's `code_version` holds the digest of the fields that it reads, so that a changed setting makes stale just the
stages that read it.
"""

from burnscar_assets.settings.imagery import ImagerySettings
from burnscar_assets.settings.labels import (
    InSeasonSettings,
    PerimeterSettings,
    ReleaseSettings,
    ServiceSettings,
    SourceSettings,
    YearSettings,
)
from burnscar_assets.settings.training import EvaluationSettings, ModelSettings, SetupsSettings, TrainingSettings
from burnscar_assets.settings.windows import SamplingSettings, SplitSettings, WindowSettings
from burnscar_assets.settings.world import DemoSettings, Settings, load_settings, parse_settings

__all__ = [
    "DemoSettings",
    "EvaluationSettings",
    "ImagerySettings",
    "InSeasonSettings",
    "ModelSettings",
    "PerimeterSettings",
    "ReleaseSettings",
    "SamplingSettings",
    "ServiceSettings",
    "Settings",
    "SetupsSettings",
    "SourceSettings",
    "SplitSettings",
    "TrainingSettings",
    "WindowSettings",
    "YearSettings",
    "load_settings",
    "parse_settings",
]
