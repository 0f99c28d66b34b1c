"""Which ground is for training, validation and test: decided once, for all fire years and releases.

EPSG:3310 is cut into square blocks, and each block is dealt to a split by a hash of the seed, its column
and its row. Nothing else enters, so ground never changes its split: not with the fire year, the release,
or an edited perimeter. A window belongs to a split only if it lies there wholly, with a margin.
"""

import numpy as np
import numpy.typing as npt

from burnscar_assets.classes import Split
from burnscar_assets.sampling.randomness import key_of, mix, uniform
from burnscar_assets.settings import SplitSettings

NO_SPLIT = ""
"""What `SplitMap.splits_touched` says of a window that no split has for its own."""

_M_PER_KM = 1000.0


class SplitMap:
    """The deal of ground blocks to splits.

    Args:
        settings: side of the blocks, margin, shares and seed.
    """

    def __init__(self, settings: SplitSettings) -> None:
        self.settings = settings
        self._side_m = settings.block_km * _M_PER_KM
        self._key = key_of("ground-block", settings.seed)

    def block_of(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Columns and rows of the blocks that points (EPSG:3310, metres) lie in."""
        col = np.floor(np.asarray(x_m, dtype=float) / self._side_m).astype(np.int64)
        row = np.floor(np.asarray(y_m, dtype=float) / self._side_m).astype(np.int64)
        return col, row

    def block_names(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> list[str]:
        """Names of the blocks that points (EPSG:3310, metres) lie in: the clusters of what belongs to no fire."""
        return [f"block_{col}_{row}" for col, row in zip(*self.block_of(x_m, y_m), strict=True)]

    def block_bounds(self, col: int, row: int) -> tuple[float, float, float, float]:
        """Least x, least y, greatest x, greatest y of a block, EPSG:3310 metres."""
        side = self._side_m
        return col * side, row * side, (col + 1) * side, (row + 1) * side

    def split_of_block(self, col: npt.ArrayLike, row: npt.ArrayLike) -> npt.NDArray[np.str_]:
        """Splits of blocks, by column and row."""
        share = uniform(mix(self._key, col, row))
        to_train = share < self.settings.train
        to_val = share < self.settings.train + self.settings.val
        return np.where(to_train, Split.TRAIN.value, np.where(to_val, Split.VAL.value, Split.TEST.value))

    def split_of(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> npt.NDArray[np.str_]:
        """Splits of the ground at points (EPSG:3310, metres)."""
        return self.split_of_block(*self.block_of(x_m, y_m))

    def splits_touched(self, boxes: npt.ArrayLike) -> npt.NDArray[np.str_]:
        """The one split whose ground holds each box and the margin around it, or `NO_SPLIT`.

        Two boxes that get different splits are at least two margins apart.

        Args:
            boxes: shape (n, 4), least x, least y, greatest x, greatest y, EPSG:3310 metres.
        """
        bounds = np.asarray(boxes, dtype=float).reshape(-1, 4)
        margin = self.settings.margin_m
        first_col, first_row = self.block_of(bounds[:, 0] - margin, bounds[:, 1] - margin)
        last_col, last_row = self.block_of(bounds[:, 2] + margin, bounds[:, 3] + margin)
        split = self.split_of_block(first_col, first_row)
        alone = np.ones(len(bounds), dtype=bool)
        for right in range(int(np.max(last_col - first_col, initial=0)) + 1):
            for up in range(int(np.max(last_row - first_row, initial=0)) + 1):
                touched = (first_col + right <= last_col) & (first_row + up <= last_row)
                alone &= ~touched | (self.split_of_block(first_col + right, first_row + up) == split)
        return np.where(alone, split, NO_SPLIT)
