"""Trains a set-up without a network in the calling process, and puts its checkpoint in place whole, with a manifest."""

import json
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.classes import BURNT, CLASS_NAMES, Fold, Split
from burnscar_assets.cost import Cost, peak_memory_mb, write_cost
from burnscar_assets.dataset.config import before_layer
from burnscar_assets.models.baselines.features import feature_names, window_features
from burnscar_assets.models.baselines.pixel_examples import clear_images, pixel_examples
from burnscar_assets.models.baselines.pixel_features import pixel_feature_names
from burnscar_assets.models.baselines.threshold import burn_index, fit_threshold
from burnscar_assets.models.baselines.trees import grow_trees
from burnscar_assets.models.manifest import (
    THRESHOLD_FILE,
    TREES_FILE,
    CheckpointManifest,
    manifest_of_run,
    write_manifest,
)
from burnscar_assets.models.plan import (
    ChosenWindows,
    check_splits,
    choose_windows,
    seen_counts,
    seen_hash,
    training_years,
)
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import Settings
from burnscar_assets.setups import Setup, ThresholdParameters, TreesParameters
from burnscar_assets.storage.atomic import atomic_folder, recover
from burnscar_assets.storage.hashing import hash_file, hash_json
from burnscar_assets.storage.paths import DataRoot

WINDOWS_AT_ONCE = 256
PACKAGES = ("numpy", "lightgbm")
NOTICE = "Trained from nothing: no pretrained weights, and no licence of any."


@dataclass(frozen=True)
class Trained:
    """What came of training.

    Attributes:
        file: name of the model's file.
        text: what it holds.
        parameters: numbers that were learnt.
        epochs: rounds.
        best_epoch: the round that is kept.
        history: losses of each round.
        metrics: those of the round that is kept.
        index: of a threshold, `value` and `category` of each training window.
        gain: of trees, the loss that splits on each feature saved.
    """

    file: str
    text: str
    parameters: int
    epochs: int
    best_epoch: int
    history: list[dict[str, float]]
    metrics: dict[str, float]
    index: pd.DataFrame = field(default_factory=pd.DataFrame)
    gain: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedBaseline:
    """A checkpoint that was put in place, and what its picture shows."""

    manifest: CheckpointManifest
    index: pd.DataFrame
    gain: dict[str, float]


def train_baseline(
    setup: Setup,
    settings: Settings,
    root: DataRoot,
    fire_year: int,
    data_versions: dict[str, str],
    progress: Progress = silent,
    *,
    fold: Fold | None = None,
    keep: bool = False,
    fires: int | None = None,
) -> TrainedBaseline:
    """Train a year's checkpoint of a set-up of kind `threshold` or `trees`.

    Args:
        setup: which.
        settings: of the world, with what the set-up replaces.
        root: data root, with the set-up's part.
        fire_year: fire year of the checkpoint.
        data_versions: of what is read, kept in the manifest.
        progress: told of steps.
        fold: that the checkpoint is judged on, in a world with folds.
        keep: whether one that is there and was trained just so stays, without what its picture shows.
        fires: how many training fires it sees, for a learning curve; None: all.

    Raises:
        InputError: a split is empty or a class is missing.
        MissingDataError: the year has no windows or tiles yet.
        StorageError: the checkpoint can't be written; the one that was there stays.
    """
    started = time.monotonic()
    years = training_years(settings, root, fire_year)
    before = layer_before(setup, settings)
    chosen = choose_windows(
        settings, root, years, [before] if before else [], fold, per_pixel=setup.per_pixel, fires=fires
    )
    check_splits(chosen, fire_year)
    folder, windows = root.checkpoint(fire_year), chosen.windows
    identity = _run_hash(setup, settings, fire_year, chosen, data_versions)
    if keep and (there := manifest_of_run(folder, lambda manifest: manifest.run_hash == identity)):
        return TrainedBaseline(there, pd.DataFrame(), {})
    train, val = (windows[windows["split"] == split].reset_index(drop=True) for split in (Split.TRAIN, Split.VAL))
    if setup.trees is not None:
        trained = _trees(setup, setup.trees, settings, root, train, val, progress)
    else:
        trained = _threshold(setup, setup.threshold or ThresholdParameters(), settings, root, train, progress)
    recover(folder)
    with atomic_folder(folder) as place:
        (place / trained.file).write_text(trained.text, encoding="utf-8")
        manifest = _manifest(
            setup, settings, fire_year, years, chosen, data_versions, trained, place, identity, fold, fires
        )
        write_cost(place, Cost(train_seconds=time.monotonic() - started, train_memory_mb=peak_memory_mb()))
        write_manifest(place, manifest)
    return TrainedBaseline(manifest, trained.index, trained.gain)


def _threshold(
    setup: Setup, parameters: ThresholdParameters, settings: Settings, root: DataRoot, train: gpd.GeoDataFrame,
    progress: Progress,
) -> Trained:  # fmt: skip
    layers = _layers(setup, settings)
    values = _of_windows(layers, root, train, partial(burn_index, parameters.index, settings.sensor), progress)
    model = fit_threshold(values, _burnt(train), parameters.index)
    text = json.dumps(asdict(model) | {"before_layer": layer_before(setup, settings)}, indent=2)
    metrics = {
        "threshold": model.threshold.threshold,
        "train_balanced_accuracy": model.threshold.train_balanced_accuracy,
    }
    index = pd.DataFrame({"value": values, "category": train["category"].astype(str).to_numpy()})
    return Trained(THRESHOLD_FILE, text + "\n", 2, 1, 1, [], metrics, index=index)


def _trees(
    setup: Setup, parameters: TreesParameters, settings: Settings, root: DataRoot, train: gpd.GeoDataFrame,
    val: gpd.GeoDataFrame, progress: Progress,
) -> Trained:  # fmt: skip
    sensor, layers, seed = settings.sensor, _layers(setup, settings), settings.training.seed
    if parameters.per == "pixel":
        names = pixel_feature_names(sensor, change=parameters.change)
        draw = partial(pixel_examples, sensor, layers, root, per_class=parameters.pixels_per_class, seed=seed)
        seen, unseen = draw(train, progress=progress), draw(val, progress=progress)
    else:
        names, statistic = feature_names(sensor), partial(window_features, sensor=sensor)
        seen, unseen = ((_of_windows(layers, root, part, statistic, progress), _burnt(part)) for part in (train, val))
    grown = grow_trees(seen, unseen, names, parameters, seed)
    best = grown.history[grown.trees - 1]
    leaves = sum(int(line.partition("=")[2]) for line in grown.text.splitlines() if line.startswith("num_leaves="))
    metrics = {name: value for name, value in best.items() if name != "epoch"}
    return Trained(
        TREES_FILE, grown.text, leaves, len(grown.history), grown.trees, grown.history, metrics, gain=grown.gain
    )


def _layers(setup: Setup, settings: Settings) -> dict[str, tuple[str, ...]]:
    """The layers that a model reads, with their bands: the image after the fire, and what it is compared with."""
    sensor, before = settings.sensor, layer_before(setup, settings)
    bands = sensor.names if setup.trees else sensor.burn_ratio
    return {settings.imagery.layer: sensor.names} | ({before: bands} if before else {})


def layer_before(setup: Setup, settings: Settings) -> str | None:
    """The layer of the image before the fire that a set-up without a network reads; None for what needs none."""
    if setup.trees is not None:
        return before_layer(settings.imagery.layer) if setup.trees.change else None
    if setup.threshold is None or setup.threshold.index == "nbr":
        return None
    return setup.threshold.before_layer or before_layer(settings.imagery.layer)


def _of_windows(
    layers: dict[str, tuple[str, ...]], root: DataRoot, windows: gpd.GeoDataFrame, statistic: Any, progress: Progress
) -> NDArray[np.float64]:
    """A statistic of the clear pixels of windows, given the images of each layer in their order, some at a time."""
    found = []
    for start in range(0, len(windows), WINDOWS_AT_ONCE):
        progress("windows read", start, len(windows))
        rows = windows.iloc[start : start + WINDOWS_AT_ONCE]
        found.append(statistic(*clear_images(root, rows, layers)))
    return np.concatenate(found)


def _burnt(windows: pd.DataFrame) -> NDArray[np.bool_]:
    return (windows["category"] == CLASS_NAMES[BURNT]).to_numpy(dtype=bool)


def _manifest(
    setup: Setup,
    settings: Settings,
    fire_year: int,
    years: tuple[int, ...],
    chosen: ChosenWindows,
    data_versions: dict[str, str],
    trained: Trained,
    place: Path,
    identity: str,
    fold: Fold | None,
    fires: int | None,
) -> CheckpointManifest:
    windows = chosen.windows
    return CheckpointManifest(
        kind=setup.kind,
        fire_year=fire_year,
        fire_years=years,
        weights_sha256=hash_file(place / trained.file),
        files={trained.file: hash_file(place / trained.file)},
        run_hash=identity,
        config_hash=hash_json(setup.decisive()),
        settings_digest=settings.training.digest(),
        data_versions=data_versions,
        package_versions=_packages(),
        seed=settings.training.seed,
        device="cpu",
        loader_workers=0,
        reader="bulk",
        layer=settings.imagery.layer,
        layers=_layers(setup, settings),
        sensor=settings.sensor,
        per_pixel=setup.per_pixel,
        parameters=trained.parameters,
        trainable_parameters=trained.parameters,
        min_clear_fraction=settings.imagery.min_clear_fraction,
        **seen_counts(chosen),
        seen_hash=seen_hash(windows),
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        metrics=trained.metrics,
        history=trained.history,
        simulated=settings.simulated_imagery,
        notice=NOTICE,
        fold=fold,
        training_fires=fires,
    )


def _run_hash(
    setup: Setup, settings: Settings, fire_year: int, chosen: ChosenWindows, data_versions: dict[str, str]
) -> str:
    """Hash of everything that training depends on."""
    seen, training = seen_hash(chosen.windows), settings.training
    config = setup.decisive()
    return hash_json([config, fire_year, training.seed, settings.imagery.layer, seen, data_versions, _packages()])


def _packages() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}
