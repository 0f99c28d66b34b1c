"""A full disk is told of in one way; other errors stay what they are."""

import errno
import sqlite3
from pathlib import Path

import pytest

from burnscar_assets.errors import StorageError
from burnscar_assets.storage.atomic import full_disk_errors


def raised_by(cause: BaseException) -> RuntimeError:
    """An error that came of another one, in a circle."""
    error = RuntimeError("a step failed")
    error.__cause__, cause.__context__ = cause, error
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        raised_by(sqlite3.OperationalError("database or disk is full")),
        raised_by(OSError(errno.ENOSPC, "No space left on device")),
    ],
)
def test_a_full_disk_is_one_clear_error(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"no space left in {tmp_path}: free some"), full_disk_errors(tmp_path):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        raised_by(sqlite3.OperationalError("disk I/O error")),
        raised_by(ValueError()),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_stay_what_they_are(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as raised, full_disk_errors(tmp_path):
        raise error
    assert raised.value is error
