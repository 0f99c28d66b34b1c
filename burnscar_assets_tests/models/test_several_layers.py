"""Models of several layers: images before and after the fire as time steps, Sentinel-1 beside Sentinel-2."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from burnscar_assets.classes import BURNT, CLASS_NAMES
from burnscar_assets.dataset.tiles import read_tiles
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.environment import CONFIGS_DIR
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.evaluator import evaluate
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.model import load_model
from burnscar_assets.models.plan import acquired_column, complete_windows, plan_training, usable_windows
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.models.trainer import train
from burnscar_assets.storage.contracts import PREDICTIONS, TILES, WINDOWS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, write_table
from burnscar_assets_tests.evaluation.tiny_world import spec_of
from burnscar_assets_tests.models.training_kit import tiny_settings
from burnscar_assets_tests.tiny_dataset import LAYER, make_tiny_dataset, tiny_image

BEFORE = "sentinel2_l2a_pre"
RADAR = "sentinel1"
YEARS = (2019, 2020)
UNET = {"config": "model-unet.yaml", "max_epochs": 2, "learning_rate": 1e-3}
LAYERS: dict[str, tuple[str, tuple[str, ...]]] = {BEFORE: ("uint16", BANDS), RADAR: ("float32", ("vv", "vh"))}
LOST = 2
"""Windows a year that have no image before the fire."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """A tiny packed world with an image of the year before the fire, and of radar, for nearly all windows."""
    root = DataRoot(tmp_path_factory.mktemp("layers") / "data")
    make_tiny_dataset(root, years=YEARS, windows_per_year=30, seed=5, packed=True)
    path = root.dataset / "config.json"
    config = json.loads(path.read_text())
    for layer, (dtype, bands) in LAYERS.items():
        config["layers"][layer] = {"type": "raster", "band_sets": [{"dtype": dtype, "bands": list(bands)}]}
    path.write_text(json.dumps(config))
    for year in YEARS:
        _add_layers(root, year)
    return root


def _add_layers(root: DataRoot, year: int) -> None:
    from rslearn.dataset import Dataset
    from rslearn.utils.raster_array import RasterArray
    from rslearn.utils.raster_format import GeotiffRasterFormat
    from upath import UPath

    tiles, rng = read_table(root, TILES, year), np.random.default_rng(year)
    after, rows = tiles.set_index("window_id"), [tiles]
    windows = sorted(Dataset(UPath(root.dataset)).load_windows(groups=[str(year)]), key=lambda window: window.name)
    for layer, (_, bands) in LAYERS.items():
        for number, window in enumerate(windows):
            whole = layer != BEFORE or number >= LOST
            moment = after["acquired"][window.name].to_pydatetime() - timedelta(days=365 * (layer == BEFORE))
            if whole:
                image = tiny_image("unburnt", rng) if layer == BEFORE else rng.uniform(0.01, 0.3, (2, 32, 32))
                raster = RasterArray(chw_array=image.astype(LAYERS[layer][0]), time_range=(moment, moment))
                with window.data.open_layer_writer(layer) as writer:
                    writer.write_raster(list(bands), GeotiffRasterFormat(), window.projection, window.bounds, raster)
                window.mark_layer_completed(layer)
            rows.append(tiles[tiles["window_id"] == window.name].assign(layer=layer, complete=whole, acquired=moment))
    write_table(root, TILES, pd.concat(rows, ignore_index=True), year)


def _trained(root: DataRoot, folder: Path, **training: Any) -> tuple[TrainingSpec, CheckpointManifest]:
    spec = plan_training(tiny_settings(**training), root, 2020)
    spec = spec.model_copy(update={"checkpoint": folder / "checkpoints" / "fire_year=2020"})
    return spec, train(spec, lambda event: None)


def _images(root: DataRoot, layers: dict[str, tuple[str, ...]], split: str) -> tuple[dict, dict, np.ndarray]:
    windows = usable_windows(root, YEARS, LAYER, tuple(layers), min_clear_fraction=0.9).query("split == @split")
    images = {name: np.stack(list(read_tiles(root.dataset, windows, name, bands))) for name, bands in layers.items()}
    acquired = {name: list(windows[acquired_column(name)].dt.to_pydatetime()) for name in layers}
    return images, acquired, (windows["category"] == CLASS_NAMES[BURNT]).to_numpy()


@pytest.mark.parametrize(
    "training",
    [UNET, pytest.param({"max_epochs": 1, "freeze_epochs": 0}, marks=pytest.mark.slow)],
    ids=["U-Net", "OlmoEarth"],
)
def test_images_before_and_after_are_time_steps(world: DataRoot, tmp_path: Path, training: dict[str, Any]) -> None:
    spec, manifest = _trained(world, tmp_path, earlier_layers=[BEFORE], **training)
    assert spec.window_count("train") == 36 - len(YEARS) * LOST + _lost_elsewhere(world)
    assert manifest.reader == "bulk"
    assert manifest.every_layer == (BEFORE, LAYER)
    model = load_model(spec.checkpoint)
    images, acquired, burnt = _images(world, manifest.layers, "val")
    probability = model.predict_windows(images, acquired)
    if model.per_pixel:
        pixels = model.predict(images, acquired)[:, :, 4:]
        loss = -np.log(np.where(burnt[:, None, None], pixels, 1 - pixels)).mean()
    else:
        loss = -np.log(np.where(burnt, probability, 1 - probability)).mean()
    assert loss == pytest.approx(manifest.metrics["val_loss"], abs=2e-5)
    exchanged = model.predict_windows({BEFORE: images[LAYER], LAYER: images[BEFORE]}, acquired)
    assert not np.allclose(exchanged, probability)
    with pytest.raises(ValueError, match=f"need images and dates of {BEFORE}, {LAYER}"):
        model.predict_windows({LAYER: images[LAYER]}, acquired)


def test_a_window_counts_that_is_clear_in_every_layer_read(world: DataRoot, tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "own")
    windows, tiles = read_table(world, WINDOWS, 2020), read_table(world, TILES, 2020)
    before = windows.merge(tiles[(tiles["layer"] == BEFORE) & tiles["complete"]], on="window_id")["window_id"]
    chosen = (tiles["window_id"] == before.iloc[0]) & (tiles["layer"] == BEFORE)
    tiles["clear_fraction"] = np.where(chosen, 0.3, 0.95)
    for table, rows in ((WINDOWS, windows), (TILES, tiles)):
        write_table(root, table, rows, 2020)
    found = complete_windows(root, [2020], LAYER, (BEFORE,)).set_index("window_id")["clear_fraction"]
    assert found[before.iloc[0]] == 0.3 and found[before.iloc[1]] == 0.95
    alone, both = (
        set(usable_windows(root, [2020], LAYER, layers, min_clear_fraction=0.9)["window_id"])
        for layers in ((), (BEFORE,))
    )
    assert before.iloc[0] in alone and both == set(before) - {before.iloc[0]}


def _lost_elsewhere(root: DataRoot) -> int:
    """Windows without an image before the fire that are not of the training split."""
    after, both = (usable_windows(root, YEARS, LAYER, layers, min_clear_fraction=0.9) for layers in ((), (BEFORE,)))
    lost = after[~after["window_id"].isin(both["window_id"])]
    assert len(lost) == len(YEARS) * LOST
    return int((lost["split"] != "train").sum())


def test_they_are_evaluated_as_any_other(world: DataRoot) -> None:
    train(plan_training(tiny_settings(earlier_layers=[BEFORE], **UNET), world, 2020), lambda event: None)
    report = evaluate(spec_of(world).model_copy(update={"year_before": None}))
    predictions = read_table(world, PREDICTIONS, 2020)
    scored = usable_windows(world, [2020], LAYER, (BEFORE,), min_clear_fraction=0.9).query("split == 'test'")
    assert sorted(predictions["window_id"]) == sorted(scored["window_id"])
    assert predictions["burnt_probability"].between(0, 1).all()
    assert report.held_out.separation.nearest_m > 0


def test_a_dataset_without_the_earlier_layer_is_refused(world: DataRoot) -> None:
    with pytest.raises(InputError, match=r"reads layer sentinel2_l2a_never, which .* lacks"):
        plan_training(tiny_settings(earlier_layers=["sentinel2_l2a_never"], **UNET), world, 2020)


@pytest.mark.parametrize("name", ["pre-post", "time-series"])
def test_the_shipped_datasets_have_what_the_set_ups_read(name: str) -> None:
    setup = yaml.safe_load((CONFIGS_DIR / "setups" / f"olmoearth-{name}.yaml").read_text())
    layers = json.loads((CONFIGS_DIR / f"dataset-{name}.json").read_text())["layers"]
    read = [*setup["training"]["earlier_layers"], setup.get("layer", LAYER)]
    assert [layers[layer]["band_sets"][0]["bands"] for layer in read] == [list(BANDS)] * len(read)
    offsets = [int(layers[layer]["data_source"].get("time_offset", "0d").removesuffix("d")) for layer in read]
    assert offsets == sorted(offsets), "oldest first"


def test_radar_stands_beside_the_optical_image(world: DataRoot, tmp_path: Path) -> None:
    """Synthetic radar, one epoch: both inputs reach the encoder, in training and in prediction."""
    spec, manifest = _trained(world, tmp_path, config="model-sentinel1.yaml", max_epochs=1, freeze_epochs=1)
    assert manifest.layers == {LAYER: BANDS, RADAR: ("vv", "vh")}
    assert manifest.reader.startswith("rslearn: transform Sentinel1ToDecibels (its own loader is slower")
    model = load_model(spec.checkpoint)
    images, acquired, burnt = _images(world, manifest.layers, "val")
    probability = model.predict_windows(images, acquired)
    loss = -np.log(np.where(burnt, probability, 1 - probability)).mean()
    assert loss == pytest.approx(manifest.metrics["val_loss"], abs=2e-5)
    brighter = model.predict_windows(images | {RADAR: images[RADAR] * 4}, acquired)
    assert not np.allclose(brighter, probability, atol=1e-6)


def test_the_shipped_dataset_with_radar_is_valid_for_rslearn(tmp_path: Path) -> None:
    from rslearn.data_sources.planetary_computer import Sentinel1

    from burnscar_assets.dataset.config import data_source, open_dataset

    (tmp_path / "config.json").write_bytes((CONFIGS_DIR / "dataset-sentinel1.json").read_bytes())
    dataset = open_dataset(tmp_path)
    assert isinstance(data_source(dataset, RADAR), Sentinel1)
    assert dataset.layers[RADAR].band_sets[0].bands == ["vv", "vh"]
