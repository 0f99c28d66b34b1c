"""Steps of our trainer beside the same steps on data in memory: `python -m kit.steps SPEC`, one JSON line.

Every other batch of an epoch is made as training makes it, the others have been made before; so both meet the same
machine. Then the floor: forward, backward and optimiser of the same model on batches in memory, without Lightning,
and validation's forward.
"""

import json
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - a process of its own
from lightning.pytorch import LightningDataModule  # noqa: TID253 - as above

from burnscar_assets.dataset.bulk_data import BulkDataModule
from burnscar_assets.dataset.bulk_split import Batch, Samples
from burnscar_assets.models.config import run_config
from burnscar_assets.models.fit import instantiate
from burnscar_assets.models.spec import TrainingSpec
from kit.clock import CLOCK, times

WARM_STEPS = 2


class Alternating(LightningDataModule):
    """Batches that are made as they are asked for and batches in memory, in turn.

    Args:
        module: makes the batches.
    """

    def __init__(self, module: BulkDataModule) -> None:
        super().__init__()
        self._module = module
        self.kept = [batch.samples() for batch in module.train_dataloader()]

    def train_dataloader(self) -> "Alternating":
        """This, as batches."""
        return self

    def val_dataloader(self) -> list[Any]:
        """Nothing: only steps are measured."""
        return []

    def __len__(self) -> int:
        return len(self.kept)

    def __iter__(self) -> Iterator[Any]:
        made = iter(self._module.train_dataloader())
        for number, samples in enumerate(self.kept):
            yield next(made) if number % 2 == 0 else samples

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Samples:
        """As our data module does for its batches."""
        if isinstance(batch, Batch):
            return self._module.transfer_batch_to_device(batch, device, dataloader_idx)
        samples: Samples = batch
        return samples


def main(path: Path) -> None:
    """Measure the steps of a specification's run."""
    spec = TrainingSpec.read(path)
    clock = Path(f"{path.with_suffix('')}.clock")
    clock.unlink(missing_ok=True)
    config = run_config(spec, "cpu")
    config["trainer"] |= {"max_epochs": 1, "limit_val_batches": 0}
    config["trainer"]["callbacks"] = [one for one in config["trainer"]["callbacks"] if one["class_path"] == CLOCK]
    trainer, module, datamodule = instantiate(config, path.parent)
    bulk = BulkDataModule(datamodule, spec.settings.seed)
    bulk.setup("fit")
    alternating = Alternating(bulk)
    validation = [batch.samples() for batch in bulk.val_dataloader()]
    trainer.fit(module, datamodule=alternating)
    starts, ends = times(clock, "step_start"), times(clock, "step_end")
    steps = [(n, end - before) for n, (before, end) in enumerate(pairwise(ends), start=1)]
    waits = [(n, start - before) for n, (before, start) in enumerate(zip(ends, starts[1:], strict=False), start=1)]
    train_s, val_s = _floor(module, alternating.kept, validation)
    print(
        json.dumps(
            {
                "made_s": _mean(steps, 0),
                "kept_s": _mean(steps, 1),
                "made_wait_s": _mean(waits, 0),
                "kept_wait_s": _mean(waits, 1),
                "floor_train_s": train_s,
                "floor_val_s": val_s,
                "steps": len(ends),
            }
        )
    )


def _mean(numbered: list[tuple[int, float]], parity: int) -> float:
    chosen = [seconds for number, seconds in numbered if number >= WARM_STEPS and number % 2 == parity]
    return sum(chosen) / len(chosen)


def _floor(module: Any, batches: list[Samples], validation: list[Samples]) -> tuple[float, float]:
    """Seconds of an epoch's arithmetic: training and validation."""
    from rslearn.train.model_context import ModelContext

    optimizer = torch.optim.AdamW(module.model.parameters(), lr=1e-4, fused=True)
    module.model.train()
    begin = time.perf_counter()
    for inputs, targets, metadata in batches:
        output = module.model(ModelContext(inputs=inputs, metadatas=metadata), targets)
        optimizer.zero_grad()
        sum(output.loss_dict.values()).backward()
        optimizer.step()
    middle = time.perf_counter()
    module.model.eval()
    with torch.no_grad():
        for inputs, targets, metadata in validation:
            module.model(ModelContext(inputs=inputs, metadatas=metadata), targets)
    return middle - begin, time.perf_counter() - middle


if __name__ == "__main__":
    main(Path(sys.argv[1]))
