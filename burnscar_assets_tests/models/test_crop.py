"""Models that see the middle of a window: in settings, in the configuration, in training and in prediction."""

from typing import Any

import numpy as np
import pytest

from burnscar_assets.classes import BURNT, CLASS_NAMES
from burnscar_assets.dataset.tiles import read_tiles
from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import SettingsError
from burnscar_assets.models.config import run_config
from burnscar_assets.models.crop import crop_of, middle
from burnscar_assets.models.model import load_model
from burnscar_assets.models.plan import acquired_column, usable_windows
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.models.training_kit import Plan, Run, tiny_settings
from burnscar_assets_tests.tiny_dataset import LAYER


def test_the_middle_has_the_same_margin_on_all_sides() -> None:
    image = np.arange(2 * 6 * 8).reshape(2, 6, 8)
    np.testing.assert_array_equal(middle(image, 4), image[:, 1:5, 2:6])
    assert middle(image, None) is image


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"crop_px": 40}, "not the middle of windows of 32 px"),
        ({"crop_px": 15, "model": {"allow_random": True, "patch_size": 5}}, "even"),
        ({"crop_px": 0}, "greater than or equal to 1"),
    ],
)
def test_what_is_no_middle_is_refused(training: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        tiny_settings(**training)


def test_a_middle_of_parts_of_patches_is_refused(plan: Plan) -> None:
    with pytest.raises(SettingsError, match=r"20 px are no multiple of a patch's 8 px.*1, 2, 4, 5"):
        plan(crop_px=20)


@pytest.mark.parametrize("config", ["model-unet.yaml", "model-segmentation.yaml"])
def test_a_model_that_answers_by_pixel_sees_whole_windows(plan: Plan, config: str) -> None:
    spec = plan()
    settings = spec.settings.model_copy(update={"config": config, "crop_px": 16})
    with pytest.raises(SettingsError, match="whole windows"):
        run_config(spec.model_copy(update={"settings": settings}), "cpu")


def test_every_split_is_cut_the_same_way(plan: Plan) -> None:
    data = run_config(plan(crop_px=16), "cpu")["data"]["init_args"]
    lists = [said["transforms"] for said in data.values() if isinstance(said, dict) and "transforms" in said]
    assert len(lists) == 2
    for transforms in lists:
        assert transforms[-1]["init_args"] == {"size": 16, "mode": "center", "image_selectors": [LAYER]}
    assert crop_of({"data": {"init_args": data}}) == 16
    assert crop_of(run_config(plan(), "cpu")) is None


def test_a_trained_model_sees_no_more_than_the_middle(packed_plan: Plan, run: Run) -> None:
    spec = packed_plan(max_epochs=1, freeze_epochs=0, crop_px=16)
    manifest, _ = run(spec)
    assert manifest.reader == "bulk"
    model = load_model(spec.checkpoint)
    root = DataRoot(spec.dataset.parent)
    windows = usable_windows(root, spec.fire_years, LAYER, min_clear_fraction=0.9).query("split == 'val'")
    images = np.stack(list(read_tiles(root.dataset, windows, LAYER, BANDS)))
    acquired = list(windows[acquired_column(LAYER)].dt.to_pydatetime())
    probability = model.predict_windows({LAYER: images}, {LAYER: acquired})
    burnt = (windows["category"] == CLASS_NAMES[BURNT]).to_numpy()
    loss = -np.log(np.where(burnt, probability, 1 - probability)).mean()
    assert loss == pytest.approx(manifest.metrics["val_loss"], abs=2e-5)
    other = np.random.default_rng(1).permutation(images)
    other[..., 8:24, 8:24] = images[..., 8:24, 8:24]
    np.testing.assert_array_equal(model.predict_windows({LAYER: other}, {LAYER: acquired}), probability)
