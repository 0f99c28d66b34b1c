"""Unburnt points: a quota of every stratum for each fire, on ground of the fire's split and off every burn.

A fire with n burnt points wants n times each stratum's setting, rounded so that the strata together keep
the class balance. Windows are drawn by hashes of the fire, so that a fire's negatives hang on nothing but
the fire, the burns near them and the ground.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from burnscar_assets.classes import Stratum
from burnscar_assets.sampling import accounts
from burnscar_assets.sampling.accounts import PICK_COLUMNS, Losses, cells_of, pick_table
from burnscar_assets.sampling.frame import SamplingFrame
from burnscar_assets.sampling.lattice import Cells
from burnscar_assets.sampling.picked import REJECTED_FOR, PickedStratum
from burnscar_assets.sampling.picking import extent_of, far_enough, spread
from burnscar_assets.sampling.randomness import mix, uniform
from burnscar_assets.sampling.strata import Drawn, StratumSource

Ints = npt.NDArray[np.int64]

_ROUNDS = 12
_DRAWS_PER_POINT = 48
"""Draws a round for each point wanted."""
_CANDIDATES_PER_POINT = 3
"""Windows on the right ground that are drawn for a point before points are picked: enough to spread them out."""

_CELL = ["fire", "utm_epsg", "cell_col", "cell_row"]


class Candidates:
    """Windows of one stratum that points may be, drawn in rounds.

    Attributes:
        table: windows drawn on ground of their fire's split, once each: the columns of `accounts.pick_table`,
            x_m and y_m of the centre (the region's CRS), chance (a hash), clear (whether it keeps off every burn).
        rejected: by reason, how many drawn windows of each fire fell for it.
        drawn: all windows drawn, round by round, and whether a burn is too near to each.
    """

    def __init__(self, stratum: Stratum, source: StratumSource, frame: SamplingFrame) -> None:
        self._stratum, self._source, self._frame = stratum, source, frame
        none = pick_table(stratum, np.array([], dtype=np.int64), Cells.concatenate([]))
        self.table = none.assign(x_m=0.0, y_m=0.0, chance=np.array([], dtype=np.uint64), clear=False)
        self.rejected = {reason: np.zeros(len(frame.fires), dtype=np.int64) for reason in REJECTED_FOR}
        self.drawn: list[tuple[Drawn, Cells, npt.NDArray[np.bool_]]] = []

    def draw(self, fires: Ints, draws: Ints, round_number: int) -> None:
        """Draw windows for some fires, so many for each; nothing, if the stratum is nowhere."""
        frame, source = self._frame, self._source
        if not len(source.boxes):
            return
        fire, counter = np.repeat(fires, draws), np.concatenate([np.arange(n) for n in draws])
        chance = mix(frame.keys("draw")[fire], round_number, counter)
        drawn, cells = _draw(self._stratum, source, fire, chance, frame)
        on_ground = frame.split_map.splits_touched(shapely.bounds(drawn.footprint)) == frame.splits[drawn.fire]
        shows = source.clear_of.near(drawn.footprint, frame.settings.ring_gap_m)
        self.drawn.append((drawn, cells, shows))
        for reason, fell in ((accounts.OTHER_GROUND, ~on_ground), (accounts.COULD_STILL_SHOW, shows)):
            self.rejected[reason] += np.bincount(drawn.fire[fell], minlength=len(frame.fires))
        found = pick_table(self._stratum, drawn.fire, cells).assign(
            x_m=drawn.x_m,
            y_m=drawn.y_m,
            chance=frame.chances(self._stratum.value, drawn.fire, cells),
            clear=~shows,
        )
        self.table = pd.concat([self.table, found[on_ground]], ignore_index=True).drop_duplicates(_CELL)

    def main_reason(self, fire: int) -> str:
        """Why a fire has too few candidates: what most of its drawn windows fell for."""
        counts = {reason: int(rejected[fire]) for reason, rejected in self.rejected.items()}
        reason = max(counts, key=counts.__getitem__)
        return reason if counts[reason] else accounts.NO_ROOM


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


def pick_unburnt(stratum: Stratum, source: StratumSource, wanted: Ints, frame: SamplingFrame) -> PickedStratum:
    """Pick the unburnt windows of one stratum."""
    candidates, losses = Candidates(stratum, source, frame), Losses()
    picked = _pick_in_rounds(candidates, wanted, frame.least_m)
    for fire, mine in picked.items():
        losses.add(fire, stratum, candidates.main_reason(fire), int(wanted[fire]) - len(mine))
    picks = pd.concat([candidates.table.head(0), *picked.values()], ignore_index=True)[list(PICK_COLUMNS)]
    none = PickedStratum.empty(0)
    drawn: list[tuple[npt.NDArray[np.generic], ...]] = [
        (none.drawn_fire, none.drawn_cells, none.drawn_x_m, none.drawn_y_m, none.drawn_shows)
    ]
    drawn += [(d.fire, c.columns(), d.x_m, d.y_m, shows) for d, c, shows in candidates.drawn]
    drawn_fire, drawn_cells, x_m, y_m, shows = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return PickedStratum(
        wanted=wanted,
        rejected=np.column_stack([candidates.rejected[reason] for reason in REJECTED_FOR]),
        fire=picks["fire"].to_numpy(dtype=np.int64),
        cells=cells_of(picks).columns(),
        rank=picks["rank"].to_numpy(dtype=np.int64),
        drawn_fire=drawn_fire.astype(np.int32),
        drawn_cells=drawn_cells.astype(np.int32),
        drawn_x_m=x_m.astype(np.float32),
        drawn_y_m=y_m.astype(np.float32),
        drawn_shows=shows.astype(bool),
        losses=losses,
    )


def drop_too_close(burnt: pd.DataFrame, others: pd.DataFrame, frame: SamplingFrame) -> tuple[pd.DataFrame, Losses]:
    """The other picks that keep the spacing from burnt ones, from strata before theirs, and from each other."""
    picks, order = pd.concat([burnt, others], ignore_index=True), [stratum.value for stratum in Stratum]
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


def _pick_in_rounds(candidates: Candidates, wanted: Ints, least_m: float) -> dict[int, pd.DataFrame]:
    """Picks of each fire that wants any: drawn and picked again while a fire lacks some.

    How many windows a fire draws before it picks, and over what extent it spreads them, hangs on the ground
    alone. So an edited burn only changes the picks of fires that pick a window there, or that lack windows.
    """
    lacking = np.flatnonzero(wanted)
    picked = {fire: candidates.table.head(0) for fire in lacking.tolist()}
    for round_number in range(_ROUNDS):
        if not len(lacking):
            break
        candidates.draw(lacking, wanted[lacking] * _DRAWS_PER_POINT, round_number)
        rows_of_fire = candidates.table.groupby("fire").indices
        for fire in lacking.tolist():
            mine = candidates.table.iloc[rows_of_fire.get(fire, [])]
            if len(mine) >= wanted[fire] * _CANDIDATES_PER_POINT or round_number == _ROUNDS - 1:
                picked[fire] = spread(mine[mine["clear"]], int(wanted[fire]), least_m, extent_of(mine))
        lacking = lacking[[len(picked[fire]) < wanted[fire] for fire in lacking.tolist()]]
    return picked


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
