"""The data module of training on packed datasets: rslearn's batches, read and transformed in bulk.

Order and mirroring follow from the seed and the epoch's number alone, so a run that was killed and resumed sees what
an undisturbed one sees, and no worker processes are needed or used. Pixels lie in memory while they take no more
than a limit; beyond it each batch is read from the packed files while the model works on the one before.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import torch  # noqa: TID253 - only a training process loads this module
from lightning.pytorch import LightningDataModule  # noqa: TID253 - as above
from numpy.typing import NDArray
from rslearn.dataset import Dataset  # noqa: TID253
from rslearn.train.data_module import RslearnDataModule  # noqa: TID253

from burnscar_assets.dataset.bulk_plan import UnsupportedError, plan_reads
from burnscar_assets.dataset.bulk_split import Batch, BulkSplit, Samples
from burnscar_assets.dataset.packed.data import PackedDataStorageFactory
from burnscar_assets.dataset.packed.storage import PackedWindowStorage

_STAGES: Final = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
_SPLITS: Final = ("train", "val", "test")


class BulkDataModule(LightningDataModule):
    """Gives what an `RslearnDataModule` gives, from a packed dataset.

    Args:
        module: rslearn's data module, as its YAML makes it.
        seed: of order and mirroring.
        step_size: windows of a step; by default the module's batch size.
        parts: batches that the windows of a step come in, as equal as can be.
        memory_bytes: pixels are kept in memory if they take no more than this.

    Raises:
        UnsupportedError: its configuration or its dataset asks for what bulk reading doesn't do; the message says
            what.

    Attributes:
        datasets: the splits of the stage, by name; each has a length.
    """

    def __init__(
        self,
        module: RslearnDataModule,
        seed: int,
        *,
        step_size: int | None = None,
        parts: int = 1,
        memory_bytes: int = 4 << 30,
    ) -> None:
        super().__init__()
        if type(module) is not RslearnDataModule:
            raise UnsupportedError(f"data module {type(module).__name__}")
        self._dataset = Dataset(module.path)
        packed = isinstance(self._dataset.storage, PackedWindowStorage)
        if not packed or not isinstance(self._dataset.window_data_storage_factory, PackedDataStorageFactory):
            raise UnsupportedError("a dataset that is not packed")
        self._configs = module.split_configs
        self._reads = {split: plan_reads(self._configs[split], module.inputs, module.task) for split in _SPLITS}
        self._seed, self._parts = seed, parts
        self._step_size = step_size or module.batch_size
        self._memory_bytes = memory_bytes
        self.datasets: dict[str, BulkSplit] = {}

    def setup(self, stage: str) -> None:
        """Read the splits of a stage; those that were read before stay.

        Raises:
            UnsupportedError: the windows are not alike.
            MissingDataError: a window has no whole tile or label.
        """
        wanted = [split for split in _STAGES[stage] if split not in self.datasets]
        self.datasets |= {split: BulkSplit(self._dataset, self._configs[split], self._reads[split]) for split in wanted}
        if sum(split.pixel_bytes for split in self.datasets.values()) <= self._memory_bytes:
            for split in wanted:
                self.datasets[split].load()

    def train_dataloader(self) -> "Batches":
        """Batches of the training split, in an order of each epoch's own."""
        return self._batches("train")

    def val_dataloader(self) -> "Batches":
        """Batches of the validation split, in its order."""
        return self._batches("val")

    def test_dataloader(self) -> "Batches":
        """Batches of the test split, in its order."""
        return self._batches("test")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Samples:
        """Move a batch as a whole, then take it apart."""
        return (batch if device.type == "cpu" else batch.to(device)).samples()

    def _batches(self, split: str) -> "Batches":
        trainer = self.trainer
        return Batches(
            self.datasets[split],
            lambda: Draw(self._seed, 0 if trainer is None else trainer.current_epoch, split == "train"),
            self._step_size,
            self._parts,
            (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size),
            pin=trainer is not None and trainer.strategy.root_device.type == "cuda",
        )


class Draw:
    """Order of a split's windows and which are mirrored, in one epoch.

    Args:
        seed: of the run.
        epoch: number of the epoch.
        shuffled: whether the order is drawn too.
    """

    def __init__(self, seed: int, epoch: int, shuffled: bool) -> None:
        self._seeds, self._shuffled = [seed, epoch], shuffled

    def order(self, count: int) -> NDArray[np.int64]:
        """Numbers of the windows, each once."""
        return self._generator(0).permutation(count) if self._shuffled else np.arange(count)

    def coins(self, count: int) -> NDArray[np.bool_]:
        """(windows, 2) whether each is mirrored horizontally and vertically."""
        return self._generator(1).integers(0, 2, (count, 2)).astype(bool)

    def _generator(self, what: int) -> np.random.Generator:
        return np.random.default_rng([*self._seeds, what])


class Batches:
    """The batches of an epoch, of one of several processes that train together.

    Args:
        split: whose windows.
        draw: gives the draw of the epoch that begins.
        step_size: windows of a step in each process.
        parts: batches that they come in.
        share: number of this process, and how many there are.
        pin: whether batches go to a GPU.
    """

    def __init__(
        self,
        split: BulkSplit,
        draw: Callable[[], Draw],
        step_size: int,
        parts: int = 1,
        share: tuple[int, int] = (0, 1),
        *,
        pin: bool = False,
    ) -> None:
        self.split = split
        self._draw, self._step_size, self._parts, self._share, self._pin = draw, step_size, parts, share, pin

    def __len__(self) -> int:
        whole, rest = divmod(-(-len(self.split) // self._share[1]), self._step_size)
        return whole * min(self._parts, self._step_size) + min(self._parts, rest)

    def __iter__(self) -> Iterator[Batch]:
        draw = self._draw()
        coins = draw.coins(len(self.split))
        rows = self._rows(self._own(draw.order(len(self.split))))
        if self.split.in_memory:
            return (self._made(part, coins) for part in rows)
        return self._ahead(rows, coins)

    def _own(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's windows: as many as any other's, so some come twice if they can't be dealt evenly."""
        number, processes = self._share
        return np.resize(order, -(-len(order) // processes) * processes)[number::processes]

    def _rows(self, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        for start in range(0, len(order), self._step_size):
            step = order[start : start + self._step_size]
            yield from np.array_split(step, min(self._parts, len(step)))

    def _made(self, rows: NDArray[np.int64], coins: NDArray[np.bool_]) -> Batch:
        batch = self.split.batch(rows, coins)
        return batch.pinned() if self._pin else batch

    def _ahead(self, parts: Iterator[NDArray[np.int64]], coins: NDArray[np.bool_]) -> Iterator[Batch]:
        """Batches, the next of which is read meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            following: Any = None
            for rows in parts:
                ready, following = following, pool.submit(self._made, rows, coins)
                if ready is not None:
                    yield ready.result()
            if following is not None:
                yield following.result()
