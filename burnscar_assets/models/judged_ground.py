"""Ground that is judged whole: frames about validation and test fires, which training keeps off.

Windows of a training fire may lie within such a frame, as a frame reaches beyond the blocks of its fire's split. A
later year's fires aren't known when a year is sampled, so these windows are left out where a checkpoint is trained.
"""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from burnscar_assets.classes import Fold, Split
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.mapping.fires import judged_fires
from burnscar_assets.mapping.scene_frames import frames_of_fires
from burnscar_assets.settings import Settings
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import table_crs, table_path

JUDGES: dict[Split, tuple[Split, ...]] = {Split.TRAIN: (Split.VAL, Split.TEST), Split.VAL: (Split.TEST,)}
"""Splits whose fires' frames windows of a split keep off."""


def judged_years(settings: Settings, root: DataRoot, fire_years: Sequence[int]) -> list[int]:
    """Years whose fires may judge a checkpoint that sees some years: these; in a world with folds, all of the world."""
    if not settings.sampling.splits.folds:
        return list(fire_years)
    last = settings.years.last or max(fire_years)
    world = (year for year in range(settings.years.first, last + 1) if year not in settings.years.exclude)
    return sorted({*fire_years, *(year for year in world if table_path(root, FIRE_PERIMETERS, year).exists())})


def judged_frames(
    settings: Settings, root: DataRoot, fire_years: Sequence[int], fold: Fold | None = None
) -> gpd.GeoDataFrame:
    """Frames of the fires of some years that are judged.

    Frames without fire need none: they lie on their own split's ground, and training doesn't.

    Args:
        settings: of the world.
        root: with its perimeters.
        fire_years: the years.
        fold: that the checkpoint is judged on, in a world with folds.

    Returns:
        fire_id, split (val or test) and the frame's footprint, the region's CRS.

    Raises:
        MissingDataError: a year has no perimeters.
        InputError: a fire reaches too far beyond its UTM zone to be mapped.
    """
    rows, footprints = [], []
    roles = {} if fold is None else {name: role for name, role in fold.roles.items() if role != Split.TRAIN}
    for year in fire_years:
        fires = judged_fires(settings, root, year, [*roles] or settings.sampling.splits.judged)
        for planned in frames_of_fires(fires, settings, root):
            role = roles.get(planned.split, planned.split)
            rows.append({"fire_id": planned.task.fire_id, "split": str(role)})
            footprints.append(planned.frame.footprint)
    shapes = gpd.GeoSeries(footprints, crs=GEOGRAPHIC_CRS).to_crs(table_crs())
    return gpd.GeoDataFrame(rows, columns=["fire_id", "split"], geometry=shapes.to_numpy(), crs=table_crs())


def on_judged_frames(windows: gpd.GeoDataFrame, frames: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """(n,) windows to train with, or to choose the best epoch by, that reach into a frame that judges their checkpoint.

    Args:
        windows: contract WINDOWS.
        frames: what `judged_frames` gives.
    """
    touching = np.zeros(len(windows), dtype=bool)
    for split, judges in JUDGES.items():
        ours = np.flatnonzero(windows["split"] == split)
        tree = shapely.STRtree(frames.geometry[frames["split"].isin(judges)].to_numpy())
        touching[ours[np.unique(tree.query(windows.geometry.to_numpy()[ours], predicate="intersects")[0])]] = True
    return touching
