"""Reading sensors from their files.

A sensor's file lies in `sensors/` beside the world's settings or is a shipped one (`configs/sensors/`); of two files of
one name the one beside the settings counts.
"""

from functools import cache
from pathlib import Path
from typing import Final

import yaml
from pydantic import ValidationError

from burnscar_assets.environment import CONFIGS_DIR, config_file
from burnscar_assets.errors import SettingsError
from burnscar_assets.sensors.sensor import Sensor

DEFAULT: Final = "sentinel2-l2a"
FOLDER: Final = "sensors"


def sensor_file(name: str) -> Path:
    """The file of a sensor.

    Args:
        name: of a file in `sensors/` beside the settings or of a shipped one; or its path, full or from the settings.

    Raises:
        SettingsError: there is none.
    """
    is_path = name.endswith((".yaml", ".yml"))
    try:
        return config_file(name if is_path else f"{FOLDER}/{name}.yaml")
    except SettingsError as error:
        known = ", ".join(sorted(path.stem for path in (CONFIGS_DIR / FOLDER).glob("*.yaml")))
        raise SettingsError(
            f"no sensor {name!r}: there are {known}; put {Path(name).stem}.yaml into the folder {FOLDER} beside the "
            "settings for one of your own"
        ) from error


def load_sensor(name: str) -> Sensor:
    """Read a sensor, see `sensor_file`.

    Raises:
        SettingsError: there is none; or naming its file, fields and what is allowed, in one line.
    """
    return _read(sensor_file(name))


@cache
def default_sensor() -> Sensor:
    """The shipped Sentinel-2, which specifications and datasets mean that name no sensor."""
    return _read(CONFIGS_DIR / FOLDER / f"{DEFAULT}.yaml")


def _read(path: Path) -> Sensor:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"sensor {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or "name" in content:
        raise SettingsError(f"sensor {path} must hold a mapping with title, bands, radiometry, …, and no name")
    try:
        return Sensor.model_validate(content | {"name": path.stem})
    except ValidationError as error:
        mistakes = [f"{'.'.join(map(str, each['loc'])) or '(file)'}: {each['msg']}" for each in error.errors()]
        raise SettingsError(f"sensor {path}: {'; '.join(mistakes)}") from error
