"""Stages in pods: the manifest, and a cluster's API whose pods are processes of this machine."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from kubernetes.client import ApiClient

from burnscar_assets.errors import BurnscarError, InputError, SettingsError
from burnscar_assets.operations import ComputeSettings
from burnscar_assets.orchestration import on_kubernetes
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.runs import GPU_RESOURCE, KUBERNETES_TAG, gpu_stage_tags
from burnscar_assets.settings import parse_settings
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.orchestration.kubernetes_server import Cluster, bare_environment, kubernetes_cluster
from burnscar_assets_tests.orchestration.place_kit import is_alive, run_there, world_on
from burnscar_assets_tests.orchestration.told_stage import ToldSpec

IMAGE = "registry.example.internal/burnscar:0.1.0"
SECRET = {"AWS_SECRET_ACCESS_KEY": "not-to-be-seen"}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(on_kubernetes, "POLL_INTERVAL_S", 0.1)
    with kubernetes_cluster(tmp_path, {"burnscar-env": bare_environment() | SECRET}) as (served, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield served


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_on(
        DataRoot(tmp_path / "volume" / "data"),
        runs_on="kubernetes",
        image=IMAGE,
        volume_claim="burnscar-data",
        volume_path=str(tmp_path / "volume"),
        secret="burnscar-env",
        gpu_cpus=8,
        gpu_memory_gib=32,
        shared_memory_gib=8,
        gpu_node_selector={"pool": "gpu"},
    )


def test_a_pod_runs_the_specification_and_tells_as_it_goes(world: World, cluster: Cluster, tmp_path: Path) -> None:
    events = run_there(world, ToldSpec(here=tmp_path), gpus=2)
    assert events == [{"event": "step", "number": n, "data": str(world.root.path)} for n in range(2)]
    assert (tmp_path / "made").exists()
    assert not cluster.processes, "the pod is deleted"

    (pod,) = cluster.pods.values()
    (container,) = pod.spec.containers
    assert container.image == IMAGE
    assert container.command == [
        "python",
        "-P",
        "-m",
        ToldSpec.__module__,
        str(world.root.path / "specs/stage-2020.json"),
    ]
    assert container.resources.requests == {"cpu": "8", "memory": "32Gi", GPU_RESOURCE: "2"}
    assert container.resources.limits == {"memory": "32Gi", GPU_RESOURCE: "2"}
    assert {m.mount_path for m in container.volume_mounts} == {"/dev/shm", str(tmp_path / "volume")}
    memory, data = pod.spec.volumes
    assert (memory.empty_dir.medium, memory.empty_dir.size_limit) == ("Memory", "8Gi")
    assert data.persistent_volume_claim.claim_name == "burnscar-data"
    assert pod.spec.node_selector == {"pool": "gpu"}
    assert [said.key for said in pod.spec.tolerations] == [GPU_RESOURCE]
    assert pod.spec.security_context.run_as_non_root and pod.spec.restart_policy == "Never"
    (container,) = pod.spec.containers
    assert container.security_context.capabilities.drop == ["ALL"]
    assert container.security_context.allow_privilege_escalation is False
    assert [source.secret_ref.name for source in container.env_from] == ["burnscar-env"]
    assert SECRET["AWS_SECRET_ACCESS_KEY"] not in str(pod)


def test_without_a_gpu_no_node_with_one_is_asked_for(world: World, cluster: Cluster, tmp_path: Path) -> None:
    run_there(world, ToldSpec(here=tmp_path), gpus=0)
    (pod,) = cluster.pods.values()
    assert GPU_RESOURCE not in pod.spec.containers[0].resources.requests
    assert not pod.spec.node_selector and not pod.spec.tolerations


def test_errors_of_a_pod_are_those_that_it_reported_or_what_kubernetes_says(
    world: World, cluster: Cluster, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="give another"):
        run_there(world, ToldSpec(here=tmp_path, end="refuse"))
    with pytest.raises(BurnscarError, match=r"failed in its pod.*run the same partition again"):
        run_there(world, ToldSpec(here=tmp_path, end="die"))

    def lose(event: dict) -> None:
        cluster.lost = True

    with pytest.raises(BurnscarError, match="run the same partition again"):
        run_there(world, ToldSpec(here=tmp_path, count=1, end="wait"), on_event=lose)


def test_an_interrupted_run_leaves_no_pod(world: World, cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        run_there(
            world,
            ToldSpec(here=tmp_path, count=1, end="wait"),
            on_event=lambda event: os.kill(os.getpid(), signal.SIGINT),
        )
    assert not cluster.processes
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_the_pod_that_a_killed_run_left_ends_before_another_begins(
    world: World, cluster: Cluster, tmp_path: Path
) -> None:
    run_there(world, ToldSpec(here=tmp_path))
    (left,) = cluster.pods.values()
    left.metadata.name = "left"
    left.spec.containers[0].command = ["sleep", "600"]
    cluster.create(ApiClient().sanitize_for_serialization(left))
    process = cluster.processes["left"]
    run_there(world, ToldSpec(here=tmp_path))
    assert process.poll() is not None and not cluster.processes


def test_settings_that_cannot_work_say_so(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = world.settings.model_dump(mode="json")
    content["compute"] |= {"image": None, "volume_claim": None}
    with pytest.raises(SettingsError, match="needs image and volume_claim"):
        parse_settings(content, "test")
    elsewhere = world_on(world.root, **world.settings.compute.model_dump() | {"volume_path": "/elsewhere"})
    with kubernetes_cluster(tmp_path, {}) as (_, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        with pytest.raises(SettingsError, match=r"isn't under compute.volume_path /elsewhere"):
            run_there(elsewhere, ToldSpec(here=tmp_path))
        with pytest.raises(SettingsError, match=r"refuses the pod \(422"):
            run_there(world, ToldSpec(here=tmp_path))
    with pytest.raises(SettingsError, match="no Kubernetes cluster answers"):
        run_there(world, ToldSpec(here=tmp_path))


def test_the_run_itself_asks_for_no_gpu_if_its_stage_does(world: World) -> None:
    assert gpu_stage_tags(world.settings) == {}
    several = {"training": world.settings.training.model_copy(update={"devices": 2}), "compute": ComputeSettings()}
    asked = json.loads(gpu_stage_tags(world.settings.model_copy(update=several))[KUBERNETES_TAG])
    assert asked["container_config"]["resources"]["requests"][GPU_RESOURCE] == "2"
