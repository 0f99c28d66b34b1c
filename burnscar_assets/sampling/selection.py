"""The few fires of a year that are sampled where all of them would be too many.

The choice is spread over splits, so that a small run can be trained, validated and tested, and over
sizes from about a window to megafires. It hangs on hashes of the fires alone: the same fires whatever
their order, and a corrected perimeter seldom changes which ones they are.
"""

import math

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.classes import Split
from burnscar_assets.sampling.clusters import fire_clusters, fire_splits
from burnscar_assets.sampling.randomness import key_of
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import SamplingSettings, SplitSettings

SIZE_CLASSES_HA = (5.0, 100.0, 1_000.0, 10_000.0)
"""Upper ends of the size classes, in hectares; the last class is open."""

_CLASS_ORDER = (2, 1, 3, 4, 0)
"""Size classes in the order in which a split takes a fire of each. The first class, too small for burnt windows as a
rule, only comes when no other fire is left."""


def select_fires(perimeters: gpd.GeoDataFrame, settings: SamplingSettings) -> gpd.GeoDataFrame:
    """The fires to sample: at most `max_fires_per_year`, spread over splits and sizes.

    Validation and test get their share of ground, rounded up (3 test and 2 validation of 12 by default), as far as the
    year has such fires; training and then the others fill what is left. Ordered by fire_id; all of them if the number
    isn't limited.
    """
    fires = perimeters.sort_values("fire_id", kind="stable").reset_index(drop=True)
    limit = settings.max_fires_per_year
    if limit is None or len(fires) <= limit:
        return fires
    splits = fire_splits(fires, fire_clusters(fires, settings), SplitMap(settings.splits))
    ranked = _ranked(fires, splits, settings.seed)
    quotas = _quotas(limit, settings.splits)
    first = ranked.groupby("split", group_keys=False)["fire"].apply(
        lambda of_split: of_split.head(quotas[of_split.name])
    )
    rest = ranked[~ranked["fire"].isin(first)]
    order = rest["split"].map({Split.TRAIN.value: 0, Split.VAL.value: 1, Split.TEST.value: 2})
    spare = rest.iloc[np.argsort(order.to_numpy(), kind="stable")]["fire"].head(limit - len(first))
    chosen = np.sort(np.concatenate([first.to_numpy(), spare.to_numpy()]))
    return fires.iloc[chosen].reset_index(drop=True)


def _ranked(fires: gpd.GeoDataFrame, splits: pd.Series, seed: int) -> pd.DataFrame:
    """Row numbers of fires with their split, in the order in which each split takes them."""
    size_class = np.digitize(fires["area_ha"].to_numpy(dtype=float), SIZE_CLASSES_HA)
    table = pd.DataFrame(
        {
            "fire": np.arange(len(fires)),
            "split": splits.loc[fires["fire_id"]].to_numpy(dtype=str),
            "class_order": np.argsort(_CLASS_ORDER)[size_class],
            "chance": [int(key_of("select", seed, str(fire_id))) for fire_id in fires["fire_id"]],
        }
    ).sort_values("chance", kind="stable")
    table["turn"] = table.groupby(["split", "class_order"]).cumcount()
    table.loc[table["class_order"] == _CLASS_ORDER.index(0), "turn"] += len(table)
    return table.sort_values(["turn", "class_order", "chance"], kind="stable")


def _quotas(limit: int, splits: SplitSettings) -> dict[str, int]:
    val = math.ceil(round(limit * splits.val, 6))
    test = math.ceil(round(limit * (1 - splits.train - splits.val), 6))
    return {Split.VAL.value: val, Split.TEST.value: test, Split.TRAIN.value: max(limit - val - test, 0)}
