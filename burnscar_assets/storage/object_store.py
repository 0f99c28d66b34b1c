"""Results in an object store, for machines that share no disk.

Stages work on a local data root; what they made is published here and fetched elsewhere. Contents lie under
`blobs/` by their hash. What a partition consists of is one manifest, written last: a publish that was killed
leaves blobs that nothing refers to, and readers see the old partition or the new one. Each file belongs to one
asset.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from burnscar_assets.errors import InputError, MissingDataError, StorageError
from burnscar_assets.storage.atomic import atomic_file
from burnscar_assets.storage.object_filesystem import CHUNK_BYTES, Bucket
from burnscar_assets.storage.object_manifest import Blob, Manifest, Record

TRANSFERS = 16
"""Files under way at once."""

SMALL_BYTES = 256 * 1024
"""Smaller blobs are sent without asking whether they are there: asking takes as many requests as sending."""

UNPARTITIONED = "all"

Owns = Callable[[Path], bool]
"""Whether a file under the data root is one that a partition may consist of."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Published:
    """What a publish did: blobs sent, files that needed no sending, bytes sent."""

    uploaded: int
    kept: int
    bytes: int


@dataclass(frozen=True)
class Fetched:
    """What a fetch did: files brought, files that were right already, files removed, bytes brought."""

    downloaded: int
    kept: int
    removed: int
    bytes: int


def open_store(uri: str) -> "ObjectStore":
    """The store at `s3://bucket/prefix`, `gs://bucket/prefix` or `file:///folder`; nothing is asked of it yet.

    Raises:
        SettingsError: the address is of another kind or holds credentials.
    """
    return ObjectStore(Bucket(uri))


class ObjectStore:
    """Publishes partitions of assets from a data root, and fetches them into one.

    All methods raise SourceUnavailableError if the store doesn't answer and StorageError if it refuses.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def manifest(self, asset: str, partition: str | None) -> Manifest | None:
        """What the store has of a partition; None if it was never published.

        Raises:
            StorageError: the manifest is damaged.
        """
        name = _manifest_name(asset, partition)
        try:
            text = b"".join(self._bucket.read(name))
        except FileNotFoundError:
            return None
        return Manifest.from_json(text, f"{self._bucket.uri}/{name}")

    def publish(self, asset: str, partition: str | None, version: str, root: Path, files: Iterable[Path]) -> Published:
        """Make a partition in the store what it is under the data root.

        Args:
            asset: name of the asset.
            partition: partition key, or None.
            version: data version of the partition.
            root: data root.
            files: files under the root, and folders with all that is in them.

        Raises:
            InputError: a file isn't under the root.
            MissingDataError: a file isn't there.
            StorageError: a file changed while it was sent; the partition in the store is as it was.
        """
        paths = sorted(set(_expand(root, files)))
        record = Record(root, asset, partition or UNPARTITIONED)
        before = self.manifest(asset, partition)
        found = zip(paths, _each(record.blob, paths), strict=True)
        wanted = Manifest(version, {path: _present(root / path, blob) for path, blob in found})
        known = set(before.files.values()) if before else set()
        sent = self._send({blob: root / path for path, blob in wanted.files.items() if blob not in known})
        if wanted != before:
            self._bucket.write(_manifest_name(asset, partition), [wanted.to_json().encode()])
        record.write(frozenset(paths))
        return Published(len(sent), len(paths) - len(sent), sum(blob.size for blob in sent))

    def fetch(self, asset: str, partition: str | None, root: Path, owns: Owns) -> Fetched:
        """Make a partition under the data root what it is in the store.

        Files that came with an earlier version and aren't in this one are removed, unless another partition
        has them too. What a stopped fetch left undone, the next one does.

        Args:
            asset: name of the asset.
            partition: partition key, or None.
            root: data root.
            owns: which files the partition may bring and take away; the store may be written by others.

        Raises:
            MissingDataError: the partition was never published.
            StorageError: the manifest names a file that the partition doesn't own, a blob is damaged or gone, or the
                data root can't be written.
        """
        manifest = self.manifest(asset, partition)
        if manifest is None:
            which, years = (f" for {partition}", f" --years {partition}") if partition else ("", "")
            raise MissingDataError(f"no {asset}{which} in {self._bucket.uri}: run burnscar refresh{years}")
        record = Record(root, asset, partition or UNPARTITIONED)
        wanted = frozenset(manifest.files)
        if foreign := sorted(path for path in wanted if not owns(root / path)):
            raise StorageError(
                f"{_manifest_name(asset, partition)} in {self._bucket.uri} names {foreign[0]}, which is no file of "
                f"{asset}; nothing was fetched: delete it there, then run burnscar refresh where the data root is whole"
            )
        here = _each(lambda path: (path, record.blob(path)), sorted(wanted))
        needed = [path for path, blob in here if blob != manifest.files[path]]
        gone = frozenset(path for path in record.paths - wanted if owns(root / path))
        record.write(wanted | gone)
        _each(lambda path: self._download(manifest.files[path], root / path), needed)
        removed = [path for path in gone.difference(*record.claimed_by_others()) if _remove(root, path)]
        _each(record.blob, needed)
        record.write(wanted)
        received = sum(manifest.files[path].size for path in needed)
        return Fetched(len(needed), len(wanted) - len(needed), len(removed), received)

    def verify(self, asset: str, partition: str | None) -> list[str]:
        """Read each file of a partition in the store again.

        Those that aren't what their name says are deleted, and so is the manifest that names them, so that the
        partition counts as never published; the data root that has it publishes it again. What another machine
        publishes meanwhile stays: both are read again just before.

        Returns:
            Paths of the files that were damaged or gone.
        """
        manifest = self.manifest(asset, partition)
        if manifest is None:
            return []
        bad = self._bad(self._bad(set(manifest.files.values())))
        if bad:
            now = self.manifest(asset, partition)
            if now is not None and bad & set(now.files.values()):
                self._bucket.delete(_manifest_name(asset, partition))
            _each(self._discard, bad)
        return sorted(path for path, blob in manifest.files.items() if blob in bad)

    def _bad(self, blobs: set[Blob]) -> set[Blob]:
        return {blob for blob, whole in _each(self._verified, sorted(blobs, key=str)) if not whole}

    def _discard(self, blob: Blob) -> None:
        with suppress(FileNotFoundError):
            self._bucket.delete(_blob_name(blob))

    def _verified(self, blob: Blob) -> tuple[Blob, bool]:
        digest = hashlib.sha256()
        try:
            for chunk in self._bucket.read(_blob_name(blob)):
                digest.update(chunk)
        except FileNotFoundError:
            return blob, False
        return blob, digest.hexdigest() == blob.sha256

    def _send(self, sources: dict[Blob, Path]) -> list[Blob]:
        """Upload what the store hasn't got; returns the blobs that were sent."""
        large = [blob for blob in sources if blob.size >= SMALL_BYTES]
        sizes = zip(large, self._bucket.sizes([_blob_name(blob) for blob in large]), strict=True)
        there = {blob for blob, size in sizes if size == blob.size}
        absent = [blob for blob in sources if blob not in there]
        _each(lambda blob: self._upload(blob, sources[blob]), absent)
        return absent

    def _upload(self, blob: Blob, source: Path) -> None:
        digest = hashlib.sha256()

        def chunks(stream: BinaryIO) -> Iterator[bytes]:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                yield chunk

        with source.open("rb") as stream:
            self._bucket.write(_blob_name(blob), chunks(stream))
        if digest.hexdigest() != blob.sha256:
            self._bucket.delete(_blob_name(blob))
            raise StorageError(f"{source} changed while it was published: run the same again")

    def _download(self, blob: Blob, target: Path) -> None:
        name, digest = _blob_name(blob), hashlib.sha256()
        try:
            with atomic_file(target) as temporary, temporary.open("wb") as sink:
                for chunk in self._bucket.read(name):
                    digest.update(chunk)
                    sink.write(chunk)
                if digest.hexdigest() != blob.sha256:
                    raise self._unusable(name, "damaged")
        except FileNotFoundError as error:
            raise self._unusable(name, "gone") from error

    def _unusable(self, name: str, how: str) -> StorageError:
        return StorageError(
            f"{name} in {self._bucket.uri} is {how}: delete it there, and the manifests that name it, then run "
            "burnscar refresh where the data root is whole"
        )


def remember(asset: str, partition: str | None, root: Path, files: Iterable[Path]) -> None:
    """Record what a partition consists of under the data root, as a publish does, for whoever looks for damage."""
    paths = frozenset(_expand(root, files))
    record = Record(root, asset, partition or UNPARTITIONED)
    _each(record.blob, sorted(paths))
    record.write(paths)


def _manifest_name(asset: str, partition: str | None) -> str:
    return f"manifests/{asset}/{partition or UNPARTITIONED}.json"


def _blob_name(blob: Blob) -> str:
    return f"blobs/{blob.sha256[:2]}/{blob.sha256}"


def _each(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """`work` on each item, many at once; the first error stops what hasn't begun."""
    with ThreadPoolExecutor(TRANSFERS) as pool:
        return list(pool.map(work, items))


def _expand(root: Path, files: Iterable[Path]) -> Iterator[str]:
    """Paths under the root, folders replaced by the files in them, without unfinished writes."""
    for path in files:
        if not path.is_relative_to(root):
            raise InputError(f"{path} is not under the data root {root}: only results there are published")
        if not path.is_dir():
            yield path.relative_to(root).as_posix()
        for folder, folders, names in os.walk(path, followlinks=True):
            folders[:] = [name for name in folders if not _unfinished(name)]
            inside = Path(folder).relative_to(root)
            yield from ((inside / name).as_posix() for name in names if not _unfinished(name))


def _unfinished(name: str) -> bool:
    """Whether a file or folder is what a write in progress or a killed one left (see storage.atomic)."""
    return name.startswith(".") and name.endswith((".tmp", ".old"))


def _present(path: Path, blob: Blob | None) -> Blob:
    if blob is None:
        raise MissingDataError(f"{path} is gone: run burnscar refresh, which makes it again")
    return blob


def _remove(root: Path, path: str) -> bool:
    """Remove a file and the folders that it leaves empty; whether there was one."""
    file = root / path
    if not file.exists():
        return False
    file.unlink()
    for folder in file.relative_to(root).parents[:-1]:
        if any((root / folder).iterdir()):
            break
        (root / folder).rmdir()
    return True
