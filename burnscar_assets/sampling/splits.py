"""Which ground is for training, validation and test: decided once, for all fire years and releases.

The region is cut into square blocks of its CRS, and each block is dealt to a split by a hash of the seed, its column
and its row. Nothing else enters, so ground never changes its split: not with the fire year, the release,
or an edited perimeter. A window belongs to a split only if it lies there wholly, with a margin.

In a world with folds, ground belongs to the fold of the fires that it is near, and follows them.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from burnscar_assets.classes import Split, fold_names
from burnscar_assets.errors import MissingDataError
from burnscar_assets.sampling.randomness import key_of, mix, uniform
from burnscar_assets.settings import SplitSettings
from burnscar_assets.storage.contracts import FOLDS
from burnscar_assets.text import some_of

if TYPE_CHECKING:
    import geopandas as gpd

NO_SPLIT = ""
"""What `SplitMap.splits_touched` says of a window that no split has for its own."""

_M_PER_KM = 1000.0
_AT_ONCE: Final = 10_000
"""Boxes whose distances to all fires' ground are held at a time."""


class SplitMap:
    """The deal of ground blocks to splits."""

    def __init__(self, settings: SplitSettings) -> None:
        self.settings = settings
        self._side_m = settings.block_km * _M_PER_KM
        self._key = key_of("ground-block", settings.seed)

    def block_of(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Columns and rows of the blocks that points (the region's CRS, metres) lie in."""
        col = np.floor(np.asarray(x_m, dtype=float) / self._side_m).astype(np.int64)
        row = np.floor(np.asarray(y_m, dtype=float) / self._side_m).astype(np.int64)
        return col, row

    def block_names(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> list[str]:
        """Names of the blocks that points (region's CRS, metres) lie in: the clusters of what belongs to no fire."""
        return [f"block_{col}_{row}" for col, row in zip(*self.block_of(x_m, y_m), strict=True)]

    def block_bounds(self, col: int, row: int) -> tuple[float, float, float, float]:
        """Least x, least y, greatest x, greatest y of a block, metres of the region's CRS."""
        side = self._side_m
        return col * side, row * side, (col + 1) * side, (row + 1) * side

    def split_of_block(self, col: npt.ArrayLike, row: npt.ArrayLike) -> npt.NDArray[np.str_]:
        """Splits of blocks, by column and row."""
        share = uniform(mix(self._key, col, row))
        to_train = share < self.settings.train
        to_val = share < self.settings.train + self.settings.val
        return np.where(to_train, Split.TRAIN.value, np.where(to_val, Split.VAL.value, Split.TEST.value))

    def split_of(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> npt.NDArray[np.str_]:
        """Splits of the ground at points (the region's CRS, metres)."""
        return self.split_of_block(*self.block_of(x_m, y_m))

    def splits_touched(self, boxes: npt.ArrayLike) -> npt.NDArray[np.str_]:
        """The one split whose ground holds each box and the margin around it, or `NO_SPLIT`.

        Two boxes that get different splits are at least two margins apart. Boxes are (n, 4), least x, least y, greatest
        x, greatest y, metres of the region's CRS.
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


class FoldMap:
    """Ground by folds of fires: that of a fold is nearer to its fires than to any other's, by the gap.

    So any two boxes that get different folds are at least the gap apart.
    """

    def __init__(self, settings: SplitSettings, folds: "gpd.GeoDataFrame") -> None:
        self.settings = settings
        self._blocks = SplitMap(settings)
        self._folds = folds
        places = shapely.bounds(folds.geometry.to_numpy())
        self._places = {name: places[(folds["fold"] == name).to_numpy()] for name in fold_names(settings.folds or 0)}

    def digest(self) -> str:
        """Hash of which fire is in which fold, and of their ground."""
        return FOLDS.content_hash(self._folds)

    def folds_of(self, fire_ids: Iterable[str]) -> pd.Series:
        """Fold of fires by their ids.

        Raises:
            MissingDataError: a fire has none, as the table is older than its perimeter.
        """
        of_fire = self._folds.set_index("fire_id")["fold"]
        asked = pd.Index(fire_ids, name="fire_id")
        unknown = sorted(set(asked) - set(of_fire.index))
        if unknown:
            raise MissingDataError(f"table folds doesn't have {some_of(unknown)}: run burnscar refresh")
        return of_fire[~of_fire.index.duplicated()].loc[asked].rename("split")

    def block_names(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> list[str]:
        """Names of the parts of blocks, each of one fold, that points (the region's CRS, metres) lie in."""
        x, y = np.asarray(x_m, dtype=float), np.asarray(y_m, dtype=float)
        nearest = self._nearest(np.column_stack([x, y, x, y]))[0]
        return [f"{block}_{fold}" for block, fold in zip(self._blocks.block_names(x, y), nearest, strict=True)]

    def splits_touched(self, boxes: npt.ArrayLike) -> npt.NDArray[np.str_]:
        """The fold whose ground holds each whole box, or `NO_SPLIT`.

        Boxes are as `SplitMap`'s.
        """
        bounds = np.asarray(boxes, dtype=float).reshape(-1, 4)
        parts = [bounds[start : start + _AT_ONCE] for start in range(0, len(bounds), _AT_ONCE)]
        found = [np.where(lead >= self.settings.fold_gap_m, fold, NO_SPLIT) for fold, lead in map(self._nearest, parts)]
        return np.concatenate([np.array([], dtype=str), *found])

    def _nearest(self, boxes: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float64]]:
        """The fold that each box is nearest to, and by how much nearer all of it is than any of it to another's.

        A ground is a box, so the farthest point of a box from it is a corner.
        """
        near, far = [], []
        for places in self._places.values():
            low, high = places[:, :2], places[:, 2:]
            outside = np.maximum(np.maximum(low - boxes[:, None, 2:], boxes[:, None, :2] - high), 0.0)
            reaches = np.maximum(np.maximum(low - boxes[:, None, :2], boxes[:, None, 2:] - high), 0.0)
            near.append(np.hypot(outside[..., 0], outside[..., 1]).min(axis=1, initial=np.inf))
            far.append(np.hypot(reaches[..., 0], reaches[..., 1]).min(axis=1, initial=np.inf))
        own = np.argmin(far, axis=0)
        rows = np.arange(len(boxes))
        others = np.array(near)
        others[own, rows] = np.inf
        return np.array(list(self._places))[own], others.min(axis=0) - np.array(far)[own, rows]


GroundMap = SplitMap | FoldMap
"""What says which ground is used for what."""
