"""Points of a fire year: the centres of its burnt and unburnt windows and of those on edges, and what was lost.

Each point is one cell of the lattice of its UTM zone; no cell is used twice in a year, and no two windows
overlap. All points of a fire, and all fires of a cluster, are of one split and on its ground. Unburnt
windows keep off every burn that could still show, whatever its year or dates. Points depend on their
fire, on burns and fires near them, and on the ground: an edited fire leaves points far away as they are.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from burnscar_assets.classes import BURNT, CLASS_NAMES, UNBURNT, Stratum
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import SettingsError
from burnscar_assets.labels.dates import surely_over
from burnscar_assets.sampling import accounts, strata
from burnscar_assets.sampling.accounts import Losses, cells_of
from burnscar_assets.sampling.burnt import burnt_points_wanted
from burnscar_assets.sampling.frame import SamplingFrame
from burnscar_assets.sampling.ground import Pieces, Shapes
from burnscar_assets.sampling.land import load_land
from burnscar_assets.sampling.negatives import drop_too_close, unburnt_wanted
from burnscar_assets.sampling.picked import REJECTED_FOR
from burnscar_assets.sampling.reuse import Inputs, Memory, Resampling
from burnscar_assets.sampling.splits import FoldMap, GroundMap
from burnscar_assets.sampling.strata import StratumSource
from burnscar_assets.settings import SamplingSettings, WindowSettings
from burnscar_assets.storage.contracts import SAMPLE_LOSSES, SAMPLE_POINTS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.tables import table_crs

_ID_LENGTH = 16
_OF_A_FIRE = (Stratum.BURNT, Stratum.RING, Stratum.GRANULE, Stratum.EDGE)
"""Strata whose points belong to a fire; the others belong to their block of ground."""


@dataclass(frozen=True)
class SampleSummary:
    """What sampling did.

    Burnt cells on other ground are inside fires and of another split; rejected draws are windows drawn for negatives
    that could not be used, by reason.
    """

    fire_year: int
    fires: int
    fires_selected: int
    fires_sampled: int
    clusters: int
    points: int
    unburnt_per_burnt: float | None
    points_by_stratum: dict[str, int]
    points_by_split: dict[str, int]
    burnt_by_split: dict[str, int]
    lost_by_reason: dict[str, int]
    burnt_cells_on_other_ground: int
    rejected_draws: dict[str, int]


@dataclass(frozen=True)
class SampledPoints:
    """Points (table `sample_points`), losses (table `sample_losses`), a summary, and what next time is made of them."""

    points: gpd.GeoDataFrame
    losses: pd.DataFrame
    summary: SampleSummary
    memory: Memory


def sample_points(
    perimeters: gpd.GeoDataFrame,
    history: gpd.GeoDataFrame,
    fire_year: int,
    sampling: SamplingSettings,
    windows: WindowSettings,
    *,
    land: gpd.GeoDataFrame | None,
    hard_negatives: gpd.GeoDataFrame | None,
    split_map: GroundMap | None = None,
    before: Memory | None = None,
    code: str = "",
) -> SampledPoints:
    """Sample the points of a fire year.

    Negatives keep off burns of `history`. Without land, windows are drawn on the coarse outline of the region; without
    `split_map`, the settings' blocks say what ground is used for. What an earlier sampling by the same `code` remembers
    saves work, and changes nothing.

    Raises:
        SettingsError: hard negatives are wanted, but no layer of them is given.
    """
    frame = SamplingFrame.of(perimeters, sampling, windows.side_m, split_map)
    losses = _not_selected(perimeters, frame, windows.side_m)
    burns = np.concatenate([history.geometry.to_numpy(), perimeters.geometry.to_numpy()])
    ground = (load_land(None) if land is None else land).geometry.to_numpy()
    source_of = _sources(frame, perimeters, history, fire_year, burns, ground, hard_negatives)
    of_folds = [split_map.digest()] if isinstance(split_map, FoldMap) else []
    key = hash_json([code, sampling.digest(), windows.side_m, *of_folds])
    resampling = Resampling(frame, burns, Inputs.of(key, frame, burns, ground), before)
    picked = resampling.pick_burnt()
    burnt, barred = picked.table(Stratum.BURNT), int(picked.rejected.sum())
    losses.update(picked.losses)
    wanted = unburnt_wanted(np.bincount(burnt["fire"].to_numpy(dtype=np.int64), minlength=len(frame.fires)), frame)
    parts, rejected = [burnt.head(0)], Counter[str]()
    for stratum, count in wanted.items():
        picked = resampling.pick_unburnt(stratum, source_of(stratum), count)
        parts.append(picked.table(stratum))
        losses.update(picked.losses)
        rejected.update(dict(zip(REJECTED_FOR, picked.rejected.sum(axis=0).tolist(), strict=True)))
    picked = resampling.pick_edges()
    parts.append(picked.table(Stratum.EDGE))
    losses.update(picked.losses)
    others, lost = drop_too_close(burnt, pd.concat(parts, ignore_index=True), frame)
    losses.update(lost)
    points = _points_table(pd.concat([burnt, others], ignore_index=True), frame, fire_year)
    lost_table = _losses_table(losses, perimeters, frame, fire_year)
    summary = _summary(fire_year, points, lost_table, len(perimeters), frame, barred, rejected)
    return SampledPoints(points, lost_table, summary, resampling.memory)


def _not_selected(perimeters: gpd.GeoDataFrame, frame: SamplingFrame, side_m: float) -> Losses:
    """Losses of fires outside the frame; their numbers follow those of the frame's fires."""
    losses = Losses()
    left_out = _left_out(perimeters, frame)
    wanted = burnt_points_wanted(left_out["area_ha"], side_m, frame.settings)
    for number, points in enumerate(wanted, start=len(frame.fires)):
        losses.add(number, Stratum.BURNT, accounts.NOT_SELECTED, points)
    return losses


def _left_out(perimeters: gpd.GeoDataFrame, frame: SamplingFrame) -> gpd.GeoDataFrame:
    left_out = perimeters[~perimeters["fire_id"].isin(frame.fires["fire_id"])]
    return left_out.sort_values("fire_id", kind="stable")


def _sources(
    frame: SamplingFrame,
    perimeters: gpd.GeoDataFrame,
    history: gpd.GeoDataFrame,
    fire_year: int,
    burns: Shapes,
    ground: Shapes,
    hard_negatives: gpd.GeoDataFrame | None,
) -> Callable[[Stratum], Callable[[], StratumSource]]:
    """What makes the source of each stratum, once it is needed.

    Raises:
        SettingsError: hard negatives are wanted, but no layer of them is given.
    """
    if Stratum.HARD in frame.settings.unburnt_per_burnt and hard_negatives is None:
        raise SettingsError(
            "sampling.unburnt_per_burnt asks for hard negatives: name a layer of them in "
            "sampling.hard_negatives, or take `hard` out"
        )
    every_burn = cache(lambda: Pieces(burns))
    whole_ground = cache(lambda: Pieces([shapely.union_all(ground)]))
    made: dict[Stratum, Callable[[], StratumSource]] = {
        Stratum.RING: lambda: strata.ring(
            frame.fires, frame.settings, every_burn(), whole_ground() if frame.settings.only_on_land else None
        ),
        Stratum.GRANULE: lambda: strata.granule(frame.fires, frame.settings, every_burn(), whole_ground()),
        Stratum.LAND: lambda: strata.OnLand(whole_ground(), every_burn()),
        Stratum.HARD: lambda: strata.hard(cast(gpd.GeoDataFrame, hard_negatives), every_burn()),
        Stratum.OLD_SCAR: lambda: strata.old_scars(history, perimeters, fire_year, frame.settings),
    }
    return made.__getitem__


def _points_table(picks: pd.DataFrame, frame: SamplingFrame, fire_year: int) -> gpd.GeoDataFrame:
    """Table `sample_points`, ordered by point_id."""
    cells = cells_of(picks)
    x_m, y_m = frame.lattice.centres(cells)
    lon, lat = frame.lattice.centres(cells, GEOGRAPHIC_CRS)
    fires = frame.fires.iloc[picks["fire"].to_numpy(dtype=np.int64)].reset_index(drop=True)
    of_fire = picks["stratum"].isin([s.value for s in _OF_A_FIRE]).to_numpy(dtype=bool)
    table = gpd.GeoDataFrame(
        {
            "fire_year": fire_year,
            "fire_id": np.where(of_fire, fires["fire_id"].astype(str), ""),
            "cluster_id": np.where(of_fire, fires["cluster_id"].astype(str), frame.split_map.block_names(x_m, y_m)),
            "stratum": picks["stratum"],
            "category": [Stratum(name).category for name in picks["stratum"]],
            "split": fires["split"],
            "utm_epsg": picks["utm_epsg"],
            "cell_col": picks["cell_col"],
            "cell_row": picks["cell_row"],
            "alarm_date": fires["alarm_date"],
            "containment_date": surely_over(fires["containment_date"], fires["end_precision_days"]),
            "lon": lon,
            "lat": lat,
        },
        geometry=gpd.points_from_xy(x_m, y_m),
        crs=table_crs(),
    )
    identity = ["fire_id", "utm_epsg", "cell_col", "cell_row", "category", "containment_date"]
    table["point_id"] = [
        hash_json([str(v) for v in row])[:_ID_LENGTH] for row in table[identity].itertuples(index=False)
    ]
    ordered = table.sort_values("point_id", kind="stable", ignore_index=True)
    return cast(gpd.GeoDataFrame, SAMPLE_POINTS.conform(ordered))


def _losses_table(losses: Losses, perimeters: gpd.GeoDataFrame, frame: SamplingFrame, fire_year: int) -> pd.DataFrame:
    """Table `sample_losses`; strata that belong to no fire are summed up under an empty fire_id."""
    names = [*frame.fires["fire_id"].astype(str), *_left_out(perimeters, frame)["fire_id"].astype(str)]
    rows = pd.DataFrame(list(losses), columns=["fire", "stratum", "reason", "points"])
    rows["fire_id"] = [names[f] if s in _OF_A_FIRE else "" for f, s in zip(rows["fire"], rows["stratum"], strict=True)]
    rows["stratum"] = [str(stratum) for stratum in rows["stratum"]]
    summed = rows.groupby(list(SAMPLE_LOSSES.keys), as_index=False)["points"].sum()
    return SAMPLE_LOSSES.conform(summed.assign(fire_year=fire_year))


def _summary(
    fire_year: int,
    points: gpd.GeoDataFrame,
    losses: pd.DataFrame,
    fires: int,
    frame: SamplingFrame,
    barred: int,
    rejected: Counter[str],
) -> SampleSummary:
    burnt = points[points["category"] == CLASS_NAMES[BURNT]]
    return SampleSummary(
        fire_year=fire_year,
        fires=fires,
        fires_selected=len(frame.fires),
        fires_sampled=int(burnt["fire_id"].nunique()),
        clusters=int(burnt["cluster_id"].nunique()),
        points=len(points),
        unburnt_per_burnt=float((points["category"] == CLASS_NAMES[UNBURNT]).sum()) / len(burnt)
        if len(burnt)
        else None,
        points_by_stratum=_counts(points["stratum"]),
        points_by_split=_counts(points["split"]),
        burnt_by_split=_counts(burnt["split"]),
        lost_by_reason={str(k): int(v) for k, v in losses.groupby("reason")["points"].sum().items()},
        burnt_cells_on_other_ground=barred,
        rejected_draws=dict(sorted(rejected.items())),
    )


def _counts(column: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in sorted(column.value_counts().items())}
