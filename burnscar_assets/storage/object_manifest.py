"""What a partition consists of, in the object store and as this data root last had it.

The manifest lies in the store and names every file by content. The record lies under the data root, with or without a
store: it remembers hashes, so that a year of unchanged tiles isn't read again and damage is found, and which files came
with a manifest, so that those of an older one can be removed.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from burnscar_assets.errors import StorageError
from burnscar_assets.storage.atomic import read_json, write_json
from burnscar_assets.storage.hashing import hash_file

RECORDS = ".store"
"""Folder of the records, under the data root."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Blob:
    """The content of one file."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """One version of one partition of an asset: its files, by their path under the data root."""

    version: str
    files: Mapping[str, Blob]

    def to_json(self) -> str:
        """The manifest as it is stored, the same text for the same content."""
        files = {path: [blob.sha256, blob.size] for path, blob in sorted(self.files.items())}
        return json.dumps({"version": self.version, "files": files}, indent=0) + "\n"

    @classmethod
    def from_json(cls, text: bytes, origin: str) -> "Manifest":
        """Read a manifest that anybody may have written.

        Raises:
            StorageError: it isn't a manifest, or names a file outside the data root.
        """
        try:
            content = json.loads(text)
            files = {_inside(path): _blob(*entry) for path, entry in content["files"].items()}
            return cls(str(content["version"]), files)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StorageError(
                f"{origin} is no manifest ({error}): delete it, then publish again with burnscar refresh"
            ) from error


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or parts[0] == RECORDS:
        raise ValueError(f"path {path!r} leaves the data root")
    return str(PurePosixPath(path))


def _blob(sha256: str, size: int) -> Blob:
    if not _SHA256.fullmatch(sha256) or not isinstance(size, int) or size < 0:
        raise ValueError(f"{sha256!r}, {size!r} are no hash and size")
    return Blob(sha256, size)


@dataclass(frozen=True)
class Seen:
    """A file's hash, and the size, time and inode that it had then."""

    sha256: str
    size: int
    mtime_ns: int
    inode: int


class Record:
    """What a data root has of one partition: paths that came with a manifest, and hashes that still hold.

    A hash is believed as long as size, modification time and inode are those of the time it was taken:
    files here are replaced, not edited in place.
    """

    def __init__(self, root: Path, asset: str, partition: str) -> None:
        self._root = root
        self._file = root / RECORDS / asset / f"{partition}.json"
        content = read_json(self._file)
        try:
            self._seen = {path: Seen(**seen) for path, seen in content["seen"].items()}
            self.paths: frozenset[str] = frozenset(content["paths"])
            self._is_known = True
        except (LookupError, TypeError, AttributeError):
            self._seen, self.paths, self._is_known = {}, frozenset(), False

    def blob(self, path: str) -> Blob | None:
        """The content of a file of the root now; None if there is no such file. Safe to call from many threads."""
        file = self._root / path
        try:
            status = file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        key = (status.st_size, status.st_mtime_ns, status.st_ino)
        seen = self._seen.get(path)
        if seen is None or (seen.size, seen.mtime_ns, seen.inode) != key:
            seen = self._seen[path] = Seen(hash_file(file), *key)
        return Blob(seen.sha256, seen.size)

    def damaged(self) -> list[str]:
        """Paths whose files are gone, or not what they were, sorted; each file is read.

        Of a record that is gone or damaged itself, its own: nothing can be held against it.
        """
        if not self._is_known:
            return [self._file.relative_to(self._root).as_posix()]
        return sorted(path for path in self.paths if not self._is_whole(path))

    def _is_whole(self, path: str) -> bool:
        try:
            return path in self._seen and hash_file(self._root / path) == self._seen[path].sha256
        except OSError:
            return False

    def write(self, paths: frozenset[str]) -> None:
        """Remember these paths, and the hashes of those among them that were looked at."""
        self.paths, self._is_known = paths, True
        seen = {path: asdict(seen) for path, seen in self._seen.items() if path in paths}
        write_json(self._file, {"paths": sorted(paths), "seen": seen})

    def claimed_by_others(self) -> Iterator[frozenset[str]]:
        """The paths of each other partition that this root has a record of."""
        for file in (self._root / RECORDS).rglob("*.json"):
            if file != self._file:
                yield frozenset(read_json(file).get("paths", ()))


def recorded(root: Path) -> list[tuple[str, str]]:
    """Asset and partition of each record that a data root has, sorted."""
    files = (file.relative_to(root / RECORDS) for file in (root / RECORDS).rglob("*.json"))
    return sorted((file.parent.as_posix(), file.stem) for file in files)
