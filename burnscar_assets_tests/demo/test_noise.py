import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from burnscar_assets.demo.noise import Frame, block_mean, fractal_noise, generator, upsample


def grid(west: float, north: float, nodes: int = 12, step: float = 40.0) -> Frame:
    steps = np.arange(nodes) * step
    x, y = np.meshgrid(west + steps, north - steps)
    return Frame(x, y)


@given(west=st.integers(-400_000, 500_000), north=st.integers(-600_000, 450_000), shift=st.integers(1, 11))
def test_overlapping_frames_see_the_same_noise(west: int, north: int, shift: int) -> None:
    name = ("a", 3)
    here = fractal_noise(name, grid(west, north), 700)
    there = fractal_noise(name, grid(west + 40 * shift, north), 700)
    np.testing.assert_allclose(here[:, shift:], there[:, : 12 - shift], atol=1e-4)


@given(cell=st.floats(20, 9000), octaves=st.integers(1, 6))
def test_noise_stays_between_zero_and_one(cell: float, octaves: int) -> None:
    noise = fractal_noise(("b",), grid(-1234.5, 987.0), cell, octaves)
    assert noise.min() >= 0
    assert noise.max() < 1
    assert noise.dtype == np.float32


def test_noise_differs_by_name_and_has_the_spread_that_land_cover_counts_on() -> None:
    frame = grid(0, 0, nodes=400)
    first, second = fractal_noise((1, "x"), frame, 900), fractal_noise((2, "x"), frame, 900)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.2
    assert 0.08 < first.std() < 0.18


def test_upsampling_and_block_means_keep_a_ramp() -> None:
    nodes = np.add.outer(np.arange(7.0), 10 * np.arange(7.0)).astype(np.float32)
    fine = upsample(nodes, 4)
    assert fine.shape == (24, 24)
    centres = (np.arange(24) + 0.5) / 4
    np.testing.assert_allclose(fine, np.add.outer(centres, 10 * centres), rtol=1e-5)
    np.testing.assert_allclose(block_mean(fine, 6), fine.reshape(4, 6, 4, 6).mean(axis=(1, 3)), rtol=1e-5)


def test_generators_belong_to_names() -> None:
    assert generator("a", 1).random() == generator("a", 1).random()
    assert generator("a", 1).random() != generator("a", 2).random()
