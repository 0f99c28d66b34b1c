"""MLflow or Weights & Biases beside a run, if the settings ask for it; whatever becomes of them, training goes on.

Without an address or key in the environment they write files under the data root and ask no network. Credentials come
from the environment alone and stand in no specification, manifest or log.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lightning.pytorch.loggers import Logger  # noqa: TID253 - only a training process loads this module

from burnscar_assets.errors import SettingsError
from burnscar_assets.models.spec import TrainingSpec

PROJECT: Final = "burnscar"
FOLDER: Final = "training-logs"
"""Under the data root; where runs are logged that have no server."""

_PATIENCE: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

Event = dict[str, Any]


def make_logger(spec: TrainingSpec, run_hash: str, report: Callable[[Event], None]) -> Logger:
    """The logger that the settings name, told what the run is.

    Args:
        spec: of the run; its settings name a logger.
        run_hash: its identity.
        report: told once, as `{"event": "logger", …}`, if the logger fails.

    Raises:
        SettingsError: its package isn't installed.
    """
    folder = spec.dataset.parent / FOLDER
    make = {"mlflow": _mlflow, "wandb": _wandb}[spec.settings.logger]
    logger = Forgiving(lambda: make(spec, run_hash, folder), report)
    logger.log_hyperparams(_described(spec, run_hash))
    return logger


class Forgiving(Logger):
    """A logger that is left alone from its first failure on.

    Args:
        make: makes it.
        report: told of the failure.

    Raises:
        SettingsError: its package isn't installed.
    """

    def __init__(self, make: Callable[[], Logger], report: Callable[[Event], None]) -> None:
        super().__init__()
        self._report = report
        self._inner: Logger | None = None
        try:
            self._inner = make()
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"training.logger needs a package ({error}): install burnscar-assets[mlflow]"
            ) from error
        except Exception as error:
            self._give_up(error)

    @property
    def name(self) -> str:
        """Of the project."""
        return PROJECT

    @property
    def version(self) -> str | int | None:
        """The logger's own number of the run."""
        return None if self._inner is None else self._inner.version

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log figures of an epoch."""
        self._try(lambda logger: logger.log_metrics(metrics, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log what the run is."""
        self._try(lambda logger: logger.log_hyperparams(params))

    def finalize(self, status: str) -> None:
        """The run has ended."""
        self._try(lambda logger: logger.finalize(status))
        self._try(_finish)

    def _try(self, log: Callable[[Logger], Any]) -> None:
        if self._inner is not None:
            try:
                log(self._inner)
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._inner = None
        self._report({"event": "logger", "said": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"})


def _mlflow(spec: TrainingSpec, run_hash: str, folder: Path) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    logger = MLFlowLogger(
        experiment_name=PROJECT,
        run_name=_run_name(spec),
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlflow").as_uri(),
        tags={"run_hash": run_hash, "simulated": str(spec.simulated).lower()},
    )
    _ = logger.experiment
    return logger


def _wandb(spec: TrainingSpec, run_hash: str, folder: Path) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    folder.mkdir(parents=True, exist_ok=True)
    mode = "online" if os.environ.get("WANDB_API_KEY") else "offline"
    simulated = ["simulated"] if spec.simulated else []
    logger = WandbLogger(
        project=PROJECT,
        name=_run_name(spec),
        id=run_hash[:16],
        save_dir=folder,
        mode=mode,
        offline=mode == "offline",
        resume="allow",
        tags=simulated,
    )
    logger._wandb_init.pop("anonymous", None)  # wandb warns of it, whatever it says
    _ = logger.experiment
    return logger


def _finish(logger: Logger) -> None:
    """W&B keeps a run open until its process ends."""
    if type(logger).__name__ == "WandbLogger":
        logger.experiment.finish()


def _run_name(spec: TrainingSpec) -> str:
    return f"{spec.checkpoint.parent.name}/{spec.checkpoint.name}"


def _described(spec: TrainingSpec, run_hash: str) -> dict[str, Any]:
    return {
        **spec.settings.model_dump(mode="json", exclude={"logger", "memory_gb"}),
        "fire_year": spec.fire_year,
        "fire_years": list(spec.fire_years),
        "windows": {split: sum(sum(c.values()) for c in years.values()) for split, years in spec.windows.items()},
        "seen_hash": spec.seen_hash,
        "data_versions": spec.data_versions,
        "encoder": None if spec.encoder is None else spec.encoder.model_id,
        "random_weights": spec.encoder is not None and spec.encoder.random,
        "simulated": spec.simulated,
        "run_hash": run_hash,
    }
