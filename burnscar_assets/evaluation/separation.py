"""The proof, at each evaluation, that what is scored was not trained on.

Training is meant widely: the validation split counts too, because the best epoch was chosen by it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from burnscar_assets.errors import InputError
from burnscar_assets.text import some_of

if TYPE_CHECKING:
    import geopandas as gpd

OVERLAP_TOLERANCE_M2: Final = 1.0
"""Neighbouring cells of the lattice share an edge; reprojected, they may overlap by a sliver."""

DISTANCE_TOLERANCE_M: Final = 1.0
"""By so much a distance may be off after footprints were reprojected."""

_REMEDY = "make windows of all fire years anew with one set of sampling.splits, train again, then evaluate"


@dataclass(frozen=True)
class SeparationProof:
    """What was compared, and how far apart it lies.

    Attributes:
        scored_windows: Windows that are scored.
        scored_fires: Fires that they belong to.
        seen_windows: Windows that training or the choice of the best epoch used.
        seen_fires: Fires that those belong to.
        seen_years: Fire years of those.
        nearest_m: Smallest distance between a scored and a seen footprint, metres in the region's CRS.
    """

    scored_windows: int
    scored_fires: int
    seen_windows: int
    seen_fires: int
    seen_years: tuple[int, ...]
    nearest_m: float


def prove_separation(scored: "gpd.GeoDataFrame", seen: "gpd.GeoDataFrame", margin_m: float) -> SeparationProof:
    """Check that scored and seen windows share no fire, no cluster and no ground, and keep the margin of the splits.

    Args:
        scored: windows to score, contract WINDOWS, at least one.
        seen: windows of the training and validation splits of the years that the checkpoint has seen,
            contract WINDOWS, at least one.
        margin_m: least distance of footprints, metres (`sampling.splits.margin_m`).

    Raises:
        InputError: naming the fires, clusters or windows that are on both sides.
    """
    _disjoint("fires", _known(scored, "fire_id"), _known(seen, "fire_id"))
    _disjoint("clusters", _known(scored, "cluster_id"), _known(seen, "cluster_id"))
    return _proof(scored, seen, margin_m)


def prove_season_separation(
    scored: "gpd.GeoDataFrame", seen: "gpd.GeoDataFrame", fire_year: int, margin_m: float
) -> SeparationProof:
    """Check what a season after training has to itself: its year, its fires, and the ground of each window.

    Ground blocks may have been trained on, as they will have been in use: a new season burns on known land. So
    only clusters of fires must differ; the margin is that of the splits.

    Args:
        scored: windows of the season to score, contract WINDOWS, at least one; see `on_unseen_ground`.
        seen: windows that training or the choice of the best epoch used, contract WINDOWS, at least one.
        fire_year: the season.
        margin_m: least distance of footprints, metres (`sampling.splits.margin_m`).

    Raises:
        InputError: the checkpoint has seen the season, or a fire, a cluster of fires or a window is on both sides.
    """
    late = sorted({int(year) for year in seen["fire_year"] if year >= fire_year})
    if late:
        raise InputError(f"the checkpoint to be judged on {fire_year} has seen {late}; {_REMEDY}")
    _disjoint("fires", _known(scored, "fire_id"), _known(seen, "fire_id"))
    clusters = (_known(rows[rows["fire_id"].fillna("") != ""], "cluster_id") for rows in (scored, seen))
    _disjoint("clusters", *clusters)
    return _proof(scored, seen, margin_m)


def on_unseen_ground(windows: "gpd.GeoDataFrame", seen: "gpd.GeoDataFrame", margin_m: float) -> "gpd.GeoDataFrame":
    """Those of the windows whose footprint keeps the margin (metres) to each seen one's."""
    near = np.unique(_too_near(windows, shapely.STRtree(seen.geometry.to_numpy()), margin_m))
    return windows.drop(windows.index[near]).reset_index(drop=True)


def _proof(scored: "gpd.GeoDataFrame", seen: "gpd.GeoDataFrame", margin_m: float) -> SeparationProof:
    tree = shapely.STRtree(seen.geometry.to_numpy())
    near = _too_near(scored, tree, margin_m)
    if len(near):
        names = sorted(set(scored["window_id"].iloc[near]))
        raise InputError(
            f"scored windows lie within {margin_m:g} m of ground that was trained on: {some_of(names)}; {_REMEDY}"
        )
    _, distances_m = tree.query_nearest(scored.geometry.to_numpy(), return_distance=True)
    return SeparationProof(
        scored_windows=len(scored),
        scored_fires=len(_known(scored, "fire_id")),
        seen_windows=len(seen),
        seen_fires=len(_known(seen, "fire_id")),
        seen_years=tuple(sorted({int(year) for year in seen["fire_year"]})),
        nearest_m=float(np.min(distances_m)),
    )


def _too_near(scored: "gpd.GeoDataFrame", seen: shapely.STRtree, margin_m: float) -> NDArray[np.intp]:
    """Places of the scored windows within the margin of a seen one, or on it by more than a sliver."""
    footprints, apart_m = scored.geometry.to_numpy(), margin_m - DISTANCE_TOLERANCE_M
    of_scored, of_seen = seen.query(footprints, predicate="dwithin", distance=max(apart_m, 0.0))
    ours, theirs = footprints[of_scored], seen.geometries[of_seen]
    overlap_m2 = shapely.area(shapely.intersection(ours, theirs))
    return of_scored[(shapely.distance(ours, theirs) < apart_m) | (overlap_m2 > OVERLAP_TOLERANCE_M2)]


def _known(windows: "gpd.GeoDataFrame", column: str) -> set[str]:
    return set(windows[column].dropna().astype(str)) - {""}


def _disjoint(what: str, scored: set[str], seen: set[str]) -> None:
    shared = sorted(scored & seen)
    if shared:
        raise InputError(f"{what} among those scored that were trained on: {some_of(shared)}; {_REMEDY}")
