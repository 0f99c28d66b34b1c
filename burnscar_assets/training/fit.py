"""Runs Lightning on a model configuration through rslearn's own command line machinery.

What `rslearn model fit --config model.yaml` builds is what is built here: the same parser, the same linked
arguments. Only the folder of the run, a report per epoch and the guard on the data are added.
"""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnscar_assets.classes import Split
from burnscar_assets.errors import InputError
from burnscar_assets.settings import TrainingSettings
from burnscar_assets.training.config import Device
from burnscar_assets.training.manifest import BEST_FILE
from burnscar_assets.training.spec import TrainingSpec
from burnscar_assets.training.weights import load_state

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
    """

    state: "dict[str, Tensor]"
    history: list[dict[str, float]]
    best_epoch: int


def choose_device(settings: TrainingSettings) -> Device:
    """The device that the setting stands for on this machine.

    Raises:
        InputError: a GPU is asked for and there is none.
    """
    import torch

    available = torch.cuda.is_available()
    if settings.accelerator == "gpu" and not available:
        raise InputError("training.accelerator is gpu, but torch finds none: set it to cpu or auto")
    return "cpu" if settings.accelerator == "cpu" or not available else "gpu"


def fit(
    spec: TrainingSpec,
    config: dict[str, Any],
    folder: Path,
    last: Path | None,
    report: Callable[[dict[str, Any]], None],
) -> FitResult:
    """Train in `folder`, from the start or from the checkpoint `last`.

    Raises:
        InputError: the dataset does not hold the windows that the tables promise, or training diverged.
    """
    from burnscar_assets.training.callbacks import BestAndLast, EpochReport

    trainer, module, datamodule = _instantiate(config, folder)
    epochs = EpochReport(report)
    trainer.callbacks += [_guard(spec), epochs]
    trainer.fit(module, datamodule=datamodule, ckpt_path=None if last is None else str(last), weights_only=True)
    best = next(callback for callback in trainer.callbacks if isinstance(callback, BestAndLast))
    if best.best_epoch is None:
        raise InputError("training diverged, no validation loss was a number: lower training.learning_rate")
    state = load_state(folder / BEST_FILE)["state_dict"]
    prefix = "model."
    weights = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return FitResult(weights, epochs.history, best.best_epoch + 1)


def _instantiate(config: dict[str, Any], folder: Path) -> "tuple[Trainer, Any, LightningDataModule]":
    from lightning.pytorch import LightningDataModule, LightningModule
    from rslearn.arg_parser import RslearnArgumentParser
    from rslearn.lightning_cli import RslearnLightningCLI
    from rslearn.utils.jsonargparse import init_jsonargparse

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    init_jsonargparse()
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
