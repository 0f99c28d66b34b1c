"""A stage in a process of its own: told by a spec, it reports to Dagster, or to standard error if started by hand."""

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from burnscar_assets.errors import BurnscarError, InputError
from burnscar_assets.network.environment import share_transport
from burnscar_assets.parent import end_with_parent
from burnscar_assets.progress import Progress
from burnscar_assets.regions.load import work_in, working_region
from burnscar_assets.regions.region import Region
from burnscar_assets.storage.atomic import write_json

Report = Callable[[dict[str, Any]], None]
"""Called with `{"event": …}` as work goes on."""

STEP_INTERVAL_S = 5.0

RANK_VARIABLE = "LOCAL_RANK"
"""Number of a process among those of one stage, as Lightning gives it to those that it starts; the first has 0."""


class ProcessSpec(BaseModel):
    """What a process is told: one JSON file, for a local process, Ray or Kubernetes alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: Region = Field(default_factory=working_region, description="Region that the process works in.")

    def write(self, path: Path) -> Path:
        """Write the spec as JSON; returns the path."""
        write_json(path, self.model_dump(mode="json"))
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a spec, and have this process work in its region.

        Raises:
            InputError: the file is missing, is not JSON, or lacks a field.
        """
        try:
            spec = cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise InputError(f"{path} is no specification for a process ({cls.__name__}): {error}") from error
        work_in(spec.region)
        return spec


def is_follower() -> bool:
    """Whether this process was started by another of its stage, which alone reports and writes."""
    return os.environ.get(RANK_VARIABLE, "0") != "0"


def step_reports(report: Report) -> Progress:
    """Progress as reports, a few seconds apart."""
    last = float("-inf")

    def progress(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= STEP_INTERVAL_S:
            last = now
            report({"event": "step", "what": what, "done": done, "total": total})

    return progress


def run_stage(module: str, arguments: Sequence[str], work: Callable[[Path, Report], None]) -> int:
    """Do the work of the specification in the file given.

    Args:
        module: name of the module that is run, for the usage.
        arguments: of the command line: the specification's path.
        work: called with the path and a place for reports.

    Returns:
        The exit code: 0 if it went well, 2 with a message if a user can mend what went wrong.
    """
    if len(arguments) != 1:
        print(f"usage: python -m {module} spec.json", file=sys.stderr)
        return 2
    end_with_parent()
    prepare_environment()
    with _reporting() as report:
        try:
            work(Path(arguments[0]), report)
        except BurnscarError as error:
            report({"event": "error", "error": type(error).__name__, "message": str(error)})
            return 2
    return 0


def make_threads_doze() -> None:
    """Let threads that wait for each other, in torch that is not imported yet, fall asleep after some microseconds.

    Awake for longer, they slow each other several times over where cores are shared; asleep at once, they slow training
    by a sixth or more. Who sets a policy keeps it.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def collect_seldom() -> None:
    """Have Python look for cyclic garbage less often: with many objects, looking takes a tenth of the time."""
    gc.set_threshold(50_000, 20, 50)


def prepare_environment() -> None:
    """Make this process silent and offline, before it imports torch: no W&B, no progress bars, no code in weights."""
    os.environ.update(
        WANDB_MODE="disabled", WANDB_SILENT="true", TQDM_DISABLE="1", HF_HUB_OFFLINE="1", RSLEARN_LOGLEVEL="ERROR"
    )
    share_transport()
    make_threads_doze()
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)


@contextmanager
def _reporting() -> Iterator[Report]:
    from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

    if is_follower():
        yield lambda event: None
        return
    if not PipesEnvVarParamsLoader().is_dagster_pipes_process():
        yield lambda event: print(json.dumps(event), file=sys.stderr, flush=True)
        return
    with open_dagster_pipes() as context:

        def report(event: dict[str, Any]) -> None:
            context.report_custom_message(event)
            if event["event"] != "step":
                context.log.info(json.dumps(event))

        yield report
