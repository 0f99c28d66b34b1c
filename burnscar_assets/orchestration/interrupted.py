"""Runs whose process is gone: killed, or lost with the machine. Dagster would take them for running for ever.

Each run is tagged with the process that it runs in; a run that should be in progress but whose process isn't there any
more is reported as failed. Places in pools that it held are freed, also if Dagster noticed its end first.
"""

import os
import socket
from pathlib import Path

import dagster as dg

PROCESS_TAG = "burnscar/process"
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def this_process() -> str:
    """Host, process id and start time of this process."""
    return _identity(os.getpid())


def fail_interrupted_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs of this machine whose process is gone as failed; returns their ids."""
    failed = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        process = run.tags.get(PROCESS_TAG)
        if process and _is_gone(process):
            instance.report_run_failed(run, f"its process ({process}) is gone: run the same partition again")
            failed.append(run.run_id)
    _free_places_of_ended_runs(instance)
    return failed


def fail_runs_of_this_process(instance: dg.DagsterInstance) -> None:
    """Report runs of this process that were interrupted, and didn't come to tell so, as failed."""
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags={PROCESS_TAG: this_process()})):
        instance.report_run_failed(run, "it was interrupted: run the same partition again")
    _free_places_of_ended_runs(instance)


def _free_places_of_ended_runs(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    holders = storage.get_concurrency_run_ids()
    for run in instance.get_runs(dg.RunsFilter(run_ids=list(holders))) if holders else ():
        if run.is_finished:
            storage.free_concurrency_slots_for_run(run.run_id)


def _is_gone(process: str) -> bool:
    host, pid, _ = process.split(":")
    return host == socket.gethostname() and _identity(int(pid)) != process


def _identity(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{_start_time(pid)}"


def _start_time(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty if there is none, or none that can be told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
