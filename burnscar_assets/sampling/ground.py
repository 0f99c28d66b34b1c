"""Geometry of many perimeters against many windows, fast enough for a state and its burn history.

Perimeters have up to tens of thousands of vertices, windows have four: cut into small pieces once, a
perimeter answers questions about windows quickly. All coordinates are metres of the region's CRS.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

Shapes = npt.NDArray[np.object_]
Ints = npt.NDArray[np.int64]

_MAX_VERTICES = 128
_SHARE_DIGITS = 6
_POLYGONAL = (3, 6)


class Pieces:
    """Shapes cut into pieces of few vertices, with a spatial index; each is cut once a window comes near."""

    def __init__(self, shapes: Shapes | Sequence[shapely.Geometry]) -> None:
        self.whole = np.asarray(shapes, dtype=object)
        self._is_cut = np.zeros(len(self.whole), dtype=bool)
        self._pieces, self._owner = cut(self.whole[:0])
        self._tree = shapely.STRtree(self._pieces)

    def near(self, windows: Shapes, distance_m: float) -> npt.NDArray[np.bool_]:
        """Whether any shape is at most `distance_m` from each window (a touch is distance 0)."""
        self._cut_near(windows, distance_m)
        hit = np.zeros(len(windows), dtype=bool)
        if len(self._pieces) and len(windows):
            hit[self._tree.query(windows, predicate="dwithin", distance=distance_m)[0]] = True
        return hit

    def covered_share(self, windows: Shapes, of: Ints | None = None) -> npt.NDArray[np.float64]:
        """Share of each window's area that lies inside the shapes, 0–1, to six digits.

        `of` is the number of the one shape to look at for each window; without it all count, which is right only for
        shapes that don't overlap each other.
        """
        self._cut_near(windows, 0.0)
        window, piece = self._tree.query(windows, predicate="intersects")
        if of is not None:
            own = self._owner[piece] == of[window]
            window, piece = window[own], piece[own]
        area_m2 = shapely.area(shapely.intersection(windows[window], self._pieces[piece]))
        covered_m2 = np.bincount(window, weights=area_m2, minlength=len(windows))
        return np.round(np.minimum(covered_m2 / shapely.area(windows), 1.0), _SHARE_DIGITS)

    def _cut_near(self, windows: Shapes, distance_m: float) -> None:
        """Cut those shapes that are not cut yet and whose bounds are so near to those of a window."""
        left = np.flatnonzero(~self._is_cut)
        if not len(left) or not len(windows):
            return
        edges = shapely.bounds(windows) + np.array([-1, -1, 1, 1]) * distance_m
        new = left[np.unique(shapely.STRtree(self.whole[left]).query(shapely.box(*edges.T))[1])]
        if not len(new):
            return
        pieces, owner = cut(self.whole[new])
        self._pieces = np.concatenate([self._pieces, pieces])
        self._owner = np.concatenate([self._owner, new[owner]])
        self._tree = shapely.STRtree(self._pieces)
        self._is_cut[new] = True


def cut(shapes: Shapes) -> tuple[Shapes, Ints]:
    """Polygons of at most `_MAX_VERTICES` vertices, and the number of the shape that each comes from."""
    done, done_owner = [], []
    parts, owner = shapely.get_parts(shapes, return_index=True)
    while len(parts):
        polygonal = np.isin(shapely.get_type_id(parts), _POLYGONAL) & ~shapely.is_empty(parts)
        parts, owner = parts[polygonal], owner[polygonal]
        small = shapely.get_num_coordinates(parts) <= _MAX_VERTICES
        done.append(parts[small])
        done_owner.append(owner[small])
        halves = [shapely.intersection(parts[~small], half) for half in _halves(parts[~small])]
        parts, index = shapely.get_parts(np.concatenate(halves), return_index=True)
        owner = np.concatenate([owner[~small]] * 2)[index]
    if not done:
        return np.array([], dtype=object), np.array([], dtype=np.int64)
    return np.concatenate(done), np.concatenate(done_owner)


def _halves(shapes: Shapes) -> tuple[Shapes, Shapes]:
    """Boxes of the two halves of each shape's bounds, cut across the longer side."""
    min_x, min_y, max_x, max_y = shapely.bounds(shapes).T if len(shapes) else np.zeros((4, 0))
    wide = max_x - min_x > max_y - min_y
    mid_x, mid_y = np.where(wide, (min_x + max_x) / 2, max_x), np.where(wide, max_y, (min_y + max_y) / 2)
    low_x, low_y = np.where(wide, mid_x, min_x), np.where(wide, min_y, mid_y)
    return shapely.box(min_x, min_y, mid_x, mid_y), shapely.box(low_x, low_y, max_x, max_y)
