"""Runs whose process is gone are found, reported, and free their places; living ones are left alone."""

import os
import signal
import subprocess
import sys

import dagster as dg
import pytest

from burnscar_assets.orchestration.stage import GPU_POOL
from burnscar_assets.orchestration.unfinished import PROCESS_TAG, fail_interrupted_runs, this_process


def started_run(instance: dg.DagsterInstance, process: str | None) -> dg.DagsterRun:
    """A run that Dagster takes for running, in a process."""

    @dg.job
    def empty() -> None: ...

    run = instance.create_run_for_job(empty, tags={PROCESS_TAG: process} if process else {})
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name="empty"), run_id=run.run_id
    )
    return run


def identity_of_a_killed_process() -> str:
    program = "from burnscar_assets.orchestration.unfinished import *; print(this_process(), flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    identity = process.stdout.readline().strip()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return identity


@pytest.mark.filterwarnings("ignore")
def test_only_runs_whose_process_is_gone_are_failed() -> None:
    with dg.instance_for_test() as instance:
        dead = started_run(instance, identity_of_a_killed_process())
        living = started_run(instance, this_process())
        elsewhere = started_run(instance, "another-host:1:1")
        unknown = started_run(instance, None)
        assert fail_interrupted_runs(instance) == [dead.run_id]
        statuses = {run.run_id: run.status for run in instance.get_runs()}
        assert statuses[dead.run_id] is dg.DagsterRunStatus.FAILURE
        for run in (living, elsewhere, unknown):
            assert statuses[run.run_id] is dg.DagsterRunStatus.STARTED
        assert fail_interrupted_runs(instance) == []


@pytest.mark.filterwarnings("ignore")
def test_its_place_in_the_gpu_pool_is_freed() -> None:
    with dg.instance_for_test() as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots(GPU_POOL, 1)
        dead = started_run(instance, identity_of_a_killed_process())
        assert storage.claim_concurrency_slot(GPU_POOL, dead.run_id, "checkpoint").is_claimed
        assert not storage.claim_concurrency_slot(GPU_POOL, "other", "checkpoint").is_claimed
        fail_interrupted_runs(instance)
        assert storage.claim_concurrency_slot(GPU_POOL, "other", "checkpoint").is_claimed


@pytest.mark.filterwarnings("ignore")
def test_the_place_of_a_run_that_dagster_found_dead_is_freed_too() -> None:
    with dg.instance_for_test() as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots(GPU_POOL, 1)
        dead, living = started_run(instance, identity_of_a_killed_process()), started_run(instance, this_process())
        assert storage.claim_concurrency_slot(GPU_POOL, dead.run_id, "checkpoint").is_claimed
        instance.report_run_failed(dead)
        fail_interrupted_runs(instance)
        assert storage.claim_concurrency_slot(GPU_POOL, living.run_id, "checkpoint").is_claimed
        fail_interrupted_runs(instance)
        assert not storage.claim_concurrency_slot(GPU_POOL, "other", "checkpoint").is_claimed


def test_a_process_is_known_by_its_start_too() -> None:
    host, pid, started = this_process().split(":")
    assert (int(pid), bool(started), bool(host)) == (os.getpid(), True, True)
