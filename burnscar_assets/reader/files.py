"""Image files: opened once, read by rectangles, tried again when that fails."""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import affine
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from burnscar_assets.catalog.hrefs import is_remote
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.gdal_drivers import open_raster
from burnscar_assets.network.masking import mask_address
from burnscar_assets.network.relay import explained
from burnscar_assets.reader.gdal import FORGETTING, request_timeout_s
from burnscar_assets.reader.lasting import GONE, is_lasting
from burnscar_assets.reader.pixels import Radiometry, stated_radiometry
from burnscar_assets.reader.request import Failure, FailureKind, ReadOptions

UNREADABLE: Final = (OSError, RasterioError, CPLE_BaseError)
"""What a file that can't be read raises."""

CELL_ROWS: Final = 128
"""Blocks lower than this are read several at a time: files in strips have blocks of one row."""

MOST_BLOCK_BYTES: Final = 1 << 30
"""Decoded, of one block of all bands; a whole scene of Sentinel-2 in one strip is a quarter of it."""

Result = TypeVar("Result")


class UnreadableFileError(OSError):
    """A file that can't be read.

    Attributes:
        lasting: whether another try would end alike.
    """

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


def failure_of(scene: str, error: BaseException) -> Failure:
    """What a scene's failure comes to."""
    lasting = getattr(error, "lasting", is_lasting("", [error]))
    return Failure(scene, str(error), FailureKind.GONE if lasting else FailureKind.PASSING)


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        crs, transform, width, height, count, dtype, nodata: as rasterio has them.
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

    def attempt(self, read: Callable[[], Result], again: Callable[[], None], remote: bool) -> Result:
        """The result of a read.

        Args:
            read: the read.
            again: made before each retry.
            remote: local files are read once.

        Raises:
            OSError, RasterioError: it failed each time.
            SourceUnavailableError: it took as long as a request may, and no other read was answered meanwhile.
        """
        began = time.monotonic()
        tries = self._options.retries if remote else 0
        for number in range(tries + 1):
            try:
                result = read()
            except UNREADABLE as error:
                self._check(began, error, remote)
                is_known = isinstance(error, FileNotFoundError | UnreadableFileError)
                if is_known or getattr(error, "lasting", False) or GONE.search(str(error)):
                    raise
                if number == tries or self._stopped.wait(self._options.retry_backoff_s * 2**number):
                    raise
                again()
            else:
                self._last_success = time.monotonic()
                return result
        raise AssertionError("the last try returns or raises")

    def _check(self, began: float, error: BaseException, remote: bool) -> None:
        others_answered = self._last_success >= began
        if remote and not others_answered and time.monotonic() - began >= request_timeout_s():
            raise SourceUnavailableError(
                f"the archive does not answer ({error}): run the same again later; what was made is kept"
            ) from error


class ImageFile:
    """One file, open from its first read to its last; one thread at a time."""

    def __init__(self, locate: Callable[[], str], patience: Patience, hosts: Collection[str] = ()) -> None:
        """Know where it is; nothing is opened yet.

        Args:
            locate: finds its address.
            patience: tries again.
            hosts: other hosts that its server may redirect to.
        """
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
            return self._patience.attempt(noting, self._anew, not self.address or is_remote(self.address))
        except UNREADABLE as error:
            reason = error.__cause__ if isinstance(error, RasterioError) and error.__cause__ else error
            lasting = getattr(error, "lasting", False) or is_lasting(self.address, errors, self._hosts)
            message = mask_address(f"cannot read {self.address}: {reason}" if self.address else str(reason))
            raise UnreadableFileError(message, lasting=lasting) from error

    def _anew(self) -> None:
        """Have GDAL forget the file: it would take one whose server hung up for missing."""
        self.close()
        self._forgetting = FORGETTING
