"""The instances of deploy/ differ from the one that `burnscar` uses only where they must, and Ray's is valid."""

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster_ray import RayRunLauncher
from dagster_ray.core.run_launcher import RayLauncherConfig

from burnscar_assets.operations import ComputeSettings
from burnscar_assets.orchestration.runs import RAY_TAG, gpu_tags

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def test_ray_differs_from_postgres_in_the_launcher_only() -> None:
    ray = load(DEPLOY / "ray" / "dagster.yaml")
    del ray["run_launcher"]
    assert ray == load(DEPLOY / "postgres" / "dagster.yaml")


@pytest.mark.parametrize("name", ["postgres", "ray"])
def test_pools_and_privacy_are_as_in_the_embedded_instance(name: str) -> None:
    embedded, deployed = load(REPOSITORY / "dagster.yaml"), load(DEPLOY / name / "dagster.yaml")
    for key in ("telemetry", "nux"):
        assert deployed[key] == embedded[key]
    assert deployed["concurrency"]["pools"] == embedded["concurrency"]["pools"]


def test_the_ray_launcher_takes_the_cluster_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://head.example:8265")
    shutil.copyfile(DEPLOY / "ray" / "dagster.yaml", tmp_path / "dagster.yaml")
    launcher = InstanceRef.from_dir(str(tmp_path)).run_launcher
    assert isinstance(launcher, RayRunLauncher)
    assert (launcher.address, launcher.num_cpus) == ("http://head.example:8265", 2)
    assert not [name for name in launcher.env_vars or () if name.startswith(("AWS_", "DAGSTER_PG_"))]


def test_a_gpu_run_asks_ray_for_its_gpu() -> None:
    asked = RayLauncherConfig.from_tags(gpu_tags(ComputeSettings(gpu_cpus=8, gpu_memory_gib=32)))
    assert (asked.num_gpus, asked.num_cpus, asked.memory) == (1, 8, 32 * 2**30)


def test_tags_survive_dagsters_own_rules_for_tags() -> None:
    tags = gpu_tags(ComputeSettings(gpu_node_selector={"pool": "gpu"}))
    request = dg.RunRequest(tags=tags)
    assert json.loads(request.tags[RAY_TAG])["num_gpus"] == 1

    @dg.asset(op_tags=tags)
    def trained() -> None: ...

    assert json.loads(trained.op.tags[RAY_TAG]) == json.loads(tags[RAY_TAG])
