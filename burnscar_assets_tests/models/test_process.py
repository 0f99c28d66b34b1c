"""The trainer as a process: killed, told nonsense, under Dagster Pipes; and rslearn's own command on its files."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml
from rslearn.utils.vector_format import GeojsonVectorFormat

from burnscar_assets.classes import CLASS_NAMES
from burnscar_assets.dataset.config import open_dataset
from burnscar_assets.models.manifest import MANIFEST_FILE, load_manifest
from burnscar_assets.models.plots import plot_learning_curves
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.models.trainer import main
from burnscar_assets_tests.models.training_kit import Plan, Run, Trained

RSLEARN = Path(sys.executable).with_name("rslearn")
TIMEOUT_S = 240


@pytest.mark.slow
def test_a_process_killed_with_signal_9_goes_on(plan: Plan, run: Run, undisturbed: Trained, tmp_path: Path) -> None:
    spec = plan()
    log = tmp_path / "log"
    command = [sys.executable, "-m", "burnscar_assets.models.trainer", str(spec.write(tmp_path / "spec.json"))]
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        _wait_for_epoch(2, spec, process, log)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (spec.checkpoint / MANIFEST_FILE).exists()

    manifest, events = run(spec)
    assert events[0]["resumed"]
    assert manifest.model_copy(update={"files": {}}) == undisturbed[1].model_copy(update={"files": {}})


def _wait_for_epoch(epoch: int, spec: TrainingSpec, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not (spec.progress_file.exists() and f'"epoch": {epoch},' in spec.progress_file.read_text()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def test_what_a_user_can_mend_is_one_event_and_exit_code_2(
    plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _keep_environment(monkeypatch)
    spec = plan().model_copy(update={"dataset": tmp_path / "nowhere"})
    assert main([str(spec.write(tmp_path / "spec.json"))]) == 2
    assert main([str(tmp_path / "missing.json")]) == 2
    assert main([]) == 2
    first, second, usage = capsys.readouterr().err.strip().splitlines()
    assert json.loads(first)["error"] == json.loads(second)["error"] == "InputError"
    assert "nowhere" in json.loads(first)["message"]
    assert usage.startswith("usage")


def test_under_pipes_every_epoch_is_a_message(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _keep_environment(monkeypatch)
    path = plan(max_epochs=2).write(tmp_path / "spec.json")
    received: list[dict] = []

    @dg.op
    def start(context: dg.OpExecutionContext) -> None:
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesEnvContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(),
        ) as session:
            for name, value in session.get_bootstrap_env_vars().items():
                monkeypatch.setenv(name, value)
            assert main([str(path)]) == 0
        received.extend(session.get_custom_messages())

    @dg.job
    def job() -> None:
        start()

    assert job.execute_in_process().success
    told = [message for message in received if message["event"] != "step"]
    assert [message["event"] for message in told] == ["start", "reader", "epoch", "epoch", "done"]
    assert told[2]["val_loss"] > 0


def _keep_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo after the test what the trainer sets for its own process."""
    for name in ("WANDB_MODE", "WANDB_SILENT", "TQDM_DISABLE", "HF_HUB_OFFLINE", "RSLEARN_LOGLEVEL", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)


@pytest.mark.slow
def test_rslearn_tests_a_checkpoint_as_it_is(undisturbed: Trained, tmp_path: Path) -> None:
    config = undisturbed[0].checkpoint / "model.yaml"
    moved = yaml.safe_load(config.read_text())
    own = config.parent / moved["management_dir"] / moved["project_name"] / moved["run_name"]
    assert own.resolve() == undisturbed[0].checkpoint
    metrics = tmp_path / "metrics.json"
    moved["model"]["init_args"]["metrics_file"] = str(metrics)
    run_rslearn("test", moved, config.parent, tmp_path)
    judged = json.loads(metrics.read_text())
    assert judged["test_auroc"] > 0.6
    assert Path(config.parent, judged["_checkpoint_path"]).resolve() == undisturbed[0].checkpoint / "best.ckpt"


@pytest.mark.slow
def test_rslearn_fits_the_configuration_as_the_trainer_does(plan: Plan, run: Run, tmp_path: Path) -> None:
    spec = plan(max_epochs=1)
    manifest, _ = run(spec)
    config = yaml.safe_load((spec.checkpoint / "model.yaml").read_text()) | {"management_dir": str(tmp_path / "cli")}
    run_rslearn("fit", config, spec.checkpoint, tmp_path)
    folder = tmp_path / "cli" / config["project_name"] / config["run_name"]
    assert _weights_hash(folder / "best.ckpt") == manifest.weights_sha256
    assert not list(tmp_path.rglob("wandb*"))
    assert not list(tmp_path.rglob("lightning_logs"))


def run_rslearn(command: str, config: dict, beside: Path, folder: Path) -> None:
    """Run rslearn's own command in a folder, on a model configuration in a checkpoint's folder, for which it is."""
    path = beside / f"{command}.yaml"
    path.write_text(yaml.safe_dump(config))
    arguments = [str(RSLEARN), "model", command, "--config", str(path)]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    path.unlink()
    assert done.returncode == 0, done.stderr[-3000:]


def _weights_hash(path: Path) -> str:
    import torch

    from burnscar_assets.models.weights import hash_weights

    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return hash_weights({k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")})


def test_learning_curves_are_small_and_say_that_they_are_simulated(undisturbed: Trained, tmp_path: Path) -> None:
    figure = plot_learning_curves(load_manifest(undisturbed[0].checkpoint).history, title="2020", simulated=True)
    figure.savefig(tmp_path / "curves.png", dpi=100)
    assert (tmp_path / "curves.png").stat().st_size < 100_000
    assert "simulated" in figure.get_suptitle()
    assert {line.get_label() for line in figure.axes[0].lines} == {"train", "val", "best epoch"}
    assert plot_learning_curves([], title="none yet", simulated=False).get_suptitle() == "none yet"


@pytest.mark.slow
def test_rslearn_fits_and_tests_what_was_trained_on_a_packed_dataset(
    packed_plan: Plan, run: Run, tmp_path: Path
) -> None:
    spec = packed_plan(max_epochs=1)
    manifest, _ = run(spec)
    assert manifest.reader == "bulk"
    config = yaml.safe_load((spec.checkpoint / "model.yaml").read_text())
    run_rslearn("test", config, spec.checkpoint, tmp_path)
    run_rslearn("fit", config | {"management_dir": str(tmp_path / "cli")}, spec.checkpoint, tmp_path)
    assert (tmp_path / "cli" / config["project_name"] / config["run_name"] / "best.ckpt").is_file()

    dataset = json.loads((spec.dataset / "config.json").read_text())
    dataset["layers"]["output"] = {"type": "vector"}
    (spec.dataset / "config.json").write_text(json.dumps(dataset))
    writer = {"class_path": "rslearn.train.prediction_writer.RslearnWriter", "init_args": {"output_layer": "output"}}
    callbacks = config["trainer"]["callbacks"]
    in_own_folder = [one for one in callbacks if one["class_path"].endswith("InOwnFolder")]
    config["trainer"]["callbacks"] = [*in_own_folder, writer]
    run_rslearn("predict", config, spec.checkpoint, tmp_path)
    windows = open_dataset(spec.dataset).load_windows(groups=["2020"])
    answered = [window for window in windows if window.is_layer_completed("output")]
    assert len(answered) == len([window for window in windows if window.is_layer_completed(spec.layer)]) > 0
    answers = [window.data.read_vector("output", GeojsonVectorFormat())[0].properties for window in answered]
    assert {answer["category"] for answer in answers} <= set(CLASS_NAMES)
    _look_at(spec.dataset, spec.layer, len(answered))


def _look_at(dataset_path: Path, layer: str, count: int) -> None:
    """What rslearn's visualiser shows of a dataset; its page's template is not in rslearn 0.1.19's wheel."""
    from PIL import Image
    from rslearn.vis.vis_server import create_app, prepare_visualization_data

    dataset, linear = open_dataset(dataset_path), {"name": "linear", "args": {"vmin": 0, "vmax": 3000}}
    windows = [window for window in dataset.load_windows() if window.is_layer_completed(layer)][:count]
    text = {"label": {"name": "text"}}
    shown = prepare_visualization_data(windows, dataset, [layer], ["label"], text, [], {})
    assert all(layer in str(said) and "burnt" in str(said) for said in shown["windows"])
    bands = {layer: ["B04", "B03", "B02"]}
    app = create_app(dataset, windows, [layer], ["label"], [], bands, {layer: linear}, text, {}, {}, {}, count)
    picture = app.test_client().get(f"/images/0/{layer}")
    assert Image.open(io.BytesIO(picture.data)).size[0] >= 32
