"""Which set-ups a study can run on its images and weights, and why not the others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from burnscar_assets.dataset.config import before_layer
from burnscar_assets.encoders.feed import feed
from burnscar_assets.encoders.load import load_encoder
from burnscar_assets.encoders.weights import RANDOM, resolve_encoder
from burnscar_assets.environment import weights_folder
from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.models.config import needs_encoder
from burnscar_assets.settings import ModelSettings, Settings
from burnscar_assets.setups import FOLDER, Setup, load_setup, setup_files
from burnscar_assets.storage.atomic import storage_errors, write_if_changed
from burnscar_assets.storage.paths import OWN, DataRoot
from burnscar_assets.study.world_file import CHANGE_DATASET

OWN_TWIN: Final = "unet"
"""The shipped set-up that a study's own is the same as."""

ENCODER_RATE: Final = 1.0e-4
"""Learning rate of an encoder that is tuned as a whole; a network without pretraining takes ten times as much."""

ENCODER_EPOCHS: Final = {"max_epochs": 10, "early_stop_epochs": 2}
"""Of set-ups with an encoder, whatever its weights. 45 of Galileo Nano take two cores a quarter of an hour."""

_OF_BUDGET: Final = ("max_epochs", "early_stop_epochs", "batch_size", "learning_rate")
_SHORT: Final = "trained for less long"
_FROM_SCRATCH: Final = "at the rate of the world's own network, as it has no pretraining either"


def unfit_setups(settings: Settings, root: DataRoot) -> dict[str, str]:
    """Why set-ups can't be trained in a study, by the name of each that can't."""
    reasons = {name: _why_unfit(load_setup(name), settings, root) for name in setup_files()}
    return {name: reason for name, reason in reasons.items() if reason}


def write_trained_setups(settings: Settings, root: DataRoot) -> None:
    """Put set-ups that are trained beside the settings: with the seeds of the world's own, and encoders' budgets.

    Encoders with random weights are trained for as long as pretrained ones, so that what pretraining is worth is told
    at one cost. A file that is there stays.
    """
    unfit = unfit_setups(settings, root)
    for name, path in setup_files().items():
        setup, place = load_setup(name), root.path / FOLDER / path.name
        if name in unfit or setup.kind == "threshold" or place.exists():
            continue
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        changes = []
        if setup.members is not None and OWN_TWIN in setup.members:
            content["members"] = [OWN if member == OWN_TWIN else member for member in setup.members]
            changes.append("with the world's own network")
        if not setup.seeds and "seed" not in setup.training:
            content["seeds"] = [settings.training.seed, *settings.training.further_seeds]
            changes.append("with the seeds of the world's own")
        if setup.kind == "fine_tuned":
            pretrained = needs_encoder(setup.applied_to(settings).training)
            changes.append(_budget(content) if pretrained else _as_own_network(content))
        if changes:
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            head = f"# Of burnscar study: the shipped set-up, {' and '.join(changes)}.\n"
            write_if_changed(place, f"{head}{text}".encode())


def _budget(content: dict[str, Any]) -> str:
    """Give a set-up that has an encoder its rate and epochs; returns what was changed."""
    training = content["training"]
    from_scratch = training.get("model", {}).get("weights") == RANDOM
    rate = {} if from_scratch or training.get("tuning") == "frozen" else {"learning_rate": ENCODER_RATE}
    content["training"] = ENCODER_EPOCHS | rate | training
    told = f"{_SHORT}, {_FROM_SCRATCH}" if from_scratch else _SHORT
    if from_scratch:
        content["description"] = f"{content.get('description', '')} Here {told}.".strip()
    return told


def _as_own_network(content: dict[str, Any]) -> str:
    """Leave rate, epochs and batches of a network without an encoder to the settings; returns what was changed."""
    content["training"] = {name: value for name, value in content["training"].items() if name not in _OF_BUDGET}
    return "trained as fast and as long as the world's own network"


def link_weights(weights: Mapping[str, Path], root: DataRoot) -> None:
    """Have `pretrained/ENCODER` in the data root lead to a folder of weights.

    Raises:
        InputError: there is no such folder.
        SettingsError: there is no such encoder.
    """
    for name, folder in weights.items():
        load_encoder(name)
        if not folder.is_dir():
            raise InputError(f"--weights {name}={folder}: {folder} is no folder; give that of the encoder's files")
        link = root.pretrained / name
        with storage_errors(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.is_symlink():
                link.unlink()
            elif link.exists():
                raise InputError(
                    f"{link} is there already, with weights of its own: take it away, or leave --weights out"
                )
            link.symlink_to(folder.resolve(), target_is_directory=True)


def _why_unfit(setup: Setup, settings: Settings, root: DataRoot) -> str:
    if setup.name == OWN_TWIN:
        return "is the world's own"
    if setup.members is not None:
        others = [member for member in setup.members if member not in (OWN, OWN_TWIN)]
        lacking = [member for member in others if _why_unfit(load_setup(member), settings, root)]
        return f"averages {', '.join(lacking)}, left out too" if lacking else ""
    training, own = setup.applied_to(settings).training, settings.imagery.layer
    layers = {setup.layer, *training.earlier_layers}
    if layers - {None, own, before_layer(own)}:
        return "wants other layers of images than a study makes"
    wants_change = (setup.threshold and setup.threshold.index != "nbr") or (setup.trees and setup.trees.change)
    if (wants_change or before_layer(own) in layers) and settings.imagery.dataset_config != CHANGE_DATASET:
        return "wants images before the fire too, which windows have with --change"
    if setup.is_neural and "config" not in setup.training and not needs_encoder(settings.training):
        return "tunes an encoder, and the world's own set-up has none"
    return _why_no_encoder(training.model, settings, root) if setup.is_neural and needs_encoder(training) else ""


def _why_no_encoder(model: ModelSettings, settings: Settings, root: DataRoot) -> str:
    encoder = load_encoder(model.encoder)
    published = encoder.published(model.variant)
    try:
        feed(encoder, settings.sensor, published.lacking)
    except SettingsError as error:
        return str(error).partition(":")[0]
    if model.weights == RANDOM:
        return ""
    folder = weights_folder(root, encoder.name) if model.weights is None else root.resolve(model.weights)
    if not (folder / published.folder).is_dir():
        return f"has no weights: give --weights {encoder.name}=FOLDER"
    try:
        resolve_encoder(model.model_copy(update={"weights": str(folder)}), root)  # named, so that no hub is asked
    except (InputError, SettingsError) as error:
        return f"has no weights that can be used ({error})"
    return ""
