import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.grid import grid_of
from burnscar_assets.mapping.severity import SEVERITY_CLASSES, classify, phenology_offset, severity_ha
from burnscar_assets.sensors.indices import dnbr, nbr

GRID = grid_of(Affine(20, 0, 500_000, 0, -20, 4_000_000), "EPSG:32611")


def test_the_classes_are_those_of_key_and_benson() -> None:
    steps = np.array([-0.26, -0.25, -0.11, -0.1, 0.099, 0.1, 0.269, 0.27, 0.439, 0.44, 0.659, 0.66, np.nan], "float32")
    assert classify(steps).tolist() == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 0]
    assert [severity.low for severity in SEVERITY_CLASSES[3:]] == [0.1, 0.27, 0.44, 0.66]


@given(arrays("float32", (5, 5), elements=st.floats(-2, 2, width=32) | st.just(np.float32("nan"))))
def test_every_pixel_with_data_has_a_class_and_hectares_add_up(change: np.ndarray) -> None:
    classes = classify(change)
    np.testing.assert_array_equal(classes == 0, np.isnan(change))
    order = np.argsort(change, axis=None)
    assert (np.diff(classes.ravel()[order][: np.isfinite(change).sum()].astype(int)) >= 0).all()
    assert sum(severity_ha(classes, 0.04).values()) == pytest.approx(np.isfinite(change).sum() * 0.04)
    inside = np.eye(5, dtype=bool)
    assert sum(severity_ha(classes, 1.0, inside).values()) == np.isfinite(change[inside]).sum()


def test_dnbr_needs_no_scale_but_data_in_all_bands() -> None:
    before, after = np.array([[4000, 4000, 0]]), np.array([[1000, 1000, 1000]])
    change = dnbr(nbr(before, after), nbr(after, before))
    np.testing.assert_allclose(change, [[1.2, 1.2, np.nan]])
    np.testing.assert_allclose(dnbr(nbr(before * 3, after * 3), nbr(after, before)), change)


@given(st.floats(-0.3, 0.3), st.integers(0, 2**32 - 1))
def test_the_offset_is_the_change_of_unburnt_ground(shift: float, seed: int) -> None:
    noise = np.random.default_rng(seed)
    burned = np.zeros((120, 120), dtype=bool)
    burned[50:70, 50:70] = True
    change = (shift + noise.normal(0, 0.05, burned.shape)).astype("float32")
    change[burned] += 0.6
    change[noise.random(burned.shape) < 0.1] = np.nan
    burned_elsewhere = change.copy()
    burned_elsewhere[30:34, 50:70] += 0.6  # burned, but not in the perimeter
    for seen in (change, burned_elsewhere):
        offset = phenology_offset(seen, burned, GRID)
        assert offset is not None
        assert offset.dnbr == pytest.approx(shift, abs=0.02)
        assert offset.spread == pytest.approx(0.05 * 0.6745, abs=0.01)


def test_without_a_ring_there_is_no_offset() -> None:
    change = np.zeros((20, 20), dtype="float32")
    assert phenology_offset(change, np.ones((20, 20), dtype=bool), GRID) is None
    assert phenology_offset(change, np.zeros((20, 20), dtype=bool), GRID) is None
    assert phenology_offset(np.full((200, 200), np.nan, "float32"), np.eye(200, dtype=bool), GRID) is None
    with pytest.raises(InputError, match="shape"):
        phenology_offset(change, np.ones((3, 3), dtype=bool), GRID)
