"""Answers for blocks: of models that look a little way around a pixel, and of models that read the image before."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

import numpy as np
import pytest
import rasterio

from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import Box
from burnscar_assets.mapping.inference import NO_ANSWER, Lattice, check_mappable, predict_block, seen_box
from burnscar_assets.mapping.mosaic import NO_SCENE, LayerImage, Mosaic, Validity
from burnscar_assets.mapping.spec import MapSpec
from burnscar_assets.models.predictor import Images, Predictor, Times
from burnscar_assets.publish.making import make_map
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets_tests.mapping.test_fire_scenes import AFTER, FIRE, fires_of, settings_of
from burnscar_assets_tests.mapping.test_fire_scenes import BEFORE as SCENE_BEFORE
from burnscar_assets_tests.mapping.test_fire_scenes import make as make_scenes
from burnscar_assets_tests.publish.map_kit import (
    LAYER,
    FormulaModel,
    SmallScene,
    degrees,
    judge_of,
    make_archive,
    spec_of,
    task_of,
)

BEFORE = f"{LAYER}_pre"
BLUE = BANDS.index("B02")
DAYS = {"before_start": "2022-06-15T00:00:00Z", "before_end": "2022-07-15T00:00:00Z"}


class Change(Predictor):
    """Answers by how much brighter the first band is than before, within 3 × 3 pixels; notes the days it is told."""

    manifest = FormulaModel.manifest
    layers: ClassVar = {BEFORE: ("B12", "B02"), LAYER: BANDS}
    per_pixel = True

    def __init__(self, *, by_windows: bool = False) -> None:
        self.reach_px = None if by_windows else 1
        self.days: set[tuple[int, int]] = set()

    def _prepare(self, images: Images) -> dict[str, np.ndarray]:
        after, before = images[LAYER][BLUE].astype(float), images[BEFORE][1].astype(float)
        return {"change": np.where((after > 0) & (before > 0), (after - before) / 10_000 + 0.5, np.nan)[None]}

    def _answer(self, prepared: Mapping[str, np.ndarray], times: Times) -> np.ndarray:
        self.days |= {(one.month, two.month) for one, two in zip(times[LAYER], times[BEFORE], strict=True)}
        change = prepared["change"][:, 0]
        padded = np.pad(change, ((0, 0), (1, 1), (1, 1)), mode="edge")
        if self.reach_px is None:
            return np.clip(change, 0.01, 0.99)
        around = np.fmax(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
        return np.where(np.isnan(change), np.nan, np.clip(around, 0.01, 0.99))


def seen_by(seed: int) -> dict[str, LayerImage]:
    """Images of 60 × 70 pixels after and before, with clouds and ground without data."""
    rng, box = np.random.default_rng(seed), Box(-5, 7, 65, 67)
    images = {}
    for layer, bands in Change.layers.items():
        scene = rng.integers(0, 2, (60, 70)).astype(np.int16)
        validity = np.zeros((60, 70), np.uint8)
        rows, columns = rng.integers(0, 50, 2)
        validity[rows : rows + 9, columns : columns + 12] = Validity.UNCLEAR
        validity[:4, 60:], scene[:4, 60:] = Validity.NO_DATA, NO_SCENE
        pixels = rng.integers(1, 4000, (len(bands), 60, 70)).astype(np.uint16) * (validity != Validity.NO_DATA)
        month = 8 if layer == LAYER else 6
        moments = [datetime(2022, month, day, tzinfo=UTC) for day in (1, 9)]
        images[layer] = LayerImage(Mosaic(box, pixels, scene, validity), moments)
    return images


@pytest.mark.parametrize("seed", range(3))
def test_the_answer_of_a_pixel_does_not_depend_on_how_a_map_is_cut(seed: int) -> None:
    images, model, lattice = seen_by(seed), Change(), Lattice(16, 8)
    whole = Box(0, 12, 60, 62)
    known = {"lattice": lattice, "min_clear_share": 0.75, "batch_size": 8}
    expected = predict_block(model, images, whole, **known)  # type: ignore[arg-type]
    for width, height in ((13, 50), (60, 7), (17, 11)):
        found = np.full(expected.shape, np.nan, np.float32)
        for left in range(whole.left, whole.right, width):
            for top in range(whole.top, whole.bottom, height):
                box = Box(left, top, min(left + width, whole.right), min(top + height, whole.bottom))
                around = seen_box(model, lattice, box)
                assert around == box.grown(1)
                parts = {layer: image._replace(mosaic=image.mosaic.part(around)) for layer, image in images.items()}
                found[box.slices_in(whole)] = predict_block(model, parts, box, **known)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, expected)
    shown = np.logical_and.reduce([image.mosaic.part(whole).validity == Validity.VALID for image in images.values()])
    np.testing.assert_array_equal(expected != NO_ANSWER, shown)
    assert 0.3 < shown.mean() < 1 and model.days == {(8, 6)}


def test_windows_count_where_every_image_shows_the_ground() -> None:
    images, box, lattice = seen_by(4), Box(16, 24, 40, 44), Lattice(8, 4)
    before = images[BEFORE].mosaic
    before.validity[:] = Validity.VALID
    images[LAYER].mosaic.validity[:] = Validity.VALID
    before.validity[30:, :] = Validity.UNCLEAR
    model = Change(by_windows=True)
    reach = lattice.reach(box)
    assert seen_box(model, lattice, box) == reach
    parts = {layer: image._replace(mosaic=image.mosaic.part(reach)) for layer, image in images.items()}
    found = predict_block(model, parts, box, lattice, min_clear_share=0.5, batch_size=5)
    lacking = before.part(box).validity != Validity.VALID
    np.testing.assert_array_equal(found == NO_ANSWER, lacking)
    assert lacking.any() and not lacking.all() and model.days == {(8, 6)}


def test_a_pixel_without_an_answer_is_unknown_and_spoils_no_other() -> None:
    box, lattice = Box(16, 24, 40, 44), Lattice(8, 4)
    images = seen_by(4)
    for image in images.values():
        image.mosaic.validity[:] = Validity.VALID
        image.mosaic.scene[:] = 0
        image.mosaic.pixels[:] = np.maximum(image.mosaic.pixels, 1)
    model, reach = Change(by_windows=True), lattice.reach(box)
    parts = {layer: image._replace(mosaic=image.mosaic.part(reach)) for layer, image in images.items()}
    whole = predict_block(model, parts, box, lattice, min_clear_share=0.5, batch_size=5)
    lacking = np.zeros(whole.shape, bool)
    lacking[3:6, 5:9] = True
    parts[LAYER].mosaic.pixels[:, *box.slices_in(reach)][:, lacking] = 0
    found = predict_block(model, parts, box, lattice, min_clear_share=0.5, batch_size=5)
    np.testing.assert_array_equal(found == NO_ANSWER, lacking)
    np.testing.assert_allclose(found[~lacking], whole[~lacking], rtol=1e-6)


def fire_spec(root: DataRoot, *scenes: SmallScene, block_px: int = 64) -> MapSpec:
    imagery = make_archive(root, *scenes)
    fire = {"fire_id": "f1", "fire_year": 2022, "title": "FIRE", "buffer_m": 100.0}
    task = task_of(root.path, degrees(500, -1100, 1200, -500))
    return spec_of(root, imagery, task.model_validate(task.model_dump() | fire | DAYS), block_px=block_px)


@pytest.mark.parametrize("by_windows", [False, True])
def test_a_map_gives_a_model_the_image_before_whatever_the_blocks(root: DataRoot, by_windows: bool) -> None:
    maps = []
    for block_px in (64, 97):
        own = DataRoot(root.path / str(block_px))
        spec = fire_spec(own, SmallScene("one"), SmallScene("before", time="2022-07-01T18:50:00Z", surface=1),
                         block_px=block_px)  # fmt: skip
        outcome = make_map(spec.tasks[0], spec, judge_of(model := Change(by_windows=by_windows)))
        assert outcome.record is not None and "before.tif" in outcome.record["files"] and model.days == {(8, 7)}
        with rasterio.open(outcome.task.folder / "probability.tif") as source:
            maps.append(source.read(1))
    np.testing.assert_allclose(maps[0], maps[1], atol=0 if not by_windows else 1e-6)
    assert (maps[0] >= 0).all() and maps[0].std() > 0.01


def test_without_an_image_before_there_is_no_map_of_a_model_that_reads_it(root: DataRoot) -> None:
    spec = fire_spec(root, SmallScene("one"))
    outcome = make_map(spec.tasks[0], spec, judge_of(Change()))
    assert outcome.record is None and outcome.reason == "no_image_before"
    assert make_map(spec.tasks[0], spec, judge_of(FormulaModel())).record is not None


def test_a_fire_scene_gives_a_model_what_it_reads_in_its_bands(root: DataRoot) -> None:
    (scene,), _ = make_scenes(root, settings_of(root, AFTER, SCENE_BEFORE), fires_of(FIRE))
    seen = scene.images(Change.layers, scene.frame.box.grown(1))
    before = scene.before(scene.frame.box.grown(1))
    assert seen is not None and before is not None
    np.testing.assert_array_equal(seen[BEFORE].mosaic.pixels[1], before.pixels[BLUE])
    assert len(seen[BEFORE].mosaic.pixels) == 2 and seen[BEFORE].moments == scene.moments_before
    answer = predict_block(Change(), seen, scene.frame.box, Lattice(16, 8), min_clear_share=0.75, batch_size=8)
    assert answer.shape == scene.frame.shape and (answer >= 0).all()


def test_a_frame_without_an_image_before_gives_none(root: DataRoot) -> None:
    (scene,), _ = make_scenes(root, settings_of(root, AFTER), fires_of(FIRE))
    assert scene.images(Change.layers, scene.frame.box) is None
    assert scene.images(FormulaModel.layers, scene.frame.box) is not None


def test_a_model_that_reads_what_maps_lack_is_refused() -> None:
    class Radar(Change):
        layers: ClassVar = {LAYER: BANDS, "sentinel1": ("vv", "vh")}

    class Early(Change):
        layers: ClassVar = {BEFORE: BANDS}

    check_mappable(Change(), LAYER, default_sensor())
    for model in (Radar(), Early()):
        with pytest.raises(InputError, match="choose another with --setup"):
            check_mappable(model, LAYER, default_sensor())
