"""The proof, at each evaluation, that what is scored was not trained on.

Training is meant widely: the validation split counts too, because the best epoch was chosen by it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from burnscar_assets.errors import InputError

if TYPE_CHECKING:
    import geopandas as gpd

OVERLAP_TOLERANCE_M2: Final = 1.0
"""Neighbouring cells of the lattice share an edge; reprojected, they may overlap by a sliver."""

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
        nearest_m: Smallest distance between a scored and a seen footprint, metres in EPSG:3310.
    """

    scored_windows: int
    scored_fires: int
    seen_windows: int
    seen_fires: int
    seen_years: tuple[int, ...]
    nearest_m: float


def prove_separation(scored: "gpd.GeoDataFrame", seen: "gpd.GeoDataFrame") -> SeparationProof:
    """Check that scored and seen windows share no fire, no cluster and no ground.

    Args:
        scored: windows to score, contract WINDOWS, at least one.
        seen: windows of the training and validation splits of the years that the checkpoint has seen,
            contract WINDOWS, at least one.

    Raises:
        InputError: naming the fires, clusters or windows that are on both sides.
    """
    _disjoint("fires", _known(scored, "fire_id"), _known(seen, "fire_id"))
    _disjoint("clusters", _known(scored, "cluster_id"), _known(seen, "cluster_id"))
    return _proof(scored, seen)


def prove_season_separation(scored: "gpd.GeoDataFrame", seen: "gpd.GeoDataFrame", fire_year: int) -> SeparationProof:
    """Check what a season after training has to itself: its year, its fires, and the ground of each window.

    Ground blocks may have been trained on, as they will have been in use: a new season burns on known land. So
    only clusters of fires must differ.

    Args:
        scored: windows of the season to score, contract WINDOWS, at least one; see `on_unseen_ground`.
        seen: windows that training or the choice of the best epoch used, contract WINDOWS, at least one.
        fire_year: the season.

    Raises:
        InputError: the checkpoint has seen the season, or a fire, a cluster of fires or a window is on both sides.
    """
    late = sorted({int(year) for year in seen["fire_year"] if year >= fire_year})
    if late:
        raise InputError(f"the checkpoint to be judged on {fire_year} has seen {late}; {_REMEDY}")
    _disjoint("fires", _known(scored, "fire_id"), _known(seen, "fire_id"))
    clusters = (_known(rows[rows["fire_id"].fillna("") != ""], "cluster_id") for rows in (scored, seen))
    _disjoint("clusters", *clusters)
    return _proof(scored, seen)


def on_unseen_ground(windows: "gpd.GeoDataFrame", seen: "gpd.GeoDataFrame") -> "gpd.GeoDataFrame":
    """Those of the windows whose footprint overlaps no seen one's."""
    overlapping = np.unique(_overlapping(windows, shapely.STRtree(seen.geometry.to_numpy())))
    return windows.drop(windows.index[overlapping]).reset_index(drop=True)


def _proof(scored: "gpd.GeoDataFrame", seen: "gpd.GeoDataFrame") -> SeparationProof:
    tree = shapely.STRtree(seen.geometry.to_numpy())
    overlapping = _overlapping(scored, tree)
    if len(overlapping):
        names = sorted(set(scored["window_id"].iloc[overlapping]))
        raise InputError(f"scored windows lie on ground that was trained on: {_some(names)}; {_REMEDY}")
    _, distances_m = tree.query_nearest(scored.geometry.to_numpy(), return_distance=True)
    return SeparationProof(
        scored_windows=len(scored),
        scored_fires=len(_known(scored, "fire_id")),
        seen_windows=len(seen),
        seen_fires=len(_known(seen, "fire_id")),
        seen_years=tuple(sorted({int(year) for year in seen["fire_year"]})),
        nearest_m=float(np.min(distances_m)),
    )


def _overlapping(scored: "gpd.GeoDataFrame", seen: shapely.STRtree) -> NDArray[np.intp]:
    """Places of the scored windows that overlap a seen one by more than a sliver."""
    footprints = scored.geometry.to_numpy()
    of_scored, of_seen = seen.query(footprints, predicate="intersects")
    overlap_m2 = shapely.area(shapely.intersection(footprints[of_scored], seen.geometries[of_seen]))
    return of_scored[overlap_m2 > OVERLAP_TOLERANCE_M2]


def _known(windows: "gpd.GeoDataFrame", column: str) -> set[str]:
    return set(windows[column].dropna().astype(str)) - {""}


def _disjoint(what: str, scored: set[str], seen: set[str]) -> None:
    shared = sorted(scored & seen)
    if shared:
        raise InputError(f"{what} among those scored that were trained on: {_some(shared)}; {_REMEDY}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
