"""Two processes that train together come to what one comes to; each step's windows are dealt to both, none to two."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnscar_assets.dataset.bulk_data import Batches, Draw
from burnscar_assets.errors import SettingsError
from burnscar_assets.models.manifest import CheckpointManifest, verify_checkpoint
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets_tests.models.training_kit import Plan, tiny_settings
from burnscar_assets_tests.orchestration.place_kit import is_alive

TIMEOUT_S = 480


class Numbers:
    """A split whose batches are the numbers of its windows."""

    in_memory = True

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, rows: Any, coins: Any) -> Any:
        return rows


@pytest.mark.parametrize(("count", "devices", "parts"), [(48, 2, 1), (48, 3, 2), (50, 4, 1)])
def test_a_step_of_all_devices_has_the_windows_of_a_step_of_one(count: int, devices: int, parts: int) -> None:
    def batches(share: tuple[int, int]) -> list[Any]:
        step = 12 // share[1]
        made: Any = Batches(Numbers(count), lambda: Draw(7, 3, True), step, parts, share)
        assert len(made) == len(list(made))
        return list(made)

    alone, together = batches((0, 1)), [batches((number, devices)) for number in range(devices)]
    assert len({len(of_one) for of_one in together}) == 1
    seen = np.concatenate([rows for of_one in together for rows in of_one])
    assert set(seen) == set(range(count)) and len(seen) - count < devices
    whole_steps = count // 12
    for step in range(whole_steps):
        window = slice(step * parts, (step + 1) * parts)
        shared = np.concatenate([rows for of_one in together for rows in of_one[window]])
        assert sorted(shared) == sorted(np.concatenate(alone[window]))


def test_windows_of_a_step_must_be_shared_evenly() -> None:
    with pytest.raises(SettingsError, match="can't be shared by 3 devices"):
        tiny_settings(devices=3)
    assert tiny_settings(devices=2).training.digest() == tiny_settings().training.digest()


def without_chance(spec: TrainingSpec, folder: Path) -> TrainingSpec:
    """The same run of an encoder that drops nothing at random."""
    assert spec.encoder is not None
    folder.mkdir(exist_ok=True)
    config = json.loads((spec.encoder.path / "config.json").read_text())
    config["model"]["encoder_config"] |= {"drop_path": 0.0, "band_dropout_rate": 0.0, "random_band_dropout": False}
    (folder / "config.json").write_text(json.dumps(config))
    return spec.model_copy(update={"encoder": spec.encoder.model_copy(update={"path": folder})})


def started(spec: TrainingSpec, folder: Path) -> subprocess.Popen[str]:
    path = spec.write(folder / f"{spec.checkpoint.parent.parent.name}.json")
    command = [sys.executable, "-m", "burnscar_assets.models.trainer", str(path)]
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "OMP_NUM_THREADS")}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def trained(spec: TrainingSpec, folder: Path) -> tuple[CheckpointManifest, list[dict[str, Any]]]:
    with started(spec, folder) as process:
        _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, said
    return verify_checkpoint(spec.checkpoint), [json.loads(line) for line in said.splitlines() if line[:1] == "{"]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_also_once_the_encoder_is_unfrozen(
    packed_plan: Plan, tmp_path: Path
) -> None:
    settings = {"max_epochs": 2, "freeze_epochs": 1}
    one = without_chance(packed_plan("one", **settings), tmp_path / "encoder")
    two = without_chance(packed_plan("two", devices=2, **settings), tmp_path / "encoder")
    alone, _ = trained(one, tmp_path)
    together, events = trained(two, tmp_path)
    assert (alone.devices, together.devices) == (1, 2) and together.reader == "bulk"
    assert [event["event"] for event in events if event["event"] != "step"] == [
        "start", "reader", "epoch", "epoch", "done",
    ]  # fmt: skip
    for before, after in zip(alone.history, together.history, strict=True):
        assert after["train_loss"] == pytest.approx(before["train_loss"], rel=1e-3), (alone.history, together.history)
        assert after["val_loss"] == pytest.approx(before["val_loss"], rel=1e-3)
    assert together.trainable_parameters == alone.trainable_parameters


@pytest.mark.slow
def test_killed_no_process_is_left_and_the_run_goes_on(packed_plan: Plan, tmp_path: Path) -> None:
    spec = packed_plan("killed", devices=2, max_epochs=3)
    with started(spec, tmp_path) as process:
        deadline = time.monotonic() + TIMEOUT_S
        while not (spec.progress_file.exists() and '"epoch": 2,' in spec.progress_file.read_text()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        os.kill(process.pid, signal.SIGKILL)
    assert children
    while any(map(is_alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    manifest, events = trained(spec, tmp_path)
    assert events[0]["resumed"] and len(manifest.history) == 3
