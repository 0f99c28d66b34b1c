"""Builds the rslearn model configuration of a run from the YAML in `configs/`, which stays its one source.

The YAML is a working `rslearn model fit` configuration with ${VARIABLES}. Here they are filled in from the
spec, and so is what a substitution cannot say: how the encoder is tuned (`tuning`), how much of a window the model
sees (`crop`), and which windows count.
"""

import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from burnscar_assets.classes import CLASS_NAMES, LABEL_PROPERTY, UNLABELLED
from burnscar_assets.encoders.encoder import Encoder
from burnscar_assets.encoders.feed import feed, normaliser, radar_normaliser
from burnscar_assets.encoders.load import load_encoder
from burnscar_assets.encoders.tuning import tuned
from burnscar_assets.environment import config_file
from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.models.classes import followed_texts, foreign_classes
from burnscar_assets.models.crop import cropped
from burnscar_assets.models.devices import Device, device_count, on_devices
from burnscar_assets.models.manifest import CONFIG_FILE
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.sensors.sensor import DN_PER_REFLECTANCE, Sensor
from burnscar_assets.settings import TrainingSettings
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.hashing import hash_json

IN_MEMORY_BYTES = 1 << 30
"""Windows are kept in memory if they take no more than this, as float32."""

_PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
"""Lightning's names of the arithmetic."""

_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_ENCODER = "BURNSCAR_ENCODER"
_LAYER = "BURNSCAR_LAYER"
_LAYERS = "BURNSCAR_LAYERS"
_IN_OWN_FOLDER = "burnscar_assets.models.own_folder.InOwnFolder"
_SEGMENTATION = "rslearn.train.tasks.segmentation.SegmentationTask"
_PATHS = {"BURNSCAR_DATASET", "BURNSCAR_RUNS", "BURNSCAR_PROJECT", "BURNSCAR_RUN"}


def run_config(spec: TrainingSpec, device: Device) -> dict[str, Any]:
    """The resolved configuration of a run.

    Raises:
        SettingsError: the YAML is malformed, has a variable that nothing fills in, or names a class or file
            that it may not.
    """
    config = _of_named_windows(_resolve(spec, _variables(spec, device), device), spec)
    if foreign := foreign_classes(config, spec.settings.classes):
        raise SettingsError(
            f"{config_file(spec.settings.config)} names {', '.join(foreign)}: if you know what that code does, add it "
            "to training.classes of the settings"
        )
    if followed := followed_texts(config, None if spec.encoder is None else str(spec.encoder.path)):
        raise SettingsError(
            f"{config_file(spec.settings.config)} has {', '.join(followed)} where no file or bare name may stand: "
            "write a class as class_path and init_args"
        )
    return config


def config_hash(spec: TrainingSpec, device: Device) -> str:
    """Hash of the resolved configuration without this machine's paths and the windows' names."""
    variables = _variables(spec, device, folder=_ENCODER)
    return hash_json(_resolve(spec, variables | {name: name for name in _PATHS}, device))


def needs_encoder(settings: TrainingSettings) -> bool:
    """Whether the model starts from a pretrained encoder, as its configuration says.

    Raises:
        SettingsError: there is no such configuration.
    """
    return _ENCODER in _VARIABLE.findall(_code(config_file(settings.config)))


def outline_config(settings: TrainingSettings, layer: str, sensor: Sensor) -> dict[str, Any]:
    """A configuration with its inputs alone filled in: what it reads, before anything else is known.

    Args:
        settings: name the configuration and the encoder.
        layer: raster layer of the image after the fire.
        sensor: of the imagery.

    Raises:
        SettingsError: it is malformed, or the encoder needs bands that the sensor lacks.
    """
    path = config_file(settings.config)
    encoder = load_encoder(settings.model.encoder) if needs_encoder(settings) else None
    names = dict.fromkeys(_VARIABLE.findall(_code(path)), "") | _of_inputs(settings, sensor, layer, encoder)
    return _parsed(path, names)


def image_inputs(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The inputs of a configuration that are images, by name."""
    inputs = config["data"]["init_args"]["inputs"].items()
    return {name: said for name, said in inputs if said["data_type"] == "raster" and not said.get("is_target")}


def image_layers(config: dict[str, Any], sensor: Sensor) -> dict[str, tuple[str, ...]]:
    """Raster layers that a configuration reads images from, in its order, each with the bands that images come with.

    These are all of the sensor's in its order, of which the model's input takes its own; of another instrument's
    layer those of the input.
    """
    inputs = image_inputs(config).values()
    bands = {layer: tuple(said.get("bands") or ()) for said in inputs for layer in said["layers"]}
    return {layer: sensor.names if set(read) <= set(sensor.names) else read for layer, read in bands.items()}


def is_per_pixel(config: dict[str, Any]) -> bool:
    """Whether a resolved configuration trains on label rasters."""
    return bool(config["data"]["init_args"]["task"]["class_path"] == _SEGMENTATION)


def write_run_config(spec: TrainingSpec, folder: Path, device: Device = "cpu") -> Path:
    """Write the resolved configuration as `model.yaml`, for `rslearn model fit --config`; returns its path.

    Its paths are relative to the checkpoint's folder, so that it can be moved with the data root.
    """
    path = folder / CONFIG_FILE
    variables = _variables(spec, device, folder=_relative_folder(spec)) | _relative_paths(spec)
    config = _of_named_windows(_resolve(spec, variables, device), spec)
    enter = {"class_path": _IN_OWN_FOLDER, "init_args": {"folder": "."}}
    config["trainer"]["callbacks"] = [enter, *config["trainer"]["callbacks"]]
    with atomic_file(path) as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def _relative_paths(spec: TrainingSpec) -> dict[str, str]:
    """Paths as seen from the checkpoint's folder."""
    paths = {"BURNSCAR_DATASET": os.path.relpath(spec.dataset, spec.checkpoint)}
    return paths | dict.fromkeys(("BURNSCAR_RUNS", "BURNSCAR_PROJECT", "BURNSCAR_RUN"), ".")


def _relative_folder(spec: TrainingSpec) -> str | None:
    """The encoder's folder as seen from the checkpoint's; of one outside of the data root, the absolute one."""
    if spec.encoder is None or not spec.encoder.path.is_relative_to(spec.dataset.parent):
        return None
    return os.path.relpath(spec.encoder.path, spec.checkpoint)


def in_parts(config: dict[str, Any], step_size: int, parts: int) -> dict[str, Any]:
    """The configuration of a run whose steps of so many windows come in more parts."""
    batch = {"batch_size": math.ceil(step_size / parts)}
    return config | {
        "data": config["data"] | {"init_args": config["data"]["init_args"] | batch},
        "trainer": config["trainer"] | {"accumulate_grad_batches": parts},
    }


def _variables(spec: TrainingSpec, device: Device, folder: str | None = None) -> dict[str, Any]:
    """Values of a configuration's variables; `folder` stands for that of the encoder's files."""
    settings = spec.settings
    precision = settings.precision
    if precision == "auto":
        precision = "bfloat16" if device == "gpu" else "float32"
    of_inputs = _of_inputs(settings, spec.sensor, spec.layer, None if spec.encoder is None else spec.encoder.encoder)
    window_bytes = len(of_inputs["BURNSCAR_BANDS"]) * len(spec.layers) * spec.size_px**2 * 4
    windows = sum(n for years in spec.windows.values() for classes in years.values() for n in classes.values())
    autocast = None if precision == "float32" else precision
    return _of_encoder(spec, autocast, folder) | of_inputs | {
        "BURNSCAR_DATASET": str(spec.dataset),
        "BURNSCAR_GROUPS": [str(year) for year in spec.fire_years],
        "BURNSCAR_PRECISION": _PRECISIONS[precision],
        "BURNSCAR_LEARNING_RATE": settings.learning_rate,
        "BURNSCAR_BATCH_SIZE": settings.batch_size // settings.accumulation // device_count(settings, device),
        "BURNSCAR_ACCUMULATION": settings.accumulation,
        "BURNSCAR_LOADER_WORKERS": settings.loader_workers,
        "BURNSCAR_IN_MEMORY": settings.loader_workers == 0 and windows * window_bytes <= IN_MEMORY_BYTES,
        "BURNSCAR_MAX_EPOCHS": settings.max_epochs,
        "BURNSCAR_FREEZE_EPOCHS": settings.freeze_epochs,
        "BURNSCAR_EARLY_STOP_EPOCHS": settings.early_stop_epochs or settings.max_epochs,
        "BURNSCAR_ACCELERATOR": device,
        "BURNSCAR_SEED": settings.seed,
        "BURNSCAR_RUNS": str(spec.checkpoint.parent.parent),
        "BURNSCAR_PROJECT": spec.checkpoint.parent.name,
        "BURNSCAR_RUN": spec.checkpoint.name,
    }  # fmt: skip


def _of_encoder(spec: TrainingSpec, autocast: str | None, folder: str | None) -> dict[str, Any]:
    """Variables of a pretrained encoder; none if there is none."""
    chosen = spec.encoder
    if chosen is None:
        return {}
    values = {
        "FOLDER": folder or str(chosen.path),
        "RANDOM": chosen.random,
        "STEPS": spec.steps,
        "METRES": spec.metres,
        "AUTOCAST": autocast,
        "COMPILE": spec.settings.compile,
    }
    return {
        _ENCODER: chosen.constructed(spec.sensor, values),
        "BURNSCAR_WIDTH": chosen.variant.width,
        "BURNSCAR_REDUCTION": 1 << math.ceil(math.log2(chosen.features_px)),
    }


def _of_inputs(settings: TrainingSettings, sensor: Sensor, layer: str, encoder: Encoder | None) -> dict[str, Any]:
    """Variables of what a model reads: layers, bands, and how their numbers are normalised."""
    layers = [*settings.earlier_layers, layer]
    read: dict[str, Any] = {_LAYER: layer, _LAYERS: layers, "BURNSCAR_BANDS": [*sensor.names]}
    if encoder is not None:
        there = feed(encoder, sensor, encoder.published(settings.model.variant).lacking)
        read |= {
            "BURNSCAR_INPUT": encoder.input,
            "BURNSCAR_BANDS": [*there.read],
            "BURNSCAR_NORMALISER": normaliser(encoder, there),
        }
        if encoder.radar is not None:
            read |= {
                "BURNSCAR_RADAR_INPUT": encoder.radar.input,
                "BURNSCAR_RADAR_NORMALISER": radar_normaliser(encoder),
            }
    return read | {
        "BURNSCAR_CHANNELS": len(read["BURNSCAR_BANDS"]) * len(layers),
        "BURNSCAR_DN_PER_REFLECTANCE": float(DN_PER_REFLECTANCE),
    }


def _resolve(spec: TrainingSpec, variables: dict[str, Any], device: Device) -> dict[str, Any]:
    config = _parsed(config_file(spec.settings.config), variables)
    config = tuned(config, spec.settings, spec.encoder)
    config = cropped(config, list(image_inputs(config)), spec.settings.crop_px, per_pixel=is_per_pixel(config))
    return on_devices(config, device_count(spec.settings, device))


def _of_named_windows(config: dict[str, Any], spec: TrainingSpec) -> dict[str, Any]:
    """The configuration with the names of its windows: a dataset holds cloudy ones too, with complete tiles.

    In a world with folds windows are tagged with their fold, which is another split for each checkpoint.
    """
    said = config["data"]["init_args"]
    splits = {}
    for split, names in spec.names.items():
        of_split = {**said.get(f"{split}_config", {}), "names": [*names]}
        if spec.fold is not None:
            of_split["tags"] = {key: tag for key, tag in of_split.get("tags", {}).items() if key != "split"}
        splits[f"{split}_config"] = of_split
    return config | {"data": config["data"] | {"init_args": said | splits}}


def _code(path: Path) -> str:
    """The file's text without comments."""
    text = path.read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _parsed(path: Path, variables: dict[str, Any]) -> dict[str, Any]:
    """The configuration in a file with its variables filled in."""
    code = _code(path)
    unknown = sorted(set(_VARIABLE.findall(code)) - set(variables))
    if unknown:
        raise SettingsError(f"{path}: nothing fills in {', '.join(unknown)}; known are {', '.join(sorted(variables))}")
    try:
        config = yaml.safe_load(_VARIABLE.sub(lambda match: _yaml_value(variables[match[1]]), code))
        config["trainer"]["callbacks"] = list(config["trainer"].get("callbacks") or [])
        for section, argument in (("model", "model"), ("data", "inputs")):
            config[section]["init_args"][argument].values()
        config["data"]["init_args"]["task"]["class_path"]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path} is no rslearn model configuration: {error!r}") from error
    resolved: dict[str, Any] = json.loads(json.dumps(config))  # YAML's anchors become values of their own
    return resolved


def _yaml_value(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1_000_000).removesuffix("\n").removesuffix("\n...")


def check_inputs(config: dict[str, Any], dataset: Path) -> None:
    """Check that the dataset has what the model reads, and that classes are this project's.

    Args:
        config: resolved model configuration.
        dataset: folder of the rslearn dataset.

    Raises:
        InputError: a layer or band is missing in the dataset.
        SettingsError: the classes or their property differ from `classes.py`.
    """
    path = dataset / "config.json"
    try:
        layers = json.loads(path.read_bytes())["layers"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is no rslearn dataset configuration: run burnscar refresh") from error
    for name, source in config["data"]["init_args"]["inputs"].items():
        for layer in source["layers"]:
            if layer not in layers:
                raise InputError(
                    f"the model's input {name} reads layer {layer}, which {path} lacks (it has "
                    f"{', '.join(sorted(layers))}): set imagery.dataset_config to one that has it"
                )
            missing = set(source.get("bands", ())) - set(_bands(layers[layer]))
            if missing:
                raise InputError(f"layer {layer} of {path} lacks bands {sorted(missing)} that the model's {name} reads")
    _check_constants(config)


def _bands(layer: dict[str, Any]) -> Iterator[str]:
    for band_set in layer.get("band_sets", ()):
        yield from band_set.get("bands", ())


def _check_constants(config: dict[str, Any]) -> None:
    task = config["data"]["init_args"]["task"].get("init_args", {})
    if is_per_pixel(config):
        named = tuple(task.get("class_names", ())), task.get("nodata_value")
        if named != (CLASS_NAMES, UNLABELLED):
            raise SettingsError(
                f"the model configuration must name class_names {list(CLASS_NAMES)} and nodata_value {UNLABELLED}"
            )
    elif tuple(task.get("classes", ())) != CLASS_NAMES or task.get("property_name") != LABEL_PROPERTY:
        raise SettingsError(
            f"the model configuration must name the classes {list(CLASS_NAMES)} of property {LABEL_PROPERTY}"
        )
