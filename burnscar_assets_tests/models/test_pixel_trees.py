"""Trees on features of pixels: what they are made of, which pixels teach, and a scar whose outline is known."""

from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError

from burnscar_assets.classes import BURNT, UNBURNT, UNLABELLED
from burnscar_assets.models.baselines.model import PixelTreesPredictor
from burnscar_assets.models.baselines.pixel_examples import draw_pixels
from burnscar_assets.models.baselines.pixel_features import pixel_feature_names, pixel_features, with_data
from burnscar_assets.models.baselines.trees import grow_trees
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.sensors.load import default_sensor, load_sensor
from burnscar_assets.setups import TreesParameters
from burnscar_assets_tests.tiny_dataset import LAYER, tiny_image

SENTINEL2 = default_sensor()
BEFORE = f"{LAYER}_pre"
SIDE = 96
DAY = datetime(2020, 9, 1, tzinfo=UTC)


def scene(shapes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images after and before of ground of which some burned: darker in near infrared, brighter in short-wave."""
    rng = np.random.default_rng(seed)
    after, before = (
        np.block([[tiny_image("unburnt", rng) for _ in range(3)] for _ in range(3)]).astype(float) for _ in range(2)
    )
    for place, factor in ((SENTINEL2.place("nir"), 0.7), (SENTINEL2.place("swir2"), 1.3)):
        after[place] *= np.where(shapes, factor, 1)
    return after.astype(np.uint16)[None], before.astype(np.uint16)[None]


def disc(radius: float, row: float = SIDE / 2, column: float = SIDE / 2) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.hypot(rows - row, columns - column) < radius


@pytest.mark.parametrize("change", [False, True])
def test_trees_learn_the_outline_of_a_scar(change: bool) -> None:
    names = pixel_feature_names(SENTINEL2, change=change)
    examples = []
    for seeds in (range(8), range(8, 11)):
        features, burnt = [], []
        for seed in seeds:
            shape = disc(12 + 3 * (seed % 8), 30 + 4 * seed, 60 - 2 * seed)
            images = scene(shape, seed)[: 1 + change]
            at = draw_pixels(np.where(shape, BURNT, UNBURNT)[None], with_data(*images), [f"w{seed}"], 150, 0)
            features.append(pixel_features(SENTINEL2, at, *images))
            burnt.append(shape[None][at])
        examples.append((np.concatenate(features), np.concatenate(burnt)))
    parameters = TreesParameters(per="pixel", change=change, rounds=80, learning_rate=0.1)
    grown = grow_trees(examples[0], examples[1], names, parameters, 0)
    layers = {LAYER: SENTINEL2.names} | ({BEFORE: SENTINEL2.names} if change else {})
    manifest = CheckpointManifest.model_construct(layer=LAYER, layers=layers, sensor=SENTINEL2)
    model, truth = PixelTreesPredictor(grown.text, manifest), disc(33, 40, 50)
    images = dict(zip((LAYER, BEFORE), scene(truth, 99), strict=True))
    called = model.predict(images, {key: [DAY] for key in images})[0] > 0.5
    assert (called & truth).sum() / (called | truth).sum() > 0.93


@pytest.mark.parametrize("sensor", ["sentinel2-l2a", "landsat-c2-l2"])
def test_features_are_those_of_a_loop_over_pixels_with_data(sensor: str) -> None:
    chosen = load_sensor(sensor)
    rng = np.random.default_rng(0)
    after, before = (rng.integers(1, 9000, (2, len(chosen.names), 9, 11)).astype(np.uint16) for _ in range(2))
    after[0, 2, 3, 4] = before[1, 0, 0, 0] = 0
    at = with_data(after, before)
    assert not at[0, 3, 4] and not at[1, 0, 0] and at.sum() == 2 * 99 - 2
    found = pixel_features(chosen, at, after, before)
    names = pixel_feature_names(chosen, change=True)
    assert found.shape == (at.sum(), len(names)) and len(set(names)) == len(names)
    places = [tuple(place) for place in np.argwhere(at)]
    near, short = chosen.place("nir"), chosen.place("swir2")
    for n, row, column in [(0, 0, 0), (0, 3, 5), (1, 8, 10), (1, 4, 4)]:
        told = dict(zip(names, found[places.index((n, row, column))], strict=True))
        square = np.s_[n, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        red = after[:, chosen.place("red")].astype(float)
        name = chosen.band("red")
        assert told[name] == red[n, row, column]
        assert told[f"{name}_mean3"] == pytest.approx(red[square][at[square]].mean(), rel=1e-6)
        assert told[f"{name}_std3"] == pytest.approx(red[square][at[square]].std(), rel=1e-5)
        one, two = (image[n, near, row, column].astype(float) for image in (after, before))
        ratios = [(x - y) / (x + y) for x, y in ((one, float(after[n, short, row, column])),
                                                 (two, float(before[n, short, row, column])))]  # fmt: skip
        assert told["change_nbr"] / 1e4 == pytest.approx(ratios[0] - ratios[1], abs=1.1e-4)
        assert told["nbr_before"] / 1e4 == pytest.approx(ratios[1], abs=1e-4)


def test_pixels_are_drawn_by_class_and_seed_and_the_unlabelled_never() -> None:
    labels = np.full((3, 20, 20), UNLABELLED, np.uint8)
    labels[0, :10], labels[0, 10:12] = BURNT, UNBURNT
    labels[1, :, :2] = UNBURNT
    usable = np.ones(labels.shape, bool)
    usable[0, 0] = False
    names = ["a", "b", "c"]
    drawn = draw_pixels(labels, usable, names, 30, seed=1)
    assert (drawn & (labels == BURNT)).sum(axis=(1, 2)).tolist() == [30, 0, 0]
    assert (drawn & (labels == UNBURNT)).sum(axis=(1, 2)).tolist() == [30, 30, 0]
    assert not drawn[~usable].any() and not drawn[labels == UNLABELLED].any()
    np.testing.assert_array_equal(draw_pixels(labels[::-1], usable[::-1], names[::-1], 30, seed=1)[::-1], drawn)
    assert (draw_pixels(labels, usable, names, 30, seed=2) != drawn).any()


def test_a_change_of_windows_is_no_set_up() -> None:
    with pytest.raises(ValidationError, match="per: pixel"):
        TreesParameters(change=True)
