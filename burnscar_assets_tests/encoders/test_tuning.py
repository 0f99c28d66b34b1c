"""How the encoder is tuned: what is trained and what is not, in model.yaml, in the weights and in the manifest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from burnscar_assets.encoders.tuning import EVAL_WHILE_FROZEN, FREEZE, LAYER_DECAY, LOW_RANK, SIMPLE_FREEZE
from burnscar_assets.environment import config_file
from burnscar_assets.errors import SettingsError
from burnscar_assets.models.config import run_config
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.model import load_model
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.models.weights import load_state
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.models.training_kit import Plan, Run, tiny_settings
from burnscar_assets_tests.tiny_dataset import LAYER

RANK = 4


def _callbacks(config: dict[str, Any]) -> dict[str, Any]:
    return {callback["class_path"]: callback.get("init_args", {}) for callback in config["trainer"]["callbacks"]}


def _encoder(config: dict[str, Any]) -> dict[str, Any]:
    encoder: dict[str, Any] = config["model"]["init_args"]["model"]["init_args"]["encoder"][0]
    return encoder


def test_a_configuration_of_ones_own_names_foreign_classes_by_permission_only(
    packed_plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    text = config_file("model-classification.yaml").read_text()
    own.write_text(text.replace("rslearn.models.pooling_decoder.PoolingDecoder", "mine.Decoder"))
    with pytest.raises(SettingsError, match=r"own\.yaml names mine\.Decoder.*training\.classes"):
        packed_plan(config=str(own))
    assert packed_plan(config=str(own), classes=("mine.Decoder",)).settings.classes == ("mine.Decoder",)


def test_each_way_is_written_into_the_configuration(packed_plan: Plan) -> None:
    usual = run_config(packed_plan(freeze_epochs=3), "cpu")
    assert _callbacks(usual)[FREEZE]["unfreeze_at_epoch"] == 3
    frozen = _callbacks(run_config(packed_plan(tuning="frozen", freeze_epochs=0), "cpu"))
    assert "unfreeze_at_epoch" not in frozen[FREEZE]
    decay = run_config(packed_plan(tuning="layer-decay", freeze_epochs=3, layer_decay=0.5), "cpu")
    assert decay["model"]["init_args"]["optimizer"]["class_path"] == LAYER_DECAY
    assert decay["model"]["init_args"]["optimizer"]["init_args"] == {
        "lr": 3e-4, "layer_decay_rate": 0.5, "num_layers": 4,
    }  # fmt: skip
    assert _callbacks(decay)[SIMPLE_FREEZE]["unfreeze_at_epoch"] == 3
    assert FREEZE not in _callbacks(decay)
    lora = run_config(packed_plan(tuning="lora", lora_rank=RANK), "cpu")
    assert _encoder(lora)["class_path"] == LOW_RANK
    assert _encoder(lora)["init_args"].items() >= {"rank": RANK, "alpha": 16}.items()
    assert not {FREEZE, SIMPLE_FREEZE} & _callbacks(lora).keys()


def test_a_frozen_encoder_answers_alike_until_it_is_trained(packed_plan: Plan) -> None:
    from lightning.pytorch import LightningModule, Trainer
    from rslearn.train.callbacks.freeze_unfreeze import FreezeUnfreeze

    from burnscar_assets.models.callbacks import EvalWhileFrozen

    class Model(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Dropout(0.5))
            self.head = torch.nn.Dropout(0.5)

    callbacks = _callbacks(run_config(packed_plan(tuning="frozen"), "cpu"))
    assert list(callbacks).index(EVAL_WHILE_FROZEN) == list(callbacks).index(FREEZE) + 1
    assert callbacks[EVAL_WHILE_FROZEN] == {"module_selector": ["model", "encoder"]}
    model, images, steady, trainer = Model().train(), torch.ones(1, 64), EvalWhileFrozen(["encoder"]), Trainer()
    FreezeUnfreeze(["encoder"]).freeze_before_training(model)
    assert not torch.equal(model.encoder(images), model.encoder(images))
    steady.on_train_batch_start(trainer, model, None, 0)
    assert torch.equal(model.encoder(images), model.encoder(images))
    assert model.head.training
    FreezeUnfreeze.make_trainable(model.encoder)
    steady.on_train_batch_start(trainer, model, None, 0)
    assert not torch.equal(model.encoder(images), model.encoder(images))


def test_a_model_from_scratch_has_nothing_to_tune(packed_plan: Plan) -> None:
    usual, lora = (run_config(packed_plan(config="model-unet.yaml", tuning=way), "cpu") for way in ("frozen", "lora"))
    assert usual == lora


def test_a_way_that_there_is_not_is_named() -> None:
    with pytest.raises(SettingsError, match="tuning"):
        tiny_settings(tuning="magic")


def _split(spec: TrainingSpec) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights of the encoder and of the head."""
    state = load_state(spec.checkpoint / "weights.pth")
    encoder = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    return encoder, {name: tensor for name, tensor in state.items() if name not in encoder}


@pytest.fixture
def trained(packed_plan: Plan, run: Run) -> Any:
    """Trains on the packed dataset, where steps cost little, in one of the ways."""

    def go(folder: str, **training: Any) -> tuple[TrainingSpec, CheckpointManifest]:
        spec = packed_plan(folder, **{"max_epochs": 1, "freeze_epochs": 0} | training)
        return spec, run(spec)[0]

    return go


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in one if torch.equal(one[name], other[name])}


def test_a_frozen_encoder_stays_and_a_decaying_one_moves_more_near_the_head(trained: Any) -> None:
    frozen, whole, decay = (
        trained(way, tuning=way, **more)
        for way, more in (
            ("frozen", {}), ("freeze-then-unfreeze", {}), ("layer-decay", {"layer_decay": 0.05, "learning_rate": 1e-3}),
        )
    )  # fmt: skip
    assert frozen[1].trainable_parameters == sum(t.numel() for t in _split(frozen[0])[1].values())
    assert frozen[1].trainable_parameters < frozen[1].parameters / 100
    assert decay[1].trainable_parameters == whole[1].trainable_parameters > 0.9 * whole[1].parameters
    start = _split(frozen[0])[0]
    moved = _split(decay[0])[0]
    name = "encoder.0.model.blocks.{}.mlp.fc1.weight"
    first, last = ((moved[name.format(n)] - start[name.format(n)]).abs().mean() for n in (0, 3))
    assert 0 < first < last / 10


def test_additions_of_low_rank_are_all_that_moves(trained: Any, packed_world: DataRoot) -> None:
    spec, manifest = trained("lora", tuning="lora", lora_rank=RANK, max_epochs=2)
    frozen, _ = trained("frozen", tuning="frozen")
    encoder, _ = _split(spec)
    original = _split(frozen)[0]
    added = {name for name in encoder if name.endswith((".down", ".up"))}
    assert len(added) == 4 * 4 * 2
    plain = {name.replace(".linear.", ".").replace("0.encoder.", "0."): name for name in encoder.keys() - added}
    own = {name: encoder[told] for name, told in plain.items()}
    assert _same(own, original) == own.keys() == original.keys()
    assert all(encoder[name].abs().sum() > 0 for name in added)
    assert manifest.trainable_parameters < manifest.parameters / 20
    assert manifest.trainable_parameters > 4 * 4 * 2 * RANK * 128
    model = load_model(spec.checkpoint)
    images = np.random.default_rng(0).integers(1, 4000, (3, 12, 32, 32)).astype(np.uint16)
    from datetime import datetime

    answers = model.predict_windows({LAYER: images}, {LAYER: [datetime(2020, 9, 1)] * 3})
    assert ((answers > 0) & (answers < 1)).all()


def test_low_rank_training_goes_on_where_it_broke_off(packed_plan: Plan, run: Run) -> None:
    from burnscar_assets.models.trainer import train
    from burnscar_assets_tests.models.test_trainer import BrokenOffError, _break_off_after

    undisturbed, _ = run(packed_plan("a", tuning="lora", max_epochs=2))
    with pytest.raises(BrokenOffError):
        train(packed_plan("b", tuning="lora", max_epochs=2), _break_off_after(2))
    resumed, events = run(packed_plan("b", tuning="lora", max_epochs=2))
    assert events[0]["resumed"]
    assert resumed.weights_sha256 == undisturbed.weights_sha256


def test_an_addition_starts_at_nothing() -> None:
    from burnscar_assets.encoders.lora import LowRankLinear

    linear = torch.nn.Linear(6, 5)
    adapted, values = LowRankLinear(linear, rank=2, alpha=4), torch.randn(7, 6)
    assert torch.equal(adapted(values), linear(values))
    torch.nn.init.ones_(adapted.up)
    expected = linear(values) + 2 * (values @ adapted.down.T).sum(dim=1, keepdim=True)
    torch.testing.assert_close(adapted(values), expected)
    assert [name for name, p in adapted.named_parameters() if p.requires_grad] == ["down", "up"]


def test_every_shipped_set_up_is_one(tmp_path: Path) -> None:
    from burnscar_assets.setups import load_setup, setup_files

    settings = tiny_settings()
    for name in setup_files():
        setup = load_setup(name)
        applied = setup.applied_to(settings)
        assert len(setup.description) > 40
        assert applied.training != settings.training or not setup.is_neural
