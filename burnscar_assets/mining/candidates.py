"""Land to look for false positives on: training ground, away from every scar, and from windows sampled already.

Candidates are drawn by the sampler itself, from another seed: so all that holds of its land points holds of them.
"""

from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd

from burnscar_assets.classes import BURNT, CLASS_NAMES, Split, Stratum
from burnscar_assets.errors import InputError
from burnscar_assets.sampling.accounts import cells_of
from burnscar_assets.sampling.picking import far_enough
from burnscar_assets.sampling.points import sample_points
from burnscar_assets.settings import SamplingSettings, WindowSettings

SEED_STEP: Final = 7_368_787
"""Between the seed of sampling and that of candidates."""


def draw_candidates(
    perimeters: gpd.GeoDataFrame,
    history: gpd.GeoDataFrame,
    sampled: gpd.GeoDataFrame,
    fire_year: int,
    sampling: SamplingSettings,
    windows: WindowSettings,
    *,
    land: gpd.GeoDataFrame | None,
    count: int,
) -> gpd.GeoDataFrame:
    """Points on land without fire, on training ground, none of which was sampled.

    Args:
        perimeters: table `fire_perimeters` of the year, the region's CRS.
        history: table `burn_history` of the year.
        sampled: table `sample_points` of the year; candidates keep the spacing from all of its points.
        fire_year: the year.
        sampling: as the points were sampled with.
        windows: size of the windows.
        land: land to draw from, the region's CRS; the coarse outline of the region if there is none.
        count: how many are wanted, about; there may be less room.

    Returns:
        Contract SAMPLE_POINTS; all of stratum `land` and split `train`.

    Raises:
        InputError: no fire of the year is on training ground, or there is no room.
    """
    train = sampled["split"] == Split.TRAIN
    burnt = int((train & (sampled["category"] == CLASS_NAMES[BURNT])).sum())
    if not burnt:
        raise InputError(f"no fire of {fire_year} is on training ground: mine another year")
    others = sampling.model_copy(
        update={
            "seed": sampling.seed + SEED_STEP,
            "unburnt_per_burnt": {Stratum.LAND: count / burnt},
            "hard_negatives": None,
            "edge_share": 0,
        }
    )
    drawn = sample_points(perimeters, history, fire_year, others, windows, land=land, hard_negatives=None).points
    found = drawn[(drawn["stratum"] == Stratum.LAND) & (drawn["split"] == Split.TRAIN)].reset_index(drop=True)
    cells = cells_of(pd.concat([sampled, found], ignore_index=True))
    keep = far_enough(cells, np.arange(len(cells)), sampling.spacing_windows)[len(sampled) :]
    if not keep.any():
        raise InputError(f"no land without fire is left on the training ground of {fire_year}: mine another year")
    return found[keep].reset_index(drop=True)
