"""The NBR threshold is the best one on its training windows, and nothing else decides ties."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.demo.spectra import BANDS
from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.calibration import tune_threshold, window_nbr
from burnscar_assets.evaluation.metrics import Answers, binary_metrics
from burnscar_assets.sensors.load import default_sensor
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN

labelled = st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: {True, False} == {r[1] for r in rows} and len({r[0] for r in rows}) > 1
)


@given(labelled, st.randoms())
def test_no_other_threshold_is_better_and_order_is_irrelevant(rows: list[tuple[int, bool]], random: Random) -> None:
    def balanced(threshold: float) -> float:
        called = nbr < threshold
        return (called[burnt].mean() + (~called[~burnt]).mean()) / 2

    nbr, burnt = np.array([r[0] for r in rows]) / 20, np.array([r[1] for r in rows])
    tuned = tune_threshold(nbr, burnt)
    assert tuned.train_balanced_accuracy == pytest.approx(balanced(tuned.threshold))
    others = [t for t in np.arange(-1, 1, 0.025) if nbr.min() < t <= nbr.max()]
    assert all(balanced(t) <= tuned.train_balanced_accuracy + 1e-12 for t in others)
    random.shuffle(rows)
    assert tune_threshold(np.array([r[0] for r in rows]) / 20, np.array([r[1] for r in rows])) == tuned


def test_the_widest_gap_wins_a_tie_then_the_lowest() -> None:
    burnt = np.array([True, True, False, False])
    assert tune_threshold(np.array([0.0, 0.1, 0.5, 0.6]), burnt).threshold == pytest.approx(0.3)
    tie = tune_threshold(np.array([0.0, 0.1, 0.2, 0.3]), np.array([True, False, True, False]))
    assert tie.threshold == pytest.approx(0.05)


def test_neighbouring_floats_are_told_apart() -> None:
    low = 0.3
    high = np.nextafter(low, 1)
    tuned = tune_threshold(np.array([low, high]), np.array([True, False]))
    assert tuned.predict(np.array([low, high])).tolist() == [True, False]


def test_windows_without_nbr_are_left_out_of_tuning_and_never_called_burnt() -> None:
    tuned = tune_threshold(np.array([-0.2, 0.4, np.nan]), np.array([True, False, True]))
    assert (tuned.train_burnt, tuned.train_unburnt) == (1, 1)
    assert tuned.predict(np.array([np.nan, -1.0])).tolist() == [False, True]


@pytest.mark.parametrize("burnt", [[True, True], [False, False]])
def test_one_class_is_an_error(burnt: list[bool]) -> None:
    with pytest.raises(InputError, match="burnt and unburnt training windows"):
        tune_threshold(np.array([0.1, 0.2]), np.array(burnt))


def test_one_value_is_an_error() -> None:
    with pytest.raises(InputError, match="1 distinct"):
        tune_threshold(np.array([0.1, 0.1]), np.array([True, False]))


def test_window_nbr_is_the_mean_over_pixels_with_data() -> None:
    images = np.zeros((3, len(BANDS), 2, 2), dtype=np.uint16)
    images[0, BANDS.index("B08")] = [[3000, 1000], [2000, 0]]
    images[0, BANDS.index("B12")] = [[1000, 3000], [2000, 2000]]
    images[1, BANDS.index("B08")] = 65535
    images[1, BANDS.index("B12")] = 1
    nbr = window_nbr(images, default_sensor())
    assert nbr[0] == pytest.approx((0.5 - 0.5 + 0) / 3)
    assert nbr[1] == pytest.approx(65534 / 65536)
    assert np.isnan(nbr[2])


@pytest.mark.real_data
def test_real_burnt_pixels_have_low_nbr(real_data: Path) -> None:
    """British Columbia, wildfire C50929: NBR(B09, B12) against the official perimeter (PROVENANCE.md)."""
    folder = real_data / "imagery" / "bc_c50929"
    with rasterio.open(folder / "C50929_post_B12_B11_B09_20m.tif") as scene:
        shortwave, _, near_infrared = scene.read()
    with rasterio.open(folder / "C50929_bcws_perimeter_mask.tif") as mask:
        burnt = mask.read(1) > 0
    images = np.zeros((burnt.size, len(BANDS), 1, 1), dtype=np.uint16)
    for band, pixels in (("B08", near_infrared), ("B12", shortwave)):
        without_offset = np.clip(pixels.astype(np.int64) - BASELINE_OFFSET_DN, 0, None) * (pixels > 0)
        images[:, BANDS.index(band), 0, 0] = without_offset.ravel()
    nbr = window_nbr(images, default_sensor())
    known = ~np.isnan(nbr)
    truth = burnt.ravel()[known]
    tuned = tune_threshold(nbr, burnt.ravel())
    found = binary_metrics(Answers(truth, tuned.predict(nbr[known]), -nbr[known]))
    assert found["auroc"] == pytest.approx(0.95, abs=0.01)
    assert found["iou_burnt"] == pytest.approx(0.79, abs=0.02)
    assert tuned.train_balanced_accuracy == pytest.approx(found["balanced_accuracy"])
