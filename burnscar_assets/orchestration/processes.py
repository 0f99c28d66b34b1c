"""Stages that run in processes of their own, through Dagster Pipes: started, followed, ended with this one."""

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

import burnscar_assets.errors
from burnscar_assets.errors import BurnscarError
from burnscar_assets.parent import child_environment

POLL_INTERVAL_S = 0.2
TERMINATION_GRACE_S = 10.0
PROCESS_ENVIRONMENT = {"PYTHONWARNINGS": "ignore"}
"""Libraries' warnings would drown a run's log."""

Event = dict[str, Any]


def run_process(context: dg.AssetExecutionContext, module: str, spec: Path, on_event: Callable[[Event], None]) -> None:
    """Run `python -m module spec` and hand on each event that it reports while it runs.

    Raises:
        BurnscarError: of the kind and with the message that the process reported.
    """
    with _session(context) as session:
        environment = {**os.environ, **PROCESS_ENVIRONMENT, **child_environment(), **session.get_bootstrap_env_vars()}
        process = subprocess.Popen([sys.executable, "-m", module, str(spec)], env=environment)
        handed_on = 0
        try:
            while process.poll() is None:
                time.sleep(POLL_INTERVAL_S)
                handed_on = _hand_on(session, handed_on, on_event)
        finally:
            _end(process)
    events = session.get_custom_messages()
    for event in events[handed_on:]:
        on_event(event)
    if process.returncode:
        raise _error(module, process.returncode, events)


@contextmanager
def _session(context: dg.AssetExecutionContext) -> Iterator[dg.PipesSession]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(),
        ) as session:
            yield session


def _hand_on(session: dg.PipesSession, handed_on: int, on_event: Callable[[Event], None]) -> int:
    events = session.get_custom_messages()
    for event in events[handed_on:]:
        on_event(event)
    return len(events)


def _end(process: subprocess.Popen) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(TERMINATION_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _error(module: str, exit_code: int, events: Sequence[Event]) -> BurnscarError:
    reported = [event for event in events if event.get("event") == "error"]
    if reported:
        kind = getattr(burnscar_assets.errors, reported[-1]["error"], BurnscarError)
        return kind(reported[-1]["message"])
    return BurnscarError(
        f"{module} ended with exit code {exit_code} and no word why (killed, or out of memory?); "
        "run the same partition again: it goes on where it stopped"
    )
