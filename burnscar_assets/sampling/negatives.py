"""Unburnt points: a quota of every stratum for each fire, on ground of the fire's split and off every burn.

A fire with n burnt points wants n times each stratum's setting, rounded so that the strata together keep
the class balance. Windows are drawn by hashes of the fire, so that a fire's negatives hang on nothing but
the fire, the burns near them and the ground.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from burnscar_assets.classes import Stratum
from burnscar_assets.sampling import accounts
from burnscar_assets.sampling.accounts import PICK_COLUMNS, Losses, cells_of, pick_table
from burnscar_assets.sampling.frame import SamplingFrame
from burnscar_assets.sampling.lattice import Cells
from burnscar_assets.sampling.picking import far_enough, spread
from burnscar_assets.sampling.randomness import mix, uniform
from burnscar_assets.sampling.strata import Drawn, StratumSource

Ints = npt.NDArray[np.int64]

_ROUNDS = 12
_DRAWS_PER_POINT = 48
"""Draws a round for each point wanted."""
_CANDIDATES_PER_POINT = 3
"""Rounds end once there are so many candidates for a point: enough to spread points out."""

_CELL = ["fire", "utm_epsg", "cell_col", "cell_row"]


@dataclass(frozen=True)
class Candidates:
    """Windows that a stratum's points may be, and how many drawn windows may not be one.

    Attributes:
        table: the columns of `accounts.pick_table`, x_m and y_m of the centre (EPSG:3310), chance (a hash).
        rejected: by reason, how many drawn windows of each fire fell for it.
    """

    table: pd.DataFrame
    rejected: dict[str, Ints]


def unburnt_wanted(burnt: Ints, frame: SamplingFrame) -> dict[Stratum, Ints]:
    """Unburnt points of each stratum that fires with so many burnt points want.

    The strata of a fire are rounded together by one random offset: their sum is the fire's burnt points
    times the sum of the settings, to less than one point, and no stratum is favoured.
    """
    offset = uniform(mix(frame.keys("quota"), 0))
    wanted: dict[Stratum, Ints] = {}
    so_far = np.zeros(len(burnt))
    for stratum in Stratum:
        if stratum in frame.settings.unburnt_per_burnt:
            upto = np.asarray(so_far + burnt * frame.settings.unburnt_per_burnt[stratum]).round(9)
            wanted[stratum] = (np.floor(upto + offset) - np.floor(so_far + offset)).astype(np.int64)
            so_far = upto
    return wanted


def pick_unburnt(
    stratum: Stratum, source: StratumSource, wanted: Ints, frame: SamplingFrame
) -> tuple[pd.DataFrame, Losses, dict[str, int]]:
    """Pick the unburnt windows of one stratum.

    Args:
        stratum: which.
        source: where its windows may be.
        wanted: points that each fire of the frame wants.
        frame: the fires, the lattice and the ground.

    Returns:
        The picks (see `accounts.pick_table`), what was lost, and how many drawn windows of the stratum were
        rejected by reason.
    """
    candidates, losses = _draw_candidates(stratum, source, wanted, frame), Losses()
    rows_of_fire = candidates.table.groupby("fire").indices
    picked = [candidates.table.head(0)]
    for fire in np.flatnonzero(wanted).tolist():
        mine = candidates.table.iloc[rows_of_fire.get(fire, [])]
        picked.append(spread(mine, int(wanted[fire]), frame.least_m))
        losses.add(fire, stratum, _main_reason(candidates, fire), int(wanted[fire]) - len(picked[-1]))
    picks = pd.concat(picked, ignore_index=True)[list(PICK_COLUMNS)]
    return picks, losses, {reason: int(counts.sum()) for reason, counts in candidates.rejected.items()}


def drop_too_close(burnt: pd.DataFrame, unburnt: pd.DataFrame, frame: SamplingFrame) -> tuple[pd.DataFrame, Losses]:
    """The unburnt picks that keep the spacing from burnt ones, from strata before theirs, and from each other."""
    picks, order = pd.concat([burnt, unburnt], ignore_index=True), [stratum.value for stratum in Stratum]
    fire = picks["fire"].to_numpy(dtype=np.int64)
    chance = frame.chances("thin", fire, cells_of(picks))
    priority = np.empty(len(picks), dtype=np.int64)
    priority[np.lexsort((chance, picks["stratum"].map(order.index).to_numpy(dtype=np.int64)))] = np.arange(len(picks))
    keep = far_enough(cells_of(picks), priority, frame.settings.spacing_windows)
    keep[: len(burnt)] = True
    losses = Losses()
    for stratum, given_up in picks[~keep].groupby("stratum"):
        losses.add_all(given_up["fire"].to_numpy(), Stratum(stratum), accounts.TOO_CLOSE)
    return picks[keep].iloc[len(burnt) :].reset_index(drop=True), losses


def _draw_candidates(stratum: Stratum, source: StratumSource, wanted: Ints, frame: SamplingFrame) -> Candidates:
    """Draw in rounds, for fires that lack candidates, until all have enough or the rounds are over."""
    count = len(wanted)
    none = pick_table(stratum, np.array([], dtype=np.int64), Cells.concatenate([]))
    table = none.assign(x_m=0.0, y_m=0.0, chance=np.array([], dtype=np.uint64))
    rejected = {r: np.zeros(count, dtype=np.int64) for r in (accounts.COULD_STILL_SHOW, accounts.OTHER_GROUND)}
    for number in range(_ROUNDS if len(source.boxes) else 0):
        have = np.bincount(table["fire"].to_numpy(dtype=np.int64), minlength=count)
        lacking = np.flatnonzero(have < wanted * _CANDIDATES_PER_POINT)
        if not len(lacking):
            break
        draws = wanted[lacking] * _DRAWS_PER_POINT
        fire, counter = np.repeat(lacking, draws), np.concatenate([np.arange(n) for n in draws])
        drawn, cells = _draw(stratum, source, fire, mix(frame.keys("draw")[fire], number, counter), frame)
        on_ground = frame.split_map.splits_touched(shapely.bounds(drawn.footprint)) == frame.splits[drawn.fire]
        shows = source.clear_of.near(drawn.footprint, frame.settings.ring_gap_m)
        rejected[accounts.OTHER_GROUND] += np.bincount(drawn.fire[~on_ground], minlength=count)
        rejected[accounts.COULD_STILL_SHOW] += np.bincount(drawn.fire[shows], minlength=count)
        found = pick_table(stratum, drawn.fire, cells).assign(
            x_m=drawn.x_m, y_m=drawn.y_m, chance=frame.chances(stratum.value, drawn.fire, cells)
        )
        table = pd.concat([table, found[on_ground & ~shows]], ignore_index=True).drop_duplicates(_CELL)
    return Candidates(table, rejected)


def _draw(
    stratum: Stratum, source: StratumSource, fire: Ints, chance: npt.NDArray[np.uint64], frame: SamplingFrame
) -> tuple[Drawn, Cells]:
    """The stratum's windows among those drawn, one for each fire number and hash."""
    salt = list(Stratum).index(stratum)
    box = source.box_of(fire, mix(chance, salt, 0))
    min_x, min_y, max_x, max_y = source.boxes[box].T
    x_m = min_x + uniform(mix(chance, salt, 1)) * (max_x - min_x)
    y_m = min_y + uniform(mix(chance, salt, 2)) * (max_y - min_y)
    cells = frame.lattice.cells_at_albers(x_m, y_m)
    usable = frame.lattice.within_zone(cells)
    cells, fire, box = cells.take(usable), fire[usable], box[usable]
    drawn = Drawn(fire, box, *frame.lattice.centres(cells), frame.lattice.footprints(cells))
    own = source.own(drawn)
    return drawn.take(own), cells.take(own)


def _main_reason(candidates: Candidates, fire: int) -> str:
    """Why a fire has too few candidates: what most of its drawn windows fell for."""
    counts = {reason: int(rejected[fire]) for reason, rejected in candidates.rejected.items()}
    reason = max(counts, key=counts.__getitem__)
    return reason if counts[reason] else accounts.NO_ROOM
