"""Runs Lightning on a model configuration through rslearn's own command line machinery.

What `rslearn model fit --config model.yaml` builds is what is built here: the same parser, the same linked
arguments. Only the folder of the run, a report per epoch and the guard on the data are added, and packed datasets
are read in bulk where the configuration allows it. A run that runs out of memory goes on with steps in more parts.
"""

import gc
import logging
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnscar_assets.classes import Split
from burnscar_assets.errors import InputError
from burnscar_assets.models.config import in_parts
from burnscar_assets.models.manifest import BEST_FILE, LAST_FILE
from burnscar_assets.models.spec import RUN_FILE, TrainingSpec
from burnscar_assets.models.weights import load_state
from burnscar_assets.parent import child_environment
from burnscar_assets.process import is_follower
from burnscar_assets.reader.clearness import mask_of
from burnscar_assets.settings import TrainingSettings
from burnscar_assets.storage.atomic import read_json

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, Trainer
    from torch import Tensor

_MANAGEMENT = ("management_dir", "project_name", "run_name", "log_mode")


@dataclass(frozen=True)
class FitResult:
    """What a run came to.

    Attributes:
        state: Weights of the best epoch, by the names of the configured model.
        history: One row per epoch.
        best_epoch: Epoch of the weights, from 1.
        reader: What read the windows: `bulk`, or `rslearn` and why.
        parts: Parts that the windows of a step came in, in the end.
        parameters: Parameters of the model.
        trainable_parameters: Those that were trained in the end.
    """

    state: "dict[str, Tensor]"
    history: list[dict[str, float]]
    best_epoch: int
    reader: str
    parts: int
    parameters: int
    trainable_parameters: int


def fit(
    spec: TrainingSpec,
    config: dict[str, Any],
    folder: Path,
    last: Path | None,
    report: Callable[[dict[str, Any]], None],
) -> FitResult:
    """Train in `folder`, from the start or from the checkpoint `last`.

    Out of memory, it goes on from the last epoch with the windows of a step in twice as many parts.

    Raises:
        InputError: the dataset does not hold the windows that the tables promise, training diverged, or memory
            is too small for a single window, or for a step where several devices share it.
    """
    parts, step_size = spec.settings.accumulation, spec.settings.batch_size
    while True:
        try:
            return _fit_in_parts(spec, config, folder, last, report, parts)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            if _devices(config) > 1:
                raise InputError(
                    f"memory is too small for a step's windows on {_devices(config)} devices in {parts} parts: raise "
                    "training.accumulation, or training.devices"
                ) from error
            if parts == step_size:
                raise InputError(
                    "memory is too small for training with one window at a time: take a smaller training.model."
                    "variant, a larger training.model.patch_size, or another machine"
                ) from error
            said = str(error).partition("\n")[0]
        parts = min(2 * parts, step_size)
        report({"event": "out_of_memory", "accumulation": parts, "windows": math.ceil(step_size / parts), "said": said})
        _free_memory()
        config = in_parts(config, step_size, parts)
        last = folder / LAST_FILE if (folder / LAST_FILE).exists() else None


def fit_along(spec: TrainingSpec, config: dict[str, Any], folder: Path, last: Path | None) -> None:
    """Take part in the training of the process that started this one, which alone reports and writes."""
    _run(spec, config, folder, last, lambda event: None, spec.settings.accumulation)


def _fit_in_parts(
    spec: TrainingSpec,
    config: dict[str, Any],
    folder: Path,
    last: Path | None,
    report: Callable[[dict[str, Any]], None],
    parts: int,
) -> FitResult:
    from burnscar_assets.models.callbacks import BestAndLast, EpochReport

    trainer, module, reader = _run(spec, config, folder, last, report, parts)
    epochs = next(callback for callback in trainer.callbacks if isinstance(callback, EpochReport))
    best = next(callback for callback in trainer.callbacks if isinstance(callback, BestAndLast))
    if best.best_epoch is None:
        raise InputError("training diverged, no validation loss was a number: lower training.learning_rate")
    state = load_state(folder / BEST_FILE)["state_dict"]
    prefix = "model."
    weights = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.model.parameters()]
    every, trained = sum(size for size, _ in sizes), sum(size for size, trainable in sizes if trainable)
    return FitResult(weights, epochs.history, best.best_epoch + 1, reader, parts, every, trained)


def _run(
    spec: TrainingSpec,
    config: dict[str, Any],
    folder: Path,
    last: Path | None,
    report: Callable[[dict[str, Any]], None],
    parts: int,
) -> "tuple[Trainer, Any, str]":
    """Train to the end; the trainer, the module, and what read the windows."""
    from burnscar_assets.models.callbacks import EpochReport

    devices = _devices(config)
    if devices > 1:
        os.environ.update(child_environment())  # the processes that Lightning starts end with this one
    trainer, module, datamodule = instantiate(config, folder)
    if spec.unclear:
        _leave_out(datamodule.task, spec.unclear)
    if spec.settings.logger != "none" and not is_follower():
        trainer.logger = _logger(spec, folder, report)
    datamodule, reader = _fastest(datamodule, spec.settings, parts, devices)
    report({"event": "reader", "reader": reader})
    trainer.callbacks += [_guard(spec), EpochReport(report)]
    trainer.fit(module, datamodule=datamodule, ckpt_path=None if last is None else str(last), weights_only=True)
    return trainer, module, reader


def _leave_out(task: Any, unclear: Mapping[str, str]) -> None:
    """Have a task by pixels leave those of windows that are not clear out of losses and metrics, in any reader."""
    task.process_inputs = partial(_without_unclear, task, unclear)


def _without_unclear(task: Any, unclear: Mapping[str, str], raw: Any, metadata: Any, load_targets: bool = True) -> Any:
    import torch

    inputs, targets = type(task).process_inputs(task, raw, metadata=metadata, load_targets=load_targets)
    if (runs := unclear.get(metadata.window_name)) and load_targets:
        left, top, right, bottom = metadata.window_bounds
        crop, mask = metadata.crop_bounds, mask_of(runs, (bottom - top, right - left))
        mask = mask[crop[1] - top : crop[3] - top, crop[0] - left : crop[2] - left]
        targets["valid"].image *= torch.from_numpy(~mask)
    return inputs, targets


def _logger(spec: TrainingSpec, folder: Path, report: Callable[[dict[str, Any]], None]) -> Any:
    from burnscar_assets.models.loggers import make_logger

    return make_logger(spec, str(read_json(folder / RUN_FILE).get("run_hash", "")), report)


def _devices(config: dict[str, Any]) -> int:
    return int(config["trainer"].get("devices", 1))


def _fastest(module: Any, settings: TrainingSettings, parts: int, devices: int) -> "tuple[LightningDataModule, str]":
    """Our data module if it can do what rslearn's is configured for, else rslearn's; and which it is."""
    from burnscar_assets.dataset.bulk_data import BulkDataModule
    from burnscar_assets.dataset.bulk_plan import UnsupportedError

    memory_bytes = int(settings.memory_gb * 1e9)
    try:
        bulk = BulkDataModule(
            module, settings.seed, step_size=settings.batch_size // devices, parts=parts, memory_bytes=memory_bytes
        )
        bulk.setup("fit")
    except UnsupportedError as error:
        return module, f"rslearn: {error} (its own loader is slower than reading in bulk)"
    return bulk, "bulk"


def _is_out_of_memory(error: RuntimeError) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _free_memory() -> None:
    """Give back what the run that ended held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def instantiate(config: dict[str, Any], folder: Path) -> "tuple[Trainer, Any, LightningDataModule]":
    """Lightning's trainer, the module and rslearn's data module of a configuration, for a run in `folder`."""
    import torch
    from lightning.pytorch import LightningDataModule, LightningModule
    from rslearn.arg_parser import RslearnArgumentParser
    from rslearn.lightning_cli import RslearnLightningCLI
    from rslearn.utils.jsonargparse import init_jsonargparse

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    init_jsonargparse()
    torch.utils.deterministic.fill_uninitialized_memory = False  # it helps to find bugs, at some percent of a step
    arguments = {key: value for key, value in config.items() if key not in _MANAGEMENT}
    arguments["trainer"] = {**config["trainer"], "default_root_dir": str(folder)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
        cli = RslearnLightningCLI(
            model_class=LightningModule,
            datamodule_class=LightningDataModule,
            args=arguments,
            run=False,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            parser_class=RslearnArgumentParser,
        )
    return cli.trainer, cli.model, cli.datamodule


def _guard(spec: TrainingSpec) -> Any:
    """A callback that stops a run whose dataset does not hold what the tables promise."""
    from lightning.pytorch import Callback, LightningModule, Trainer

    class Guard(Callback):
        def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            for split in (Split.TRAIN, Split.VAL):
                found = len(trainer.datamodule.datasets[str(split)])
                if found != spec.window_count(split):
                    raise InputError(
                        f"{spec.dataset} holds {found} usable {split} windows of {list(spec.fire_years)}, the tables "
                        f"{spec.window_count(split)}: run burnscar refresh, which makes both anew"
                    )

    return Guard()
