"""MLflow's and W&B's own packages are told of a run; they write files, ask no network, and never stop a run."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from burnscar_assets.models.loggers import FOLDER
from burnscar_assets.models.trainer import run_hash
from burnscar_assets_tests.models.training_kit import Plan, Run, Trained

SECRET = "key-that-nobody-must-see"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server, no key, and nothing left in the environment."""
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def texts(folder: Path) -> str:
    """All that the files of a folder say."""
    found = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(found).decode(errors="replace")


@pytest.mark.slow
def test_mlflow_has_losses_settings_and_what_was_seen(
    plan: Plan, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    spec = plan(max_epochs=2, logger="mlflow")
    spec = spec.model_copy(update={"dataset": _moved(spec.dataset, tmp_path)})
    manifest, events = run(spec)
    assert "logger" not in [event["event"] for event in events]
    client = MlflowClient((tmp_path / FOLDER / "mlflow").as_uri())
    (experiment,) = [found for found in client.search_experiments() if found.name == "burnscar"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.tags["run_hash"] == manifest.run_hash and found.data.tags["simulated"] == "true"
    assert found.data.params["seen_hash"] == spec.seen_hash
    losses = [metric.value for metric in client.get_metric_history(found.info.run_id, "val_loss")]
    assert losses == pytest.approx([row["val_loss"] for row in manifest.history], abs=1e-5)
    assert SECRET not in texts(tmp_path / FOLDER) and str(tmp_path) not in str(found.data.params)

    assert run_hash(plan("silent", max_epochs=2), "cpu") == manifest.run_hash


@pytest.mark.slow
def test_wandb_writes_files_and_asks_no_network(plan: Plan, tmp_path: Path) -> None:
    spec = plan(max_epochs=1, logger="wandb")
    spec = spec.model_copy(update={"dataset": _moved(spec.dataset, tmp_path)})
    command = [sys.executable, "-m", "burnscar_assets.models.trainer", str(spec.write(tmp_path / "spec.json"))]
    nowhere = {"WANDB_BASE_URL": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1"}
    done = subprocess.run(
        command, env=os.environ | nowhere, cwd=tmp_path, capture_output=True, text=True, timeout=480, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"event": "logger"' not in done.stderr and "wandb:" not in done.stderr + done.stdout
    (record,) = (tmp_path / FOLDER).rglob("*.wandb")
    assert b"val_loss" in record.read_bytes()


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_told_of_once_and_the_run_goes_on(
    plan: Plan, run: Run, monkeypatch: pytest.MonkeyPatch, undisturbed: Trained
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{probe.getsockname()[1]}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    manifest, events = run(plan(logger="mlflow"))
    assert [event["event"] for event in events].count("logger") == 1
    assert manifest.weights_sha256 == undisturbed[1].weights_sha256


def _moved(dataset: Path, folder: Path) -> Path:
    """The dataset under another data root, which is the test's own."""
    (folder / "dataset").symlink_to(dataset)
    return folder / "dataset"
