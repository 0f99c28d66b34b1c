"""Datasets and runs that training is measured on: the same windows in folders and packed, one configuration."""

import json
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from burnscar_assets.classes import CLASS_NAMES, LABEL_PROPERTY
from burnscar_assets.dataset.config import LABEL_LAYERS
from burnscar_assets.dataset.windows import DATA_STORAGE, LABEL_LAYER, WINDOW_STORAGE
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.encoders.weights import resolve_encoder
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.models.config import run_config
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.settings import TrainingSettings
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot
from kit.clock import CLOCK

LAYER: Final = "sentinel2_l2a"
YEAR: Final = 2020
SIZE_PX: Final = 32
BATCH: Final = 32
PATCH: Final = 4
_PACKED: Final = {"storage": WINDOW_STORAGE, "window_data_storage": DATA_STORAGE}


@dataclass(frozen=True)
class Counts:
    """Windows of training and validation."""

    train: int
    val: int


def make_dataset(folder: Path, counts: Counts, *, packed: bool) -> Path:
    """A dataset of simulated windows of both classes, the same whether packed or in folders; returns its folder."""
    from rslearn.dataset import Dataset
    from upath import UPath

    content: dict[str, Any] = {
        "layers": {
            LABEL_LAYER: LABEL_LAYERS[LABEL_LAYER],
            LAYER: {"type": "raster", "band_sets": [{"dtype": "uint16", "bands": list(BANDS), "nodata_value": 0}]},
        }
    }
    if packed:
        content |= {key: {"class_path": path} for key, path in _PACKED.items()}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    dataset = Dataset(UPath(folder))
    with dataset.storage.transaction(str(YEAR)) if packed else nullcontext():
        for number in range(counts.train + counts.val):
            _write_window(dataset, number, "train" if number < counts.train else "val")
    return folder


def _write_window(dataset: Any, number: int, split: str) -> None:
    from rasterio.crs import CRS
    from rslearn.dataset import Window
    from rslearn.utils.feature import Feature
    from rslearn.utils.geometry import Projection
    from rslearn.utils.raster_array import RasterArray
    from rslearn.utils.raster_format import GeotiffRasterFormat

    projection = Projection(CRS.from_epsg(32610), 10, -10)
    left, start = 60_000 + SIZE_PX * number, datetime(YEAR, 8, 15, tzinfo=UTC)
    category = CLASS_NAMES[number % 2]
    window = Window(
        storage=dataset.storage,
        group=str(YEAR),
        name=_name(number),
        projection=projection,
        bounds=(left, -440_000, left + SIZE_PX, -440_000 + SIZE_PX),
        time_range=(start, start + timedelta(days=30)),
        options={"split": split, LABEL_PROPERTY: category},
        data_factory=dataset.window_data_storage_factory,
    )
    window.save()
    with window.data.open_layer_writer(LABEL_LAYER) as writer:
        label_format = dataset.layers[LABEL_LAYER].instantiate_vector_format()
        writer.write_vector(label_format, [Feature(window.get_geometry(), {LABEL_PROPERTY: category})])
    window.mark_layer_completed(LABEL_LAYER)
    acquired = start + timedelta(days=number % 30)
    with window.data.open_layer_writer(LAYER) as writer:
        raster = RasterArray(chw_array=_pixels(number), time_range=(acquired, acquired))
        writer.write_raster(list(BANDS), GeotiffRasterFormat(), projection, window.bounds, raster)
    window.mark_layer_completed(LAYER)


def _name(number: int) -> str:
    return hash_json([number])[:16]


def _pixels(number: int) -> NDArray[np.uint16]:
    """Smooth land with noise, (12, 32, 32) digital numbers, darker where burnt (even numbers)."""
    generator = np.random.default_rng(number)
    land = np.kron(generator.normal(1500 - 300 * (number % 2), 300, (len(BANDS), 8, 8)), np.ones((4, 4)))
    return (land + generator.normal(0, 40, land.shape)).clip(1, 10_000).astype(np.uint16)


def make_spec(folder: Path, name: str, dataset: Path, counts: Counts, epochs: int) -> TrainingSpec:
    """What our trainer is told: OlmoEarth v1.2 Nano, random weights, patch 4, nothing frozen, on a CPU.

    The configuration is the project's, with a `Clock` whose file is `<name>.clock`.
    """
    text = (CONFIGS_DIR / "model-classification.yaml").read_text(encoding="utf-8")
    clock = f"\n    - class_path: {CLOCK}\n      init_args: {{path: {folder / name}.clock}}"
    config = folder / f"{name}.template.yaml"
    config.write_text(text.replace("\n  callbacks:", f"\n  callbacks:{clock}", 1), encoding="utf-8")
    settings = TrainingSettings.model_validate(
        {
            "model": {"variant": "v1_2-nano", "weights": "random", "patch_size": PATCH},
            "config": str(config),
            "classes": [CLOCK],
            "max_epochs": epochs,
            "freeze_epochs": 0,
            "batch_size": BATCH,
            "accelerator": "cpu",
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = resolve_encoder(settings.model, DataRoot(folder))
    return TrainingSpec(
        fire_year=YEAR,
        fire_years=(YEAR,),
        dataset=dataset,
        checkpoint=folder / name / f"fire_year={YEAR}",
        layer=LAYER,
        size_px=SIZE_PX,
        settings=settings,
        encoder=encoder,
        windows={split: {YEAR: _halves(count)} for split, count in (("train", counts.train), ("val", counts.val))},
        names={
            "train": tuple(map(_name, range(counts.train))),
            "val": tuple(map(_name, range(counts.train, counts.train + counts.val))),
        },
        fires={},
        seen_hash=name,
        simulated=True,
    )


def _halves(count: int) -> dict[str, int]:
    return {CLASS_NAMES[0]: (count + 1) // 2, CLASS_NAMES[1]: count // 2}


def write_peer_config(spec: TrainingSpec, path: Path, workers: int) -> Path:
    """The same run as `rslearn model fit` takes it: its own AdamW, reading from disk with so many worker processes."""
    config = run_config(spec, "cpu")
    config["model"]["init_args"]["optimizer"]["class_path"] = "rslearn.train.optimizer.AdamW"
    config["data"]["init_args"] |= {"num_workers": workers, "use_in_memory_dataset": False}
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path
