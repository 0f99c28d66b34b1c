"""The windows of one stratum: those drawn, those picked, and what was lost, as plain arrays."""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from burnscar_assets.classes import Stratum
from burnscar_assets.sampling import accounts
from burnscar_assets.sampling.accounts import Losses, pick_table
from burnscar_assets.sampling.lattice import Cells

Ints = npt.NDArray[np.int64]

REJECTED_FOR: Final = (accounts.COULD_STILL_SHOW, accounts.OTHER_GROUND)
"""Why a drawn window can't be used, in the order in which `rejected` counts them."""

_OF_PICKS: Final = ("fire", "cells", "rank")
_OF_DRAWN: Final = ("drawn_fire", "drawn_cells", "drawn_x_m", "drawn_y_m", "drawn_shows")


@dataclass(frozen=True)
class PickedStratum:
    """What was drawn and picked of a stratum, for n fires that go by their numbers.

    Attributes:
        wanted: points that each fire wants, shape (n,).
        rejected: drawn windows of each fire that fell for each of `REJECTED_FOR`, shape (n, 2).
        fire, cells, rank: of each pick the fire, the cell (EPSG code, column, row; shape (k, 3)) and its turn.
        drawn_fire, drawn_cells: the same of each window that was drawn, shapes (m,) and (m, 3).
        drawn_x_m, drawn_y_m: its centre, the region's CRS, to a few centimetres.
        drawn_shows: whether a burn is too near to it.
        losses: points wanted and not had.
    """

    wanted: Ints
    rejected: Ints
    fire: Ints
    cells: Ints
    rank: Ints
    drawn_fire: npt.NDArray[np.int32]
    drawn_cells: npt.NDArray[np.int32]
    drawn_x_m: npt.NDArray[np.float32]
    drawn_y_m: npt.NDArray[np.float32]
    drawn_shows: npt.NDArray[np.bool_]
    losses: Losses

    @classmethod
    def empty(cls, fires: int) -> Self:
        """Nothing wanted, drawn or picked."""
        none, cells = np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.int64)
        return cls(
            wanted=np.zeros(fires, dtype=np.int64),
            rejected=np.zeros((fires, len(REJECTED_FOR)), dtype=np.int64),
            fire=none,
            cells=cells,
            rank=none,
            drawn_fire=none.astype(np.int32),
            drawn_cells=cells.astype(np.int32),
            drawn_x_m=none.astype(np.float32),
            drawn_y_m=none.astype(np.float32),
            drawn_shows=none.astype(bool),
            losses=Losses(),
        )

    def table(self, stratum: Stratum) -> pd.DataFrame:
        """The picks as a table (see `accounts.pick_table`), fire by fire."""
        return pick_table(stratum, self.fire, Cells(*self.cells.T)).assign(rank=self.rank)

    def of_fires(self, old_number: Ints, chosen: npt.NDArray[np.bool_]) -> Self:
        """What belongs to the chosen of other fires, by their numbers."""
        new_number = np.full(len(self.wanted), -1, dtype=np.int64)
        new_number[old_number[chosen]] = np.flatnonzero(chosen)
        none = self.empty(len(chosen))
        for kept, mine in ((none.wanted, self.wanted), (none.rejected, self.rejected)):
            kept[chosen] = mine[old_number[chosen]]
        fire, drawn_fire = new_number[self.fire], new_number[self.drawn_fire]
        picks, drawn = np.flatnonzero(fire >= 0), drawn_fire >= 0
        picks = picks[np.argsort(fire[picks], kind="stable")]
        for number, stratum, reason, points in self.losses:
            if new_number[number] >= 0:
                none.losses.add(int(new_number[number]), stratum, reason, points)
        now = {name: getattr(self, name)[picks] for name in _OF_PICKS} | {"fire": fire[picks]}
        now |= {name: getattr(self, name)[drawn] for name in _OF_DRAWN}
        return replace(none, **now | {"drawn_fire": drawn_fire[drawn].astype(np.int32)})

    def joined(self, other: "PickedStratum") -> Self:
        """This, and what belongs to other ones of the same fires, fire by fire."""
        both = {
            name: np.concatenate([getattr(one, name) for one in (self, other)]) for name in (*_OF_PICKS, *_OF_DRAWN)
        }
        order = np.argsort(both["fire"], kind="stable")
        losses = Losses()
        losses.update(self.losses)
        losses.update(other.losses)
        return type(self)(
            wanted=self.wanted + other.wanted,
            rejected=self.rejected + other.rejected,
            losses=losses,
            **both | {name: both[name][order] for name in _OF_PICKS},
        )
