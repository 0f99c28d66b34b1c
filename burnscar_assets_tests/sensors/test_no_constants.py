"""What is a fact of one sensor or one encoder stands in its file, and nowhere else."""

import re
from pathlib import Path

import burnscar_assets

PACKAGE = Path(burnscar_assets.__file__).parent
OF_ONE = re.compile(r"\bB(0[1-9]|8A|1[12])\b|\b10 m\b|sentinel2_l2a|olmoearth", re.IGNORECASE)
ELSEWHERE = ("demo", "sensors", "encoders")
CONFIGURATION = ("settings/new_world.py", "study/world_file.py")
"""Modules that write settings, which name set-ups."""


def test_no_band_no_metres_and_no_encoder_is_named_outside_of_sensors_and_encoders() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE).as_posix()
        if path.suffix not in {".py", ".j2", ".js"} or name.startswith(ELSEWHERE) or name in CONFIGURATION:
            continue
        lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        found += [f"{name}:{number}: {line.strip()}" for number, line in lines if OF_ONE.search(line)]
    assert not found
