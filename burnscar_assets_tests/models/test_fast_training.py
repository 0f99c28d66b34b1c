"""Training on packed datasets: the same weights however it is read or broken off, and memory that runs out."""

from typing import Any

import pytest

from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.models.callbacks import EpochReport
from burnscar_assets.models.config import run_config
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.trainer import train
from burnscar_assets_tests.models.training_kit import Event, Plan, Run, tiny_settings


@pytest.fixture
def short(packed_plan: Plan, run: Run) -> Any:
    """Trains for two epochs on the packed dataset."""

    def go(folder: str, **training: Any) -> tuple[CheckpointManifest, list[Event]]:
        return run(packed_plan(folder, max_epochs=2, **training))

    return go


class BrokenOffError(RuntimeError):
    """Stands for what ends a process."""


def test_the_weights_do_not_depend_on_how_windows_are_read(short: Any) -> None:
    manifest, events = short("a")
    assert manifest.reader == "bulk"
    assert [event for event in events if event["event"] == "reader"] == [{"event": "reader", "reader": "bulk"}]
    assert short("b", memory_gb=0)[0].weights_sha256 == manifest.weights_sha256
    assert short("c", loader_workers=2)[0].weights_sha256 == manifest.weights_sha256
    assert short("d", seed=1)[0].weights_sha256 != manifest.weights_sha256


@pytest.mark.parametrize("place", [(2, 1), (2, 4)], ids=["at the first step", "in the middle"])
def test_a_run_killed_at_a_step_ends_as_an_undisturbed_one(
    short: Any, packed_plan: Plan, monkeypatch: pytest.MonkeyPatch, place: tuple[int, int]
) -> None:
    monkeypatch.setattr(EpochReport, "STEP_INTERVAL_S", 0.0)
    undisturbed, _ = short("undisturbed")

    def break_off(event: Event) -> None:
        if event["event"] == "step" and (event["epoch"], event["step"]) == place:
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        train(packed_plan("a", max_epochs=2), break_off)
    manifest, events = short("a")
    assert events[0]["resumed"]
    assert manifest.weights_sha256 == undisturbed.weights_sha256
    assert manifest.history == undisturbed.history


def _memory_for(windows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a step of more windows than these end as on a GPU without memory."""
    import torch
    from rslearn.train.lightning_module import RslearnLightningModule

    step = RslearnLightningModule.training_step

    def limited(module: Any, batch: Any, *arguments: Any) -> Any:
        if len(batch[0]) > windows:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return step(module, batch, *arguments)

    monkeypatch.setattr(RslearnLightningModule, "training_step", limited)


def _without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    from rslearn.train.lightning_module import RslearnLightningModule

    step = RslearnLightningModule.training_step
    monkeypatch.setattr(RslearnLightningModule, "training_step", lambda module, *given: step(module.eval(), *given))


def test_out_of_memory_ends_in_smaller_parts_of_the_same_step(short: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    halves, _ = short("halves", accumulation=2)
    _memory_for(4, monkeypatch)
    manifest, events = short("a")
    (event,) = [event for event in events if event["event"] == "out_of_memory"]
    assert (event["accumulation"], event["windows"]) == (2, 4)
    assert "Tried to allocate" in event["said"]
    assert manifest.accumulation == 2
    assert manifest.weights_sha256 == halves.weights_sha256


def test_parts_of_a_step_learn_what_the_step_does(short: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_dropout(monkeypatch)
    whole, halves = (short(name, accumulation=parts)[0] for name, parts in (("a", 1), ("b", 2)))
    for one, other in zip(whole.history, halves.history, strict=True):
        assert one["val_loss"] == pytest.approx(other["val_loss"], abs=1e-4)
        assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-4)


def test_no_memory_for_a_single_window_is_said(
    packed_plan: Plan, run: Run, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    _memory_for(0, monkeypatch)
    for make in (packed_plan, plan):
        with pytest.raises(InputError, match="one window at a time"):
            run(make(max_epochs=1, batch_size=4))


def test_mixed_precision_trains(short: Any) -> None:
    exact, mixed = short("a")[0], short("b", precision="bfloat16")[0]
    assert mixed.weights_sha256 != exact.weights_sha256
    assert mixed.history[-1]["val_loss"] == pytest.approx(exact.history[-1]["val_loss"], abs=0.05)


def test_folders_are_read_by_rslearn_and_why(plan: Plan, run: Run) -> None:
    manifest, _ = run(plan(max_epochs=1))
    assert manifest.reader.startswith("rslearn: a dataset that is not packed")


def test_parts_of_a_step_must_be_equal() -> None:
    with pytest.raises(SettingsError, match="no multiple of accumulation 3"):
        tiny_settings(batch_size=8, accumulation=3)


@pytest.mark.parametrize(
    ("device", "training", "arithmetic"),
    [
        ("cpu", {}, ("32-true", None)),
        ("gpu", {}, ("bf16-mixed", "bfloat16")),
        ("gpu", {"precision": "float32"}, ("32-true", None)),
        ("gpu", {"precision": "float16"}, ("16-mixed", "float16")),
    ],
)
def test_settings_of_speed_reach_the_configuration(
    packed_plan: Plan, device: Any, training: dict[str, Any], arithmetic: tuple[str, str | None]
) -> None:
    config = run_config(packed_plan(accumulation=4, compile=True, **training), device)
    encoder = config["model"]["init_args"]["model"]["init_args"]["encoder"][0]["init_args"]
    assert (config["trainer"]["precision"], encoder["autocast_dtype"]) == arithmetic
    assert encoder["compile_model"] is True
    assert (config["data"]["init_args"]["batch_size"], config["trainer"]["accumulate_grad_batches"]) == (2, 4)
