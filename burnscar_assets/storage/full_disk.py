"""Full disks, in whatever words a library tells of them."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from burnscar_assets.errors import StorageError

LITTLE_BYTES: Final = 1 << 20
"""With less space than this, an unexplained failure of SQLite is one of space."""


@contextmanager
def full_disk_errors(folder: Path) -> Iterator[None]:
    """Turn an error that came of a full disk into one that says so.

    Args:
        folder: where the block writes.

    Raises:
        StorageError: no space is left.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        if any(_tells_of_full_disk(cause, folder) for cause in chain(error)):
            raise StorageError(f"no space left in {folder}: free some, then run the same again") from error
        raise


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came of, which may go round in a circle."""
    seen: set[int] = set()
    ahead: list[BaseException | None] = [error]
    while ahead:
        cause = ahead.pop()
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            ahead += [cause.__context__, cause.__cause__]


def _tells_of_full_disk(error: BaseException, folder: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, sqlite3.OperationalError):
        return "disk is full" in str(error) or ("disk I/O error" in str(error) and _free_bytes(folder) < LITTLE_BYTES)
    return False


def _free_bytes(folder: Path) -> int:
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize
