"""How points are picked from candidates: spread out, and never closer than allowed.

Both steps look at hashes and distances alone, so that their result doesn't depend on row order, and a
change in one place does not ripple through the state.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import cKDTree

from burnscar_assets.sampling.lattice import Cells

Ints = npt.NDArray[np.int64]

_FIRST_RADIUS = 0.6
"""Share of the radius at which picks would fill a square: near 1, they are pushed to its edge."""
_SHRINK = 0.7
_DISTORTION = 0.98
"""Distances in California's CRS are within 2 % of those in a UTM zone; in those of larger regions mostly, too."""


def extent_of(candidates: pd.DataFrame) -> float:
    """Longer side of the bounds of candidates' centres (x_m and y_m), metres; 0 for none."""
    sides = [float(np.ptp(candidates[axis])) for axis in ("x_m", "y_m")] if len(candidates) else [0.0]
    return max(sides)


def spread(candidates: pd.DataFrame, wanted: int, least_m: float, extent_m: float) -> pd.DataFrame:
    """Pick candidates that lie apart from each other, without favouring the edge.

    Candidates are taken in the order of their hashes if they keep a radius to those taken before. When none is left,
    the radius shrinks, until enough are taken or it would fall below the least distance. So a candidate that isn't
    picked makes no difference: without it, the picks are the same. Candidates have x_m and y_m (metres of the region's
    CRS) and chance (a hash). The longer side of the area to spread over, `extent_m`, and `wanted` give the first
    radius.

    Returns:
        The rows picked, with their order as rank: any first few of them are spread, too.
    """
    ordered = candidates.sort_values(["chance", "x_m", "y_m"], kind="stable")
    x_m, y_m = ordered["x_m"].to_numpy(), ordered["y_m"].to_numpy()
    clearance_m = np.full(len(x_m), np.inf)
    radius_m = max(_FIRST_RADIUS * extent_m / np.sqrt(max(wanted, 1)), least_m)
    picks: list[int] = []
    while len(picks) < wanted:
        free = np.flatnonzero(clearance_m >= radius_m * _DISTORTION)
        if len(free):
            pick = int(free[0])
            picks.append(pick)
            clearance_m = np.minimum(clearance_m, np.hypot(x_m - x_m[pick], y_m - y_m[pick]))
            clearance_m[pick] = -1.0
        elif radius_m > least_m:
            radius_m = max(radius_m * _SHRINK, least_m)
        else:
            break
    return ordered.iloc[picks].assign(rank=np.arange(len(picks)))


def far_enough(cells: Cells, priority: Ints, spacing_cells: float) -> npt.NDArray[np.bool_]:
    """Which cells have no cell of higher priority closer than the spacing.

    A cell gives way also to one that itself gives way, so that what is kept in one place depends on its neighbours
    alone. Distances are counted in cells of one zone's lattice; cells of different zones never overlap. A cell may
    appear twice. Priorities are distinct numbers, the lower the more important; the spacing is one of centres, in cell
    sides, at least 1.
    """
    keep = np.ones(len(cells), dtype=bool)
    for zone in np.unique(cells.utm_epsg):
        here = np.flatnonzero(cells.utm_epsg == zone)
        tree = cKDTree(np.column_stack([cells.col[here], cells.row[here]]))
        pairs = here[tree.query_pairs(np.nextafter(spacing_cells, 0), output_type="ndarray")]
        first_wins = priority[pairs[:, 0]] < priority[pairs[:, 1]]
        keep[np.where(first_wins, pairs[:, 1], pairs[:, 0])] = False
    return keep
