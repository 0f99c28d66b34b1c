"""Stages as jobs of a real Ray cluster of this machine, whose GPU is only said to be there."""

import os
import secrets
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from burnscar_assets.classes import Split
from burnscar_assets.errors import BurnscarError, InputError, SettingsError
from burnscar_assets.models.manifest import verify_checkpoint
from burnscar_assets.models.plan import plan_training
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.models.training_kit import tiny_settings
from burnscar_assets_tests.orchestration.fault_kit import wait_until
from burnscar_assets_tests.orchestration.place_kit import REPOSITORY, is_alive, run_there, world_on
from burnscar_assets_tests.orchestration.told_stage import ToldSpec
from burnscar_assets_tests.tiny_dataset import make_tiny_dataset

HEAD = """
import sys, ray
cluster = ray.init(include_dashboard=True, dashboard_port=0, num_cpus=4, num_gpus=1, log_to_driver=False)
print("http://" + cluster.address_info["webui_url"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of the job server of a cluster that ends with the tests, and its token with it, which Ray remembers."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = os.environ | token | {"PATH": path, "PYTHONPATH": str(REPOSITORY)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen([sys.executable, "-c", HEAD], env=environment, text=True, **pipes) as head,
    ):
        for name, value in token.items():
            patch.setenv(name, value)
        address = next(line for line in head.stdout if line.startswith("http://"))
        yield address.strip()
        head.stdin.close()
    from ray._private.authentication_test_utils import reset_auth_token_state  # an import reads the token, too

    reset_auth_token_state()


@pytest.fixture
def world(tmp_path: Path, cluster: str) -> World:
    return world_on(DataRoot(tmp_path / "data"), runs_on="ray", ray_address=cluster, gpu_cpus=1, gpu_memory_gib=0.5)


@pytest.mark.slow
def test_a_job_holds_its_gpu_and_tells_as_it_goes(world: World, tmp_path: Path) -> None:
    events = run_there(world, ToldSpec(here=tmp_path))
    assert events == [{"event": "step", "number": n, "data": str(world.root.path)} for n in range(2)]
    assert (tmp_path / "made").read_text() == "0"


@pytest.mark.slow
def test_errors_of_a_job_are_those_that_it_reported_or_what_ray_says(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give another"):
        run_there(world, ToldSpec(here=tmp_path, end="refuse"))
    with pytest.raises(BurnscarError, match=r"run the same partition again(?s:.*)exit code 17"):
        run_there(world, ToldSpec(here=tmp_path, end="die"))


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_job(world: World, tmp_path: Path) -> None:
    def interrupt(event: dict) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(dg.DagsterExecutionInterruptedError):
        run_there(world, ToldSpec(here=tmp_path, count=1, end="wait"), on_event=interrupt)
    wait_until(lambda: not is_alive(int((tmp_path / "pid").read_text())), "the job ends")


@pytest.mark.slow
def test_the_trainer_runs_there_with_the_specification_that_it_has_here(world: World) -> None:
    make_tiny_dataset(world.root, years=(2019, 2020), windows_per_year=30, seed=1, packed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec = plan_training(tiny_settings(max_epochs=1), world.root, 2020)
    events = run_there(world, spec, "burnscar_assets.models.trainer")
    assert [event["event"] for event in events if event["event"] != "step"] == ["start", "reader", "epoch", "done"]
    manifest = verify_checkpoint(spec.checkpoint)
    assert manifest.weights_sha256 == events[-1]["weights_sha256"]
    assert spec.window_count(Split.TRAIN)


def test_without_a_cluster_the_error_names_the_setting(tmp_path: Path) -> None:
    nowhere = world_on(DataRoot(tmp_path), runs_on="ray", ray_address="http://127.0.0.1:1")
    with pytest.raises(SettingsError, match=r"no Ray job server at http://127.0.0.1:1 .*compute.ray_address"):
        run_there(nowhere, ToldSpec(here=tmp_path))
