"""What is said with every run that this product asks for, and what a failed one says."""

from collections.abc import Collection

import dagster as dg

from burnscar_assets.orchestration.compute import gpu_tags
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.settings import Settings

REFRESH_TAG = "burnscar/refresh"
PRIORITY_TAG = "dagster/priority"
NO_REASON = "no reason was recorded; look at the run's page in the web UI"


def run_tags(world: World, pairs: Collection[Pair]) -> dict[str, str]:
    """Tags of a run of pairs of one fire year: the newest year goes first through the queue, the release before all."""
    years = [pair.fire_year for pair in pairs if pair.fire_year is not None]
    newest = max(map(int, world.fire_years.get_partition_keys()))
    after_first = max(years) - world.settings.years.first if years else newest + 1 - world.settings.years.first
    return {PRIORITY_TAG: str(after_first)} | (
        gpu_stage_tags(world.settings) if any(map(world.needs_gpu, pairs)) else {}
    )


def gpu_stage_tags(settings: Settings) -> dict[str, str]:
    """What a GPU stage asks Kubernetes and Ray for, on its step and on its run; nothing if its process asks itself."""
    if settings.compute.runs_on != "local":
        return {}
    return gpu_tags(settings.compute, max(settings.training.gpus, 1))


def failure_reason(instance: dg.DagsterInstance, run_id: str) -> str:
    """What the failing step said, in one line; else what is known of the run's end."""
    for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records:
        event = record.event_log_entry.dagster_event
        error = event.step_failure_data.error if event is not None else None
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None:
            return error.message.strip().splitlines()[0]
    for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.message:
            return event.message.strip().splitlines()[0]
    return NO_REASON
