"""Code versions: what of code and settings decides a stage's result.

Raise a stage's version (in `stages.py`) when its code comes to give another result for the same input, then run
`make versions`: `stage_code.py` keeps a record of the code that each version stands for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from burnscar_assets.encoders.load import FOLDER as ENCODERS
from burnscar_assets.encoders.load import load_encoder
from burnscar_assets.encoders.weights import local_files
from burnscar_assets.environment import CONFIGS_DIR, config_file, data_root
from burnscar_assets.models.config import needs_encoder
from burnscar_assets.orchestration.stages import spec_of
from burnscar_assets.regions.load import FOLDER as REGIONS
from burnscar_assets.regions.load import default_region
from burnscar_assets.sensors.load import DEFAULT, FOLDER, sensor_file
from burnscar_assets.settings import Settings, TrainingSettings
from burnscar_assets.setups import Setup, load_setup, load_setups
from burnscar_assets.sources.load import FOLDER as SOURCES
from burnscar_assets.sources.load import load_source
from burnscar_assets.storage.hashing import hash_file, hash_json
from burnscar_assets.storage.paths import DataRoot

_FILE = "file "

_LIMITS = ("perimeters.max_duration_days", "perimeters.assumed_duration_days")
"""What decides of a fire in several sources whose record counts; in a world with one source, nothing of the release."""


def code_version(asset: str, settings: Settings) -> str:
    """The stage's own version and a short hash of what it reads of settings and configuration files.

    Args:
        asset: the stage's asset: its name, or that of a set-up and it (`unet/checkpoint`).
        settings: of the world.
    """
    return f"{spec_of(asset).version}-{hash_json(stage_settings(asset, settings))[:12]}"


def stage_settings(asset: str, settings: Settings) -> dict[str, Any]:
    """What a stage reads: values by dotted name (`windows.size_px`), hashes of files as `file <name>`.

    Of a set-up they are the world's settings with what it replaces, and the rest of its file as `setup.<field>`.
    """
    setup, spec = _setup(asset), spec_of(asset)
    of_file = {} if setup is None else setup.decisive() if asset.endswith("/checkpoint") else setup.judged()
    own = dict(_flat({"setup": of_file}))
    if any(one.of == "all" for one in spec.reads):
        own = dict(_flat({name: found.compared() for name, found in load_setups(settings).items()}, "setups."))
    applied = settings if setup is None else setup.applied_to(settings)
    every = dict(_flat(applied.decisive_sections()))
    values = {name: value for name, value in every.items() if _is_read(name, spec.settings)}
    files = {every[field]: config_file(every[field]) for field in spec.files if every[field] is not None}
    if "imagery.layer" in values:
        own |= _sensor(settings)
    own |= _region(settings)
    if "release.format" in values:
        own |= {f"{_FILE}{SOURCES}/{one.format}": one.label_source.digest() for one in settings.release.every}
        own |= {name: every[name] for name in _LIMITS if settings.release.further}
    if "mapping" in spec.settings:
        own |= _credits(settings)
    if "in_season.format" in values:
        own[f"{_FILE}{SOURCES}/{settings.in_season.format}"] = load_source(settings.in_season.format).digest()
    if "training.model.encoder" in values:
        own |= _encoder(applied.training)
    return values | own | {f"{_FILE}{name}": hash_file(path) for name, path in files.items()}


def _sensor(settings: Settings) -> dict[str, str]:
    """What of the sensor's file decides results; of the shipped Sentinel-2's that is part of stages' own versions."""
    path = sensor_file(settings.imagery.sensor)
    is_shipped = path == CONFIGS_DIR / FOLDER / f"{DEFAULT}.yaml"
    return {} if is_shipped else {f"{_FILE}{FOLDER}/{path.name}": settings.sensor.digest()}


def _credits(settings: Settings) -> dict[str, str]:
    """Who publishes the perimeters of a world and of its season, which pages of maps say."""
    sources = [settings.in_season.label_source, *(one.label_source for one in settings.release.every)]
    return {f"{_FILE}{SOURCES}/{one.name} (producer)": one.producer.digest() for one in sources if one.producer}


def _region(settings: Settings) -> dict[str, str]:
    """What of the region's file decides results; of the shipped California's that is part of stages' own versions."""
    region = settings.ground
    digest = region.digest()
    return {} if digest == default_region().digest() else {f"{_FILE}{REGIONS}/{region.name}": digest}


def _encoder(training: TrainingSettings) -> dict[str, str]:
    """What of an encoder's file decides results, and the content of its weights where they lie on this machine."""
    model = training.model
    weights = local_files(model, DataRoot(data_root())) if needs_encoder(training) else {}
    return {f"{_FILE}{ENCODERS}/{model.encoder}": load_encoder(model.encoder).digest()} | {
        f"{_FILE}{ENCODERS}/{model.encoder}/{name}": sha256 for name, sha256 in weights.items()
    }


def _setup(asset: str) -> Setup | None:
    name = asset.rpartition("/")[0]
    return load_setup(name) if name else None


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The differences of two answers of `stage_settings`, each in words."""
    names = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    return [
        f"{name} changed" if name.startswith(_FILE) else f"{name} {before.get(name)} → {now.get(name)}"
        for name in names
    ]


def _is_read(name: str, read: tuple[str, ...]) -> bool:
    return any(name == entry or name.startswith(f"{entry}.") for entry in read)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
