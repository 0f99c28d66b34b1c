"""What a GPU stage asks Kubernetes and Ray for.

As tags it goes on the steps (`op_tags`), where an executor starts each step by itself, and on the runs that hold
a GPU stage, where a launcher starts the run as a whole: op tags never become run tags. Without such an executor
or launcher they are read by nobody.
"""

import json
from typing import Any, Final

from burnscar_assets.operations import ComputeSettings

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
