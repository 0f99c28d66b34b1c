"""Objects by their path: the store's address, its time limits, and its failures as errors that a user can act on."""

import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from pyarrow import fs

from burnscar_assets.errors import SettingsError, SourceUnavailableError, StorageError

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 20.0
"""A request is given up when nothing came for so long."""

ATTEMPTS = 3
"""How often a request that failed for a passing reason is made in all; the waits between grow."""

CHUNK_BYTES = 8 * 1024 * 1024

_PASSING = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|INTERNAL_FAILURE|REQUEST_TIMEOUT|HTTP status 5|UNAVAILABLE|DEADLINE_EXCEEDED"
)
"""What pyarrow's messages hold when the same request to S3 or Google's store may succeed later."""


class Bucket:
    """The objects under one address. An object appears whole, when its last byte was written.

    Raises:
        SettingsError: an address of another kind, without a bucket, or with credentials in it.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._fs, self._path = _filesystem(uri)
        self._local = isinstance(self._fs, fs.LocalFileSystem)

    def read(self, name: str) -> Iterator[bytes]:
        """An object's content, in pieces.

        Raises:
            FileNotFoundError: there is no such object.
            SourceUnavailableError, StorageError: see `store_errors`.
        """
        with store_errors(self.uri):
            stream = self._fs.open_input_stream(self._full(name))
        with stream:
            while True:
                with store_errors(self.uri):
                    chunk = stream.read(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write an object.

        Raises:
            SourceUnavailableError, StorageError: see `store_errors`.
        """
        path = self._full(name)
        with store_errors(self.uri):
            if not self._local:
                self._stream(path, chunks)
                return
            self._fs.create_dir(path.rpartition("/")[0])
            partial = f"{path}.{uuid.uuid4().hex}.partial"
            self._stream(partial, chunks)
            self._fs.move(partial, path)

    def sizes(self, names: Sequence[str]) -> list[int | None]:
        """Size of each object in bytes; None where there is none."""
        with store_errors(self.uri):
            infos = self._fs.get_file_info([self._full(name) for name in names]) if names else []
        return [info.size if info.is_file else None for info in infos]

    def delete(self, name: str) -> None:
        """Delete an object."""
        with store_errors(self.uri):
            self._fs.delete_file(self._full(name))

    def _full(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _stream(self, path: str, chunks: Iterable[bytes]) -> None:
        with self._fs.open_output_stream(path) as sink:
            for chunk in chunks:
                sink.write(chunk)


def _filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address, and the path in it that the address names.

    Args:
        uri: `s3://bucket/prefix`, `gs://bucket/prefix` or `file:///folder`. Credentials come from where the
            provider's own tools take them (AWS_* variables, an instance's role, …); AWS_ENDPOINT_URL_S3 or
            AWS_ENDPOINT_URL names a store that isn't Amazon's.

    Raises:
        SettingsError: an address of another kind, without a bucket, or with credentials in it.
    """
    parts = urlsplit(uri)
    if parts.username or parts.password:
        raise SettingsError("BURNSCAR_STORE must not hold credentials: set AWS_ACCESS_KEY_ID and the like instead")
    if parts.query or parts.fragment:
        raise SettingsError(f"BURNSCAR_STORE {uri} must be a plain address: set AWS_REGION, AWS_ENDPOINT_URL instead")
    path = f"{parts.netloc}{parts.path}".rstrip("/")
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return fs.LocalFileSystem(), path
    if parts.scheme == "s3" and parts.netloc:
        return _s3(), path
    if parts.scheme == "gs" and parts.netloc:
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=ATTEMPTS * SILENCE_TIMEOUT_S)), path
    raise SettingsError(f"BURNSCAR_STORE {uri} must be s3://bucket/prefix, gs://bucket/prefix or file:///folder")


def _s3() -> fs.S3FileSystem:
    named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    endpoint: SplitResult = urlsplit(named)
    if named and (endpoint.scheme not in ("http", "https") or not endpoint.netloc):
        raise SettingsError("AWS_ENDPOINT_URL must be http://host:port or https://host:port")
    return fs.S3FileSystem(
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        scheme=endpoint.scheme or None,
        endpoint_override=endpoint.netloc or None,
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=SILENCE_TIMEOUT_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        allow_delayed_open=True,
    )


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turn what pyarrow raises into errors of two kinds: worth another try later, or in want of a person.

    Raises:
        FileNotFoundError: as it was, for the caller to say what is missing.
        SourceUnavailableError: no answer, or a server that says "later".
        StorageError: a refusal (credentials, bucket, permission), or a folder that can't be written.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        said = " ".join(str(error).split())
        if _PASSING.search(said):
            raise SourceUnavailableError(
                f"object store {uri} did not answer: {said}; what is whole stays, run the same again later"
            ) from error
        raise StorageError(
            f"object store {uri} refused: {said}; check BURNSCAR_STORE, its credentials (AWS_*, …) and the bucket"
        ) from error
