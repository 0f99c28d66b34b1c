"""Stages that run in processes of their own: started, followed through Dagster Pipes, ended with this one.

A stage is one specification file and one module, `python -m module spec.json`, wherever it runs: in a process of
this machine, as a job of a Ray cluster (`on_ray.py`), or in a pod (`on_kubernetes.py`), as `compute.runs_on` of the
settings says. It tells what it does in a file beside the specification, so elsewhere the data root must lie on a
volume that both see, at the same path. Credentials stand in none of the two.
"""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg

import burnscar_assets.errors
from burnscar_assets.environment import CONFIG_VARIABLE, DATA_VARIABLE
from burnscar_assets.errors import BurnscarError
from burnscar_assets.operations import ComputeSettings
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.warm import IS_POSSIBLE, WarmProcess, WarmStages
from burnscar_assets.parent import child_environment
from burnscar_assets.progress import Progress
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.warm_server import Request

POLL_INTERVAL_S = 0.2
TERMINATION_GRACE_S = 10.0
PROCESS_ENVIRONMENT = {"PYTHONWARNINGS": "ignore", "PYTHONSAFEPATH": "1"}
"""Libraries' warnings would drown a run's log; no module is imported from the folder that a process starts in."""

Event = dict[str, Any]

_warm: Final = WarmStages()


@dataclass(frozen=True)
class Job:
    """A stage to run in a process of its own.

    Attributes:
        context: of the run that it belongs to.
        world: whose data it works on.
        module: its entry point.
        spec: the file that tells it what to do.
        gpus: how many it is given on another machine.
        alone: whether it starts no process that takes part in its work.
    """

    context: dg.AssetExecutionContext
    world: World
    module: str
    spec: Path
    gpus: int
    alone: bool

    @property
    def compute(self) -> ComputeSettings:
        """Where it runs, and what it asks for there."""
        return self.world.settings.compute

    @property
    def arguments(self) -> list[str]:
        """Of Python."""
        return ["-P", "-m", self.module, str(self.spec)]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that it needs on another machine, no secrets among them."""
        chosen = os.environ.get(CONFIG_VARIABLE)
        config = {CONFIG_VARIABLE: str(Path(chosen).resolve()) if Path(chosen).exists() else chosen} if chosen else {}
        return PROCESS_ENVIRONMENT | {DATA_VARIABLE: str(self.world.root.path.resolve())} | config

    @property
    def identity(self) -> str:
        """Known by this on a cluster: whoever starts it again ends the one that a killed run left there."""
        return hash_json([self.world.settings.name, self.module, str(self.spec)])[:16]


class Messages(dg.PipesFileMessageReader):
    """What a process reports, read from a file as it is written; its events are handed on as they come.

    Attributes:
        events: that were reported so far.
    """

    def __init__(self, path: Path, on_event: Callable[[Event], None]) -> None:
        super().__init__(str(path))
        self.events: list[Event] = []
        self._on_event = on_event

    @contextmanager
    def read_messages(self, handler: Any) -> Iterator[Any]:
        """As Dagster's reader does."""
        overheard: Any = _Overheard(handler, self._take)
        with super().read_messages(overheard) as parameters:
            yield parameters

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self._on_event(event)


class _Overheard:
    """A message handler of Dagster's whose custom messages go to someone else as well."""

    def __init__(self, handler: Any, listener: Callable[[Event], None]) -> None:
        self._handler, self._listener = handler, listener

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    def handle_message(self, message: Any) -> None:
        self._handler.handle_message(message)
        if message["method"] == "report_custom_message":
            self._listener(message["params"]["payload"])


def steps_to(progress: Progress) -> Callable[[Event], None]:
    """Hands the steps that a stage tells of on to a progress callback."""

    def follow(event: Event) -> None:
        if event["event"] == "step":
            progress(event["what"], event["done"], event["total"])

    return follow


def run_process(
    context: dg.AssetExecutionContext,
    world: World,
    module: str,
    spec: Path,
    on_event: Callable[[Event], None],
    gpus: int | None = None,
    alone: bool = True,
) -> None:
    """Run `python -m module spec` where the settings say, and hand on each event that it reports while it runs.

    Args:
        context: of the asset.
        world: whose settings say where.
        module: calls `process.run_stage`.
        spec: a `ProcessSpec` under the data root.
        on_event: called in another thread.
        gpus: what it holds of a cluster's; by default one, or none where training is on a CPU.
        alone: whether it starts no process that takes part in its work, so that on this machine it may be forked from
            one that has imported its libraries.

    Raises:
        BurnscarError: of the kind and with the message that the process reported.
        SettingsError: the cluster isn't there, or refuses.
    """
    held = min(world.settings.training.gpus, 1) if gpus is None else gpus
    job = Job(context, world, module, spec.resolve(), held, alone)
    messages = Messages(_message_file(job), on_event)
    warnings.simplefilter("ignore", dg.PreviewWarning)  # for good: what takes a filter back doesn't bear threads
    ended = _runner(job.compute)(job, messages)
    if ended is not None:
        raise _error(module, ended, messages.events)


def _runner(compute: ComputeSettings) -> Callable[[Job, Messages], str | None]:
    """Runs a job until it ends; if that was badly, it answers how, and what else is known in further lines."""
    if compute.runs_on == "ray":
        from burnscar_assets.orchestration.on_ray import run_on_ray

        return run_on_ray
    if compute.runs_on == "kubernetes":
        from burnscar_assets.orchestration.on_kubernetes import run_on_kubernetes

        return run_on_kubernetes
    return _run_here


def _message_file(job: Job) -> Path:
    """A file of this run's own, beside the specification; those that killed runs left go."""
    for left in job.spec.parent.glob(f"{job.spec.stem}.*.messages"):
        left.unlink(missing_ok=True)
    return job.spec.with_name(f"{job.spec.stem}.{job.context.run_id[:8]}.messages")


def _run_here(job: Job, messages: Messages) -> str | None:
    with dg.open_pipes_session(
        context=job.context, context_injector=dg.PipesTempFileContextInjector(), message_reader=messages
    ) as session:
        process = _start(job, session.get_bootstrap_env_vars())
        try:
            while not _has_ended(process, POLL_INTERVAL_S):
                continue
        finally:
            _end(process)
    return f"ended with exit code {process.returncode}" if process.returncode else None


def _start(job: Job, own: Mapping[str, str]) -> subprocess.Popen[bytes] | WarmProcess:
    """Start a job here, with variables of its own."""
    environment = {**os.environ, **PROCESS_ENVIRONMENT, **child_environment()}
    if job.alone and IS_POSSIBLE:
        return _warm.start(Request(job.module, str(job.spec), dict(own)), environment)
    return subprocess.Popen([sys.executable, *job.arguments], env={**environment, **own})


def _end(process: subprocess.Popen[bytes] | WarmProcess) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    if not _has_ended(process, TERMINATION_GRACE_S):
        process.kill()
        process.wait()


def _has_ended(process: subprocess.Popen[bytes] | WarmProcess, within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _error(module: str, ended: str, events: list[Event]) -> BurnscarError:
    reported = [event for event in events if event.get("event") == "error"]
    if reported:
        kind = getattr(burnscar_assets.errors, reported[-1]["error"], BurnscarError)
        return kind(reported[-1]["message"])
    how, _, said = ended.partition("\n")
    remedy = (
        f"{module} {how} and no word why (killed, or out of memory?); "
        "run the same partition again: it goes on where it stopped"
    )
    return BurnscarError(f"{remedy}\n{said}" if said else remedy)
