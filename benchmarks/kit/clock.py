"""A Lightning callback that writes when steps and epochs began and ended; a model configuration names it."""

import json
import os
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback  # noqa: TID253 - a plug-in that only a training process loads

from kit.memory import cpu_seconds

CLOCK = "kit.clock.Clock"
"""What a model configuration calls it."""


class Clock(Callback):
    """Appends a JSON line for each event: its name, the wall clock and the epoch; of epochs also CPU seconds so far.

    Args:
        path: file to append to.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._events: list[dict[str, Any]] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """An epoch begins."""
        self._note("epoch_start", trainer, cpu_s=cpu_seconds(os.getsid(0)))

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """A batch has come and is where it's computed."""
        self._note("step_start", trainer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A step is done."""
        self._note("step_end", trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch is done, with its validation; what was noted is written."""
        self._note("epoch_end", trainer, cpu_s=cpu_seconds(os.getsid(0)))
        with self._path.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(event) + "\n" for event in self._events)
        self._events.clear()

    def _note(self, name: str, trainer: Any, **more: float) -> None:
        self._events.append({"event": name, "at": time.time(), "epoch": trainer.current_epoch, **more})


def times(path: Path, name: str, value: str = "at") -> list[float]:
    """When events of a name happened, or another value of theirs, from a clock's file."""
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [event[value] for event in events if event["event"] == name]
