"""Models that answer pixel by pixel: label rasters reach the loss but for what isn't labelled; predictions agree."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from burnscar_assets.classes import BURNT, CLASS_NAMES, UNLABELLED
from burnscar_assets.dataset.bulk_data import BulkDataModule
from burnscar_assets.dataset.bulk_plan import UnsupportedError
from burnscar_assets.dataset.tiles import read_tiles
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import InputError, SettingsError
from burnscar_assets.models.config import check_inputs, run_config
from burnscar_assets.models.fit import _leave_out
from burnscar_assets.models.manifest import CheckpointManifest, load_manifest
from burnscar_assets.models.model import load_model
from burnscar_assets.models.plan import plan_training, usable_windows
from burnscar_assets.models.spec import TrainingSpec
from burnscar_assets.models.trainer import train
from burnscar_assets.storage.contracts import TILES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, write_table
from burnscar_assets_tests.models.test_bulk_data import assert_same, rslearn_module
from burnscar_assets_tests.models.test_process import run_rslearn
from burnscar_assets_tests.models.test_trainer import BrokenOffError
from burnscar_assets_tests.models.training_kit import Event, Plan, Run, Trained, tiny_settings
from burnscar_assets_tests.tiny_dataset import LAYER, SIZE_PX, UNLABELLED_COLUMNS, make_tiny_dataset

UNET = "model-unet.yaml"
SEGMENTATION = "model-segmentation.yaml"


@pytest.fixture
def module(packed_plan: Plan) -> Any:
    """rslearn's data module of the U-Net, on the packed dataset."""
    return rslearn_module(run_config(packed_plan(config=UNET), "cpu"))


@pytest.mark.parametrize("memory_bytes", [1 << 30, 0], ids=["in memory", "read ahead"])
def test_batches_are_those_of_rslearn(module: Any, memory_bytes: int) -> None:
    bulk = BulkDataModule(module, 1, memory_bytes=memory_bytes)
    module.setup("test")
    bulk.setup("test")
    ours = [batch.samples() for batch in bulk.test_dataloader()]
    for one, other in zip(ours, module.test_dataloader(), strict=True):
        assert_same(one, other)
    classes, valid = ours[0][1][0]["classes"], ours[0][1][0]["valid"]
    assert (classes.dtype, valid.dtype) == (torch.int64, torch.float32)
    assert valid.get_hw_tensor().sum() == SIZE_PX * (SIZE_PX - UNLABELLED_COLUMNS)


@pytest.mark.parametrize("mirrored", [(True, False), (False, True), (True, True)])
def test_labels_are_mirrored_with_their_images(module: Any, mirrored: tuple[bool, bool]) -> None:
    flip = module.split_configs["train"].transforms[-1]
    flip.sample_state = lambda: dict(zip(("horizontal", "vertical"), mirrored, strict=True))
    bulk = BulkDataModule(module, 1)
    bulk.setup("fit")
    module.setup("fit")
    ours, rows = bulk.datasets["train"], np.array([3, 0, 7])
    inputs, targets, metadata = zip(*(module.datasets["train"][int(row)] for row in rows), strict=True)
    coins = np.tile(np.array(mirrored), (len(ours), 1))
    assert_same(ours.batch(rows, coins).samples(), (list(inputs), list(targets), list(metadata)))
    assert targets[0]["valid"].get_hw_tensor()[0, -1] == (not mirrored[0])


@pytest.mark.parametrize("selectors", [["image"], ["image", "target/classes"]])
def test_images_mirrored_without_their_labels_are_left_to_rslearn(module: Any, selectors: list[str]) -> None:
    module.split_configs["train"].transforms[-1].image_selectors = selectors
    with pytest.raises(UnsupportedError, match="mirroring"):
        BulkDataModule(module, 1)


def test_pixels_without_a_label_teach_nothing(module: Any) -> None:
    from rslearn.models.component import FeatureMaps
    from rslearn.train.model_context import ModelContext
    from rslearn.train.tasks.segmentation import SegmentationHead

    bulk = BulkDataModule(module, 1)
    bulk.setup("test")
    _, targets, metadata = next(iter(bulk.test_dataloader())).samples()
    context = ModelContext(inputs=[], metadatas=metadata)
    logits = torch.randn(len(targets), 2, SIZE_PX, SIZE_PX, requires_grad=True)
    loss = SegmentationHead()(FeatureMaps([logits]), context, targets).loss_dict["cls"]
    loss.backward()
    gradient = logits.grad
    assert gradient is not None
    assert (gradient[..., :UNLABELLED_COLUMNS] == 0).all()
    assert (gradient[..., UNLABELLED_COLUMNS:] != 0).all()


def test_pixels_that_are_not_clear_teach_nothing_whoever_reads(module: Any, packed_plan: Plan) -> None:
    name, *others = packed_plan(config=UNET).names["val"]
    _leave_out(module.task, {name: "5+10 40+2 41+3"})
    bulk = BulkDataModule(module, 1)
    for one in (bulk, module):
        one.setup("validate")
    ours = [batch.samples() for batch in bulk.val_dataloader()]
    labelled = SIZE_PX * (SIZE_PX - UNLABELLED_COLUMNS)
    counted: dict[str, float] = {}
    for one, other in zip(ours, module.val_dataloader(), strict=True):
        assert_same(one, other)
        for target, metadata in zip(one[1], one[2], strict=True):
            valid = target["valid"].get_hw_tensor()
            counted[metadata.window_name] = float(valid.sum())
            assert metadata.window_name != name or ((valid[0, 5:15] == 0).all() and (valid[1, 8:12] == 0).all())
    assert counted == {name: labelled - 14} | dict.fromkeys(others, labelled)


def test_a_plan_knows_which_pixels_are_not_clear(root: DataRoot) -> None:
    make_tiny_dataset(root, years=(2020,), windows_per_year=20)
    tiles = read_table(root, TILES, 2020)
    first = tiles["window_id"].iloc[0]
    write_table(root, TILES, tiles.assign(unclear=np.where(tiles["window_id"] == first, "3+4", "")), 2020)
    assert plan_training(tiny_settings(config=UNET), root, 2020).unclear == {first: "3+4"}
    assert plan_training(tiny_settings(), root, 2020, warn=lambda said: None).unclear == {}, "of whole windows"


@pytest.fixture(scope="module")
def unet(packed_world: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A U-Net trained undisturbed; its checkpoint must not be changed."""
    spec = _spec(packed_world, tmp_path_factory.mktemp("unet"))
    return spec, train(spec, lambda event: None)


def _spec(root: DataRoot, folder: Path, config: str = UNET, **training: Any) -> TrainingSpec:
    said = {"config": config, "max_epochs": 3, "learning_rate": 3e-3} | training
    spec = plan_training(tiny_settings(**said), root, 2020, {"tiles 2020": "abc"})
    return spec.model_copy(update={"checkpoint": folder / "checkpoints" / "fire_year=2020"})


def test_a_model_from_scratch_says_so(unet: Trained) -> None:
    spec, manifest = unet
    assert spec.encoder is None
    assert manifest.encoder is None
    assert (manifest.encoder_name, manifest.random_encoder) == ("none, trained from scratch", False)
    assert manifest.per_pixel
    assert manifest.reader == "bulk"
    assert manifest.layers == {LAYER: BANDS}
    assert manifest.parameters == manifest.trainable_parameters > 10_000
    assert sorted(manifest.files) == ["model.yaml", "weights.pth"]
    assert "scratch" in manifest.notice
    assert manifest.metrics["val_accuracy"] > 0.6


def test_a_run_that_broke_off_ends_as_an_undisturbed_one(packed_world: DataRoot, unet: Trained, tmp_path: Path) -> None:
    spec = _spec(packed_world, tmp_path)

    def break_off(event: Event) -> None:
        if event["event"] == "epoch" and event["epoch"] == 2:
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        train(spec, break_off)
    events: list[Event] = []
    manifest = train(spec, events.append)
    assert events[0]["resumed"]
    assert manifest.weights_sha256 == unet[1].weights_sha256
    assert manifest.history == unet[1].history


@pytest.mark.parametrize("config", [UNET, pytest.param(SEGMENTATION, marks=pytest.mark.slow)])
def test_predictions_are_those_of_training(packed_world: DataRoot, unet: Trained, tmp_path: Path, config: str) -> None:
    spec = unet[0] if config == UNET else _spec(packed_world, tmp_path, config, max_epochs=1)
    manifest: CheckpointManifest = unet[1] if config == UNET else train(spec, lambda event: None)
    model = load_model(spec.checkpoint)
    assert model.per_pixel
    images, acquired, burnt = _windows(packed_world, spec.fire_years, "val")
    pixels = model.predict({LAYER: images}, {LAYER: acquired})
    assert (pixels.shape, pixels.dtype) == ((len(images), SIZE_PX, SIZE_PX), np.float32)
    np.testing.assert_allclose(
        model.predict_windows({LAYER: images}, {LAYER: acquired}), pixels.mean(axis=(1, 2)), atol=1e-6
    )
    labelled = pixels[:, :, UNLABELLED_COLUMNS:]
    loss = -np.log(np.where(burnt[:, None, None], labelled, 1 - labelled)).mean()
    assert loss == pytest.approx(manifest.metrics["val_loss"], abs=2e-5)
    split = np.concatenate(
        [
            model.predict({LAYER: images[:5]}, {LAYER: acquired[:5]}),
            model.predict({LAYER: images[5:]}, {LAYER: acquired[5:]}),
        ]
    )
    np.testing.assert_allclose(split, pixels, atol=1e-5)
    assert model.predict({LAYER: images[:0]}, {LAYER: []}).shape == (0, SIZE_PX, SIZE_PX)


def test_windows_larger_than_those_of_training_are_answered(unet: Trained) -> None:
    model = load_model(unet[0].checkpoint)
    images = np.random.default_rng(0).integers(1, 4000, (2, len(BANDS), 64, 128)).astype(np.uint16)
    acquired = [datetime(2020, 9, 1)] * 2
    assert model.predict({LAYER: images}, {LAYER: acquired}).shape == (2, 64, 128)


def test_a_model_of_windows_has_no_answer_for_pixels(undisturbed: Trained, tiny_world: DataRoot) -> None:
    model = load_model(undisturbed[0].checkpoint)
    assert not model.per_pixel
    images, acquired, _ = _windows(tiny_world, (2020,), "test")
    assert model.predict({LAYER: images[:2]}, {LAYER: acquired[:2]}).shape == (2,)


def _windows(root: DataRoot, fire_years: tuple[int, ...], split: str) -> tuple[np.ndarray, list[datetime], np.ndarray]:
    windows = usable_windows(root, fire_years, LAYER, min_clear_fraction=0.9).query("split == @split")
    images = np.stack(list(read_tiles(root.dataset, windows, LAYER, BANDS)))
    return images, list(windows["acquired"].dt.to_pydatetime()), (windows["category"] == CLASS_NAMES[BURNT]).to_numpy()


def test_folders_are_read_by_rslearn(plan: Plan, run: Run) -> None:
    manifest, _ = run(plan(config=UNET, max_epochs=1))
    assert manifest.reader.startswith("rslearn: a dataset that is not packed")
    assert load_manifest(plan().checkpoint).per_pixel


def test_another_label_is_another_run(packed_world: DataRoot, tmp_path: Path) -> None:
    from burnscar_assets.models.plan import seen_hash

    windows = usable_windows(packed_world, (2019, 2020), LAYER, min_clear_fraction=0.9)
    seen = windows["split"] != "test"
    changed = windows.assign(label_hash=windows["label_hash"].where(~seen, "other"))
    unseen = windows.assign(label_hash=windows["label_hash"].where(seen, "other"))
    assert seen_hash(windows) == seen_hash(unseen) != seen_hash(changed)


def test_another_meaning_of_labels_is_an_error(packed_plan: Plan) -> None:
    spec = packed_plan(config=UNET)
    for name, value in (("nodata_value", 0), ("class_names", CLASS_NAMES[::-1])):
        config = run_config(spec, "cpu")
        config["data"]["init_args"]["task"]["init_args"][name] = value
        with pytest.raises(SettingsError, match=f"nodata_value {UNLABELLED}"):
            check_inputs(config, spec.dataset)


def test_a_dataset_without_label_rasters_is_refused(packed_plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"layers": {"sentinel2_l2a": {"type": "raster", "band_sets": []}}}')
    config = run_config(packed_plan(config=UNET), "cpu")
    del config["data"]["init_args"]["inputs"]["image"]
    with pytest.raises(InputError, match="label_raster"):
        check_inputs(config, tmp_path)


@pytest.mark.slow
def test_rslearn_tests_a_checkpoint_as_it_is(unet: Trained, tmp_path: Path) -> None:
    config = yaml.safe_load((unet[0].checkpoint / "model.yaml").read_text())
    metrics = tmp_path / "metrics.json"
    config["model"]["init_args"]["metrics_file"] = str(metrics)
    run_rslearn("test", config, unet[0].checkpoint, tmp_path)
    judged = json.loads(metrics.read_text())
    images, acquired, burnt = _windows(DataRoot(unet[0].dataset.parent), unet[0].fire_years, "test")
    model = load_model(unet[0].checkpoint)
    called = model.predict({LAYER: images}, {LAYER: acquired})[:, :, UNLABELLED_COLUMNS:] > 0.5
    assert judged["test_accuracy"] == pytest.approx((called == burnt[:, None, None]).mean(), abs=1e-4)
