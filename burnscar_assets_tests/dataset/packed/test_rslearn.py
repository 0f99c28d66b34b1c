"""rslearn's own commands and data module on a packed dataset, against the same on folders."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rslearn.config import LayerConfig
from rslearn.dataset import Dataset
from rslearn.train.data_module import RslearnDataModule
from rslearn.train.dataset import DataInput, SplitConfig
from rslearn.train.tasks.classification import ClassificationTask
from upath import UPath

from burnscar_assets.dataset.packed.data import PackedDataStorageFactory
from burnscar_assets.dataset.packed.pixels import read_pixels
from burnscar_assets.dataset.windows import DATA_STORAGE, WINDOW_STORAGE, write_windows
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.catalog.small_archive import (
    YEAR,
    SmallScene,
    make_dataset,
    make_windows,
    write_archive,
)

LAYER = "sentinel2_l2a"
PLACES = [(5, 5), (60, 60), (150, 100), (30, 180), (230, 10)]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataRoot]:
    """The same windows with labels, in folders and packed, prepared and materialized by rslearn's commands."""
    archive = write_archive(
        tmp_path_factory.mktemp("archive"), SmallScene("a", baseline="04.00"), SmallScene("b", cloud=20, east_m=1200)
    )
    made = {}
    for layout in ("folders", "packed"):
        root = made[layout] = DataRoot(tmp_path_factory.mktemp(layout) / "data")
        make_dataset(root, archive)
        _choose(root.dataset, packed=layout == "packed")
        write_windows(make_windows(root, PLACES), root.dataset)
        _command_line(root.dataset, workers=2 if layout == "packed" else 0)
    return made


def _choose(dataset: Path, *, packed: bool) -> None:
    path = dataset / "config.json"
    config = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("storage", "window_data_storage")}
    if packed:
        config |= {"storage": {"class_path": WINDOW_STORAGE}, "window_data_storage": {"class_path": DATA_STORAGE}}
    path.write_text(json.dumps(config))


def _command_line(dataset: Path, workers: int) -> None:
    script = """
import sys
from rslearn.main import main
if __name__ == "__main__":
    dataset, workers = sys.argv[1:]
    for command in ("prepare", "materialize"):
        sys.argv = ["rslearn", "dataset", command, "--workers", workers, "--root", dataset]
        main()
"""
    path = dataset.parent / "commands.py"
    path.write_text(script)
    environment = os.environ | {"RSLEARN_LOGLEVEL": "CRITICAL", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, path, dataset, str(workers)], check=True, env=environment)


def _windows(root: DataRoot) -> list[Any]:
    return sorted(Dataset(UPath(root.dataset)).load_windows(), key=lambda window: window.name)


def test_commands_give_the_same_items_and_pixels(roots: dict[str, DataRoot]) -> None:
    folders, packed = (_windows(roots[layout]) for layout in ("folders", "packed"))
    raster_format = Dataset(UPath(roots["packed"].dataset)).layers[LAYER].band_sets[0].instantiate_raster_format()
    assert [window.get_metadata() for window in folders] == [window.get_metadata() for window in packed]
    for one, other in zip(folders, packed, strict=True):
        assert sorted(one.list_completed_layers()) == sorted(other.list_completed_layers())
        assert [d.serialize() for d in one.load_layer_datas().values()] == [
            d.serialize() for d in other.load_layer_datas().values()
        ]
        expected, got = (window.data.read_raster(LAYER, list(BANDS), raster_format) for window in (one, other))
        np.testing.assert_array_equal(got.array, expected.array)
        assert got.timestamps == expected.timestamps
        bulk = read_pixels(roots["packed"].dataset, str(YEAR), [other.name], LAYER)
        np.testing.assert_array_equal(bulk[:, :, None], expected.array[None])
    files = [path for path in roots["packed"].dataset.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == [f"{YEAR}.sqlite", "config.json"]


def _samples(dataset: Path, workers: int, **options: Any) -> list[Any]:
    module = RslearnDataModule(
        inputs={
            "image": DataInput("raster", [LAYER], bands=list(BANDS), passthrough=True),
            "targets": DataInput("vector", ["label"], is_target=True),
        },
        task=ClassificationTask("category", ["burnt", "unburnt"], read_class_id=False),
        path=str(dataset),
        batch_size=2,
        num_workers=workers,
        val_config=SplitConfig(groups=[str(YEAR)], tags={"split": "train"}, **options),
    )
    module.setup("validate")
    found = []
    for inputs, targets, metadatas in module.val_dataloader():
        for sample, target, metadata in zip(inputs, targets, metadatas, strict=True):
            found.append((metadata.window_name, sample["image"], int(target["class"]), metadata.time_range))
    return sorted(found, key=lambda sample: sample[0])


@pytest.mark.parametrize(("workers", "options"), [(0, {}), (2, {}), (0, {"crop_size": 16, "load_all_crops": True})])
def test_the_data_module_gives_the_same_samples(
    roots: dict[str, DataRoot], workers: int, options: dict[str, Any]
) -> None:
    folders = _samples(roots["folders"].dataset, 0, **options)
    packed = _samples(roots["packed"].dataset, workers, **options)
    assert len(folders) == len(packed) == len(PLACES) * (4 if options else 1)
    assert sorted({sample[0] for sample in packed}) == [window.name for window in _windows(roots["packed"])]
    for one, other in zip(folders, packed, strict=True):
        assert (one[0], one[2], one[3]) == (other[0], other[2], other[3])
        assert torch.equal(one[1].image, other[1].image)
        assert one[1].timestamps == other[1].timestamps


def test_a_vector_format_is_made_once(roots: dict[str, DataRoot]) -> None:
    PackedDataStorageFactory()
    layers = [Dataset(UPath(root.dataset)).layers for root in roots.values()]
    assert layers[0]["label"].instantiate_vector_format() is layers[1]["label"].instantiate_vector_format()
    other = LayerConfig(
        type="vector",
        vector_format={
            "class_path": "rslearn.utils.vector_format.GeojsonVectorFormat",
            "init_args": {"coordinate_mode": "WGS84"},
        },
    )
    assert other.instantiate_vector_format() is not layers[0]["label"].instantiate_vector_format()
    with pytest.raises(ValueError, match="vector format"):
        layers[0][LAYER].instantiate_vector_format()
