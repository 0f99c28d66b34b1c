"""What is said with every run that this product asks for, what a GPU stage asks for, and what a failed run says.

What a GPU stage asks Kubernetes and Ray for goes as tags on the steps (`op_tags`), where an executor starts each step
by itself, and on the runs that hold a GPU stage, where a launcher starts the run as a whole: op tags never become run
tags. Without such an executor or launcher they are read by nobody.
"""

import json
from collections.abc import Collection
from typing import Any, Final

import dagster as dg

from burnscar_assets.operations import ComputeSettings
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


GPU_RESOURCE = "nvidia.com/gpu"
KUBERNETES_TAG = "dagster-k8s/config"
RAY_TAG = "dagster-ray/config"

_GIB = 1024**3


def gpu_tags(compute: ComputeSettings, gpus: int = 1) -> dict[str, str]:
    """Tags of a step or run that trains or evaluates in it, as JSON."""
    return {
        KUBERNETES_TAG: json.dumps(pod_config(compute, gpus)),
        RAY_TAG: json.dumps({"num_gpus": gpus, "num_cpus": compute.gpu_cpus, "memory": memory_bytes(compute)}),
    }


NO_PRIVILEGES: Final = {
    "allow_privilege_escalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccomp_profile": {"type": "RuntimeDefault"},
}
"""Security context of a container that needs no more than an ordinary user may."""


def pod_config(compute: ComputeSettings, gpus: int) -> dict[str, Any]:
    """`container_config` and `pod_spec_config` of a pod that holds so many GPUs, as dagster-k8s takes them."""
    held = {"cpu": f"{compute.gpu_cpus:g}", "memory": f"{compute.gpu_memory_gib:g}Gi"}
    if gpus:
        held[GPU_RESOURCE] = str(gpus)
    limits = {name: amount for name, amount in held.items() if name != "cpu"}
    shared_memory: dict[str, str] = {"medium": "Memory"}
    if compute.shared_memory_gib is not None:
        shared_memory["size_limit"] = f"{compute.shared_memory_gib:g}Gi"
    return {
        "container_config": {
            "resources": {"requests": held, "limits": limits},
            "volume_mounts": [{"name": "shared-memory", "mount_path": "/dev/shm"}],  # noqa: S108
            "security_context": NO_PRIVILEGES,
        },
        "pod_spec_config": {
            "node_selector": dict(compute.gpu_node_selector) if gpus else {},
            "tolerations": [dict(said) for said in compute.gpu_tolerations] if gpus else [],
            "volumes": [{"name": "shared-memory", "empty_dir": shared_memory}],
        },
    }


def memory_bytes(compute: ComputeSettings) -> int:
    """Main memory of a GPU stage."""
    return int(compute.gpu_memory_gib * _GIB)
