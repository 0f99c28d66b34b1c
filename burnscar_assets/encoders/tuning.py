"""How a pretrained encoder is tuned, written into a model configuration.

The YAML in `configs/` freezes the encoder for some epochs, then trains it as a whole. The other ways change its
optimizer, its callbacks or the class of its encoder, so that `model.yaml` beside a checkpoint stays one that rslearn
runs as it is.
"""

from typing import Any, Final

from burnscar_assets.encoders.chosen import ChosenEncoder
from burnscar_assets.encoders.feed import FILLED
from burnscar_assets.errors import SettingsError
from burnscar_assets.settings import TrainingSettings

FREEZE: Final = "rslearn.train.callbacks.freeze_unfreeze.FreezeUnfreeze"
SIMPLE_FREEZE: Final = "rslearn.models.olmoearth_pretrain.optimizer.SimpleFreeze"
LAYER_DECAY: Final = "rslearn.models.olmoearth_pretrain.optimizer.LayerDecayAdamW"
LOW_RANK: Final = "burnscar_assets.encoders.lora.LowRank"
EVAL_WHILE_FROZEN: Final = "burnscar_assets.models.callbacks.EvalWhileFrozen"
CLASSES: Final = (FREEZE, SIMPLE_FREEZE, LAYER_DECAY, LOW_RANK, FILLED)
"""What a configuration names for its encoder beside the encoder's own class."""

_ENCODER: Final = "model.encoder.0"
"""Where rslearn's models have their encoder."""


def tuned(config: dict[str, Any], settings: TrainingSettings, encoder: ChosenEncoder | None) -> dict[str, Any]:
    """A configuration with its encoder tuned as the settings say; changed in place, too.

    Args:
        config: resolved, that freezes its encoder and then trains it as a whole.
        settings: `tuning` and what it takes.
        encoder: None for a model that is trained from scratch, which has none to tune, and stays as it is.
    """
    if encoder is None:
        return config
    callbacks: list[dict[str, Any]] = config["trainer"]["callbacks"]
    if settings.tuning == "lora":
        _add_low_rank(config, settings, encoder)
    if settings.tuning == "layer-decay":
        optimizer = config["model"]["init_args"]["optimizer"]
        optimizer["class_path"] = LAYER_DECAY
        optimizer["init_args"] |= {"layer_decay_rate": settings.layer_decay, "num_layers": encoder.variant.blocks}
        if any(found["class_path"] == FILLED for found in _encoders(config)):
            optimizer["init_args"]["encoder_prefix"] = f"{_ENCODER}.encoder"
    config["trainer"]["callbacks"] = [
        changed for callback in callbacks for changed in _frozen_as_said(callback, settings)
    ]
    return config


def check_tuning(settings: TrainingSettings, encoder: ChosenEncoder) -> None:
    """Check that an encoder can be tuned as the settings say.

    Raises:
        SettingsError: it can't.
    """
    if settings.tuning not in encoder.encoder.tunings:
        raise SettingsError(
            f"training.tuning: {encoder.encoder.title} can't be tuned by {settings.tuning}; choose one of "
            f"{', '.join(encoder.encoder.tunings)}"
        )


def _add_low_rank(config: dict[str, Any], settings: TrainingSettings, encoder: ChosenEncoder) -> None:
    found = _encoders(config)
    adapted = {"projections": [*encoder.encoder.projections], "rank": settings.lora_rank, "alpha": settings.lora_alpha}
    found[0] = {"class_path": LOW_RANK, "init_args": {"encoder": found[0], **adapted}}


def _frozen_as_said(callback: dict[str, Any], settings: TrainingSettings) -> list[dict[str, Any]]:
    """What the way of tuning wants in a callback's place."""
    if callback["class_path"] != FREEZE:
        return [callback]
    if settings.tuning == "lora" or (settings.freeze_epochs == 0 and settings.tuning != "frozen"):
        return []
    selected = {"module_selector": callback["init_args"]["module_selector"]}
    in_eval = {"class_path": EVAL_WHILE_FROZEN, "init_args": selected}
    if settings.tuning == "frozen":
        callback = {"class_path": FREEZE, "init_args": selected}
    elif settings.tuning == "layer-decay":  # every parameter is in its optimizer from the start
        callback = {"class_path": SIMPLE_FREEZE, "init_args": selected | {"unfreeze_at_epoch": settings.freeze_epochs}}
    return [callback, in_eval]


def _encoders(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a model before its decoder, of which the pretrained encoder is the first."""
    parts: list[dict[str, Any]] = config["model"]["init_args"]["model"]["init_args"]["encoder"]
    return parts
