"""Burnt points: how many a fire gets, and where inside its perimeter.

A fire wants `n = ceil(k * sqrt(area / window area))` points, up to a cap of its own and one of its
complex. A point stands for a window of the lattice with at least `min_burnt_share` of it inside the
perimeter (unburned islands count as outside). A fire in which no window reaches that share gets its best
window, if that one reaches `min_burnt_share_small`. Whatever is wanted and not had is listed as lost.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from burnscar_assets.classes import Stratum
from burnscar_assets.sampling import accounts
from burnscar_assets.sampling.accounts import Losses, cells_of, pick_table
from burnscar_assets.sampling.frame import SamplingFrame
from burnscar_assets.sampling.ground import Pieces
from burnscar_assets.sampling.lattice import Cells
from burnscar_assets.sampling.picked import REJECTED_FOR, PickedStratum
from burnscar_assets.sampling.picking import extent_of, far_enough, spread
from burnscar_assets.settings import SamplingSettings

Ints = npt.NDArray[np.int64]

_M2_PER_HA = 10_000.0


def burnt_points_wanted(area_ha: npt.ArrayLike, side_m: float, settings: SamplingSettings) -> Ints:
    """Burnt points that fires of these areas (hectares) want, before any cap."""
    windows = np.asarray(area_ha, dtype=float) * _M2_PER_HA / side_m**2
    wanted = np.ceil(np.round(settings.points_per_sqrt_window * np.sqrt(windows), 9))
    return np.maximum(wanted, 1).astype(np.int64)


def cells_near_fires(frame: SamplingFrame, stratum: Stratum, chosen: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Cells that could meet the perimeters of the chosen fires, as windows of a stratum.

    Returns:
        One row a fire and cell: the columns of `accounts.pick_table`, x_m and y_m of the centre (the region's CRS),
        chance (a hash), share (burnt, 0–1), own_ground (whether the fire's split has the ground).
    """
    shapes = frame.fires.geometry.to_numpy()
    fire, cells = _cells_near(shapes, np.flatnonzero(chosen), frame)
    footprints = frame.lattice.footprints(cells)
    x_m, y_m = frame.lattice.centres(cells)
    return pick_table(stratum, fire, cells).assign(
        x_m=x_m,
        y_m=y_m,
        chance=frame.chances(stratum.value, fire, cells),
        share=Pieces(shapes).covered_share(footprints, fire),
        own_ground=frame.split_map.splits_touched(shapely.bounds(footprints)) == frame.splits[fire],
    )


def burnt_cells(frame: SamplingFrame, chosen: npt.NDArray[np.bool_] | None = None) -> pd.DataFrame:
    """Those of `cells_near_fires` that are burnt enough to be windows of a fire, of all fires or of those chosen."""
    everything, settings = np.ones(len(frame.fires), dtype=bool), frame.settings
    table = cells_near_fires(frame, Stratum.BURNT, everything if chosen is None else chosen)
    inside = table[table["share"] >= settings.min_burnt_share]
    rest = table[~table["fire"].isin(inside["fire"]) & (table["share"] >= settings.min_burnt_share_small)]
    best = rest.sort_values(["own_ground", "share", "chance"], ascending=False, kind="stable")
    return pd.concat([inside, best.drop_duplicates("fire")], ignore_index=True)


def burnt_points_allowed(frame: SamplingFrame) -> Ints:
    """Burnt points that each fire may have: those that it wants, up to its cap."""
    wanted = burnt_points_wanted(frame.fires["area_ha"], frame.lattice.side_m, frame.settings)
    return np.minimum(wanted, frame.settings.max_points_per_fire)


def spread_burnt(frame: SamplingFrame, chosen: npt.NDArray[np.bool_]) -> PickedStratum:
    """The burnt windows of the chosen fires, each fire on its own, before what others leave of them.

    Rejected are the cells inside fires whose ground is of another split.
    """
    area_ha, side_m = frame.fires["area_ha"].to_numpy(dtype=float), frame.lattice.side_m
    allowed = np.where(chosen, burnt_points_allowed(frame), 0)
    wanted = np.where(chosen, burnt_points_wanted(area_ha, side_m, frame.settings), 0)
    too_small = area_ha < frame.settings.min_burnt_share_small * side_m**2 / _M2_PER_HA
    nowhere = np.where(too_small, accounts.SMALLER_THAN_WINDOW, accounts.NO_WINDOW_INSIDE)
    spread_out = spread_over_fires(frame, Stratum.BURNT, burnt_cells(frame, chosen), allowed, nowhere)
    for fire, capped in enumerate(wanted - allowed):
        spread_out.losses.add(fire, Stratum.BURNT, accounts.CAPPED, capped)
    return replace(spread_out, wanted=wanted)


def spread_over_fires(
    frame: SamplingFrame, stratum: Stratum, cells: pd.DataFrame, wanted: Ints, nowhere: npt.NDArray[np.str_]
) -> PickedStratum:
    """Windows of each fire that lie apart from each other, on ground of its split.

    Cells are as in `cells_near_fires`; `nowhere` is the reason, for each fire, that it has none if there is no cell.
    """
    losses, rows_of_fire, picked = Losses(), cells.groupby("fire").indices, [cells.head(0)]
    for fire in np.flatnonzero(wanted).tolist():
        mine = cells.iloc[rows_of_fire.get(fire, [])]
        own = mine[mine["own_ground"]]
        picked.append(spread(own, int(wanted[fire]), frame.least_m, extent_of(own)))
        missing = int(wanted[fire]) - len(picked[-1])
        barred = min(missing, len(mine) - len(own))
        losses.add(fire, stratum, accounts.OTHER_GROUND, barred)
        losses.add(fire, stratum, accounts.NO_ROOM if len(mine) else str(nowhere[fire]), missing - barred)
    picks, none = pd.concat(picked, ignore_index=True), PickedStratum.empty(len(frame.fires))
    other = np.bincount(cells["fire"][~cells["own_ground"]].to_numpy(dtype=np.int64), minlength=len(frame.fires))
    none.rejected[:, REJECTED_FOR.index(accounts.OTHER_GROUND)] = other
    return _of_table(replace(none, wanted=wanted, losses=losses), picks)


def pick_burnt(frame: SamplingFrame, spread_out: PickedStratum | None = None) -> PickedStratum:
    """Pick burnt windows."""
    if spread_out is None:
        spread_out = spread_burnt(frame, np.ones(len(frame.fires), dtype=bool))
    return thin_out(frame, Stratum.BURNT, spread_out, frame.settings.max_points_per_complex)


def thin_out(frame: SamplingFrame, stratum: Stratum, spread_out: PickedStratum, most_a_complex: int) -> PickedStratum:
    """What other fires leave of the windows that each fire has by itself: the complex's cap, and the spacing."""
    losses = Losses()
    losses.update(spread_out.losses)
    picks = spread_out.table(stratum)
    picks["chance"] = frame.chances(stratum.value, spread_out.fire, cells_of(picks))
    picks = _cap_complexes(picks, frame, most_a_complex, losses)
    priority = picks["chance"].rank(method="first").to_numpy(dtype=np.int64)
    keep = far_enough(cells_of(picks), priority, frame.settings.spacing_windows)
    losses.add_all(picks["fire"].to_numpy()[~keep], stratum, accounts.TOO_CLOSE)
    return _of_table(replace(spread_out, losses=losses), picks[keep])


def _of_table(stratum: PickedStratum, picks: pd.DataFrame) -> PickedStratum:
    """A stratum with the picks of a table of the columns of `accounts.pick_table`."""
    return replace(
        stratum,
        fire=picks["fire"].to_numpy(dtype=np.int64),
        cells=cells_of(picks).columns(),
        rank=picks["rank"].to_numpy(dtype=np.int64),
    )


def _cells_near(shapes: npt.NDArray[np.object_], fires: Ints, frame: SamplingFrame) -> tuple[Ints, Cells]:
    """Fire numbers and cells of all pairs of which the cell could meet the fire's perimeter."""
    reach_m = frame.lattice.side_m * 0.75
    numbers, found = [np.array([], dtype=np.int64)], []
    for number in fires.tolist():
        shape = shapes[number]
        cells = frame.lattice.cells_within(shape.bounds)
        shapely.prepare(shape)
        near = shapely.dwithin(shape, shapely.points(*frame.lattice.centres(cells)), reach_m)
        numbers.append(np.full(int(near.sum()), number, dtype=np.int64))
        found.append(cells.take(near))
    return np.concatenate(numbers), Cells.concatenate(found)


def _cap_complexes(picks: pd.DataFrame, frame: SamplingFrame, most: int, losses: Losses) -> pd.DataFrame:
    """Take the first picks of every fire of a complex in turn, up to the complex's cap."""
    named = picks.assign(complex=frame.complexes()[picks["fire"].to_numpy(dtype=np.int64)])
    in_turn = named.sort_values(["rank", "chance"], kind="stable")
    over = (in_turn["complex"] != "") & (in_turn.groupby("complex").cumcount() >= most)
    over = over.reindex(picks.index).to_numpy(dtype=bool)
    for stratum, capped in picks[over].groupby("stratum"):
        losses.add_all(capped["fire"].to_numpy(), Stratum(stratum), accounts.CAPPED)
    return picks[~over].reset_index(drop=True)
