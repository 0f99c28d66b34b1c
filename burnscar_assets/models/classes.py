"""Which classes a model configuration may name: whoever names a class has its module imported and its code run.

A configuration can come with a checkpoint that somebody else made, so what it names is held against a list: the
parts of this project, of rslearn and of Lightning that do no more than compute, and the encoders that are shipped.
Those that fetch code from a hub (`torch.hub`, `trust_remote_code`) are not among them. A person adds classes by the
setting `training.classes`.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from burnscar_assets.encoders.load import shipped_classes
from burnscar_assets.encoders.tuning import CLASSES as TUNING_CLASSES

_RSLEARN_MODELS: Final = (
    "conv.Conv",
    "feature_center_crop.FeatureCenterCrop",
    "fpn.Fpn",
    "multitask.MultiTaskModel",
    "pick_features.PickFeatures",
    "pooling_decoder.PoolingDecoder",
    "pooling_decoder.SegmentationPoolingDecoder",
    "simple_time_series.SimpleTimeSeries",
    "singletask.SingleTaskModel",
    "swin.Swin",
    "unet.UNetDecoder",
    "upsample.Upsample",
)
_RSLEARN_TRAIN: Final = (
    "data_module.RslearnDataModule",
    "lightning_module.RslearnLightningModule",
    "optimizer.AdamW",
    "scheduler.CosineAnnealingScheduler",
    "scheduler.CosineAnnealingWarmRestartsScheduler",
    "scheduler.PlateauScheduler",
    "tasks.classification.ClassificationHead",
    "tasks.classification.ClassificationTask",
    "tasks.segmentation.SegmentationHead",
    "tasks.segmentation.SegmentationTask",
    "transforms.concatenate.Concatenate",
    "transforms.flip.Flip",
    "transforms.normalize.Normalize",
    "transforms.pad.Pad",
    "transforms.sentinel1.Sentinel1ToDecibels",
)
ALLOWED: Final = frozenset(
    {
        *(f"rslearn.models.{name}" for name in _RSLEARN_MODELS),
        *(f"rslearn.train.{name}" for name in _RSLEARN_TRAIN),
        "burnscar_assets.models.callbacks.BestAndLast",
        "burnscar_assets.models.callbacks.EpochSeed",
        "burnscar_assets.models.callbacks.EvalWhileFrozen",
        "burnscar_assets.models.optimizer.FusedAdamW",
        "burnscar_assets.models.own_folder.InOwnFolder",
        "burnscar_assets.models.strategy.WholeModelDDP",
        "burnscar_assets.models.to_pixels.ToPixels",
        "burnscar_assets.models.unet.ConvolutionPyramid",
        "lightning.pytorch.callbacks.EarlyStopping",
        "lightning.pytorch.callbacks.LearningRateMonitor",
    }
)
"""Class paths that a configuration may name without a person's word, beside those of shipped encoders."""

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_SELECTOR = re.compile(r"(input|target)/\w+")
_PLACES: Final = frozenset(
    {
        "callbacks",
        "data",
        "decoder",
        "decoders",
        "encoder",
        "logger",
        "model",
        "optimizer",
        "scheduler",
        "task",
        "tasks",
        "transforms",
    }
)
"""Names of arguments that are classes, lists of them, or classes by name."""


MOST_VALUES: Final = 100_000
"""Of a configuration, each as often as YAML's aliases repeat it; ours have some hundred."""


def read_foreign_yaml(text: str) -> Any:
    """What a YAML text of somebody else holds.

    Raises:
        ValueError: it is no YAML, is nested too deeply, or repeats itself by aliases beyond what can be looked at.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it can't be read ({type(error).__name__})") from error
    left, seen = [content], 0
    while left:
        node = left.pop()
        left += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        seen += 1
        if seen + len(left) > MOST_VALUES:
            raise ValueError(f"it stands for more than {MOST_VALUES:,} values")
    return content


def foreign_classes(config: Any, more: Collection[str] = (), encoders: Collection[str] | None = None) -> list[str]:
    """Class paths in a model configuration that it may not name.

    A value under `class_path` names a class, whatever it looks like; so may any other text that reads like an import
    path, since jsonargparse takes one in place of a class with its arguments.

    Args:
        config: The configuration, or a part of it.
        more: Class paths that a person has allowed.
        encoders: Those of encoders that it may name; by default all that are shipped.

    Returns:
        What is on neither list, sorted.
    """
    of_encoders = shipped_classes() if encoders is None else shipped_classes() & set(encoders)
    return sorted(set(_named(config)) - ALLOWED - set(TUNING_CLASSES) - of_encoders - set(more))


def followed_texts(config: dict[str, Any], folder: str | None = None) -> list[str]:
    """Texts of a model configuration that jsonargparse could take for a file of more configuration, or for a class.

    Args:
        config: The configuration, complete.
        folder: Of the encoder's files, which alone it may name.

    Returns:
        Names of files and paths in the model and its transforms, of configuration files anywhere, and whatever stands
        in the place of a class or of its arguments without being a mapping; sorted.
    """
    data = config["data"]["init_args"]
    splits = [said for name, said in data.items() if name.endswith("_config") and isinstance(said, dict)]
    made = [config["model"]["init_args"]["model"], *(said.get("transforms") for said in splits)]
    files = {text for text in _texts(made) if _may_be_a_file(text) and not _is_within(text, folder)}
    configurations = {text for text in _texts(config) if text.lower().endswith((".yaml", ".yml", ".json"))}
    inner = {text for text in _texts(config) if "class_path" in text}
    return sorted(files | configurations | inner | set(_unmapped(config)))


def _texts(node: Any) -> Iterator[str]:
    return (value for _, value in _entries(node) if isinstance(value, str))


def _may_be_a_file(text: str) -> bool:
    has_folder = ("/" in text or "\\" in text) and not _SELECTOR.fullmatch(text)
    try:
        return has_folder or Path(text).is_file()
    except OSError:  # too long for a name
        return False


def _is_within(text: str, folder: str | None) -> bool:
    return folder is not None and (text == folder or text.startswith(f"{folder}/")) and ".." not in text[len(folder) :]


def _unmapped(node: Any, *, is_class: bool = False) -> Iterator[str]:
    """What stands in the place of a class or of its arguments and is no mapping."""
    if isinstance(node, dict):
        for name, value in node.items():
            if (name == "init_args" and not isinstance(value, dict | None)) or (
                name == "class_path" and not isinstance(value, str)
            ):
                yield str(value)
            else:
                yield from _unmapped(value, is_class=name in _PLACES or (is_class and "class_path" not in node))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _unmapped(value, is_class=is_class)
    elif is_class and isinstance(node, str):
        yield node


def _named(config: Any) -> Iterator[str]:
    for key, value in _entries(config):
        if key == "class_path" or (isinstance(value, str) and _IMPORT_PATH.fullmatch(value)):
            yield str(value)


def _entries(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Each plain value of a tree with the nearest key above it."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _entries(value, str(name))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _entries(value, key)
    else:
        yield key, node
