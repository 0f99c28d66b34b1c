"""Floors and burn indices on hand-made frames: the mode of unburned ground, tuning, and what can't be had."""

import numpy as np
import pytest

from burnscar_assets.evaluation.map_baselines import BASELINES, FrameIndices, tune
from burnscar_assets.evaluation.map_scores import ScoredGround, score_map
from burnscar_assets.mapping.old_scars import change_counts, mode_of
from burnscar_assets.sensors.indices import shows_water

SIDE = 120
OFFSET = 0.13


def frame_of(*, burnt_side: int = 40, with_before: bool = True, offset: float = OFFSET) -> FrameIndices:
    """A frame of which a third is water; season has moved dNBR of all ground, and water's at random."""
    generator = np.random.default_rng(5)
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[20 : 20 + burnt_side, 20 : 20 + burnt_side] = 1
    water = np.zeros((SIDE, SIDE), bool)
    water[:, 80:] = True
    before = np.where(water, 0.0, 0.5) + generator.normal(0, 0.03, (SIDE, SIDE))
    change = offset + 0.4 * (truth == 1) + generator.normal(0, 0.03, (SIDE, SIDE))
    change[water] = -0.2 + generator.normal(0, 0.01, water.sum())
    clear = np.ones((SIDE, SIDE), bool)
    ground = ScoredGround.of(truth, clear, clear if with_before else None, clear, 10.0, 0.5)
    images = before.astype(np.float32), (before - change).astype(np.float32)
    return FrameIndices(images[1], images[0] if with_before else None, water, ground)


def iou(name: str, frame: FrameIndices, threshold: float | None = None) -> float:
    one = next(one for one in BASELINES if one.name == name)
    values = one.of(frame)
    assert values is not None
    called = values > (one.threshold if threshold is None else threshold)
    return score_map(called, np.isfinite(values), frame.ground, 30).iou


@pytest.mark.parametrize("burnt_side", [10, 40, 70])
def test_the_mode_is_that_of_unburned_ground_and_water_has_no_part_in_it(burnt_side: int) -> None:
    frame = frame_of(burnt_side=burnt_side)
    assert frame.change is not None
    assert mode_of(change_counts(frame.change, frame.land)) == pytest.approx(OFFSET, abs=0.03)
    with_water = mode_of(change_counts(frame.change, frame.ground.judged))
    assert with_water is not None and with_water < -0.1
    assert mode_of(change_counts(frame.change, np.zeros((SIDE, SIDE), bool))) is None


def test_an_offset_of_the_season_undoes_dnbr_and_not_dnbr_less_the_mode() -> None:
    frame = frame_of()
    assert iou("dnbr", frame) < 0.35 and iou("dnbr_less_mode", frame) > 0.95
    assert iou("all_burnt", frame) == pytest.approx(1600 / SIDE**2)


def test_thresholds_are_tuned_on_the_frames_given_and_others_stay() -> None:
    found = tune(BASELINES, [frame_of()])
    assert found["dnbr"] == found["dnbr_less_mode"] == pytest.approx(0.1)
    assert 0.05 < found["dnbr_less_mode_tuned"] < 0.4
    assert iou("rbr", frame_of(), found["rbr"]) > 0.95
    assert iou("nbr", frame_of(), found["nbr"]) >= iou("nbr", frame_of())
    assert iou("ellipse", frame_of(), found["ellipse"]) >= iou("ellipse", frame_of())
    assert tune(BASELINES, []) == {one.name: one.threshold for one in BASELINES}


def test_without_an_image_before_there_is_no_change() -> None:
    frame = frame_of(with_before=False)
    there = {one.name for one in BASELINES if one.of(frame) is not None}
    assert there == {"all_burnt", "ellipse", "nbr", "nbr_otsu"}


def test_water_is_dark_in_infrared_with_and_without_visible_light() -> None:
    nir, swir, green = np.array([[600, 2600, 900, 0], [100, 1500, 2400, 0], [700, 800, 600, 0]], np.uint16)
    expected = [True, False, False, False]
    assert shows_water(nir, swir, green).tolist() == shows_water(nir, swir).tolist() == expected
