"""Batches read in bulk are rslearn's own, tensor by tensor; their order follows from seed and epoch alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rslearn.train.transforms.pad import Pad

from burnscar_assets.dataset.bulk_data import Batches, BulkDataModule, Draw
from burnscar_assets.dataset.bulk_plan import UnsupportedError
from burnscar_assets.dataset.bulk_split import BulkSplit, Samples
from burnscar_assets.models.config import run_config
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.models.training_kit import Plan

IMAGE = "sentinel2_l2a"


def rslearn_module(config: dict[str, Any]) -> Any:
    """rslearn's data module of a configuration."""
    import jsonargparse
    from lightning.pytorch import LightningDataModule
    from rslearn.utils.jsonargparse import init_jsonargparse

    init_jsonargparse()
    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(LightningDataModule, "data")
    return parser.instantiate_classes(parser.parse_object({"data": config["data"]})).data


@pytest.fixture
def module(packed_plan: Plan) -> Any:
    """rslearn's data module on the packed dataset."""
    return rslearn_module(run_config(packed_plan(), "cpu"))


def test_rslearn_and_bulk_reading_leave_out_the_same_windows(packed_plan: Plan) -> None:
    spec = packed_plan()
    left_out = {split: names[0] for split, names in spec.names.items()}
    module = rslearn_module(
        run_config(spec.model_copy(update={"names": {s: n[1:] for s, n in spec.names.items()}}), "cpu")
    )
    bulk = BulkDataModule(module, 1)
    for stage, split in (("fit", "train"), ("fit", "val"), ("test", "test")):
        module.setup(stage)
        bulk.setup(stage)
        name = left_out[split]
        theirs = [module.datasets[split][n][2].window_name for n in range(len(module.datasets[split]))]
        ours = [window.name for window in bulk.datasets[split].windows]
        assert ours == theirs and name not in ours and len(ours) == len(spec.names[split]) - 1


def assert_same(one: Samples, other: Samples) -> None:
    for a, b in zip(one[0], other[0], strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].image.dtype == b[name].image.dtype
            assert torch.equal(a[name].image, b[name].image)
            assert a[name].timestamps == b[name].timestamps
    for a, b in zip(one[1], other[1], strict=True):
        assert a.keys() == b.keys()
        for name in a:
            ours, theirs = (getattr(target[name], "image", target[name]) for target in (a, b))
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)
    assert one[2] == other[2]


@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "read ahead"])
def test_batches_are_those_of_rslearn(module: Any, memory_bytes: int) -> None:
    bulk = BulkDataModule(module, 1, memory_bytes=memory_bytes)
    for stage, split in (("validate", "val"), ("test", "test")):
        module.setup(stage)
        bulk.setup(stage)
        assert bulk.datasets[split].in_memory == bool(memory_bytes)
        theirs = list(getattr(module, f"{split}_dataloader")())
        ours = [batch.samples() for batch in getattr(bulk, f"{split}_dataloader")()]
        assert len(ours) == len(getattr(bulk, f"{split}_dataloader")()) == 2
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("mirrored", [(False, False), (True, False), (False, True), (True, True)])
def test_mirrored_windows_are_those_of_rslearn(module: Any, mirrored: tuple[bool, bool]) -> None:
    flip = module.split_configs["train"].transforms[-1]
    flip.sample_state = lambda: dict(zip(("horizontal", "vertical"), mirrored, strict=True))
    bulk = BulkDataModule(module, 1)
    bulk.setup("fit")
    module.setup("fit")
    theirs, ours = module.datasets["train"], bulk.datasets["train"]
    rows = np.array([3, 0, 7])
    coins = np.tile(np.array(mirrored), (len(ours), 1))
    inputs, targets, metadata = zip(*(theirs[int(row)] for row in rows), strict=True)
    assert_same(ours.batch(rows, coins).samples(), (list(inputs), list(targets), list(metadata)))
    assert len(theirs) == len(ours) == 36


@pytest.mark.parametrize("mirrored", [(False, False), (True, True)])
def test_the_middle_of_windows_is_that_of_rslearn(packed_plan: Plan, mirrored: tuple[bool, bool]) -> None:
    module = rslearn_module(run_config(packed_plan(crop_px=16), "cpu"))
    flip = module.split_configs["train"].transforms[1]
    flip.sample_state = lambda: dict(zip(("horizontal", "vertical"), mirrored, strict=True))
    bulk = BulkDataModule(module, 1)
    for stage, split in (("fit", "train"), ("test", "test")):
        bulk.setup(stage)
        module.setup(stage)
        theirs, ours = module.datasets[split], bulk.datasets[split]
        coins = np.tile(np.array(mirrored), (len(ours), 1))
        inputs, targets, metadata = zip(*(theirs[row] for row in (3, 0)), strict=True)
        batch = ours.batch(np.array([3, 0]), coins)
        assert batch.images[IMAGE].shape[-2:] == (16, 16)
        assert_same(batch.samples(), (list(inputs), list(targets), list(metadata)))


def test_an_epoch_has_each_window_once_and_an_order_of_its_own(module: Any) -> None:
    def names(seed: int) -> list[str]:
        bulk = BulkDataModule(module, seed)
        bulk.setup("fit")
        return [window.window_name for batch in bulk.train_dataloader() for window in batch.metadata]

    assert names(1) == names(1) != names(2)
    assert len(set(names(1))) == len(names(1)) == 36


def test_a_coin_is_thrown_for_each_window_and_epoch() -> None:
    coins = Draw(5, 0, True).coins(10_000)
    shares = [
        (coins == sides).all(axis=1).mean() for sides in ((False, False), (False, True), (True, False), (True, True))
    ]
    np.testing.assert_allclose(shares, 0.25, atol=0.02)
    assert not np.array_equal(coins, Draw(5, 1, True).coins(10_000))
    assert not np.array_equal(Draw(5, 0, True).order(100), Draw(5, 1, True).order(100))
    assert Draw(5, 3, False).order(4).tolist() == [0, 1, 2, 3]


class _Rows:
    """Stands for a split of so many windows, whose batches are their numbers."""

    in_memory = True

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, rows: np.ndarray, coins: np.ndarray) -> list[int]:
        return rows.tolist()


@given(st.integers(1, 70), st.integers(1, 20), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.booleans())
def test_parts_and_processes_share_the_same_steps(
    count: int, step: int, parts: int, processes: int, epoch: int, shuffled: bool
) -> None:
    def batches(number: int, parts: int) -> list[list[int]]:
        split: Any = _Rows(count)
        loader = Batches(split, lambda: Draw(1, epoch, shuffled), step, parts, (number, processes))
        found: list[Any] = list(loader)
        assert len(found) == len(loader)
        return found

    every = [row for number in range(processes) for part in batches(number, parts) for row in part]
    assert set(every) == set(range(count))
    assert len(every) == -(-count // processes) * processes
    whole = batches(0, 1)
    assert [row for part in batches(0, parts) for row in part] == [row for part in whole for row in part]
    sizes = [len(part) for part in batches(0, parts)]
    assert max(sizes) <= -(-step // parts)
    assert min(sizes) > 0


def _crop(module: Any) -> None:
    module.split_configs["train"]._crop_size = 16


def _transform(module: Any) -> None:
    module.split_configs["val"].transforms.append(torch.nn.Identity())


def _padding(module: Any) -> None:
    module.split_configs["val"].transforms.append(Pad(16, mode="topleft", image_selectors=[IMAGE]))


def _layers(module: Any) -> None:
    module.inputs[IMAGE].layers.append("other")
    module.inputs[IMAGE].load_all_layers = False


def _bands(module: Any) -> None:
    module.inputs[IMAGE].bands.pop()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_crop, "crops"),
        (_transform, "Identity"),
        (_padding, "padding"),
        (_layers, "input sentinel2_l2a"),
        (_bands, "normalisation"),
    ],
)
def test_what_is_not_supported_is_said(module: Any, change: Any, said: str) -> None:
    change(module)
    with pytest.raises(UnsupportedError, match=said):
        BulkDataModule(module, 1)


@pytest.mark.parametrize("side_px", [15, 40])
def test_a_middle_without_whole_margins_is_left_to_rslearn(packed_plan: Plan, side_px: int) -> None:
    module = rslearn_module(run_config(packed_plan(crop_px=16), "cpu"))
    for said in module.split_configs.values():
        said.transforms[-1].size = (side_px, side_px + 1)
    with pytest.raises(UnsupportedError, match="middle"):
        BulkDataModule(module, 1).setup("fit")


def test_datasets_of_folders_are_left_to_rslearn(plan: Plan) -> None:
    with pytest.raises(UnsupportedError, match="not packed"):
        BulkDataModule(rslearn_module(run_config(plan(), "cpu")), 1)


def test_tiles_off_the_grid_are_left_to_rslearn(
    module: Any, packed_world: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from burnscar_assets.dataset.packed.rasters import Rasters

    headers = Rasters.headers

    def moved(rasters: Rasters, *arguments: Any) -> list[Any]:
        return [header._replace(min_col=header.min_col + 1) for header in headers(rasters, *arguments)]

    bulk = BulkDataModule(module, 1)
    with monkeypatch.context() as patch, pytest.raises(UnsupportedError, match="grid"):
        patch.setattr(Rasters, "headers", moved)
        bulk.setup("fit")
    bulk.setup("fit")
    assert isinstance(bulk.datasets["val"], BulkSplit)
    assert bulk.datasets["train"].pixel_bytes == 36 * 12 * 32 * 32 * 2
    assert Path(packed_world.dataset, "packed").is_dir()
