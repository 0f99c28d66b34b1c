"""Configurations of rslearn datasets, all of which are written here; and opening datasets and their windows.

A dataset's folder stays one that rslearn's own command line and trainer work on as it is; whatever this
package remembers about it lies in a hidden folder beside the windows (`ledger.py`).
"""

import io
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from burnscar_assets.catalog.hrefs import is_remote, resolve_href
from burnscar_assets.catalog.items import BASELINE_PROPERTIES, CLOUD_COVER, OF_THE_SUN, PRODUCT_NAMES
from burnscar_assets.classes import CLASS_NAMES, LABEL_PROPERTY, UNLABELLED
from burnscar_assets.dataset.layout import LABEL_BAND, LABEL_LAYER, LABEL_RASTER_LAYER
from burnscar_assets.environment import config_file
from burnscar_assets.errors import InputError, MissingDataError, SettingsError
from burnscar_assets.reader.radiometry import OF_RADIOMETRY
from burnscar_assets.sensors.load import SENSOR_ARGUMENT, default_sensor, load_sensor, sensor_of_layer
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.paths import DataRoot

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.data_sources import DataSource
    from rslearn.dataset import Dataset, Window

BEFORE_SUFFIX = "_pre"
ARCHIVE_VARIABLE = "${BURNSCAR_ARCHIVE}"
LAYER_VARIABLE = "${BURNSCAR_LAYER}"
OUR_ARCHIVE = "burnscar_assets.catalog.archive.CogArchive"

CLOUD_LIMIT = "max_cloud_cover"
RECORDED = (CLOUD_COVER, *BASELINE_PROPERTIES, *PRODUCT_NAMES, *OF_RADIOMETRY, *OF_THE_SUN)
"""Properties of items that are kept with the scenes that windows are matched with."""

CONFIG_FILE = "config.json"
FALLBACK = "fallback.json"
"""Name of the second configuration in the dataset's folder."""

LABEL_LAYERS: dict[str, dict[str, Any]] = {
    LABEL_LAYER: {
        "type": "vector",
        "vector_format": {
            "class_path": "rslearn.utils.vector_format.GeojsonVectorFormat",
            "init_args": {"coordinate_mode": "PIXEL"},
        },
        "class_property_name": LABEL_PROPERTY,
        "class_names": list(CLASS_NAMES),
    },
    LABEL_RASTER_LAYER: {
        "type": "raster",
        "band_sets": [{"dtype": "uint8", "bands": [LABEL_BAND], "nodata_value": UNLABELLED}],
    },
}
"""The layers of labels: of a window as a whole, and pixel by pixel."""


def before_layer(layer: str) -> str:
    """Name of the layer that holds the image before the fire, beside that after it."""
    return layer + BEFORE_SUFFIX


def selection_of(layer: str, settings: ImagerySettings) -> str:
    """How scenes of a layer are chosen: `before` for images before the fire, else `imagery.selection`."""
    return "before" if layer == before_layer(settings.layer) else settings.selection


def write_dataset_config(settings: ImagerySettings, root: DataRoot) -> Path:
    """Put the world's dataset configuration in place, if it isn't already.

    `${BURNSCAR_ARCHIVE}` becomes the archive's place: relative to the dataset for one under the data root, so
    that the root can be moved, absolute otherwise. A cloud limit that the configuration has becomes the one of
    the settings. A layer of our archive without band sets gets those of the sensor; the name `${BURNSCAR_LAYER}`
    becomes that of the settings; layers of labels are added. Other `${…}` stay, and rslearn takes them from the
    environment.

    The configuration of `imagery.fallback` is put beside it, as `fallback.json`.

    Returns:
        The path of `config.json`.

    Raises:
        SettingsError: a configuration is missing, malformed, or wants an archive that the settings don't name.
    """
    content = _dataset_config(settings.dataset_config, settings, root)
    path = put_config(root.dataset, content)
    fallback = root.dataset / FALLBACK
    if settings.fallback is None:
        fallback.unlink(missing_ok=True)
        return path
    second = _dataset_config(settings.fallback, settings, root)
    _check_fallback(settings, content, second)
    put_config(root.dataset, second, FALLBACK)
    return path


def put_config(dataset_path: Path, content: dict[str, Any], name: str = CONFIG_FILE) -> Path:
    """Put a dataset's configuration in place, if it isn't already; returns its path."""
    path = dataset_path / name
    if _read_json(path) != content:
        write_json(path, content)
    return path


def ensure_label_layer(dataset_path: Path) -> None:
    """Make sure that a dataset of whoever declares the label layer; without a configuration, write one.

    Raises:
        InputError: there is a config.json, but it is no JSON or has no such layer.
    """
    path = dataset_path / CONFIG_FILE
    if not path.exists():
        put_config(dataset_path, {"layers": {LABEL_LAYER: LABEL_LAYERS[LABEL_LAYER]}})
        return
    try:
        declared = json.loads(path.read_text(encoding="utf-8"))["layers"][LABEL_LAYER]["type"] == "vector"
    except (ValueError, KeyError, TypeError):
        declared = False
    if not declared:
        raise InputError(
            f"{path} declares no vector layer {LABEL_LAYER!r}: add "
            f"{json.dumps({LABEL_LAYER: LABEL_LAYERS[LABEL_LAYER]})} to its layers, or name a new folder"
        )


def config_elsewhere(dataset_path: Path, folder: Path) -> dict[str, Any]:
    """A dataset's configuration for another dataset: archives that it names relative to itself as seen from there.

    Args:
        dataset_path: folder of the dataset.
        folder: of the other one.

    Raises:
        MissingDataError: the dataset has no configuration.
    """
    path = dataset_path / CONFIG_FILE
    content = _read_json(path)
    if not isinstance(content, dict) or "layers" not in content:
        raise MissingDataError(f"no dataset in {dataset_path}: run burnscar refresh")
    for layer in content["layers"].values():
        arguments = layer.get("data_source", {}).get("init_args", {})
        index = arguments.get("index")
        if isinstance(index, str) and (place := resolve_href(index, str(path))) != index:
            arguments["index"] = place if is_remote(place) else os.path.relpath(place, folder)
    return content


def _dataset_config(name: str, settings: ImagerySettings, root: DataRoot) -> dict[str, Any]:
    """The content of a dataset configuration, with what the settings say in it."""
    source = config_file(name)
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        layers = content["layers"] = {
            name.replace(LAYER_VARIABLE, settings.layer): layer for name, layer in content["layers"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{source} is no rslearn dataset configuration ({error}): it needs `layers`") from error
    sensor = load_sensor(settings.sensor)
    for layer in layers.values():
        arguments = layer.get("data_source", {}).get("init_args", {})
        if CLOUD_LIMIT in arguments:
            arguments[CLOUD_LIMIT] = settings.max_cloud_cover
        if CLOUD_COVER in arguments.get("query", {}):
            arguments["query"][CLOUD_COVER] = {"lte": settings.max_cloud_cover}
        if layer.get("data_source", {}).get("class_path") != OUR_ARCHIVE:
            continue
        layer.setdefault("band_sets", [sensor.band_set()])
        if settings.allowed_hosts:
            arguments["allowed_hosts"] = list(settings.allowed_hosts)
        if sensor != default_sensor():
            arguments[SENSOR_ARGUMENT] = sensor.model_dump(mode="json", exclude_defaults=True)
    content["layers"] = LABEL_LAYERS | layers
    replaced: dict[str, Any] = _replace(content, settings, root, source)
    return replaced


def _check_fallback(settings: ImagerySettings, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Check that the fallback can make the same layers: read directly, and the first too."""
    for name, layer in first["layers"].items():
        if "data_source" not in layer:
            continue
        other = second["layers"].get(name, {}).get("data_source")
        alike = second["layers"].get(name, {}).get("band_sets") == layer.get("band_sets")
        direct = not any(source.get("ingest", True) for source in (layer["data_source"], other or {}))
        if not alike or not direct:
            raise SettingsError(
                f"imagery.fallback ({settings.fallback}) can't stand behind {settings.dataset_config}: both need a "
                f"layer {name!r} of the same band_sets, with a data source that is read directly (ingest: false)"
            )


def _replace(value: Any, settings: ImagerySettings, root: DataRoot, source: Path) -> Any:
    if isinstance(value, dict):
        return {key: _replace(part, settings, root, source) for key, part in value.items()}
    if isinstance(value, list):
        return [_replace(part, settings, root, source) for part in value]
    if isinstance(value, str) and ARCHIVE_VARIABLE in value:
        if settings.archive is None:
            raise SettingsError(f"{source.name} reads an archive: name its STAC index as imagery.archive")
        return value.replace(ARCHIVE_VARIABLE, _archive_place(settings.archive, root))
    return value


def _archive_place(archive: str, root: DataRoot) -> str:
    if is_remote(archive):
        return archive
    path = os.path.normpath(root.resolve(archive).absolute())
    inside = Path(path).is_relative_to(os.path.normpath(root.path.absolute()))
    return os.path.relpath(path, root.dataset) if inside else path


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def validate_layers(dataset_path: Path, layer: str, bands: Sequence[str]) -> None:
    """Check that the dataset has the layer and bands that a model asks for.

    Raises:
        InputError: it has not; the message names what is there.
    """
    dataset = open_dataset(dataset_path)
    rasters = {name: config for name, config in dataset.layers.items() if config.band_sets}
    where = dataset_path / "config.json"
    if layer not in rasters:
        raise InputError(f"{where} has no raster layer {layer!r}, only {_listed(rasters)}: correct imagery.layer")
    there = [band for band_set in rasters[layer].band_sets for band in band_set.bands]
    lacking = [band for band in bands if band not in there]
    if lacking:
        raise InputError(
            f"layer {layer!r} of {where} has no {_listed(lacking)}, only {_listed(there)}: "
            "correct its band_sets in imagery.dataset_config"
        )


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"


def open_dataset(dataset_path: Path, layers: Sequence[str] | None = None) -> "Dataset":
    """Open an rslearn dataset, with all of its layers or only some.

    Raises:
        MissingDataError: there is no configuration yet.
        InputError: the configuration is not valid, or keeps its windows where we can't take tiles away.
    """
    from rslearn.dataset import Dataset
    from rslearn.dataset.storage.file import FileWindowStorage
    from upath import UPath

    from burnscar_assets.dataset.packed.storage import PackedWindowStorage

    try:
        dataset = Dataset(UPath(dataset_path), enabled_layers=None if layers is None else list(layers))
    except FileNotFoundError as error:
        raise MissingDataError(f"no dataset in {dataset_path}: run burnscar refresh") from error
    except ValueError as error:
        raise InputError(f"{dataset_path / 'config.json'} is no valid dataset configuration: {error}") from error
    if not isinstance(dataset.storage, FileWindowStorage | PackedWindowStorage):
        raise InputError(
            f"{dataset_path / 'config.json'}: `storage` must be rslearn's default or "
            "burnscar_assets.dataset.packed.storage.PackedWindowStorageFactory"
        )
    return dataset


def image_layers(dataset: "Dataset") -> "dict[str, LayerConfig]":
    """The raster layers that are retrieved from a data source, by name."""
    return {name: layer for name, layer in sorted(dataset.layers.items()) if layer.band_sets and layer.data_source}


def data_source(dataset: "Dataset", name: str, *, fallback: bool = False) -> "DataSource":
    """The data source of a layer, or the one that stands behind it; its scenes keep what their items say of them.

    Raises:
        SettingsError: its arguments are not what it takes.
        MissingDataError: there is no fallback.
    """
    config = fallback_layer(dataset, name) if fallback else dataset.layers[name]
    if config is None:
        raise MissingDataError(f"{Path(dataset.path) / FALLBACK} has no layer {name!r}: run burnscar refresh")
    messages = io.StringIO()
    try:
        with redirect_stderr(messages):
            source = config.instantiate_data_source(dataset.path)
    except (SystemExit, TypeError, ValueError) as error:  # rslearn's parser of arguments leaves by SystemExit
        detail = messages.getvalue().strip() or error
        raise SettingsError(f"data source of layer {name!r} in {dataset.path / 'config.json'}: {detail}") from error
    recorded = getattr(source, "properties_to_record", None)
    if recorded is not None:
        source.properties_to_record = [*dict.fromkeys([*recorded, *RECORDED])]
    return source


def fallback_layer(dataset: "Dataset", name: str) -> "LayerConfig | None":
    """The configuration of a layer in the dataset's fallback; None if it has none."""
    from rslearn.config import LayerConfig

    content = _read_json(Path(dataset.path) / FALLBACK)
    layer = content["layers"].get(name) if isinstance(content, dict) else None
    return None if layer is None else LayerConfig.model_validate(layer)


def decisive_config(config: "LayerConfig") -> dict[str, Any]:
    """A layer's configuration as JSON has it, its sensor by the digest of what decides results."""
    content: dict[str, Any] = config.model_dump(mode="json")
    arguments = (content["data_source"] or {}).get("init_args", {})
    if SENSOR_ARGUMENT in arguments:
        arguments[SENSOR_ARGUMENT] = sensor_of_layer(config).digest()
    return content


def close_files(source: "DataSource") -> None:
    """Close what a data source keeps open from one window to the next."""
    from burnscar_assets.catalog.archive import CogArchive

    if isinstance(source, CogArchive):
        source.close()


def load_windows(dataset: "Dataset", windows: pd.DataFrame) -> "dict[str, Window]":
    """The rslearn windows of a windows table, by id, in the table's order.

    Raises:
        MissingDataError: the dataset lacks some of them.
    """
    found: dict[str, Window] = {}
    for year, rows in windows.groupby("fire_year"):
        names = rows["window_id"].tolist()
        found |= {window.name: window for window in dataset.load_windows(groups=[str(year)], names=names)}
    lacking = [name for name in windows["window_id"] if name not in found]
    if lacking:
        years = " ".join(str(year) for year in sorted(windows["fire_year"].unique()))
        raise MissingDataError(
            f"{len(lacking)} of {len(windows)} windows are not in {dataset.path} (first: {lacking[0]}): "
            f"run burnscar refresh --years {years}"
        )
    return {name: found[name] for name in windows["window_id"]}


@contextmanager
def quiet_rslearn() -> Iterator[None]:
    """Keep rslearn from printing a line for each window; errors still come through."""
    import rslearn.dataset.manage  # noqa: F401 - a logger that exists only later would still talk

    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith("rslearn")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(max(logger.level, logging.ERROR))
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
