"""Fires of all years dealt into folds by ground, so that few fires are each judged by a model that has not seen them.

Fires whose ground lies nearer than the gap, or of one complex, are connected, and so on along the chain. Connected
fires share a fold; the largest groups are dealt first, each to the fold with the fewest fires. No walk-forward: a
fire may be judged by a model that was trained on later ones.
"""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from burnscar_assets.classes import fold_names
from burnscar_assets.errors import InputError
from burnscar_assets.sampling.clusters import connected, of_one, within_reach
from burnscar_assets.sampling.randomness import key_of
from burnscar_assets.sampling.splits import FoldMap, GroundMap, SplitMap
from burnscar_assets.settings import SamplingSettings, SplitSettings
from burnscar_assets.storage.contracts import FOLDS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_crs

_ID_LENGTH = 12


def ground_of(settings: SplitSettings, root: DataRoot) -> GroundMap:
    """What says which ground of a world is used for what.

    Raises:
        MissingDataError: its folds were not dealt yet.
    """
    return FoldMap(settings, read_table(root, FOLDS, None)) if settings.folds else SplitMap(settings)


def fire_grounds(
    perimeters: gpd.GeoDataFrame, frames: gpd.GeoSeries, sampling: SamplingSettings, side_m: float
) -> gpd.GeoDataFrame:
    """The box of ground about each fire: its frame, and all that windows of the fire and its ring may touch.

    Frames are in the fires' order, in any CRS.

    Returns:
        fire_id, fire_year, complex_id and the box, the region's CRS.
    """
    reach_m = sampling.ring_gap_m + sampling.ring_width_m + 2 * side_m
    around = perimeters.geometry.bounds.to_numpy() + np.array([-1, -1, 1, 1]) * reach_m
    framed = shapely.bounds(frames.to_crs(table_crs()).to_numpy()).reshape(-1, 4)
    low, high = np.minimum(around, framed)[:, :2], np.maximum(around, framed)[:, 2:]
    boxes = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
    named = perimeters[["fire_id", "fire_year", "complex_id"]].reset_index(drop=True)
    return gpd.GeoDataFrame(named, geometry=boxes, crs=table_crs())


def deal_folds(grounds: gpd.GeoDataFrame, settings: SplitSettings) -> gpd.GeoDataFrame:
    """Deal fires into folds.

    Returns contract FOLDS, by fire year and fire.

    Raises:
        InputError: there are fewer groups of connected fires than folds.
    """
    fires = grounds.sort_values(["fire_year", "fire_id"], kind="stable").reset_index(drop=True)
    years = fires["fire_year"].astype(str)
    complexes = fires["complex_id"].fillna("").astype(str).str.strip()
    in_year = (years + "/" + complexes).where(complexes != "", "")
    pairs = np.hstack([within_reach(fires, settings.fold_gap_m), of_one(in_year), of_one(fires["fire_id"])])
    group = connected(pairs, len(fires))
    count = len(set(group.tolist()))
    names = fold_names(settings.folds or 0)
    if count < len(names):
        raise InputError(
            f"{len(fires)} fires form {count} groups that lie {settings.fold_gap_km:g} km apart, fewer than "
            f"{len(names)} folds: take fewer folds (sampling.splits.folds), a smaller gap "
            "(sampling.splits.fold_gap_km) or more fires"
        )
    first = (years + "/" + fires["fire_id"].astype(str)).groupby(group).transform("min")
    fold = first.map(_dealt(first.value_counts(), names, settings.seed))
    groups = [hash_json(["fold-group", name])[:_ID_LENGTH] for name in first]
    dealt = fires.drop(columns="complex_id").assign(group_id=groups, fold=fold)
    return FOLDS.conform(dealt)


def _dealt(sizes: pd.Series, names: tuple[str, ...], seed: int) -> dict[str, str]:
    """Fold of each group: the largest first, of equal ones by chance, to the fold with the fewest fires."""
    order = sorted(sizes.index, key=lambda group: (-int(sizes[group]), int(key_of("fold", seed, group))))
    fires = dict.fromkeys(names, 0)
    fold = {}
    for group in order:
        fold[group] = min(names, key=lambda name: fires[name])
        fires[fold[group]] += int(sizes[group])
    return fold
