"""Windows laid over an area, and their answers averaged to pixels: pure functions, no seams by construction.

Windows stand where their columns and rows are multiples of the stride in the grid of the whole UTM zone, wherever a
block begins. So a pixel is seen by the same windows, with the same weights, whatever block it is made in.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from burnscar_assets.mapping.frame import Box

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CERTAIN: Final = 16.0
"""Largest logit, either way: 1e-7 from certainty, where a single window would outvote all others."""


@dataclass(frozen=True)
class Lattice:
    """How windows stand on the ground.

    Attributes:
        size_px: side of a window, pixels.
        stride_px: from one window to the next, pixels, at most the side.
    """

    size_px: int
    stride_px: int

    def starts(self, first: int, last: int) -> Ints:
        """First columns (or rows) of the windows that meet the columns from `first` to before `last`."""
        least = (first - self.size_px) // self.stride_px + 1
        return np.arange(least, -(-last // self.stride_px), dtype=np.int64) * self.stride_px

    def reach(self, box: Box) -> Box:
        """The pixels that the windows of a box see."""
        columns, rows = self.starts(box.left, box.right), self.starts(box.top, box.bottom)
        return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + self.size_px, int(rows[-1]) + self.size_px)


def taper(size_px: int) -> Floats:
    """Weight of each pixel of a window along one axis: Hann's, at the pixels' centres, so that none is 0."""
    return np.asarray(np.sin(np.pi * (np.arange(size_px) + 0.5) / size_px) ** 2)


def logit(probability: npt.ArrayLike) -> Floats:
    """Log odds, kept within `CERTAIN`."""
    p = np.asarray(probability, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(p) - np.log1p(-p), -CERTAIN, CERTAIN)


def average(logits: Floats, weights: Floats, lattice: Lattice, box: Box) -> tuple[Floats, Floats]:
    """Mean log odds of a box's pixels over the windows that see them.

    Args:
        logits: of the windows in rows and columns, as `lattice.starts` gives them: (rows, columns) where a window has
            one answer, (rows, columns, size, size) where each of its pixels has one.
        weights: (rows, columns) of each window, 0 or more; 0 leaves it out.
        lattice: of the windows.
        box: pixels wanted.

    Returns:
        (height, width) log odds, 0 where no window counts; and the weight behind each, 0 there.
    """
    rows, columns = lattice.starts(box.top, box.bottom), lattice.starts(box.left, box.right)
    down = _along(rows - box.top, box.height, lattice.size_px)
    across = _along(columns - box.left, box.width, lattice.size_px)
    weight = down.T @ weights @ across
    if logits.ndim == 2:
        total = down.T @ (logits * weights) @ across
    else:
        total = _total_of_pixels(logits, weights, rows - box.top, columns - box.left, (box.height, box.width))
    counted = weight > 0
    return np.divide(total, weight, out=np.zeros_like(total), where=counted), np.where(counted, weight, 0.0)


def average_of_known(logits: Floats, weights: Floats, lattice: Lattice, box: Box) -> tuple[Floats, Floats]:
    """`average` over known answers alone: NaN among `logits` is none."""
    known = np.isfinite(logits)
    mean, weight = average(np.where(known, logits, 0.0), weights, lattice, box)
    if known[weights > 0].all():
        return mean, weight
    share, _ = average(known.astype(np.float64), weights, lattice, box)
    return np.divide(mean, share, out=np.zeros_like(mean), where=share > 0), weight * share


def _along(starts: Ints, count: int, size_px: int) -> Floats:
    """(windows, pixels) weight of each window at each pixel along one axis."""
    inside = np.arange(count)[None, :] - starts[:, None]
    return np.where((inside >= 0) & (inside < size_px), taper(size_px)[np.clip(inside, 0, size_px - 1)], 0.0)


def _total_of_pixels(logits: Floats, weights: Floats, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Floats:
    size = logits.shape[-1]
    weight = np.outer(taper(size), taper(size))
    padded = np.zeros((int(rows[-1] - rows[0]) + size, int(columns[-1] - columns[0]) + size))
    for i, row in enumerate(rows - rows[0]):
        for j, column in enumerate(columns - columns[0]):
            if weights[i, j] > 0:
                padded[row : row + size, column : column + size] += logits[i, j] * (weight * weights[i, j])
    top, left = int(-rows[0]), int(-columns[0])
    return padded[top : top + shape[0], left : left + shape[1]]
