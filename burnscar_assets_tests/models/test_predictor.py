"""Every kind of model is asked in the same way, and says of the same pixels the same, however it is asked."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import CheckpointError
from burnscar_assets.models.baselines.trainer import train_baseline
from burnscar_assets.models.manifest import MANIFEST_FILE, TREES_FILE
from burnscar_assets.models.model import load_model
from burnscar_assets.models.plan import plan_training
from burnscar_assets.models.predictor import Predictor
from burnscar_assets.models.trainer import train
from burnscar_assets.setups import Setup
from burnscar_assets.storage.hashing import hash_file
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.evaluation.tiny_world import SETTINGS
from burnscar_assets_tests.models.test_baselines import BEFORE, add_image_before
from burnscar_assets_tests.models.training_kit import tiny_settings
from burnscar_assets_tests.tiny_dataset import LAYER, SIZE_PX, make_tiny_dataset, tiny_image

KINDS: dict[str, dict[str, Any]] = {
    "nbr": {"kind": "threshold"},
    "dnbr": {"kind": "threshold", "threshold": {"index": "dnbr"}},
    "trees": {"kind": "trees", "trees": {"rounds": 20, "min_windows_in_leaf": 3}},
    "trees per pixel": {"kind": "trees", "trees": {"per": "pixel", "rounds": 20, "pixels_per_class": 8}},
    "trees per pixel, change": {
        "kind": "trees",
        "trees": {"per": "pixel", "change": True, "rounds": 20, "pixels_per_class": 8},
    },
    "network": {},
}
PER_PIXEL = {"nbr", "dnbr", "trees per pixel", "trees per pixel, change", "network"}
UNET = {"config": "model-unet.yaml", "max_epochs": 1, "learning_rate": 1e-3, "earlier_layers": [BEFORE]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """A fire year with images before and after."""
    root = DataRoot(tmp_path_factory.mktemp("predictors") / "data")
    make_tiny_dataset(root, years=(2020,), windows_per_year=40, seed=3)
    config = json.loads((root.dataset / "config.json").read_text())
    config["layers"][BEFORE] = {"type": "raster", "band_sets": [{"dtype": "uint16", "bands": list(BANDS)}]}
    (root.dataset / "config.json").write_text(json.dumps(config))
    add_image_before(root, 2020)
    return root


@pytest.fixture(scope="module")
def made(world: DataRoot) -> Callable[[str], Path]:
    """A checkpoint of a kind, trained once."""

    def make(name: str) -> Path:
        root = world.setup(name.replace(" ", "-").replace(",", ""))
        if not root.checkpoint(2020).exists():
            if name == "network":
                spec = plan_training(tiny_settings(**UNET), root, 2020)
                train(spec.model_copy(update={"checkpoint": root.checkpoint(2020)}), lambda event: None)
            else:
                setup = Setup(name="own", title=name, **KINDS[name])
                train_baseline(setup, setup.applied_to(SETTINGS), root, 2020, {})
        return root.checkpoint(2020)

    return make


def given(model: Predictor, count: int, side: int = 1) -> tuple[dict[str, np.ndarray], dict[str, list[datetime]]]:
    """Images of windows of so many tiny images a side, burnt and not by turns, and unburnt before."""
    rng = np.random.default_rng(7)

    def image(layer: str, n: int) -> np.ndarray:
        category = "burnt" if n % 2 and layer == LAYER else "unburnt"
        return np.block([[tiny_image(category, rng) for _ in range(side)] for _ in range(side)])

    images = {}
    for layer, bands in model.layers.items():
        chosen = [BANDS.index(band) for band in bands]
        images[layer] = np.stack([image(layer, n)[chosen] for n in range(count)])
    return images, {layer: [datetime(2020, 9, 1, tzinfo=UTC)] * count for layer in images}


@pytest.mark.parametrize("name", KINDS)
def test_a_predictor_is_asked_by_layer_and_answers_for_pixels_or_windows(
    name: str, made: Callable[[str], Path]
) -> None:
    model = load_model(made(name))
    assert model.per_pixel == (name in PER_PIXEL)
    assert set(model.layers) == {LAYER} | (
        {BEFORE} if "dnbr" in name or "change" in name or name == "network" else set()
    )
    images, times = given(model, 6)
    answer, windows = model.predict(images, times), model.predict_windows(images, times)
    assert answer.shape == ((6, SIZE_PX, SIZE_PX) if model.per_pixel else (6,)) and windows.shape == (6,)
    assert ((answer >= 0) & (answer <= 1)).all() and ((windows >= 0) & (windows <= 1)).all()
    if name != "network":  # which has seen a few windows once
        assert windows[1::2].mean() > windows[::2].mean() + 0.2
    part = {layer: image[2:5] for layer, image in images.items()}, {layer: some[2:5] for layer, some in times.items()}
    np.testing.assert_allclose(model.predict(*part), answer[2:5], atol=1e-5)
    none = {layer: image[:0] for layer, image in images.items()}, {layer: some[:0] for layer, some in times.items()}
    assert model.predict(*none).shape == (0, *answer.shape[1:]) and model.predict_windows(*none).shape == (0,)
    with pytest.raises(ValueError, match=LAYER):
        model.predict({"other": images[LAYER]}, times)
    with pytest.raises(ValueError, match="N dates"):
        model.predict_windows(images, times | {LAYER: times[LAYER][1:]})
    with pytest.raises(ValueError, match=r"need \(N, 12"):
        model.predict(images | {LAYER: images[LAYER][:, :3]}, times)


@pytest.mark.parametrize("name", KINDS)
def test_windows_cut_from_what_is_prepared_once_are_answered_as_windows(name: str, made: Callable[[str], Path]) -> None:
    model = load_model(made(name))
    images, times = given(model, 1, side=2)
    cut = np.s_[8 : 8 + SIZE_PX, 20 : 20 + SIZE_PX]
    prepared = model.prepare({layer: image[0] for layer, image in images.items()})
    answer = model.answer({key: image[(slice(None), *cut)][None] for key, image in prepared.items()}, times)
    alone = model.predict({layer: image[(..., *cut)] for layer, image in images.items()}, times)
    np.testing.assert_allclose(answer, alone, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(PER_PIXEL - {"network"}))
def test_an_answer_looks_no_farther_than_its_reach_and_lacks_where_data_lacks(
    name: str, made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(made(name))
    assert model.reach_px is not None
    images, times = given(model, 2, side=2)
    for image in images.values():
        image[:, :, 40:, 40:] = 0
    whole = model.predict(images, times)
    assert np.isnan(whole[:, 40:, 40:]).all() and np.isfinite(whole[:, :40, :40]).all()
    reach = model.reach_px
    top, left, size = 11, 5, 20
    around = np.s_[..., top - reach : top + size + reach, left - reach : left + size + reach]
    part = model.predict({layer: image[around] for layer, image in images.items()}, times)
    inner = slice(reach, reach + size)
    np.testing.assert_array_equal(part[:, inner, inner], whole[:, top : top + size, left : left + size])
    from burnscar_assets.models.baselines import model as baselines

    monkeypatch.setattr(baselines, "PIXELS_AT_ONCE", 500)
    np.testing.assert_array_equal(model.predict(images, times), whole)


@pytest.mark.parametrize("name", KINDS)
def test_what_an_image_has_no_data_of_has_no_answer(name: str, made: Callable[[str], Path]) -> None:
    model = load_model(made(name))
    images, times = given(model, 4)
    for image in images.values():
        image[0, :, 8:, 8:], image[1] = 0, 0
    images[LAYER][2, 0, :4] = 0
    images[list(images)[-1]][3, -1, :, 30:] = 0
    whole = [False, True, False, False]
    assert np.isnan(model.predict_windows(images, times)).tolist() == whole
    lacking = np.logical_or.reduce([(image == 0).any(axis=1) for image in images.values()])
    np.testing.assert_array_equal(np.isnan(model.predict(images, times)), lacking if model.per_pixel else whole)


def test_trees_of_other_features_are_refused_even_if_the_manifest_vouches_for_them(
    made: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "fire_year=2020"
    folder.mkdir()
    manifest = json.loads((made("trees per pixel") / MANIFEST_FILE).read_text())
    for text in ((made("trees") / TREES_FILE).read_text(), "no trees"):
        (folder / TREES_FILE).write_text(text)
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
        with pytest.raises(CheckpointError, match="hash is wrong"):
            load_model(folder)
        vouched = manifest | {"files": {TREES_FILE: hash_file(folder / TREES_FILE)}}
        (folder / MANIFEST_FILE).write_text(json.dumps(vouched))
        with pytest.raises(CheckpointError, match=r"grown on other features|can't be read"):
            load_model(folder)
