"""A stage's process in a pod of its own, through Dagster's Pipes client for Kubernetes."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnscar_assets.errors import SettingsError
from burnscar_assets.orchestration.processes import Job, Messages
from burnscar_assets.orchestration.runs import pod_config

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

POLL_INTERVAL_S = 2.0
JOB_LABEL = "burnscar/job"
DATA_VOLUME = "data"
USER = 10001
"""Who owns the data: the user of deploy/Dockerfile."""

GRACE_S = 5
"""A stage that is told to end has nothing to tidy up."""

SAID_AT_MOST = 2000
"""Characters of what Kubernetes says of a failure; the end says most."""


def run_on_kubernetes(job: Job, messages: Messages) -> str | None:
    """Run a job to its end; None if it went well, else how it ended. Its pod goes then, or if this run is stopped.

    Raises:
        SettingsError: the packages for it aren't installed here, no cluster answers, or it refuses the pod.
    """
    try:
        from dagster_k8s import PipesK8sClient
        from dagster_k8s.client import DagsterK8sError
        from dagster_k8s.utils import detect_current_namespace
        from kubernetes.client import ApiException, CoreV1Api
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError
    except ImportError as error:
        raise SettingsError(
            "compute.runs_on: kubernetes needs its packages: install burnscar-assets[kubernetes]"
        ) from error

    kubeconfig = os.environ.get("KUBECONFIG") or None
    client = PipesK8sClient(kubeconfig_file=kubeconfig, message_reader=messages, poll_interval=POLL_INTERVAL_S)
    try:
        _load_configuration(kubeconfig)
        namespace = job.compute.namespace or detect_current_namespace(kubeconfig) or "default"
        _delete_left_behind(CoreV1Api(), namespace, job)
        client.run(
            context=job.context,
            image=job.compute.image,
            command=["python", *job.arguments],
            namespace=namespace,
            env=job.environment,
            base_pod_meta={"labels": {JOB_LABEL: job.identity}},
            base_pod_spec=pod_spec(job),
            pod_wait_timeout=0,
        )
    except DagsterK8sError as error:
        return f"failed in its pod\n{str(error)[-SAID_AT_MOST:]}"
    except ApiException as error:
        if error.status == 404:
            return "lost its pod"
        raise SettingsError(f"Kubernetes refuses the pod ({error.status} {error.reason}): {error.body}") from error
    except (ConfigException, HTTPError, OSError) as error:
        raise SettingsError(
            f"no Kubernetes cluster answers ({error}): run it within one or set KUBECONFIG, or correct compute.runs_on"
        ) from error
    return None


def _load_configuration(kubeconfig: str | None) -> None:
    """Find the cluster as Dagster's client does."""
    from kubernetes.config import load_incluster_config, load_kube_config

    if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        load_incluster_config()
    else:
        load_kube_config(config_file=kubeconfig)


def _delete_left_behind(core: "CoreV1Api", namespace: str, job: Job) -> None:
    """End the pods of runs that were killed, and see them gone: they would write beside the one to come."""
    selector = f"{JOB_LABEL}={job.identity}"
    while left := core.list_namespaced_pod(namespace, label_selector=selector).items:
        for pod in left:
            if pod.metadata.deletion_timestamp is None:
                core.delete_namespaced_pod(pod.metadata.name, namespace)
        time.sleep(POLL_INTERVAL_S)


def pod_spec(job: Job) -> dict[str, Any]:
    """The pod but for image, command and environment: what it holds, the data's volume, secrets by name only.

    Raises:
        SettingsError: the data root lies outside of the volume.
    """
    compute, root = job.compute, job.world.root.path.resolve()
    mount = Path(compute.volume_path or root)
    if not root.is_relative_to(mount):
        raise SettingsError(f"the data root {root} isn't under compute.volume_path {mount}: pods would not see it")
    config = pod_config(compute, job.gpus)
    container, pod = config["container_config"], config["pod_spec_config"]
    container["volume_mounts"].append({"name": DATA_VOLUME, "mount_path": str(mount)})
    if compute.secret is not None:
        container["env_from"] = [{"secret_ref": {"name": compute.secret}}]
    claim = {"name": DATA_VOLUME, "persistent_volume_claim": {"claim_name": compute.volume_claim}}
    return pod | {
        "containers": [container],
        "volumes": [*pod["volumes"], claim],
        "security_context": {"run_as_non_root": True, "run_as_user": USER, "fs_group": USER},
        "termination_grace_period_seconds": GRACE_S,
        "automount_service_account_token": False,
        "restart_policy": "Never",
    }
