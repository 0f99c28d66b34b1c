"""Reading label sources from their files.

A source's file lies in `sources/` beside the world's settings or is a shipped one (`configs/sources/`); of two files of
one name the one beside the settings counts.
"""

from functools import lru_cache
from pathlib import Path
from typing import Final

from burnscar_assets.environment import named_file
from burnscar_assets.section import read_named
from burnscar_assets.sources.source import LabelSource

DEFAULT: Final = "frap"
FOLDER: Final = "sources"


def load_source(name: str) -> LabelSource:
    """Read a label source, see `named_file`.

    Raises:
        SettingsError: there is none, or it has mistakes, see `read_named`.
    """
    path = named_file(name, "label source", FOLDER)
    return _read(path, path.stat().st_mtime_ns)


@lru_cache
def _read(path: Path, modified_ns: int) -> LabelSource:  # noqa: ARG001: a file that was edited is read again
    return read_named(path, "label source", LabelSource)
