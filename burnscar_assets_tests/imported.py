"""What a Python process imports, as the interpreter itself reports it."""

import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

_PREFIX = "import time:"


class Imported(NamedTuple):
    """What a process came to, and the packages that it imported."""

    code: int
    said: list[str]
    """Lines of its standard error that are no report of an import."""
    packages: set[str]


def imported_by(*arguments: str, environment: Mapping[str, str] | None = None) -> Imported:
    """Run Python with these arguments."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    lines = done.stderr.splitlines()
    modules = [line.rpartition("|")[2].strip() for line in lines if line.startswith(_PREFIX)]
    said = [line for line in lines if not line.startswith(_PREFIX)]
    return Imported(done.returncode, said, {module.partition(".")[0] for module in modules})
