"""A release that lies on this machine: which files it consists of, and whether they are whole.

A shapefile is several files of one name, a FileGDB a folder of them, a GeoPackage that is being edited has its newest
rows in a log beside it; ArcGIS's lock files and SQLite's index of a log are no content.
"""

import os
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.store import check_zip
from burnscar_assets.storage.hashing import hash_file, hash_json
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.vector_files import files_of


@dataclass(frozen=True)
class LocalStamp:
    """What the file system says of a source, without reading it.

    Attributes:
        digest: Hash of the names, sizes and times of the files.
        files: How many there are.
        size_bytes: Their sizes together.
        modified_s: When one of them, or a folder of them, was written last, seconds since 1970.
    """

    digest: str
    files: int
    size_bytes: int
    modified_s: float


def find_local(source: str, root: DataRoot) -> Path:
    """The path of a source.

    Raises:
        InputError: nothing is there.
    """
    path = root.resolve(source)
    if not path.exists():
        raise InputError(f"no perimeters at {path}: check release.source (relative paths lie under the data root)")
    return path


def hash_local(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of the files that belong together."""
    files = _files(path)
    if files == [path] and path.suffix.lower() != ".shp":
        return hash_file(path)
    return hash_json([(file.name, hash_file(file)) for file in files])


def stamp(path: Path) -> LocalStamp:
    """What the file system says of a source."""
    files = [(file, file.stat()) for file in _files(path)]
    folders = [path, *(entry for entry in path.rglob("*") if entry.is_dir())] if path.is_dir() else []
    times = [_changed_s(found) for found in (*(stat for _, stat in files), *(folder.stat() for folder in folders))]
    seen = [(file.relative_to(path.parent).as_posix(), found.st_size, found.st_mtime_ns) for file, found in files]
    return LocalStamp(hash_json(seen)[:16], len(files), sum(found.st_size for _, found in files), max(times))


def _changed_s(found: os.stat_result) -> float:
    """When a file was changed; the time of one that says the future (another machine's clock) is when it came here."""
    return found.st_mtime if found.st_mtime <= time.time() else found.st_ctime


def check_whole(path: Path, found: LocalStamp, settle_s: float) -> None:
    """See that nobody is writing the source any more.

    Args:
        path: The source.
        found: Its stamp.
        settle_s: How long it must have been left alone, in seconds.

    Raises:
        SourceUnavailableError: it was written just now, is empty, or is a zip without its end.
        InputError: it is called a zip and begins as something else.
    """
    age_s = time.time() - found.modified_s
    if settle_s and age_s < settle_s:
        said = f"it changed {age_s:.0f} s ago" if age_s >= 0 else "it changed in the future (was the clock set back?)"
        raise SourceUnavailableError(
            f"{path} is being written: {said}; it is read once it was left alone for {settle_s:.0f} s"
        )
    if not found.size_bytes:
        raise SourceUnavailableError(f"{path} is being written: it is empty; copy it again if it stays so")
    if path.is_file() and path.suffix.lower() == ".zip":
        check_zip(path, str(path))
        if not zipfile.is_zipfile(path):
            raise SourceUnavailableError(
                f"{path} is being written, or was cut short: it is a zip without its end; get it again if it stays so"
            )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return files_of(path)
    found = (file for file in path.rglob("*") if file.suffix != ".lock" and not file.name.endswith("-shm"))
    return sorted(file for file in found if file.is_file())
