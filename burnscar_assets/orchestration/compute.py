"""Tags that ask Kubernetes and Ray for a machine with a GPU.

The same tags go on the steps (`op_tags`), where an executor starts each step by itself, and on the runs that hold
a GPU stage, where a launcher starts the run as a whole: op tags never become run tags. Without such an executor
or launcher they are read by nobody.
"""

import json
from collections.abc import Mapping

GPU_RESOURCE = "nvidia.com/gpu"
KUBERNETES_TAG = "dagster-k8s/config"
RAY_TAG = "dagster-ray/config"

_GIB = 1024**3


def gpu_tags(
    *, gpus: int = 1, cpus: float = 4, memory_gib: float = 16, node_selector: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Tags of a step or run that trains or evaluates, as JSON.

    Args:
        gpus: GPUs to hold.
        cpus: processor cores to hold.
        memory_gib: main memory to hold, in GiB; the limit too.
        node_selector: labels that a Kubernetes node must have; empty: any with the GPUs.
    """
    held = {"cpu": f"{cpus:g}", "memory": f"{memory_gib:g}Gi", GPU_RESOURCE: str(gpus)}
    limits = {name: amount for name, amount in held.items() if name != "cpu"}
    kubernetes = {
        "container_config": {
            "resources": {"requests": held, "limits": limits},
            "volume_mounts": [{"name": "shared-memory", "mount_path": "/dev/shm"}],  # noqa: S108
        },
        "pod_spec_config": {
            "node_selector": dict(node_selector or {}),
            "tolerations": [{"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"}],
            "volumes": [{"name": "shared-memory", "empty_dir": {"medium": "Memory"}}],
        },
    }
    ray = {"num_gpus": gpus, "num_cpus": cpus, "memory": int(memory_gib * _GIB)}
    return {KUBERNETES_TAG: json.dumps(kubernetes), RAY_TAG: json.dumps(ray)}
