"""Scores of maps on hand-made frames: exact shapes, one mask for all, and what isn't judged."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from burnscar_assets.evaluation.map_scores import MapScore, ScoredGround, score_map

SIDE, UNKNOWN = 60, 255


def truth_of(rows: slice = slice(20, 40), columns: slice = slice(20, 40)) -> np.ndarray:
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[rows, columns] = 1
    return truth


def ground_of(
    truth: np.ndarray, clear: np.ndarray | None = None, before: np.ndarray | None = None, **changes: bool
) -> ScoredGround:
    everywhere = np.ones(truth.shape, bool)
    shown = everywhere if clear is None else clear
    return ScoredGround.of(truth, shown, before, everywhere, 10.0, 0.5, **changes)


def score(called: np.ndarray, ground: ScoredGround, margin_m: float = 30) -> MapScore:
    return score_map(called, np.ones(called.shape, bool), ground, margin_m)


def test_a_perfect_map() -> None:
    ground = ground_of(truth_of())
    found = score(ground.burnt, ground)
    assert (found.iou, found.iou_off_outline, found.f1, found.omission, found.commission) == (1, 1, 1, 0, 0)
    assert (found.boundary_f_1px, found.boundary_distance_m_mean, found.area_ratio) == (1, 0, 1)
    assert (found.judged_ha, found.burnt_ha, found.mapped_ha, found.hits_ha) == (36, 4, 4, 4)
    assert found.unanswered == 0 and found.false_patches == 0


@pytest.mark.parametrize("moved", [(0, 1), (1, 1)])
def test_a_map_shifted_by_one_pixel(moved: tuple[int, int]) -> None:
    ground = ground_of(truth_of())
    found = score(np.roll(ground.burnt, moved, axis=(0, 1)), ground, margin_m=10)
    both = (20 - moved[0]) * (20 - moved[1])
    assert found.iou == pytest.approx(both / (2 * 400 - both))
    assert found.iou_off_outline == 1 and found.boundary_f_1px == 1
    assert 0 < found.boundary_distance_m_mean <= 10 * math.hypot(*moved)
    assert found.omission == found.commission == pytest.approx(1 - both / 400)


def test_a_map_three_pixels_off_is_within_neither_tolerance_along_the_shift() -> None:
    ground = ground_of(truth_of())
    found = score(np.roll(ground.burnt, 3, axis=1), ground)
    assert found.boundary_f_1px < found.boundary_f_2px < 1
    assert found.iou == pytest.approx(17 / 23)


def test_nothing_mapped_counts_as_nothing_and_all_burnt_as_what_it_is() -> None:
    ground = ground_of(truth_of())
    empty = score(np.zeros((SIDE, SIDE), bool), ground)
    assert (empty.iou, empty.f1, empty.omission, empty.boundary_f_2px, empty.area_ratio) == (0, 0, 1, 0, 0)
    assert math.isnan(empty.commission) and math.isnan(empty.boundary_distance_m_mean)
    full = score(np.ones((SIDE, SIDE), bool), ground)
    assert full.iou == pytest.approx(400 / 3600) and full.omission == 0 and full.area_ratio == 9
    assert full.boundary_f_2px == 0, "the frame's edge is no outline"
    assert full.false_patches == 1


def test_a_pixel_without_an_answer_counts_as_unburnt() -> None:
    ground = ground_of(truth_of())
    answered = np.ones((SIDE, SIDE), bool)
    answered[:, 30:] = False
    found = score_map(ground.burnt, answered, ground, 30)
    assert found.iou == 0.5 and found.unanswered == 0.5 and found.judged_ha == 36


def test_under_cloud_nothing_is_judged_and_its_edge_is_no_outline() -> None:
    clear = np.ones((SIDE, SIDE), bool)
    clear[:, 30:] = False
    ground = ground_of(truth_of(), clear)
    assert ground.coverage == 0.5 and not ground.reason
    found = score(np.ones((SIDE, SIDE), bool) & truth_of().astype(bool), ground)
    assert found.iou == 1 and found.boundary_f_1px == 1 and found.judged_ha == 18
    clear[:, 29:] = False
    assert "less than 50%" in ground_of(truth_of(), clear).reason


def test_surroundings_must_show_too() -> None:
    clear = truth_of().astype(bool)
    ground = ground_of(truth_of(), clear)
    assert ground.coverage == 1 and ground.ring_coverage == 0 and "surroundings" in ground.reason
    assert "none of its ground" in ground_of(np.full((SIDE, SIDE), UNKNOWN, np.uint8)).reason
    assert not ground_of(np.zeros((SIDE, SIDE), np.uint8), has_fire=False).reason


def test_an_image_before_is_asked_for_where_it_shows_enough() -> None:
    truth, before = truth_of(), np.ones((SIDE, SIDE), bool)
    before[:5] = False
    good = ground_of(truth, before=before)
    assert good.with_before and not good.judged[:5].any()
    before[:32] = False
    poor = ground_of(truth, before=before)
    assert not poor.with_before and poor.judged.all() and not poor.reason


def test_unknown_ground_is_left_out() -> None:
    truth = truth_of()
    truth[:, 45:] = UNKNOWN
    ground = ground_of(truth)
    assert not ground.judged[:, 45:].any() and ground.judged[:, :45].all()
    assert score(np.ones((SIDE, SIDE), bool), ground).judged_ha == pytest.approx(27)


@settings(max_examples=40, deadline=None)
@given(arrays(bool, (24, 24)), arrays(np.uint8, (24, 24), elements=st.sampled_from([0, 1, 255])))
def test_scores_are_bounded_and_all_predictors_have_the_same_pixels(called: np.ndarray, truth: np.ndarray) -> None:
    ground = ground_of(truth)
    found, other = score(called, ground), score(~called, ground)
    assert found.judged_ha == other.judged_ha and found.burnt_ha == other.burnt_ha
    shares = ("iou", "iou_off_outline", "f1", "omission", "commission", "boundary_f_1px", "boundary_f_2px")
    known = {name: getattr(found, name) for name in shares if not math.isnan(getattr(found, name))}
    assert all(0 <= value <= 1 for value in known.values())
    if "boundary_f_1px" in known:
        assert known["boundary_f_1px"] <= known["boundary_f_2px"]
    mapped, burnt = called & ground.judged, ground.burnt & ground.judged
    swapped = truth.copy()
    swapped[ground.judged] = mapped[ground.judged]
    if burnt.any() and mapped.any():
        assert score(burnt, ground_of(swapped)).iou == found.iou, "IoU doesn't ask which is the truth"
