"""Reading regions from their files, and the one that this process works in.

A region's file lies in `regions/` beside the world's settings or is a shipped one (`configs/regions/`); of two files of
one name the one beside the settings counts.

A process works for one world, and so in one region: all its tables have the CRS of that region, and its days are those
of that region. What opens a world says which (`work_in`): the command line, Dagster's code location, and each process
of a stage or a pool from what it was given. Until then it is California.
"""

from functools import cache
from typing import ClassVar, Final

from burnscar_assets.environment import CONFIGS_DIR, named_file
from burnscar_assets.regions.region import Region
from burnscar_assets.section import read_unless_known

DEFAULT: Final = "california"
FOLDER: Final = "regions"


def load_region(name: str) -> Region:
    """Read a region, see `named_file`.

    Raises:
        SettingsError: there is none, or it has mistakes, see `read_named`.
    """
    return read_unless_known(named_file(name, "region", FOLDER), "region", Region)


@cache
def default_region() -> Region:
    """The shipped California, which settings mean that name no region."""
    return read_unless_known(CONFIGS_DIR / FOLDER / f"{DEFAULT}.yaml", "region", Region)


class _Process:
    """This process."""

    region: ClassVar[Region | None] = None


def working_region() -> Region:
    """The region that this process works in."""
    return _Process.region or default_region()


def work_in(region: Region) -> None:
    """Have this process work in a region, from now on."""
    _Process.region = region
