"""Image files of an archive: how GDAL reads them, opened once, read by rectangles, tried again when that fails.

GDAL's own environment variables win over what is set here.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import affine
import numpy as np
import numpy.typing as npt
import rasterio
import requests
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from burnscar_assets.catalog.hrefs import is_remote
from burnscar_assets.errors import BurnscarError, InputError, SourceUnavailableError
from burnscar_assets.gdal_drivers import open_raster
from burnscar_assets.network.addresses import may_be_private
from burnscar_assets.network.environment import gdal_transport
from burnscar_assets.network.masking import mask_address
from burnscar_assets.network.relay import explained
from burnscar_assets.network.retries import Retries
from burnscar_assets.network.session import Limits, Session
from burnscar_assets.reader.pixels import Radiometry, stated_radiometry
from burnscar_assets.reader.request import Failure, FailureKind, ReadOptions

_TIMEOUT: Final = "GDAL_HTTP_TIMEOUT"
_OPTIONS: Final[dict[str, str | int]] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_CACHEMAX": 256 << 20,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    _TIMEOUT: 60,
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
}

FORGETTING: Final = {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/"}
"""Has GDAL forget what it knows of remote files, failures too."""


def gdal_options() -> dict[str, str | int]:
    """Options for many small reads, local or remote, through the proxies and certificates that hold for all."""
    own = {name: value for name, value in (_OPTIONS | _store()).items() if name not in os.environ}
    return own | gdal_transport()


def _store() -> dict[str, str | int]:
    """Where GDAL finds an S3 that isn't Amazon's: at AWS_ENDPOINT_URL, which all else follows."""
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")
    if not endpoint.netloc:
        return {}
    return {
        "AWS_S3_ENDPOINT": endpoint.netloc + endpoint.path.rstrip("/"),
        "AWS_HTTPS": "YES" if endpoint.scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


def bulk_options() -> dict[str, str | int]:
    """Options for reading many blocks of each file once: little is fetched or kept but the blocks."""
    own: dict[str, str | int] = {
        "CPL_VSIL_CURL_CHUNK_SIZE": 4096,
        "GDAL_CACHEMAX": 48 << 20,
        "GDAL_INGESTED_BYTES_AT_OPEN": 16384,
        "GDAL_MEM_ENABLE_OPEN": "YES",
    }
    return gdal_options() | {name: value for name, value in own.items() if name not in os.environ}


def request_timeout_s() -> float:
    """How long one request to an archive may take."""
    return float(os.environ.get(_TIMEOUT, _OPTIONS[_TIMEOUT]))


GONE: Final = re.compile(r"HTTP (?:response|error) code ?: ?(?:404|410)\b", re.IGNORECASE)
"""What GDAL says of a file that its server doesn't have."""

REFUSED: Final = re.compile(
    r"HTTP (?:response|error) code ?: ?(?:401|403)\b|NoSuch(?:Key|Bucket)|specified (?:key|bucket) does not exist"
    r"|Access ?Denied",
    re.IGNORECASE,
)
NOT_AN_IMAGE: Final = "not recognized as being in a supported file format"
"""What GDAL says of another kind of file, and of one that it knows of but could not read."""

_REFUSALS: Final = (401, 403, 404, 410)
_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")
"""First bytes of TIFF, BigTIFF and JPEG 2000."""

_LOOK: Final = Limits(timeout_s=20, deadline_s=30, max_answer_mb=1)


def is_lasting(address: str, errors: Sequence[BaseException], hosts: Collection[str] = ()) -> bool:
    """Whether reading a file would end alike another time.

    Args:
        address: of the file; empty if it is not known where it is.
        errors: of all tries. What fails in two ways may succeed in a third.
        hosts: hosts that may be asked; those named in full may be private.
    """
    if any(isinstance(error, FileNotFoundError) for error in errors):
        return True
    if address and not is_remote(address):
        return True
    texts = [str(error) for error in errors]
    if not texts or not all(GONE.search(text) or REFUSED.search(text) or NOT_AN_IMAGE in text for text in texts):
        return False
    return all(NOT_AN_IMAGE not in text for text in texts) or _serves_no_image(address, hosts)


def _serves_no_image(address: str, hosts: Collection[str]) -> bool:
    """Whether a server answers with something else than an image; not known of other stores than web servers."""
    if not address.startswith(("http://", "https://")):
        return False
    try:
        with (
            Session(_LOOK, named_hosts=may_be_private(address, hosts)) as session,
            session.get(address, headers={"Range": "bytes=0-15"}, stream=True) as answer,
        ):
            if not answer.ok:
                return answer.status_code in _REFUSALS
            return not next(answer.iter_content(16), b"").startswith(_MAGIC)
    except (BurnscarError, requests.RequestException, OSError):
        return False


UNREADABLE: Final = (OSError, RasterioError, CPLE_BaseError)
"""What a file that can't be read raises."""

CELL_ROWS: Final = 128
"""Blocks lower than this are read several at a time: files in strips have blocks of one row."""

MOST_BLOCK_BYTES: Final = 1 << 30
"""Decoded, of one block of all bands; a whole scene of Sentinel-2 in one strip is a quarter of it."""

Result = TypeVar("Result")


class UnreadableFileError(OSError):
    """A file that can't be read; `lasting` if another try would end alike."""

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


def failure_of(scene: str, error: BaseException) -> Failure:
    """What a scene's failure comes to."""
    lasting = getattr(error, "lasting", is_lasting("", [error]))
    return Failure(scene, str(error), FailureKind.GONE if lasting else FailureKind.PASSING)


@dataclass(frozen=True)
class Header:
    """What a file says of itself, as rasterio has it.

    Attributes:
        cell: rows and columns of what is read at least: a block, or several rows of flat ones.
        plain: whether pixels and the value without data are all there is to it, without masks, alpha or rotation.
        masked: whether a mask or an alpha band says where there are data.
        stated: scale and offset that the file gives its numbers; None if it gives none.
    """

    crs: CRS
    transform: affine.Affine
    width: int
    height: int
    count: int
    dtype: np.dtype
    nodata: float | None
    cell: tuple[int, int]
    plain: bool
    masked: bool = False
    stated: Radiometry | None = None

    @property
    def tells_its_unit(self) -> bool:
        """Whether type or scale tell what a number is, without a look at the pixels."""
        return self.dtype.kind in "iu" or (self.stated is not None and self.stated.scale != 1)

    @classmethod
    def of(cls, source: rasterio.DatasetReader) -> "Header":
        """The header of an open file.

        Raises:
            UnreadableFileError: its scale can't be one, or a few bytes of it stand for more than there is memory.
        """
        rows, columns = source.block_shapes[0]
        if rows * columns * source.count * np.dtype(source.dtypes[0]).itemsize > MOST_BLOCK_BYTES:
            raise UnreadableFileError(
                f"its blocks are of {rows} by {columns} pixels, too large to be decoded one by one", lasting=True
            )
        flags = {flag for band in source.mask_flag_enums for flag in band}
        plain = (
            source.crs is not None
            and flags <= {MaskFlags.all_valid, MaskFlags.nodata}
            and ColorInterp.alpha not in source.colorinterp
            and not source.gcps[0]
            and source.rpcs is None
            and source.transform.b == source.transform.d == 0
            and len(set(source.dtypes)) == len(set(source.block_shapes)) == len(set(source.nodatavals)) == 1
        )
        return cls(
            source.crs, source.transform, source.width, source.height, source.count, np.dtype(source.dtypes[0]),
            source.nodata, (rows * -(-CELL_ROWS // rows), columns), plain,
            bool(flags - {MaskFlags.all_valid, MaskFlags.nodata}), _stated(source),
        )  # fmt: skip


def _stated(source: rasterio.DatasetReader) -> Radiometry | None:
    try:
        return stated_radiometry(source, 1)
    except InputError as error:
        raise UnreadableFileError(str(error), lasting=True) from error


class Patience:
    """Tries reads again, and knows when the archive as a whole has stopped to answer."""

    def __init__(self, options: ReadOptions, stopped: threading.Event) -> None:
        self._options = options
        self._stopped = stopped
        self._last_success = time.monotonic()

    def attempt(
        self, read: Callable[[], Result], again: Callable[[], None] | None = None, *, remote: bool = True
    ) -> Result:
        """The result of a read, with `again` called before each retry; local files are read once.

        Raises:
            OSError, RasterioError: it failed each time.
            SourceUnavailableError: it took as long as a request may, and no other read was answered meanwhile.
        """
        began = time.monotonic()

        def checked() -> Result:
            try:
                result = read()
            except UNREADABLE as error:
                self._check(began, error, remote)
                raise
            self._last_success = time.monotonic()
            return result

        def wait(seconds: float) -> bool:
            stopped = self._stopped.wait(seconds)
            if not stopped and again is not None:
                again()
            return stopped

        retries = Retries(self._options.retries if remote else 0, self._options.retry_backoff_s)
        return retries.call(checked, wait, _may_pass)

    def _check(self, began: float, error: BaseException, remote: bool) -> None:
        others_answered = self._last_success >= began
        if remote and not others_answered and time.monotonic() - began >= request_timeout_s():
            raise SourceUnavailableError(
                f"the archive does not answer ({error}): run the same again later; what was made is kept"
            ) from error


def _may_pass(error: Exception) -> bool:
    """Whether a read that failed may succeed later."""
    is_known = isinstance(error, FileNotFoundError | UnreadableFileError) or getattr(error, "lasting", False)
    return isinstance(error, UNREADABLE) and not is_known and GONE.search(str(error)) is None


class ImageFile:
    """One file, open from its first read to its last; one thread at a time."""

    def __init__(self, locate: Callable[[], str], patience: Patience, hosts: Collection[str] = ()) -> None:
        """Know what finds its address, and which other hosts its server may redirect to; nothing is opened yet."""
        self.address = ""
        self._hosts = hosts
        self._locate = locate
        self._patience = patience
        self._source: rasterio.DatasetReader | None = None
        self._forgetting: dict[str, str] = {}

    def open(self) -> Header:
        """Open the file.

        Raises:
            OSError, RasterioError: it can't be.
        """
        return self._try(lambda: Header.of(self._opened()))

    def read(self, row: int, column: int, rows: int, columns: int) -> npt.NDArray[Any]:
        """Pixels of a rectangle, (bands, rows, columns).

        Raises:
            OSError, RasterioError: they can't be read; the message names the file.
        """
        window = Window(column, row, columns, rows)
        return self._try(lambda: self._opened().read(window=window))

    def use(self, read: Callable[[rasterio.DatasetReader], Result]) -> Result:
        """The result of a read that takes the open file."""
        return self._try(lambda: read(self._opened()))

    def close(self) -> None:
        """Close the file."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _opened(self) -> rasterio.DatasetReader:
        if self._source is None:
            self.address = self._locate()
            with rasterio.Env(**self._forgetting):
                self._source = open_raster(self.address, self._hosts)
        return self._source

    def _try(self, read: Callable[[], Result]) -> Result:
        errors: list[BaseException] = []

        def noting() -> Result:
            try:
                return explained(read, self.address, self._hosts)
            except UNREADABLE as error:
                errors.append(error)
                raise

        try:
            return self._patience.attempt(noting, self._anew, remote=not self.address or is_remote(self.address))
        except UNREADABLE as error:
            reason = error.__cause__ if isinstance(error, RasterioError) and error.__cause__ else error
            lasting = getattr(error, "lasting", False) or is_lasting(self.address, errors, self._hosts)
            message = mask_address(f"cannot read {self.address}: {reason}" if self.address else str(reason))
            raise UnreadableFileError(message, lasting=lasting) from error

    def _anew(self) -> None:
        """Have GDAL forget the file: it would take one whose server hung up for missing."""
        self.close()
        self._forgetting = FORGETTING


class Pool:
    """Daemon threads, for which no program waits, that make calls in the order in which they came, GDAL set for it."""

    def __init__(self, threads: int, options: dict[str, Any]) -> None:
        self.stopped = threading.Event()
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads = threads
        self._options = options
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"imagery-{number}", daemon=True).start()

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Have a call made."""
        future: Future[Any] = Future()
        self._queue.put((future, call))
        return future

    def stop(self) -> None:
        """End the threads after what they do now; calls that wait are cancelled."""
        self.stopped.set()
        for _ in range(self._threads):
            self._queue.put(None)

    def _serve(self) -> None:
        with rasterio.Env(**self._options):
            while (entry := self._queue.get()) is not None:
                future, call = entry
                if self.stopped.is_set():
                    future.cancel()
                    continue
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
                del entry, future, call  # their pixels would live until the next call comes
