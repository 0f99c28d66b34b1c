"""`python -m kit.stage_start SPEC FOLDER`: how long the training of a specification takes to say its first own line.

Twice in a process that has its libraries already, after one that had them imported, and once in a process as
`python -m` starts it. None trains: each is ended once it has said that it begins.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.orchestration.warm import WarmStages
from burnscar_assets.warm_server import Request

MODULE = "burnscar_assets.models.trainer"


def main(spec: Path, folder: Path) -> None:
    """Measure, and print the seconds."""
    cold_s = _cold(_copy(spec, folder / "cold"))
    reading, writing = os.pipe()
    os.dup2(writing, sys.stderr.fileno())
    with os.fdopen(reading, encoding="utf-8") as said:
        stages = WarmStages()
        _warm(stages, _copy(spec, folder / "first"), said)
        warm_s = [_warm(stages, _copy(spec, folder / f"warm-{number}"), said) for number in range(2)]
    print(json.dumps({"cold_s": cold_s, "warm_s": max(warm_s)}))


def _copy(spec: Path, folder: Path) -> Path:
    """A specification of the same training whose checkpoint goes to a folder of its own."""
    folder.mkdir(parents=True)
    changed = TrainingSpec.read(spec).model_copy(update={"checkpoint": folder / "checkpoints" / "fire_year=0"})
    return changed.write(folder / "spec.json")


def _cold(spec: Path) -> float:
    begin = time.perf_counter()
    command = [sys.executable, "-P", "-m", MODULE, str(spec)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # noqa: S101 - a pipe was asked for
        return _until_it_begins(process.stderr, begin, process)


def _warm(stages: WarmStages, spec: Path, said: IO[str]) -> float:
    begin = time.perf_counter()
    return _until_it_begins(said, begin, stages.start(Request(MODULE, str(spec), {}), os.environ))


def _until_it_begins(said: IO[str], begin: float, process: Any) -> float:
    """Seconds until a stage says that it begins; it is ended then."""
    line = next(line for line in said if line.startswith("{"))
    seconds = time.perf_counter() - begin
    assert json.loads(line)["event"] == "start", line  # noqa: S101 - else it said why it can't
    process.kill()
    process.wait()
    return seconds


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
