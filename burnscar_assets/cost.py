"""What a checkpoint cost to train and costs to use. Costs differ from run to run: no data version knows of them."""

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from burnscar_assets.storage.atomic import write_json

COST_FILE: Final = "cost.json"


class Cost(BaseModel):
    """Cost of one checkpoint; what wasn't measured is empty."""

    model_config = ConfigDict(frozen=True)

    train_seconds: float | None = Field(None, description="Wall clock of training, reading included.")
    train_memory_mb: float | None = Field(None, description="Peak of main memory of the training process, in MB.")
    gpu_memory_mb: float | None = Field(None, description="Peak of GPU memory in training, in MB.")
    parameters: int | None = Field(None, description="Parameters of the model: weights, thresholds, or leaves.")
    predict_windows_per_s: float | None = Field(None, description="Windows judged a second, reading left out.")
    device: str = Field("cpu", description="What it was trained on.")


def write_cost(folder: Path, cost: Cost) -> None:
    """Write the cost into a folder."""
    write_json(folder / COST_FILE, cost.model_dump(mode="json"))


def read_cost(folder: Path) -> Cost:
    """The cost that a folder tells of; one without values if it tells of none, or of none that can be read."""
    try:
        return Cost.model_validate_json((folder / COST_FILE).read_bytes())
    except (OSError, ValidationError):
        return Cost()


def together(costs: Sequence[Cost], watches: "Sequence[Stopwatch]", parameters: int) -> Cost:
    """The cost of checkpoints that answer together, as those of folds do: seconds add up, memory is the greatest.

    Args:
        costs: of training each.
        watches: of the predictions of each.
        parameters: of one of them, which all have; 0 if that isn't known.
    """
    windows, seconds = sum(one.windows for one in watches), sum(one.seconds for one in watches)
    known = [cost.train_seconds for cost in costs if cost.train_seconds is not None]
    memory = [cost.train_memory_mb for cost in costs if cost.train_memory_mb is not None]
    return costs[0].model_copy(
        update={
            "train_seconds": sum(known) if known else None,
            "train_memory_mb": max(memory, default=None),
            "parameters": parameters or None,
            "predict_windows_per_s": windows / seconds if windows and seconds else None,
        }
    )


class Stopwatch:
    """Counts windows and the seconds that a model took for them."""

    def __init__(self) -> None:
        self.windows, self.seconds = 0, 0.0

    @contextmanager
    def timed(self, windows: int) -> Iterator[None]:
        """Add a block that judges so many windows."""
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started
        self.windows += windows

    @property
    def windows_per_s(self) -> float | None:
        """Windows a second; nothing if none were judged."""
        return self.windows / self.seconds if self.windows and self.seconds else None


def peak_memory_mb() -> float:
    """Peak of this process's main memory, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
