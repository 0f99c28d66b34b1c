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

_PURPOSE = "burnt"
"""Names the random choices among burnt cells."""


def burnt_points_wanted(area_ha: npt.ArrayLike, side_m: float, settings: SamplingSettings) -> Ints:
    """Burnt points that fires of these areas (hectares) want, before any cap."""
    windows = np.asarray(area_ha, dtype=float) * _M2_PER_HA / side_m**2
    wanted = np.ceil(np.round(settings.points_per_sqrt_window * np.sqrt(windows), 9))
    return np.maximum(wanted, 1).astype(np.int64)


def burnt_cells(frame: SamplingFrame, chosen: npt.NDArray[np.bool_] | None = None) -> pd.DataFrame:
    """Cells that are burnt enough to be windows of a fire, of all fires or of those chosen.

    Returns:
        One row a fire and cell: the columns of `accounts.pick_table`, x_m and y_m of the centre (EPSG:3310),
        chance (a hash), share (burnt, 0–1), own_ground (whether the fire's split has the ground).
    """
    shapes, settings = frame.fires.geometry.to_numpy(), frame.settings
    fire, cells = _cells_near(shapes, np.arange(len(shapes)) if chosen is None else np.flatnonzero(chosen), frame)
    footprints = frame.lattice.footprints(cells)
    x_m, y_m = frame.lattice.centres(cells)
    table = pick_table(Stratum.BURNT, fire, cells).assign(
        x_m=x_m,
        y_m=y_m,
        chance=frame.chances(_PURPOSE, fire, cells),
        share=Pieces(shapes).covered_share(footprints, fire),
        own_ground=frame.split_map.splits_touched(shapely.bounds(footprints)) == frame.splits[fire],
    )
    inside = table[table["share"] >= settings.min_burnt_share]
    rest = table[~table["fire"].isin(inside["fire"]) & (table["share"] >= settings.min_burnt_share_small)]
    best = rest.sort_values(["own_ground", "share", "chance"], ascending=False, kind="stable")
    return pd.concat([inside, best.drop_duplicates("fire")], ignore_index=True)


def spread_burnt(frame: SamplingFrame, chosen: npt.NDArray[np.bool_]) -> PickedStratum:
    """The burnt windows of the chosen fires, each fire on its own, before what others leave of them.

    Rejected are the cells inside fires whose ground is of another split.
    """
    losses, settings, fires = Losses(), frame.settings, frame.fires
    cells = burnt_cells(frame, chosen)
    wanted = np.where(chosen, burnt_points_wanted(fires["area_ha"], frame.lattice.side_m, settings), 0)
    allowed = np.minimum(wanted, settings.max_points_per_fire)
    least_area_ha = settings.min_burnt_share_small * frame.lattice.side_m**2 / _M2_PER_HA
    rows_of_fire = cells.groupby("fire").indices
    picked = [cells.head(0)]
    for fire in np.flatnonzero(chosen).tolist():
        losses.add(fire, Stratum.BURNT, accounts.CAPPED, wanted[fire] - allowed[fire])
        mine = cells.iloc[rows_of_fire.get(fire, [])]
        own = mine[mine["own_ground"]]
        picked.append(spread(own, int(allowed[fire]), frame.least_m, extent_of(own)))
        too_small = fires["area_ha"].iat[fire] < least_area_ha
        _explain(losses, fire, int(allowed[fire]) - len(picked[-1]), mine, too_small)
    picks, none = pd.concat(picked, ignore_index=True), PickedStratum.empty(len(fires))
    barred = np.bincount(cells["fire"][~cells["own_ground"]].to_numpy(dtype=np.int64), minlength=len(fires))
    none.rejected[:, REJECTED_FOR.index(accounts.OTHER_GROUND)] = barred
    return _of_table(replace(none, wanted=wanted, losses=losses), picks)


def pick_burnt(frame: SamplingFrame, spread_out: PickedStratum | None = None) -> PickedStratum:
    """Pick burnt windows.

    Args:
        frame: the fires.
        spread_out: what `spread_burnt` gives of all fires, if it is known.
    """
    if spread_out is None:
        spread_out = spread_burnt(frame, np.ones(len(frame.fires), dtype=bool))
    losses = Losses()
    losses.update(spread_out.losses)
    picks = spread_out.table(Stratum.BURNT)
    picks["chance"] = frame.chances(_PURPOSE, spread_out.fire, cells_of(picks))
    picks = _cap_complexes(picks, frame, losses)
    priority = picks["chance"].rank(method="first").to_numpy(dtype=np.int64)
    keep = far_enough(cells_of(picks), priority, frame.settings.spacing_windows)
    losses.add_all(picks["fire"].to_numpy()[~keep], Stratum.BURNT, accounts.TOO_CLOSE)
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


def _explain(losses: Losses, fire: int, missing: int, cells: pd.DataFrame, too_small: bool) -> None:
    """Enter why a fire has fewer points than allowed."""
    if cells.empty:
        reason = accounts.SMALLER_THAN_WINDOW if too_small else accounts.NO_WINDOW_INSIDE
        losses.add(fire, Stratum.BURNT, reason, missing)
        return
    barred = min(missing, int((~cells["own_ground"]).sum()))
    losses.add(fire, Stratum.BURNT, accounts.OTHER_GROUND, barred)
    losses.add(fire, Stratum.BURNT, accounts.NO_ROOM, missing - barred)


def _cap_complexes(picks: pd.DataFrame, frame: SamplingFrame, losses: Losses) -> pd.DataFrame:
    """Take the first picks of every fire of a complex in turn, up to the complex's cap."""
    named = picks.assign(complex=frame.complexes()[picks["fire"].to_numpy(dtype=np.int64)])
    in_turn = named.sort_values(["rank", "chance"], kind="stable")
    over = (in_turn["complex"] != "") & (in_turn.groupby("complex").cumcount() >= frame.settings.max_points_per_complex)
    over = over.reindex(picks.index).to_numpy(dtype=bool)
    losses.add_all(picks["fire"].to_numpy()[over], Stratum.BURNT, accounts.CAPPED)
    return picks[~over].reset_index(drop=True)
