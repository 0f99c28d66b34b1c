"""What commands are given: numbers held against what is possible, with what was probably meant, and the world."""

from argparse import ArgumentTypeError
from pathlib import Path

from burnscar_assets.environment import data_root, settings_path
from burnscar_assets.plausible import FIRST_YEAR, LAST_YEAR, MOST_PORTS, meant_years
from burnscar_assets.regions.load import work_in
from burnscar_assets.settings import Settings, load_settings
from burnscar_assets.storage.paths import DataRoot


def open_world() -> tuple[Settings, DataRoot, Path]:
    """The world that the arguments, or the environment, name: settings, data root, and the settings' file.

    From then on this process works in the world's region.

    Raises:
        SettingsError: the settings can't be read or are wrong.
    """
    root = data_root()
    path = settings_path(root)
    settings = load_settings(path)
    work_in(settings.ground)
    return settings, DataRoot(root), path


def fire_year(text: str) -> int:
    """A fire year.

    Raises:
        ArgumentTypeError: it is none.
    """
    meant = meant_years(text)
    if text.isdecimal() and meant == [int(text)]:
        return meant[0]
    guess = f"; did you mean {' '.join(map(str, meant))}?" if meant else ""
    raise ArgumentTypeError(f"{text} is no year from {FIRST_YEAR} to {LAST_YEAR}, in four digits{guess}")


def port(text: str) -> int:
    """A port; 0 stands for any that is free.

    Raises:
        ArgumentTypeError: there is no such port.
    """
    if not text.isdecimal() or int(text) > MOST_PORTS:
        raise ArgumentTypeError(f"{text} is no port: a number up to {MOST_PORTS}, or 0 for any that is free")
    return int(text)


def count(text: str) -> int:
    """A number of things, at least one.

    Raises:
        ArgumentTypeError: it is none.
    """
    digits = text.lstrip("-")
    if text.isdecimal() and int(text) > 0:
        return int(text)
    guess = f"; did you mean {int(digits)}?" if digits.isdecimal() and int(digits) else ""
    raise ArgumentTypeError(f"{text} is no number from 1 on{guess}")
