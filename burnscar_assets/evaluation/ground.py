"""Clusters of fires as pieces of ground: what burned in several years is one, whatever its fires are called."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.classes import Stratum

if TYPE_CHECKING:
    import geopandas as gpd

NEAR_M = 1000.0
"""Clusters whose burnt windows and rings, or frames, come as near as this share their ground: the width of a ring."""

_ABOUT_THE_FIRE = (Stratum.BURNT, Stratum.RING)


def ground_clusters(windows: "gpd.GeoDataFrame") -> list[str]:
    """The piece of ground of each window, across fire years.

    A fire's windows stay together with those of its cluster. Clusters, also of different years, are one piece where
    their burnt windows or rings lie near each other, and so on along the chain. Land without fire keeps its block.

    Args:
        windows: fire_year, fire_id, cluster_id, stratum and footprints in a metric CRS, as in contract PREDICTIONS.

    Returns:
        (n,) names; the same for the same set of windows in any order.
    """
    blocks = windows["cluster_id"].astype(str).to_numpy()
    of_fire = (windows["fire_id"].fillna("") != "").to_numpy(dtype=bool)
    fires = windows[of_fire]
    if fires.empty:
        return blocks.tolist()
    names, number = np.unique(
        (fires["fire_year"].astype(str) + "/" + blocks[of_fire]).to_numpy(str), return_inverse=True
    )
    near = fires["stratum"].isin(_ABOUT_THE_FIRE).to_numpy(dtype=bool)
    pieces = names[_pieces(fires.geometry.to_numpy()[near], number[near], len(names))[number]]
    found = blocks.astype(object)
    found[of_fire] = pieces
    return [str(name) for name in found]


def frame_clusters(cluster_ids: Sequence[str], footprints: NDArray[Any]) -> list[str]:
    """The piece of ground of each fire's frame, across fire years, as `ground_clusters` has that of windows.

    Args:
        cluster_ids: (n,) cluster of each fire, which names no other in any year.
        footprints: (n,) polygons of the frames in a metric CRS.

    Returns:
        (n,) the first cluster of each piece; the same in any order.
    """
    if not cluster_ids:
        return []
    names, number = np.unique(np.asarray(cluster_ids, dtype=str), return_inverse=True)
    return [str(name) for name in names[_pieces(footprints, number, len(names))[number]]]


def _pieces(footprints: NDArray[Any], clusters: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """(count,) first cluster of the piece that each cluster belongs to, by footprints of the clusters."""
    import shapely
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other = shapely.STRtree(footprints).query(footprints, predicate="dwithin", distance=NEAR_M)
    links = coo_array((np.ones(len(one)), (clusters[one], clusters[other])), shape=(count, count))
    _, piece = connected_components(links, directed=False)
    first = np.full(count, count)
    np.minimum.at(first, piece, np.arange(count))
    return first[piece]
