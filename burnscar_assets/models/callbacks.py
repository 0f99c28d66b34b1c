"""Lightning callbacks of a training run: seeds by epoch, best and last checkpoint, reports.

The first two are named by the model configuration. They make a run that was killed and resumed the same as
one that was not (with `loader_workers: 0`): the random state is a function of seed and epoch, and `last.ckpt`
is taken where an epoch begins, after the plateau scheduler has seen the epoch before. A checkpoint taken at
the end of validation, as is usual, loses that step.
"""

import math
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this module is a plug-in that only a training process loads
from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: TID253 - as above

from burnscar_assets.models.manifest import BEST_FILE, LAST_FILE
from burnscar_assets.storage.atomic import atomic_file


class EpochSeed(Callback):
    """Seeds every generator at the start of each epoch but the first, from the seed and the epoch's number.

    Lightning asks for the first batches of a resumed epoch before it calls the hook of its start. So a resumed
    run seeds as it loads its state; the first epoch of a new run follows from the seed of the whole run. Of several
    processes that train together only the first does just that: in the others dropout must differ.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._seeded_epoch = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed, unless this epoch was seeded as it was resumed."""
        if trainer.global_rank or trainer.current_epoch != self._seeded_epoch:
            self._seed(trainer.current_epoch, trainer.global_rank)

    def state_dict(self) -> dict[str, Any]:
        """The epoch that begins."""
        return {"epoch": self._seeded_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Seed for the epoch that is resumed."""
        self._seed(state_dict["epoch"])

    def _seed(self, epoch: int, process: int = 0) -> None:
        entropy = [self.seed, epoch, process] if process else [self.seed, epoch]
        derived = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        random.seed(derived)
        np.random.seed(derived)
        torch.manual_seed(derived)
        self._seeded_epoch = epoch


class BestAndLast(Callback):
    """Writes `last.ckpt`, from which training resumes, and `best.ckpt`, whose validation loss is lowest.

    They lie in the trainer's `default_root_dir`, which `rslearn model` sets to the run's folder. It stands
    after EpochSeed, and before callbacks that change the model at the start of an epoch.
    """

    def __init__(self, monitor: str = "val_loss") -> None:
        self.monitor = monitor
        self.best_value: float | None = None
        self.best_epoch: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {"best_value": self.best_value, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what was known."""
        self.best_value = state_dict["best_value"]
        self.best_epoch = state_dict["best_epoch"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the state between two epochs.

        Lightning resets its counts of batches a moment later; saved as they are, they would tell a resumed run
        that this epoch is done.
        """
        if trainer.current_epoch > 0:
            loop = trainer.fit_loop.epoch_loop
            loop.batch_progress.reset_on_run()
            loop.scheduler_progress.reset_on_run()
            loop.automatic_optimization.optim_progress.reset_on_run()
            _save(trainer, LAST_FILE, weights_only=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the weights if they are better than any before."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        value = float(trainer.callback_metrics[self.monitor])
        if math.isfinite(value) and (self.best_value is None or value < self.best_value):
            self.best_value, self.best_epoch = value, trainer.current_epoch
            _save(trainer, BEST_FILE, weights_only=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final state, unless training stopped early: resumed, it would train on."""
        if not trainer.should_stop:
            _save(trainer, LAST_FILE, weights_only=False)


class EvalWhileFrozen(Callback):
    """Keeps a module in evaluation mode while none of its parameters is trained, so that its features stay as they are.

    rslearn's callbacks that freeze leave dropout and stochastic depth on.

    Args:
        module_selector: names (or numbers) that lead to the module, as `FreezeUnfreeze` takes them.
    """

    def __init__(self, module_selector: list[str | int]) -> None:
        self.module_selector = module_selector

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the mode, which Lightning sets for the whole model."""
        module: Any = pl_module
        for name in self.module_selector:
            module = module[name] if isinstance(name, int) else getattr(module, name)
        is_trained = any(parameter.requires_grad for parameter in module.parameters())
        if module.training != is_trained:
            module.train(is_trained)


def _save(trainer: Trainer, name: str, *, weights_only: bool) -> None:
    """Write a checkpoint; every process takes part, and the first one writes."""
    if not trainer.is_global_zero:
        trainer.save_checkpoint(Path(trainer.default_root_dir) / name, weights_only=weights_only)
        return
    with atomic_file(Path(trainer.default_root_dir) / name) as temporary:
        trainer.save_checkpoint(os.fspath(temporary), weights_only=weights_only)


class EpochReport(Callback):
    """Keeps the history of a run and reports it as it grows; the trainer adds it, no configuration needs it.

    Attributes:
        history: Per epoch: `epoch`, `learning_rate`, `train_loss`, `val_loss` and the task's `val_` metrics.
    """

    STEP_INTERVAL_S = 1.0

    def __init__(self, report: Callable[[dict[str, Any]], None]) -> None:
        self.report = report
        self.history: list[dict[str, float]] = []
        self._epoch_started = self._step_reported = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """The history, for a resumed run."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the history."""
        self.history = [dict(row) for row in state_dict["history"]]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._epoch_started = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Report a step now and then."""
        if time.monotonic() - self._step_reported >= self.STEP_INTERVAL_S:
            self._step_reported = time.monotonic()
            self.report(
                {
                    "event": "step",
                    "epoch": trainer.current_epoch + 1,
                    "epochs": trainer.max_epochs,
                    "step": batch_idx + 1,
                    "steps": int(trainer.num_training_batches),
                    "loss": round(float(outputs["loss"]), 5),
                }
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch to the history and report it."""
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith(("train_", "val_"))}
        row = {
            "epoch": trainer.current_epoch + 1,
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            **{name: round(value, 6) for name, value in sorted(metrics.items()) if math.isfinite(value)},
        }
        self.history.append(row)
        seconds = round(time.monotonic() - self._epoch_started, 2)
        self.report({"event": "epoch", "epochs": trainer.max_epochs, "seconds": seconds, **row})
