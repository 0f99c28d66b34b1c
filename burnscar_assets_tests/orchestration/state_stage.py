"""A stage for tests of warm processes: it writes down what it finds in its process, then spoils all of it."""

import gc
import json
import logging
import os
import random
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import __main__
from burnscar_assets.process import ProcessSpec, Report, run_stage

OF_EACH = ("DAGSTER_PIPES_CONTEXT", "DAGSTER_PIPES_MESSAGES")
"""Variables that differ from stage to stage."""


class StateSpec(ProcessSpec):
    """Where to write `state.json`."""

    here: Path


def state() -> dict[str, Any]:
    """What a stage shall find, however its process began."""
    return {
        "environment": {name: value for name, value in os.environ.items() if name not in OF_EACH},
        "folder": str(Path.cwd()),
        "path": sys.path,
        "safe_path": sys.flags.safe_path,
        "main": __main__.__spec__.name,
        "arguments": sys.argv,
        "signals": {name.name: str(signal.getsignal(name)) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)},
        "wakeup": signal.set_wakeup_fd(-1),
        "logging": [
            logging.root.level,
            [str(type(handler)) for handler in logging.root.handlers],
            logging.root.disabled,
        ],
        "warnings": sorted(str(entry) for entry in warnings.filters),
        "torch_threads": torch.get_num_threads(),
        "cuda": [torch.cuda.is_initialized(), torch.cuda._is_in_bad_fork()],
        "garbage": [gc.isenabled(), gc.get_threshold()],
        "threads": [thread.name for thread in threading.enumerate()],
        "sockets": [name for name in map(_open_file, Path("/proc/self/fd").iterdir()) if "socket" in name],
        "pidfds": [name for name in map(_open_file, Path("/proc/self/fd").iterdir()) if "pidfd" in name],
        "own_files": [name for name in map(_open_file, Path("/proc/self/fd").iterdir()) if name.endswith(".spoilt")],
    }


def _open_file(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""  # of the folder that was listed


def spoil(here: Path) -> None:
    """Leave everything otherwise than it was."""
    os.environ["SPOILT"] = "yes"
    os.environ.pop("BURNSCAR_DATA", None)
    os.chdir(here)
    sys.path.insert(0, str(here))
    torch.manual_seed(7)
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.DEBUG, force=True)
    warnings.simplefilter("error")
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.open(here / "file.spoilt", os.O_CREAT)


def work(spec: Path, report: Report) -> None:
    """Write the state, with numbers drawn at random, then spoil it."""
    here = StateSpec.read(spec).here
    drawn = [random.random(), float(np.random.random()), float(torch.rand(1))]
    content = {"state": state(), "drawn": drawn, "pid": os.getpid(), "parent": os.getppid()}
    (here / "state.json").write_text(json.dumps(content))
    report({"event": "done"})
    spoil(here)


if __name__ == "__main__":
    sys.exit(run_stage("state_stage", sys.argv[1:], work))
