"""What is a fact of California stands in its file, and nowhere else."""

import re
from pathlib import Path

import burnscar_assets

PACKAGE = Path(burnscar_assets.__file__).parent
OF_ONE = re.compile(r"EPSG:3310|America/Los_Angeles|\bUS-CA\b|\b326\d\d\b|-124\.|outside_california")
NAMED_IN_ADVICE = {"labels/layers.py", "mapping/grid.py", "sampling/lattice.py", "dataset/points_csv.py"}
"""Modules that name a CRS in an error's advice, or both hemispheres of UTM."""


def test_no_crs_zone_or_code_of_california_is_named_outside_of_its_file() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name in NAMED_IN_ADVICE:
            continue
        lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        found += [f"{name}:{number}: {line.strip()}" for number, line in lines if OF_ONE.search(line)]
    assert not found
