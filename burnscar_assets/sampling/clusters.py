"""Fires that belong together, and the split that each such cluster is used for.

Two fires of a year are in one cluster if their rings of negatives could touch (the perimeters are at
most twice gap and width apart) or if they are of one complex; and so on along the chain.
"""

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from burnscar_assets.classes import Split
from burnscar_assets.sampling.splits import FoldMap, GroundMap, SplitMap
from burnscar_assets.settings import SamplingSettings
from burnscar_assets.storage.hashing import hash_json

_ID_LENGTH = 12


def fire_clusters(perimeters: gpd.GeoDataFrame, settings: SamplingSettings) -> pd.Series:
    """Cluster of every fire.

    Returns:
        cluster_id by fire_id; the id is a hash of the cluster's first fire_id in alphabetical order.
    """
    fires = perimeters.sort_values("fire_id", kind="stable").reset_index(drop=True)
    reach_m = 2 * (settings.ring_gap_m + settings.ring_width_m)
    complexes = fires["complex_id"].fillna("").astype(str).str.strip()
    component = connected(np.hstack([within_reach(fires, reach_m), of_one(complexes)]), len(fires))
    first = pd.Series(fires["fire_id"].to_numpy()).groupby(component).transform("min")
    ids = [hash_json(["cluster", str(fire_id)])[:_ID_LENGTH] for fire_id in first]
    return pd.Series(ids, index=pd.Index(fires["fire_id"], name="fire_id"), name="cluster_id", dtype="string")


def cluster_splits(perimeters: gpd.GeoDataFrame, clusters: pd.Series, split_map: SplitMap) -> pd.Series:
    """The one split of every cluster: that of the ground with the largest share of its perimeters' area.

    Equal shares, to a square metre, go to train before val before test. By cluster_id.
    """
    fires = perimeters.sort_values("fire_id", kind="stable")
    areas = _area_by_split(fires.geometry.to_numpy(), split_map)
    areas.index = pd.Index(clusters.loc[fires["fire_id"]].to_numpy(), name="cluster_id")
    by_cluster = areas.groupby(level=0).sum().round()
    return by_cluster.idxmax(axis=1).astype("string").rename("split")


def fire_splits(perimeters: gpd.GeoDataFrame, clusters: pd.Series, split_map: GroundMap) -> pd.Series:
    """Split name by fire_id; in a world with folds, the fold that fires of all years gave it."""
    if isinstance(split_map, FoldMap):
        return split_map.folds_of(clusters.index)
    of_cluster = cluster_splits(perimeters, clusters, split_map)
    return clusters.map(of_cluster).rename("split")


def connected(pairs: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int32]:
    """(count,) number of the group of each row; pairs of rows, shape (2, n), share one, and so on along the chain."""
    links = coo_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(count, count))
    return connected_components(links, directed=False)[1]


def within_reach(fires: gpd.GeoDataFrame, reach_m: float) -> npt.NDArray[np.int64]:
    """Pairs of rows whose geometries are at most so far apart, shape (2, n)."""
    shapes = fires.geometry.to_numpy()
    return shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=reach_m)


def of_one(named: pd.Series) -> npt.NDArray[np.int64]:
    """Pairs of rows (index 0…n-1) that share a name, shape (2, n); an empty name is none."""
    members = named[named != ""]
    first = members.groupby(members).transform(lambda rows: rows.index[0])
    return np.vstack([members.index.to_numpy(dtype=np.int64), first.to_numpy(dtype=np.int64)])


def _area_by_split(shapes: npt.NDArray[np.object_], split_map: SplitMap) -> pd.DataFrame:
    """Square metres of each shape on ground of each split."""
    areas = np.zeros((len(shapes), len(Split)))
    names = [split.value for split in Split]
    bounds = shapely.bounds(shapes)
    first_col, first_row = split_map.block_of(bounds[:, 0], bounds[:, 1])
    last_col, last_row = split_map.block_of(bounds[:, 2], bounds[:, 3])
    for number, shape in enumerate(shapes):
        for col in range(first_col[number], last_col[number] + 1):
            for row in range(first_row[number], last_row[number] + 1):
                split = names.index(str(split_map.split_of_block(col, row)))
                block = shapely.box(*split_map.block_bounds(col, row))
                areas[number, split] += shapely.intersection(shape, block).area
    return pd.DataFrame(areas, columns=names)
