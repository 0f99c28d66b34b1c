"""Worlds that take long to make are made once for all of pytest's processes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder of this name that the first process to ask makes; all others read it, and nobody changes it.

    Args:
        factory: pytest's.
        name: of the folder, the same in all processes.
        make: fills the folder, which doesn't exist before.
    """
    here = factory.getbasetemp()
    shared = here.parent if "PYTEST_XDIST_WORKER" in os.environ else here
    folder, made = shared / name, shared / f"{name}.made"
    with FileLock(shared / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what one that failed has left
            make(folder)
            made.touch()
    return folder
