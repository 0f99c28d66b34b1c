"""Reading label sources from their files.

A source's file lies in `sources/` beside the world's settings or is a shipped one (`configs/sources/`); of two files of
one name the one beside the settings counts.
"""

from typing import Final

from burnscar_assets.environment import named_file
from burnscar_assets.section import read_unless_known
from burnscar_assets.sources.source import LabelSource

DEFAULT: Final = "frap"
SEASON: Final = "wfigs"
"""Whose perimeters the running season's are, unless settings name another source."""

FOLDER: Final = "sources"


def load_source(name: str) -> LabelSource:
    """Read a label source, see `named_file`.

    Raises:
        SettingsError: there is none, or it has mistakes, see `read_named`.
    """
    return read_unless_known(named_file(name, "label source", FOLDER), "label source", LabelSource)
