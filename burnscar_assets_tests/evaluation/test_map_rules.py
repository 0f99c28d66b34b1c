"""Rules of maps: the prior of frames is recovered, each fire weighs the same, and the threshold is the best one."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter

from burnscar_assets.evaluation.calibration import Decision, NbrThreshold, Temperature
from burnscar_assets.evaluation.frame_pixels import EDGES, FramePixels, Reliability
from burnscar_assets.evaluation.rules import FEWEST_WITH_BEFORE, FRAMES, WINDOWS, MapRules, Rules, fix_map_rules
from burnscar_assets.mapping.old_scars import SET_SCAR_BOUND, BurnRatios

WINDOW_PRIOR, GROUND_PRIOR = 0.59, 0.12


def frame(
    number: int,
    pixels: int = 40_000,
    prior: float = GROUND_PRIOR,
    sharpness: float = 1.0,
    trained_on: float | None = None,
) -> FramePixels:
    """A fire's frame whose log odds are those of a model that was trained where another share is burnt.

    The evidence of burnt and unburnt ground is normal with one spread, so that the true log odds are linear in it.
    """
    random = np.random.default_rng(number)
    burnt = random.random(pixels) < prior
    evidence = random.normal(np.where(burnt, 1.0, -1.0))
    of_windows = WINDOW_PRIOR if trained_on is None else trained_on
    odds = sharpness * (2 * evidence + np.log(of_windows / (1 - of_windows)))
    probability = 1 / (1 + np.exp(-odds)).reshape(-1, 100)
    return FramePixels.of(f"f{number}", f"c{number}", probability, burnt.reshape(-1, 100), 0.01)


def fixed(*frames: FramePixels) -> MapRules:
    rules = fix_map_rules(frames, 0.95)
    assert rules is not None
    return rules


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_and_prior_of_the_ground_are_recovered(sharpness: float) -> None:
    rules = fixed(*(frame(n, sharpness=sharpness) for n in range(8)))
    shift = np.log(GROUND_PRIOR / (1 - GROUND_PRIOR)) - np.log(WINDOW_PRIOR / (1 - WINDOW_PRIOR))
    assert rules.slope == pytest.approx(1 / sharpness, rel=0.03) and rules.intercept == pytest.approx(shift, abs=0.05)
    assert rules.nll_after is not None and rules.nll_before is not None and rules.nll_after < rules.nll_before - 0.05
    found = rules.reliability
    assert found is not None and found.error_before is not None and found.error_after is not None
    assert found.fires == 8 and found.error_before > 0.08 and found.error_after < 0.01
    assert rules.fixed_on == FRAMES and not rules.at_bound and rules.note == ""


def test_frames_it_was_not_fitted_on_are_calibrated_too() -> None:
    rules = fixed(*(frame(n) for n in range(8)))
    held_out = [frame(n) for n in range(20, 30)]
    found = Reliability.of(held_out, rules.slope, rules.intercept)
    sure = next(one for one in found.before if one.bin == "0.8–0.9")
    assert sure.burnt_share < 0.4, "trained on windows, a map's 0.8–0.9 is mostly unburnt"
    for one in found.after:
        assert one.burnt_share == pytest.approx(one.mean_probability, abs=0.05)
        assert one.low is not None and one.high is not None and one.low < one.burnt_share < one.high
    assert sum(one.share for one in found.after) == pytest.approx(1) and {one.fires for one in found.after} == {10}


def test_each_fire_weighs_the_same_whatever_its_size() -> None:
    few = [frame(n, prior=0.05) for n in range(3)]
    small, large = (fixed(*few, frame(9, pixels, prior=0.5)) for pixels in (20_000, 2_000_000))
    assert (small.slope, small.intercept) == pytest.approx((large.slope, large.intercept), abs=0.05)
    assert small.threshold == pytest.approx(large.threshold, abs=0.05)


def test_the_threshold_has_the_greatest_mean_iou_and_tells_the_errors() -> None:
    frames = [frame(n, prior=prior) for n, prior in enumerate((0.05, 0.1, 0.3))]
    rules = fixed(*frames)

    def mean_iou(threshold: float) -> float:
        ious = []
        for number, prior in enumerate((0.05, 0.1, 0.3)):
            random = np.random.default_rng(number)
            burnt = random.random(40_000) < prior
            odds = 2 * random.normal(np.where(burnt, 1.0, -1.0)) + np.log(WINDOW_PRIOR / (1 - WINDOW_PRIOR))
            called = rules.calibrate(1 / (1 + np.exp(-odds))) > threshold
            ious.append((called & burnt).sum() / (called | burnt).sum())
        return float(np.mean(ious))

    assert rules.mean_iou == pytest.approx(mean_iou(rules.threshold), abs=1e-3)
    assert rules.mean_iou >= max(mean_iou(threshold) for threshold in np.linspace(0.02, 0.98, 49)) - 1e-3
    for one, error in zip(frames, rules.errors, strict=True):
        assert (error.fire_id, error.cluster_id) == (one.fire_id, one.cluster_id)
        assert error.hits_ha + error.missed_ha == pytest.approx(one.counts[1].sum() / 100)
        assert error.false_ha + error.right_ha == pytest.approx(one.counts[0].sum() / 100)


def test_a_fire_s_errors_are_those_with_the_threshold_of_the_other_clusters() -> None:
    frames = [frame(n, prior=prior) for n, prior in enumerate((0.05, 0.1, 0.3))]
    for left_out, error in enumerate(fixed(*frames).errors):
        others = fixed(*(one for n, one in enumerate(frames) if n != left_out))
        odds = (np.log(others.threshold / (1 - others.threshold)) - others.intercept) / others.slope
        false, hits = frames[left_out].called_burnt()[:, int(np.argmin(np.abs(EDGES - odds)))] / 100
        assert (error.hits_ha, error.false_ha) == pytest.approx((hits, false))
    together = [replace(one, cluster_id="c") for one in frames]
    of_fires = [error.hits_ha / (error.hits_ha + error.false_ha + error.missed_ha) for error in fixed(*together).errors]
    assert np.mean(of_fires) == pytest.approx(fixed(*together).mean_iou), "no other cluster has a threshold"


def test_of_equally_good_thresholds_the_middle_of_the_widest_gap_is_taken() -> None:
    probability = np.array([[0.1, 0.2, 0.9, 0.95]])
    rules = fixed(FramePixels.of("f", "c", probability, np.array([[0, 0, 1, 1]]), 0.01))
    middle = (np.log(0.2 / 0.8) + np.log(0.9 / 0.1)) / 2
    raw = (np.log(rules.threshold / (1 - rules.threshold)) - rules.intercept) / rules.slope
    assert raw == pytest.approx(middle, abs=0.02) and rules.mean_iou == 1


@pytest.mark.parametrize("noise", [1e-3, 1e-5])
def test_the_fit_goes_on_where_hardly_a_pixel_is_wrong(noise: float) -> None:
    centres, known = np.array([-4.0, 4.0]), np.zeros((2, len(EDGES) - 1))
    bins = np.searchsorted(EDGES, centres) - 1
    known[:, bins] = [[1 - noise, noise], [noise, 1 - noise]]
    found = fix_map_rules([FramePixels("f", "c", np.round(known * 1e7).astype(np.int64), 0.01)], 0.95)
    assert found is not None
    middle = (EDGES[bins] + EDGES[bins + 1]) / 2
    slope = 2 * np.log((1 - noise) / noise) / (middle[1] - middle[0])
    assert found.slope == pytest.approx(slope, rel=1e-4) and not found.at_bound


def test_a_fit_at_its_bound_says_so() -> None:
    probability = 1 / (1 + np.exp(-np.array([[-0.01, -0.01, 0.01, 0.01]])))
    assert fixed(FramePixels.of("f", "c", probability, np.array([[0, 0, 1, 1]]), 0.01)).at_bound


def test_pixels_without_an_answer_or_a_truth_do_not_count() -> None:
    probability = np.array([[-1.0, 0.3, 0.7, 0.6]])
    counted = FramePixels.of("f", "c", probability, np.array([[1, 255, 1, 0]]), 0.01)
    assert counted.counts.sum(axis=1).tolist() == [1, 1]


def scarred(number: int, *, fresh: bool) -> FramePixels:
    """A frame of which a third looked burned before, unchanged: ground that the model calls burnt, rightly or not."""
    truth, probability = np.zeros((30, 100), np.uint8), np.full((30, 100), 0.1)
    probability[:15], truth[:5] = 0.9, 1
    truth[5:15] = fresh
    before = np.full(truth.shape, 0.5, np.float32)
    before[5:15] = -0.15
    after = before.copy()
    after[:5] = -0.3
    ratios = BurnRatios(before, after, np.zeros(truth.shape, bool))
    return FramePixels.of(f"f{number}", f"c{number}", probability, truth, 0.01, ratios.scars_by_bound())


def test_validation_fires_fix_the_bound_of_old_scars_and_whether_there_is_one() -> None:
    rules = fixed(*(scarred(n, fresh=False) for n in range(FEWEST_WITH_BEFORE)))
    assert rules.scar_bound is not None and -0.15 < rules.scar_bound <= 0.2 and rules.mean_iou == 1
    assert [(one.hits_ha, one.false_ha, one.right_ha) for one in rules.errors] == [(5, 0, 25)] * FEWEST_WITH_BEFORE
    assert rules.reliability is not None and sum(one.share for one in rules.reliability.after) == pytest.approx(1)
    assert fixed(*(scarred(n, fresh=True) for n in range(FEWEST_WITH_BEFORE))).scar_bound is None
    few = (scarred(n, fresh=n > 0) for n in range(FEWEST_WITH_BEFORE - 1))
    assert fixed(*few).scar_bound == SET_SCAR_BOUND
    probability = np.array([[0.9, 0.9, 0.1, -1.0]], np.float32)
    assert rules.burnt(probability, np.array([[True, False, False, False]])).tolist() == [[False, True, False, False]]


def test_the_rule_of_old_scars_moves_no_threshold_which_fires_without_an_image_before_have_too() -> None:
    scars, others = [scarred(n, fresh=False) for n in range(FEWEST_WITH_BEFORE)], [frame(n) for n in range(9, 12)]
    without = fixed(*(replace(one, low_before=None) for one in scars), *others)
    ruled = fixed(*scars, *others)
    assert ruled.scar_bound is not None and ruled.slope != without.slope
    odds = [(np.log(one.threshold / (1 - one.threshold)) - one.intercept) / one.slope for one in (ruled, without)]
    assert odds[0] == pytest.approx(odds[1])


def test_burnt_ground_that_the_rule_loses_is_missed() -> None:
    lost = scarred(0, fresh=True).under(0.0)
    assert lost.scars == (0, 1000) and lost.counts.sum(axis=1).tolist() == [1500, 500]
    (error,) = fixed(lost).errors
    assert (error.hits_ha, error.missed_ha) == (5, 10)


@pytest.mark.parametrize("truth", [0, 1, 255])
def test_frames_of_one_class_fix_nothing(truth: int) -> None:
    one = FramePixels.of("f", "c", np.array([[0.2, 0.8]]), np.full((1, 2), truth), 0.01)
    assert fix_map_rules([one], 0.95) is None and fix_map_rules([], 0.95) is None


def test_without_frames_the_rules_of_windows_stand_in_and_call_the_same_ground_burnt() -> None:
    windows = Rules(
        NbrThreshold(0.1, 1.0, 1, 1), Decision(0.7, "validation", 0.9, 5, 5), Temperature(2.0, 10, False, 0.5, 0.4)
    )
    rules = windows.for_maps
    assert (rules.slope, rules.intercept, rules.fixed_on) == (0.5, 0.0, WINDOWS) and rules.note and not rules.errors
    assert rules.scar_bound == SET_SCAR_BOUND
    probability = np.array([-1.0, 0.0, 0.2, 0.69, 0.71, 1.0], np.float32)
    calibrated = rules.calibrate(probability)
    assert calibrated[0] == -1 and calibrated.dtype == np.float32
    assert (calibrated > rules.threshold).tolist() == (probability > 0.7).tolist()
    assert replace(windows, maps=fixed(frame(1))).for_maps.fixed_on == FRAMES


def test_rules_survive_json() -> None:
    kind = TypeAdapter(MapRules)
    rules = fixed(*(frame(n) for n in range(3)))
    assert kind.validate_json(kind.dump_json(rules)) == rules and len(rules.errors) == 3
