"""What the values of the Helm chart and the GPU tags make of a run's pod; no cluster is asked.

`rendered_instance` and `rendered_context` do what the chart's templates do with our values (configmap-instance.yaml
and dagsterUserDeployments.k8sContainerContext of chart 1.13).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.instance.config import dagster_instance_config
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.storage.dagster_run import DagsterRun
from dagster._serdes import ConfigurableClassData
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job

from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.operations import ComputeSettings
from burnscar_assets.orchestration.runs import GPU_RESOURCE, gpu_tags
from burnscar_assets.settings import load_settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
IMAGE = "registry.example.internal/burnscar:0.1.0"

Values = dict[str, Any]


@pytest.fixture(scope="module")
def values() -> Values:
    return yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())


@pytest.fixture
def launcher(values: Values, tmp_path: Path) -> K8sRunLauncher:
    """The run launcher of the chart's instance, with a cluster's address that is never used."""
    block = rendered_instance(values)["run_launcher"]
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {}}
    content = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"}
    kubeconfig.write_text(yaml.safe_dump(content))
    config = block["config"] | {"load_incluster_config": False, "kubeconfig_file": str(kubeconfig)}
    return ConfigurableClassData(block["module"], block["class"], yaml.safe_dump(config)).rehydrate(K8sRunLauncher)


def snake(content: Mapping[str, Any]) -> dict[str, Any]:
    return {re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower(): value for name, value in content.items()}


def names(sources: list[dict[str, str]]) -> list[str]:
    return [source["name"] for source in sources]


def rendered_instance(values: Values) -> dict[str, Any]:
    """The parts of the chart's dagster.yaml that our values decide."""
    daemon, launcher = values["dagsterDaemon"], values["runLauncher"]
    given = launcher["config"]["k8sRunLauncher"]
    config = snake(given) | {
        "job_namespace": "burnscar",
        "service_account_name": values["serviceAccount"]["name"],
        "dagster_home": "/opt/dagster/dagster_home",
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "env_secrets": names(given["envSecrets"]),
        "run_k8s_config": snake(given["runK8sConfig"]),
    }
    coordinator = daemon["runCoordinator"]
    logs = values["computeLogManager"]
    return {
        "run_launcher": {"module": "dagster_k8s", "class": launcher["type"], "config": config},
        "run_coordinator": {
            "module": "dagster._core.run_coordinator",
            "class": coordinator["type"],
            "config": {k: v for k, v in snake(coordinator["config"]["queuedRunCoordinator"]).items() if v is not None},
        },
        "compute_logs": {
            "module": "dagster_aws.s3.compute_log_manager",
            "class": logs["type"],
            "config": snake(logs["config"]["s3ComputeLogManager"]),
        },
        "run_monitoring": snake(daemon["runMonitoring"]),
        "run_retries": snake(daemon["runRetries"]),
        "telemetry": values["telemetry"],
        **values["additionalInstanceConfig"],
    }


def rendered_context(values: Values) -> dict[str, Any]:
    """What the code location tells the launcher about its runs."""
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert deployment["includeConfigInLaunchedRuns"]["enabled"]
    kept = {"env", "volumes", "volumeMounts", "labels", "resources"} & deployment.keys()
    context = snake({name: deployment[name] for name in kept})
    return {"k8s": context | {"env_secrets": names(deployment["envSecrets"])}}


def pod(values: Values, launcher: K8sRunLauncher, tags: Mapping[str, str]) -> dict[str, Any]:
    """The pod's specification that the launcher would hand to Kubernetes for a run with these tags."""
    origin = RepositoryPythonOrigin(
        executable_path="python",
        code_pointer=ModuleCodePointer("burnscar_assets.definitions", "definitions"),
        container_image=IMAGE,
        container_context=rendered_context(values),
    )
    run = DagsterRun(job_name="job", tags=tags, job_code_origin=JobPythonOrigin("job", origin))
    context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=True)
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config(IMAGE, launcher), ["run"], "name", user_defined_k8s_config=context.run_k8s_config
    )
    return job.to_dict()["spec"]["template"]["spec"]


def test_the_charts_instance_is_valid(values: Values, tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(rendered_instance(values)))
    accepted, _ = dagster_instance_config(str(tmp_path))
    assert accepted["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}


def test_the_queue_and_pools_are_those_of_the_postgres_instance(values: Values) -> None:
    chart, single = rendered_instance(values), yaml.safe_load((DEPLOY / "postgres" / "dagster.yaml").read_text())
    chart["concurrency"]["runs"]["max_concurrent_runs"] = single["concurrency"]["runs"]["max_concurrent_runs"]
    assert chart["concurrency"] == single["concurrency"]
    assert values["postgresql"]["postgresqlScheme"] == single["storage"]["postgres"]["postgres_db"]["scheme"]


def test_a_gpu_run_gets_a_gpu_on_a_chosen_node(values: Values, launcher: K8sRunLauncher) -> None:
    spec = pod(
        values, launcher, gpu_tags(ComputeSettings(gpu_cpus=8, gpu_memory_gib=32, gpu_node_selector={"pool": "gpu"}))
    )
    (container,) = spec["containers"]
    assert container["resources"]["limits"] == {"memory": "32Gi", GPU_RESOURCE: "1"}
    assert container["resources"]["requests"] == {"cpu": "8", "memory": "32Gi", GPU_RESOURCE: "1"}
    assert spec["node_selector"] == {"pool": "gpu"}
    assert [(t["key"], t["operator"]) for t in spec["tolerations"]] == [(GPU_RESOURCE, "Exists")]
    assert {mount["mount_path"] for mount in container["volume_mounts"]} >= {"/data", "/dev/shm"}


def test_another_run_gets_no_gpu(values: Values, launcher: K8sRunLauncher) -> None:
    spec = pod(values, launcher, {})
    (container,) = spec["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "8Gi"},
        "limits": {"memory": "8Gi"},
        "claims": None,
    }
    assert not spec["node_selector"] and not spec["tolerations"]


def test_run_pods_have_the_world_the_store_and_credentials_by_name(values: Values, launcher: K8sRunLauncher) -> None:
    spec = pod(values, launcher, {})
    (container,) = spec["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert load_settings(CONFIGS_DIR / f"{variables['BURNSCAR_CONFIG']}.yaml").name
    assert variables["BURNSCAR_STORE"].startswith("s3://")
    assert variables["BURNSCAR_DATA"] in {mount["mount_path"] for mount in container["volume_mounts"]}
    assert "burnscar-env" in [source["secret_ref"]["name"] for source in container["env_from"] if source["secret_ref"]]
    password = next(entry for entry in container["env"] if entry["name"] == "DAGSTER_PG_PASSWORD")
    assert password["value_from"]["secret_key_ref"]["name"] == values["global"]["postgresqlSecretName"]
    assert spec["security_context"]["run_as_non_root"] and spec["service_account_name"] == "burnscar"
    allowed = container["security_context"]
    assert allowed["allow_privilege_escalation"] is False and allowed["capabilities"]["drop"] == ["ALL"]


def test_pods_that_stay_have_no_privileges_and_the_web_server_no_secret_of_the_stages(values: Values) -> None:
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    for pod_values in (deployment, values["dagsterWebserver"], values["dagsterDaemon"]):
        assert pod_values["podSecurityContext"]["runAsNonRoot"]
        assert pod_values["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert [secret["name"] for secret in values["dagsterWebserver"]["envSecrets"]] == ["burnscar-logs"]
    assert values["dagsterWebserver"]["service"]["type"] == "ClusterIP"


def test_no_credential_stands_in_the_values() -> None:
    text = (DEPLOY / "kubernetes" / "values.yaml").read_text()
    assert not re.search(r"(?i)(password|secret_access_key|token)\s*:\s*\S", text.replace("PasswordSecret: false", ""))
