"""Training with fewer fires than there are: whole fires, in nested subsets, so that a learning curve can be drawn.

A hash of a fire's name says when it joins, the same for every set-up and seed. Windows of validation and test stay.
"""

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.classes import BURNT, CLASS_NAMES, Split
from burnscar_assets.sampling.randomness import key_of


def training_fires(windows: pd.DataFrame) -> list[str]:
    """Fires with burnt training windows, in the order in which subsets take them.

    Args:
        windows: of contract WINDOWS, with splits as the checkpoint sees them.
    """
    burnt = (windows["split"] == Split.TRAIN) & (windows["category"] == CLASS_NAMES[BURNT])
    fires = set(windows.loc[burnt, "fire_id"].dropna().astype(str)) - {""}
    return sorted(fires, key=lambda fire_id: (int(key_of("training-fire", fire_id)), fire_id))


def with_training_fires(windows: gpd.GeoDataFrame, count: int | None) -> gpd.GeoDataFrame:
    """The windows without those of training fires after the first `count`; None: all of them.

    Of training windows that belong to no fire, the same share is left, drawn by their names.
    """
    fires = training_fires(windows)
    if count is None or count >= len(fires):
        return windows
    fire_ids = windows["fire_id"].fillna("").astype(str)
    of_no_fire = windows[(windows["split"] == Split.TRAIN) & (fire_ids == "")]
    order = sorted(of_no_fire["window_id"].astype(str), key=lambda name: int(key_of("training-window", name)))
    left = set(order[: round(len(order) * count / len(fires))])
    is_left = np.where(fire_ids == "", windows["window_id"].isin(left), fire_ids.isin(fires[:count]))
    return windows[(windows["split"] != Split.TRAIN) | is_left].reset_index(drop=True)
