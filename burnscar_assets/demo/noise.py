"""Seeds and smooth noise of the simulated world.

Everything random in the world comes from a name ("scene", granule, day, …), never from the order in which
things are made, so that any part can be made alone, again, or in another process with the same result.
Smooth noise is a function of ground coordinates (the region's CRS): granules that overlap see the same land.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import SFC64, Generator

from burnscar_assets.sampling.randomness import key_of, mix, uniform

Floats = npt.NDArray[np.float32]


def generator(*name: str | int) -> Generator:
    """A fast random generator that belongs to a name."""
    return Generator(SFC64(int(key_of(*name))))


@dataclass(frozen=True)
class Frame:
    """A coarse grid of nodes on the ground at which noise is evaluated.

    Coordinates are (rows, columns), metres of the region's CRS.
    """

    x_m: npt.NDArray[np.float64]
    y_m: npt.NDArray[np.float64]

    def shifted(self, east_m: float, north_m: float) -> "Frame":
        """The frame moved over the ground."""
        return Frame(self.x_m + east_m, self.y_m + north_m)


def value_noise(key: np.uint64, frame: Frame, cell_m: float) -> Floats:
    """Smooth noise in [0, 1) with one random value per lattice cell of `cell_m` metres."""
    u, v = frame.x_m / cell_m, frame.y_m / cell_m
    col, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    fu, fv = (u - col).astype(np.float32), (v - row).astype(np.float32)
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    first_col, first_row = int(col.min()), int(row.min())
    cols, rows = np.meshgrid(
        np.arange(first_col, int(col.max()) + 2), np.arange(first_row, int(row.max()) + 2), indexing="ij"
    )
    lattice = uniform(mix(key, cols, rows)).astype(np.float32)
    col, row = col - first_col, row - first_row
    low = lattice[col, row] * (1 - fu) + lattice[col + 1, row] * fu
    high = lattice[col, row + 1] * (1 - fu) + lattice[col + 1, row + 1] * fu
    return (low * (1 - fv) + high * fv).astype(np.float32)


def fractal_noise(
    name: tuple[str | int, ...], frame: Frame, cell_m: float, octaves: int = 4, gain: float = 0.5
) -> Floats:
    """Noise in [0, 1) whose detail doubles and whose weight falls by `gain` with every octave."""
    total, weight = np.zeros(frame.x_m.shape, np.float32), 0.0
    for octave in range(octaves):
        total += np.float32(gain**octave) * value_noise(key_of(*name, octave), frame, cell_m / 2**octave)
        weight += gain**octave
    return (total / np.float32(weight)).astype(np.float32)


def upsample(nodes: Floats, factor: int) -> Floats:
    """Bilinear values at pixel centres from nodes that lie on every `factor`-th pixel edge, both ends included."""
    weight = ((np.arange(factor, dtype=np.float32) + np.float32(0.5)) / np.float32(factor))[None, :]
    by_row = nodes[:-1, None, :] * (1 - weight)[..., None] + nodes[1:, None, :] * weight[..., None]
    rows = by_row.reshape(-1, nodes.shape[1])
    pixels = rows[:, :-1, None] * (1 - weight)
    pixels += rows[:, 1:, None] * weight
    return pixels.reshape(rows.shape[0], -1)


def block_mean(fine: Floats, factor: int) -> Floats:
    """Means of `factor` × `factor` pixels; both sides must be multiples of `factor`."""
    by_row = fine[::factor].copy()
    for start in range(1, factor):
        by_row += fine[start::factor]
    mean = by_row[:, ::factor].copy()
    for start in range(1, factor):
        mean += by_row[:, start::factor]
    mean *= np.float32(1 / factor**2)
    return mean
