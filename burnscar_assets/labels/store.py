"""Where fetched and unpacked releases are kept: one folder per content hash, whole or not at all.

`releases/<first 16 digits of the SHA-256>/` holds `content`, a manifest and, of a download, the archive;
`releases/sources/` remembers which version of an address was fetched last. A folder is never changed.
"""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from filelock import FileLock

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.archive import unpack
from burnscar_assets.labels.download import MEGABYTE, RemoteVersion, discard, download
from burnscar_assets.network.masking import mask_address
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import SourceSettings
from burnscar_assets.storage.atomic import atomic_folder, read_json, storage_errors, write_json
from burnscar_assets.storage.hashing import hash_file, hash_json
from burnscar_assets.storage.paths import DataRoot

ARCHIVE = "archive.zip"
MANIFEST = "release.json"
UNPACKED_FACTOR = 10
"""An archive may unpack to this many times release.max_download_mb."""

_FILEGDB_MEMBER = "a00000001.gdbtable"


@dataclass(frozen=True)
class StoredRelease:
    """An unpacked release.

    Attributes:
        content: Folder that it was unpacked into.
        archive: The zip that it came in.
        sha256: Hash of that zip.
        retrieved_at: When it was fetched, ISO 8601 in UTC.
        notes: What of it could not be unpacked, a sentence each.
    """

    content: Path
    archive: Path
    sha256: str
    retrieved_at: str
    notes: tuple[str, ...] = ()


def now() -> str:
    """This moment, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def fetch_archive(url: str, settings: SourceSettings, root: DataRoot, progress: Progress = silent) -> StoredRelease:
    """Fetch a zip by its address, or take the stored copy if the server still has that version.

    Raises:
        SourceUnavailableError: the server does not answer; the message names the stored copy, if there is one.
        InputError: refused, too large, not a zip, truncated, or not safe to unpack.
    """
    shown = mask_address(url)
    key = hash_json(shown)[:16]
    note = root.releases / "sources" / f"{key}.json"
    part = root.releases / "sources" / f"{key}.part"
    with storage_errors(note):
        note.parent.mkdir(parents=True, exist_ok=True)
    with storage_errors(note), FileLock(note.with_suffix(".lock")):
        known = read_json(note)
        stored = _stored(root, str(known.get("sha256", "")))
        have = RemoteVersion(known.get("etag"), known.get("last_modified")) if stored else RemoteVersion()
        try:
            fetched = download(url, part, settings, have, progress)
        except SourceUnavailableError as error:
            offline = f". A copy of {stored.retrieved_at} is at {stored.archive}" if stored else ""
            raise SourceUnavailableError(f"{error}{offline}") from error
        if fetched is None and stored is not None:
            return stored
        sha256 = hash_file(part)
        try:
            kept = _stored(root, sha256) or _install(part, sha256, shown, settings, root, progress, keep_archive=True)
        except InputError:
            discard(part)
            raise
        discard(part)
        write_json(note, {"url": shown, "sha256": sha256, **asdict(fetched.version if fetched else have)})
        return kept


def unpack_local(path: Path, settings: SourceSettings, root: DataRoot, progress: Progress = silent) -> StoredRelease:
    """Unpack a local zip, unless that was done already; the zip itself stays where it is.

    Raises:
        InputError: not a zip, truncated, or not safe to unpack.
    """
    sha256 = hash_file(path)
    stored = _stored(root, sha256) or _install(path, sha256, str(path), settings, root, progress, keep_archive=False)
    return replace(stored, archive=path)


def _install(
    archive: Path,
    sha256: str,
    source: str,
    settings: SourceSettings,
    root: DataRoot,
    progress: Progress,
    *,
    keep_archive: bool,
) -> StoredRelease:
    check_zip(archive, source)
    with atomic_folder(root.releases / sha256[:16]) as folder:
        content = folder / _content_name(archive)
        content.mkdir()
        notes: list[str] = []
        files = unpack(archive, content, UNPACKED_FACTOR * settings.max_download_mb * MEGABYTE, progress, notes=notes)
        manifest = {"source": source, "sha256": sha256, "content": content.name, "files": files, "retrieved_at": now()}
        write_json(folder / MANIFEST, manifest | {"notes": notes})
        if keep_archive:
            archive.replace(folder / ARCHIVE)
    stored = _stored(root, sha256)
    if stored is None:
        raise InputError(f"{source} was unpacked but files of it are missing: run the same again")
    return stored


def _stored(root: DataRoot, sha256: str) -> StoredRelease | None:
    """The release of that hash, if it is there with all its files."""
    folder = root.releases / sha256[:16]
    manifest = read_json(folder / MANIFEST) if sha256 else {}
    if manifest.get("sha256") != sha256 or not sha256:
        return None
    content = folder / manifest["content"]
    for name, size in manifest["files"].items():
        file = content / name
        if not file.is_file() or file.stat().st_size != size:
            return None
    notes = tuple(manifest.get("notes", ()))
    return StoredRelease(content, folder / ARCHIVE, sha256, manifest["retrieved_at"], notes)


def check_zip(archive: Path, source: str) -> None:
    """See that a file begins as a zip does.

    Raises:
        InputError: it doesn't; it is a web page, as often as not.
    """
    with archive.open("rb") as stream:
        start = stream.read(4)
    if start[:2] != b"PK":
        raise InputError(
            f"{source} is not a zip (it begins with {start!r}): a page in its place? Check release.source, "
            "release.user_agent and release.referer"
        )


def _content_name(archive: Path) -> str:
    """Folder name; a FileGDB zipped without its own folder is only recognised with the suffix."""
    try:
        with ZipFile(archive) as members:
            return "content.gdb" if _FILEGDB_MEMBER in members.namelist() else "content"
    except BadZipFile as error:
        raise InputError(f"{archive} is not a zip, or is truncated ({error}): fetch it again, completely") from error
