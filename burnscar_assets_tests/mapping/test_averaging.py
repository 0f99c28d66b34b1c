"""Overlapping windows against a plain loop over pixels, and no trace of blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnscar_assets.mapping.frame import Box
from burnscar_assets.mapping.inference import Lattice, average, logit, taper

SIZES = st.tuples(st.integers(2, 12), st.integers(1, 12)).map(lambda pair: (pair[0], min(pair)))
CORNERS = st.integers(-40, 40)


def boxes(corner: tuple[int, int], shape: tuple[int, int]) -> Box:
    return Box(corner[0], corner[1], corner[0] + shape[0], corner[1] + shape[1])


def answers(lattice: Lattice, box: Box, *, per_pixel: bool) -> tuple[np.ndarray, np.ndarray]:
    """Log odds and weights that follow from a window's place alone."""
    rows, columns = lattice.starts(box.top, box.bottom), lattice.starts(box.left, box.right)
    logits = np.sin(rows[:, None] * 0.7 + columns[None, :] * 1.3) * 3
    weights = ((rows[:, None] * 7 + columns[None, :] * 3) % 5 > 0).astype(float)
    if per_pixel:
        inside = np.linspace(-1, 1, lattice.size_px)
        logits = logits[:, :, None, None] + inside[:, None] * inside[None, :]
    return logits, weights


def by_hand(logits: np.ndarray, weights: np.ndarray, lattice: Lattice, box: Box) -> np.ndarray:
    """Each pixel's mean over the windows that see it; not a number without one."""
    rows, columns = lattice.starts(box.top, box.bottom), lattice.starts(box.left, box.right)
    size, hann = lattice.size_px, taper(lattice.size_px)
    result = np.full((box.height, box.width), np.nan)
    for y in range(box.top, box.bottom):
        for x in range(box.left, box.right):
            total = behind = 0.0
            for i, top in enumerate(rows):
                for j, left in enumerate(columns):
                    if top <= y < top + size and left <= x < left + size:
                        share = hann[y - top] * hann[x - left] * weights[i, j]
                        answer = logits[i, j] if logits.ndim == 2 else logits[i, j, y - top, x - left]
                        total, behind = total + share * answer, behind + share
            if behind:
                result[y - box.top, x - box.left] = total / behind
    return result


@settings(max_examples=25, deadline=None)
@given(SIZES, st.tuples(CORNERS, CORNERS), st.booleans())
def test_the_mean_is_that_of_a_loop_over_pixels(
    size: tuple[int, int], corner: tuple[int, int], per_pixel: bool
) -> None:
    lattice, box = Lattice(*size), boxes(corner, (9, 7))
    logits, weights = answers(lattice, box, per_pixel=per_pixel)
    mean, behind = average(logits, weights, lattice, box)
    expected = by_hand(logits, weights, lattice, box)
    assert np.allclose(np.where(behind > 0, mean, np.nan), expected, atol=1e-9, equal_nan=True)


@settings(max_examples=25, deadline=None)
@given(SIZES, st.tuples(CORNERS, CORNERS), st.integers(1, 20), st.booleans())
def test_blocks_leave_no_trace(size: tuple[int, int], corner: tuple[int, int], cut: int, per_pixel: bool) -> None:
    lattice, whole = Lattice(*size), boxes(corner, (21, 13))
    parts = [
        Box(whole.left, whole.top, whole.left + cut, whole.bottom),
        Box(whole.left + cut, whole.top, whole.right, whole.bottom),
    ]
    means = [average(*answers(lattice, box, per_pixel=per_pixel), lattice, box)[0] for box in (whole, *parts)]
    assert np.abs(means[0] - np.hstack(means[1:])).max() < 1e-9


@given(SIZES, st.tuples(CORNERS, CORNERS))
def test_every_pixel_is_seen_and_reach_holds_all_windows(size: tuple[int, int], corner: tuple[int, int]) -> None:
    lattice, box = Lattice(*size), boxes(corner, (5, 5))
    rows, columns = lattice.starts(box.top, box.bottom), lattice.starts(box.left, box.right)
    assert (rows % lattice.stride_px == 0).all() and rows[0] <= box.top and rows[-1] + lattice.size_px >= box.bottom
    reach = lattice.reach(box)
    assert (reach.left, reach.right) == (columns[0], columns[-1] + lattice.size_px)
    one = np.ones((len(rows), len(columns)))
    mean, behind = average(one * 0.25, one, lattice, box)
    assert (behind > 0).all() and np.allclose(mean, 0.25), "a constant model gives a constant map"


def test_a_window_that_is_certain_does_not_outvote_all_others() -> None:
    assert logit([0.0, 0.5, 1.0]) == pytest.approx([-16, 0, 16])


@pytest.mark.parametrize("stride_px", [8, 16])
def test_answers_of_whole_windows_make_no_steps_at_the_stride(stride_px: int) -> None:
    lattice, box = Lattice(32, stride_px), boxes((5, -11), (320, 320))
    count = len(lattice.starts(0, 320)) + 1
    rows, columns = lattice.starts(box.top, box.bottom), lattice.starts(box.left, box.right)
    logits = np.random.default_rng(0).uniform(-3, 3, (count, count))[: len(rows), : len(columns)]
    mean, _ = average(logits, np.ones_like(logits), lattice, box)
    steps = np.abs(np.diff(mean, axis=1))
    at_stride = (np.arange(box.left + 1, box.right) % stride_px) == 0
    assert steps.max() < 6 * np.pi / 32, "no more than Hann's weight changes from pixel to pixel"
    assert steps[:, at_stride].mean() < 1.05 * steps[:, ~at_stride].mean()


@pytest.mark.parametrize(("stride_px", "off_px"), [(16, 2.0), (8, 0.25)])
@pytest.mark.parametrize("degrees", [0, 20, 45, 70])
def test_a_straight_edge_stays_straight_where_windows_answer_by_their_burnt_share(
    degrees: float, stride_px: int, off_px: float
) -> None:
    lattice, side, size = Lattice(32, stride_px), 320, 32
    y, x = np.mgrid[-64 : side + 64, -64 : side + 64] + 0.5
    angle = np.deg2rad(degrees)
    truth = (x - side / 2) * np.cos(angle) + (y - side / 2) * np.sin(angle) < 3.3
    total = np.pad(truth.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    starts = lattice.starts(0, side) + 64
    top, left = np.ix_(starts, starts)
    burnt = total[top + size, left + size] - total[top, left + size] - total[top + size, left] + total[top, left]
    logits = 12 * (burnt / size**2 - 0.5)
    mean, _ = average(logits, np.ones_like(logits), lattice, Box(0, 0, side, side))
    wrong = (mean > 0) != truth[64:-64, 64:-64]
    assert wrong.sum() / side <= off_px, "pixels of the edge that lie off, in the mean along it"
