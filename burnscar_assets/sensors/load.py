"""Reading sensors from their files.

A sensor's file lies in `sensors/` beside the world's settings or is a shipped one (`configs/sensors/`); of two files of
one name the one beside the settings counts.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from burnscar_assets.environment import CONFIGS_DIR, named_file
from burnscar_assets.section import read_named
from burnscar_assets.sensors.sensor import Sensor

if TYPE_CHECKING:
    from rslearn.config import LayerConfig

DEFAULT: Final = "sentinel2-l2a"
FOLDER: Final = "sensors"
SENSOR_ARGUMENT: Final = "sensor"
"""Argument of our archive that says whose scenes it lists, in full, so that a configuration stands for itself."""


def sensor_file(name: str) -> Path:
    """The file of a sensor, see `named_file`; SettingsError if there is none."""
    return named_file(name, "sensor", FOLDER)


def load_sensor(name: str) -> Sensor:
    """Read a sensor, see `sensor_file`.

    Raises:
        SettingsError: there is none, or it has mistakes, see `read_named`.
    """
    return read_named(sensor_file(name), "sensor", Sensor)


@cache
def default_sensor() -> Sensor:
    """The shipped Sentinel-2, which specifications and datasets mean that name no sensor."""
    return read_named(CONFIGS_DIR / FOLDER / f"{DEFAULT}.yaml", "sensor", Sensor)


def sensor_of_layer(config: "LayerConfig") -> Sensor:
    """The sensor of a layer's images, as its data source has it; Sentinel-2 where that says none."""
    said = config.data_source.init_args.get(SENSOR_ARGUMENT) if config.data_source else None
    return default_sensor() if said is None else Sensor.model_validate(said)
