"""How a pretrained encoder is tuned, written into a model configuration.

The YAML in `configs/` freezes the encoder for some epochs, then trains it as a whole. The other ways change its
optimizer, its callbacks or the class of its encoder, so that `model.yaml` beside a checkpoint stays one that rslearn
runs as it is.
"""

from typing import Any, Final

from burnscar_assets.settings import TrainingSettings

FREEZE: Final = "rslearn.train.callbacks.freeze_unfreeze.FreezeUnfreeze"
SIMPLE_FREEZE: Final = "rslearn.models.olmoearth_pretrain.optimizer.SimpleFreeze"
LAYER_DECAY: Final = "rslearn.models.olmoearth_pretrain.optimizer.LayerDecayAdamW"
OLMOEARTH: Final = "rslearn.models.olmoearth_pretrain.model.OlmoEarth"
OLMOEARTH_LORA: Final = "burnscar_assets.models.lora.OlmoEarthLora"


def tuned(config: dict[str, Any], settings: TrainingSettings, depth: int | None) -> dict[str, Any]:
    """A configuration with its encoder tuned as the settings say; changed in place, too.

    Args:
        config: resolved, that freezes its encoder and then trains it as a whole.
        settings: `tuning` and what it takes.
        depth: transformer blocks of the encoder; None for a model that is trained from scratch.

    A model that is trained from scratch has no encoder to tune, and stays as it is.
    """
    if depth is None:
        return config
    callbacks: list[dict[str, Any]] = config["trainer"]["callbacks"]
    if settings.tuning == "lora":
        for encoder in _encoders(config):
            encoder["class_path"] = OLMOEARTH_LORA
            encoder["init_args"] |= {"rank": settings.lora_rank, "alpha": settings.lora_alpha}
    if settings.tuning == "layer-decay":
        optimizer = config["model"]["init_args"]["optimizer"]
        optimizer["class_path"] = LAYER_DECAY
        optimizer["init_args"] |= {"layer_decay_rate": settings.layer_decay, "num_layers": depth}
    config["trainer"]["callbacks"] = [
        changed for callback in callbacks if (changed := _frozen_as_said(callback, settings)) is not None
    ]
    return config


def _frozen_as_said(callback: dict[str, Any], settings: TrainingSettings) -> dict[str, Any] | None:
    """A callback as the way of tuning wants it; None if it wants none."""
    if callback["class_path"] != FREEZE:
        return callback
    selector = callback["init_args"]["module_selector"]
    if settings.tuning == "frozen":
        return {"class_path": FREEZE, "init_args": {"module_selector": selector}}
    if settings.tuning == "lora" or settings.freeze_epochs == 0:
        return None
    if settings.tuning == "layer-decay":  # every parameter is in its optimizer from the start
        arguments = {"module_selector": selector, "unfreeze_at_epoch": settings.freeze_epochs}
        return {"class_path": SIMPLE_FREEZE, "init_args": arguments}
    return callback


def _encoders(node: Any) -> list[dict[str, Any]]:
    """Every OlmoEarth in a configuration."""
    if isinstance(node, list):
        return [encoder for value in node for encoder in _encoders(value)]
    if not isinstance(node, dict):
        return []
    own = [node] if node.get("class_path") == OLMOEARTH else []
    return own + [encoder for value in node.values() for encoder in _encoders(value)]
