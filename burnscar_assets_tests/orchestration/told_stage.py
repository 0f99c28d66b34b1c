"""A stage for tests of where stages run: `python -m … spec.json` does what the file says, and tells of it."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

from burnscar_assets.errors import InputError
from burnscar_assets.process import ProcessSpec, Report, run_stage


class ToldSpec(ProcessSpec):
    """What to do: report each number, then end in some way."""

    count: int = 2
    end: str = "well"
    here: Path


def work(spec: Path, report: Report) -> None:
    """Report, then end as told."""
    told = ToldSpec.read(spec)
    (told.here / "parent").write_text(str(os.getppid()))
    (told.here / "pid").write_text(str(os.getpid()))
    if told.end == "go on":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for number in range(told.count):
        report({"event": "step", "number": number, "data": os.environ["BURNSCAR_DATA"]})
    if told.end == "refuse":
        raise InputError("no use for this: give another")
    if told.end == "leave a worker":
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
        worker.start()
        (told.here / "worker").write_text(str(worker.pid))
    if told.end == "die":
        os._exit(17)
    if told.end in ("wait", "go on"):
        time.sleep(600)
    (told.here / "made").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))


if __name__ == "__main__":
    sys.exit(run_stage("told_stage", sys.argv[1:], work))
