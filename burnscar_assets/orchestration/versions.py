"""Code versions: what of code and settings decides a stage's result.

Raise a stage's version when its code comes to give another result for the same input, then run `make versions`:
`stage_code.py` keeps a record of the code that each version stands for.
"""

from collections import ChainMap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from burnscar_assets.encoders.load import FOLDER as ENCODERS
from burnscar_assets.encoders.load import load_encoder
from burnscar_assets.environment import CONFIGS_DIR, config_file
from burnscar_assets.regions.load import FOLDER as REGIONS
from burnscar_assets.regions.load import default_region
from burnscar_assets.sensors.load import DEFAULT, FOLDER, sensor_file
from burnscar_assets.settings import Settings
from burnscar_assets.setups import Setup, load_setup, load_setups
from burnscar_assets.sources.load import FOLDER as SOURCES
from burnscar_assets.storage.hashing import hash_file, hash_json

COMPARISON = "setup_comparison"

STAGE_VERSIONS = {
    "calfire_release": "5",
    "fire_perimeters": "5",
    "burn_history": "4",
    "sample_points": "5",
    "windows": "4",
    "scene_matches": "6",
    "tiles": "5",
    "fire_scenes": "4",
    "checkpoint": "8",
    "evaluation_metrics": "18",
    "burned_area_maps": "13",
    "baseline_checkpoint": "5",
    "ensemble_checkpoint": "1",
    COMPARISON: "8",
}

IN_SEASON_VERSIONS = {"in_season_records": "4", "in_season_perimeters": "6", "in_season_maps": "14"}
"""Stages that a world has if it follows an in-season source; they come after the labels."""

FOLDS_VERSIONS = {"folds": "1"}
"""Stages that a world has if fires are dealt into folds; they come after the perimeters."""

REVIEW_VERSIONS = {"label_doubts": "1"}
"""Stages of every world that tell people what to look at; nothing comes after them."""

OF_SETUPS = frozenset({"baseline_checkpoint", "ensemble_checkpoint", COMPARISON})
"""Stages that a world without set-ups beside its own doesn't have."""

ALL_VERSIONS = ChainMap(STAGE_VERSIONS, IN_SEASON_VERSIONS, FOLDS_VERSIONS, REVIEW_VERSIONS)
"""Of every stage that some world has."""

CHAIN = tuple(stage for stage in STAGE_VERSIONS if stage not in OF_SETUPS)
"""The stages of a world without set-ups beside its own, which are its assets too."""


def code_version(asset: str, settings: Settings) -> str:
    """The stage's own version and a short hash of what it reads of settings and configuration files.

    Args:
        asset: the stage's asset: its name, or that of a set-up and it (`unet/checkpoint`).
        settings: of the world.
    """
    return f"{ALL_VERSIONS[_stage(asset)]}-{hash_json(stage_settings(asset, settings))[:12]}"


def stage_settings(asset: str, settings: Settings) -> dict[str, Any]:
    """What a stage reads: values by dotted name (`windows.size_px`), hashes of files as `file <name>`.

    Of a set-up they are the world's settings with what it replaces, and the rest of its file as `setup.<field>`.
    """
    setup = _setup(asset)
    of_file = {} if setup is None else setup.decisive() if asset.endswith("/checkpoint") else setup.judged()
    own = dict(_flat({"setup": of_file}))
    if asset == COMPARISON:
        own = dict(_flat({name: found.compared() for name, found in load_setups(settings).items()}, "setups."))
    every = dict(_flat((settings if setup is None else setup.applied_to(settings)).decisive_sections()))
    read = READ_BY[_stage(asset)]
    values = {name: value for name, value in every.items() if _is_read(name, read.settings)}
    files = {every[field]: config_file(every[field]) for field in read.files if every[field] is not None}
    if "imagery.layer" in values:
        own |= _sensor(settings)
    own |= _region(settings)
    if "release.format" in values:
        own |= {f"{_FILE}{SOURCES}/{one.format}": one.label_source.digest() for one in settings.release.every}
    if "training.model.encoder" in values:
        own |= _encoder(str(every["training.model.encoder"]))
    return values | own | {f"{_FILE}{name}": hash_file(path) for name, path in files.items()}


def _sensor(settings: Settings) -> dict[str, str]:
    """What of the sensor's file decides results; of the shipped Sentinel-2's that is part of stages' own versions."""
    path = sensor_file(settings.imagery.sensor)
    is_shipped = path == CONFIGS_DIR / FOLDER / f"{DEFAULT}.yaml"
    return {} if is_shipped else {f"{_FILE}{FOLDER}/{path.name}": settings.sensor.digest()}


def _region(settings: Settings) -> dict[str, str]:
    """What of the region's file decides results; of the shipped California's that is part of stages' own versions."""
    region = settings.ground
    digest = region.digest()
    return {} if digest == default_region().digest() else {f"{_FILE}{REGIONS}/{region.name}": digest}


def _encoder(name: str) -> dict[str, str]:
    """What of an encoder's file decides results."""
    return {f"{_FILE}{ENCODERS}/{name}": load_encoder(name).digest()}


def _setup(asset: str) -> Setup | None:
    name = asset.rpartition("/")[0]
    return load_setup(name) if name else None


def _stage(asset: str) -> str:
    """The stage that makes an asset: the checkpoint of a set-up that is no network has one of its own."""
    setup, name = _setup(asset), asset.rpartition("/")[2]
    if setup is None or setup.is_neural or name != "checkpoint":
        return name
    return "ensemble_checkpoint" if setup.members else "baseline_checkpoint"


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The differences of two answers of `stage_settings`, each in words."""
    names = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    return [
        f"{name} changed" if name.startswith(_FILE) else f"{name} {before.get(name)} → {now.get(name)}"
        for name in names
    ]


class Read(NamedTuple):
    """What a stage reads: sections or single fields, and fields that name configuration files."""

    settings: tuple[str, ...]
    files: tuple[str, ...] = ()


_DATASET = ("imagery.dataset_config", "imagery.archive", "imagery.layer")
_DATASET_FILES = ("imagery.dataset_config", "imagery.fallback")
_SELECTION = (
    "imagery.max_cloud_cover", "imagery.selection", "imagery.min_clear_fraction", "imagery.candidates",
    "imagery.exclude", "imagery.allowed_hosts",
)  # fmt: skip
"""What a window is matched with, and what takes its place: the second may change where the first doesn't."""

_OF_WHOLE_FRAMES = (
    "windows.days_after", "windows.days_before", *_DATASET, "imagery.max_cloud_cover", "imagery.min_clear_fraction",
    "imagery.candidates", "imagery.exclude", "imagery.allowed_hosts",
)  # fmt: skip
"""Which images a map is made of, before and after the fire."""

_SEEN = ("imagery.layer", "imagery.min_clear_fraction")
"""Which windows are trained on and scored."""

_JUDGED = (
    "sampling.splits", "sampling.ring_gap_m", "sampling.ring_width_m", "sampling.max_fires_per_year", "sampling.seed",
    "sampling.land", "sampling.only_on_land", "windows.resolution_m", "fire_scenes.margin_m",
    "fire_scenes.margin_share",
)  # fmt: skip
"""Which fires judge a checkpoint, and their frames, which training keeps off."""

_FRAMES_ANSWERED = (
    "windows.size_px", "mapping.overlap", "mapping.stride_px", "mapping.min_clear_share", "evaluation.max_frame_km2",
)  # fmt: skip
"""How a checkpoint answers whole frames."""

_FOLDS = ("sampling.splits.folds", "sampling.splits.fold_gap_km")
"""Into how many folds fires are dealt, which worlds of blocks don't have."""

_FILE = "file "

READ_BY = {
    "calfire_release": Read(("release",)),
    "fire_perimeters": Read(
        (
            "perimeters.max_duration_days",
            "perimeters.max_repair_area_change",
            "perimeters.max_area_mismatch",
            "perimeters.assumed_duration_days",
        )
    ),
    "burn_history": Read(("perimeters.scar_years", "perimeters.scar_years_prescribed")),
    "in_season_records": Read(("in_season.source", "in_season.state")),
    "in_season_perimeters": Read(
        (
            "in_season.min_area_ha",
            "perimeters.max_duration_days",
            "perimeters.max_repair_area_change",
            "perimeters.max_area_mismatch",
            "perimeters.scar_years",
            "perimeters.scar_years_prescribed",
        )
    ),
    "in_season_maps": Read(
        (
            "mapping",
            "windows.size_px",
            "windows.resolution_m",
            *_OF_WHOLE_FRAMES,
            "evaluation.confidence",
        ),
        ("imagery.dataset_config", "mapping.reference"),
    ),
    "folds": Read((*_JUDGED, "windows.size_px")),
    "sample_points": Read(("sampling", "windows.size_px", "windows.resolution_m")),
    "windows": Read(("windows",)),
    "scene_matches": Read((*_DATASET, *_SELECTION, "imagery.fallback"), _DATASET_FILES),
    "tiles": Read(
        (
            *_DATASET,
            *_SELECTION,
            "imagery.fallback",
            "imagery.max_nodata_fraction",
            "imagery.max_unreadable_fraction",
        ),
        _DATASET_FILES,
    ),
    "fire_scenes": Read(
        (
            "fire_scenes",
            "mapping.mosaics",
            "sampling.land",
            "sampling.only_on_land",
            "sampling.seed",
            "sampling.splits",
            "sampling.ring_gap_m",
            "sampling.ring_width_m",
            "sampling.max_fires_per_year",
            "windows.size_px",
            "windows.resolution_m",
            *_OF_WHOLE_FRAMES,
        ),
        ("imagery.dataset_config",),
    ),
    "label_doubts": Read((*_FOLDS, "evaluation.min_map_coverage", "evaluation.max_frame_km2", "imagery.layer")),
    "checkpoint": Read(("training", *_SEEN, *_JUDGED), ("training.config",)),
    "evaluation_metrics": Read(
        (
            "evaluation",
            "sampling.splits.margin_m",
            *_FOLDS,
            *_SEEN,
            *_FRAMES_ANSWERED,
        ),
        ("evaluation.ecoregions",),
    ),
    "burned_area_maps": Read(
        (
            "mapping",
            "sampling.splits",
            "sampling.ring_gap_m",
            "sampling.ring_width_m",
            "sampling.max_fires_per_year",
            "windows.size_px",
            "windows.resolution_m",
            "windows.days_after",
            "windows.days_before",
            "imagery.layer",
            "evaluation.confidence",
            "release.source",
        ),
        ("mapping.reference",),
    ),
    "baseline_checkpoint": Read(("training.look_back_years", "training.seed", *_SEEN, *_JUDGED)),
    "ensemble_checkpoint": Read((*_FRAMES_ANSWERED, "evaluation.validation_frames", "training.seed", *_FOLDS, *_SEEN)),
    COMPARISON: Read(
        (
            "evaluation.bootstrap_samples",
            "evaluation.confidence",
            "evaluation.seed",
            "evaluation.caveat",
            "setups.reference",
            "setups.title",
            *_FOLDS,
        )
    ),
}


def _is_read(name: str, read: tuple[str, ...]) -> bool:
    return any(name == entry or name.startswith(f"{entry}.") for entry in read)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
