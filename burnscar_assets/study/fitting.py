"""Which set-ups a study can run on its images and weights, and why not the others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from burnscar_assets.dataset.config import before_layer
from burnscar_assets.encoders.feed import feed
from burnscar_assets.encoders.load import load_encoder
from burnscar_assets.encoders.weights import RANDOM
from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.models.config import needs_encoder
from burnscar_assets.settings import ModelSettings, Settings
from burnscar_assets.setups import FOLDER, Setup, load_setup, setup_files
from burnscar_assets.storage.atomic import storage_errors, write_if_changed
from burnscar_assets.storage.paths import DataRoot

OWN_TWIN: Final = "unet"
"""The shipped set-up that a study's own is the same as."""

ENCODER_RATE: Final = 1.0e-4
"""Learning rate of an encoder that is tuned as a whole; a network without pretraining takes ten times as much."""


def unfit_setups(settings: Settings, root: DataRoot, *, with_before: bool) -> dict[str, str]:
    """Why set-ups can't be trained in a study, by the name of each that can't.

    Args:
        settings: of the study.
        root: of the world, in whose folder `pretrained` weights lie or are linked.
        with_before: whether windows have images before the fire too.
    """
    reasons = {name: _why_unfit(load_setup(name), settings, root, with_before=with_before) for name in setup_files()}
    return {name: reason for name, reason in reasons.items() if reason}


def write_tuned_setups(settings: Settings, root: DataRoot, *, with_before: bool) -> None:
    """Put set-ups that tune an encoder beside the settings, with as much training as few windows bear.

    What validation folds of 33 real fires liked; a file that is there stays.
    """
    unfit = unfit_setups(settings, root, with_before=with_before)
    for name, path in setup_files().items():
        setup = load_setup(name)
        tunes = setup.is_neural and needs_encoder(setup.applied_to(settings).training)
        place = root.path / FOLDER / path.name
        if name in unfit or not tunes or place.exists():
            continue
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        rate = {} if content["training"].get("tuning") == "frozen" else {"learning_rate": ENCODER_RATE}
        content["training"] = {"max_epochs": 12, "early_stop_epochs": 4} | rate | content["training"]
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_if_changed(place, f"# Of burnscar study: the shipped set-up, trained for less long.\n{text}".encode())


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


def _why_unfit(setup: Setup, settings: Settings, root: DataRoot, *, with_before: bool) -> str:
    if setup.name == OWN_TWIN:
        return "is the world's own"
    layers = {setup.layer, *setup.training.get("earlier_layers", ())}
    wants_change = (setup.threshold and setup.threshold.index != "nbr") or (setup.trees and setup.trees.change)
    own = {None, settings.imagery.layer} | ({before_layer(settings.imagery.layer)} if with_before else set())
    if layers - own or (wants_change and not with_before):
        return "wants other images than there are"
    if setup.is_neural and "config" not in setup.training and not needs_encoder(settings.training):
        return "tunes an encoder, and the world's own set-up has none"
    training = setup.applied_to(settings).training
    return _why_no_encoder(training.model, settings, root) if setup.is_neural and needs_encoder(training) else ""


def _why_no_encoder(model: ModelSettings, settings: Settings, root: DataRoot) -> str:
    encoder = load_encoder(model.encoder)
    published = encoder.published(model.variant)
    try:
        feed(encoder, settings.sensor, published.lacking)
    except SettingsError as error:
        return str(error).partition(":")[0]
    if model.weights not in (None, RANDOM) or (root.pretrained / encoder.name / published.folder).is_dir():
        return ""
    return f"has no weights: give --weights {encoder.name}=FOLDER"
