"""Fetching one large file so that a broken connection costs only what is still missing.

The bytes go to a part file that outlives the process, beside a note of the version (ETag, Last-Modified)
that they belong to; the next try asks for the rest with `Range` and `If-Range`. The part file takes the
place of a finished download only when its length is the one announced.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path

import requests

from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.labels.http import check_status, open_session, transport_errors, with_retries
from burnscar_assets.network.addresses import with_secrets
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import SourceSettings
from burnscar_assets.storage.atomic import read_json, storage_errors, write_json

CHUNK_BYTES = 1 << 16
"""What a broken connection may cost at most."""

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class RemoteVersion:
    """What a server says of the version of a file; both are empty where it says nothing."""

    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of(cls, response: requests.Response) -> "RemoteVersion":
        """The version that a response carries."""
        return cls(response.headers.get("ETag"), response.headers.get("Last-Modified"))

    @property
    def known(self) -> bool:
        """Whether the server names versions at all."""
        return bool(self.etag or self.last_modified)

    @property
    def range_validator(self) -> str | None:
        """Value for If-Range: a strong ETag, else the date; a weak ETag does not promise the same bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    @property
    def conditions(self) -> dict[str, str]:
        """Headers that ask for the file only if it is another version."""
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {header: value for header, value in named.items() if value}

    def same_as(self, other: "RemoteVersion") -> bool:
        """Whether both name the same version; unknown versions never are the same."""
        if self.etag or other.etag:
            return self.etag == other.etag
        return self.known and self.last_modified == other.last_modified


@dataclass(frozen=True)
class Download:
    """A finished download."""

    path: Path
    version: RemoteVersion
    size_bytes: int


def download(
    url: str, part: Path, settings: SourceSettings, have: RemoteVersion, progress: Progress = silent
) -> Download | None:
    """Fetch `url` into `part`, going on where an earlier try broke off.

    Args:
        url: Address of the file.
        part: File that the bytes go to; it is left behind when the connection breaks, for the next call.
        settings: Limits, headers and retries.
        have: Version that the caller has already.
        progress: Told the bytes received.

    Returns:
        The download, or None if the server still has the version `have`.

    Raises:
        SourceUnavailableError: the server did not answer, or broke off at every try.
        InputError: the server refuses, or the file is larger than allowed.
        StorageError: no space or no permission for the part file.
    """
    transfer = _Transfer(url, part, settings, progress)
    with storage_errors(part), open_session(settings, url, max_answer_mb=inf) as session:  # `_check_size` limits it
        part.parent.mkdir(parents=True, exist_ok=True)
        return with_retries(lambda: transfer.attempt(session, have), settings.retries)


def discard(part: Path) -> None:
    """Remove a part file and its note."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Transfer:
    url: str
    part: Path
    settings: SourceSettings
    progress: Progress

    def attempt(self, session: requests.Session, have: RemoteVersion) -> Download | None:
        begun = _begun(self.part)
        offset = self.part.stat().st_size if begun.range_validator and self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"}  # a range of compressed bytes would not fit the part file
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": begun.range_validator or ""}
        else:
            headers |= have.conditions
        with (
            transport_errors(self.url),
            session.get(
                with_secrets(self.url), headers=headers, stream=True, timeout=self.settings.timeout_s
            ) as response,
        ):
            check_status(response, self.url)
            version = RemoteVersion.of(response)
            if response.status_code == 304 or (response.status_code == 200 and version.same_as(have)):
                discard(self.part)
                return None
            start, total = span(response, offset)
            if start is None or (start and version.known and not version.same_as(begun)):
                discard(self.part)
                raise SourceUnavailableError(f"{self.url} answered a range that was not asked for")
            self._check_size(total)
            if not start:
                discard(self.part)
                write_json(_note(self.part), asdict(version))
            received = self._receive(response, start, total)
        if total and received != total:
            raise SourceUnavailableError(f"{self.url} broke off after {received} of {total} bytes")
        return Download(self.part, begun if start else version, received)

    def _receive(self, response: requests.Response, start: int, total: int) -> int:
        received = start
        with self.part.open("r+b" if start else "wb") as stream:
            if start:
                stream.seek(start)
                stream.truncate()
            for chunk in _chunks(response, start, total):
                stream.write(chunk)
                received += len(chunk)
                self._check_size(received)
                self.progress("download", received, total)
        return received

    def _check_size(self, size_bytes: int) -> None:
        limit_mb = self.settings.max_download_mb
        if size_bytes > limit_mb * MEGABYTE:
            discard(self.part)
            raise InputError(
                f"{self.url} has {size_bytes / MEGABYTE:.0f} MB or more, above release.max_download_mb = {limit_mb}: "
                "raise it if that is the right file"
            )


def _chunks(response: requests.Response, start: int, total: int) -> Iterator[bytes]:
    return iter(()) if total and start == total else response.iter_content(CHUNK_BYTES)


def span(response: requests.Response, offset: int) -> tuple[int | None, int]:
    """First byte of the body and length of the whole file (0 if unknown); None: neither fits the question."""
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        return (offset, int(match[2])) if match and int(match[1]) == offset else (None, 0)
    if response.status_code == 416:
        match = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
        return (offset, offset) if match and int(match[1]) == offset else (None, 0)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else 0


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _begun(part: Path) -> RemoteVersion:
    note = read_json(_note(part))
    return RemoteVersion(note.get("etag"), note.get("last_modified"))
