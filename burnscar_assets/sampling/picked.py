"""The windows of one stratum: those drawn, those picked, and what was lost, as plain arrays."""

from dataclasses import dataclass
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
        wanted, rejected = np.zeros(len(chosen), dtype=np.int64), np.zeros((len(chosen), len(REJECTED_FOR)), np.int64)
        wanted[chosen], rejected[chosen] = self.wanted[old_number[chosen]], self.rejected[old_number[chosen]]
        fire, drawn_fire = new_number[self.fire], new_number[self.drawn_fire]
        picks, drawn = np.flatnonzero(fire >= 0), drawn_fire >= 0
        picks = picks[np.argsort(fire[picks], kind="stable")]
        losses = Losses()
        for number, stratum, reason, points in self.losses:
            if new_number[number] >= 0:
                losses.add(int(new_number[number]), stratum, reason, points)
        return type(self)(
            wanted=wanted,
            rejected=rejected,
            fire=fire[picks],
            cells=self.cells[picks],
            rank=self.rank[picks],
            drawn_fire=drawn_fire[drawn].astype(np.int32),
            drawn_cells=self.drawn_cells[drawn],
            drawn_x_m=self.drawn_x_m[drawn],
            drawn_y_m=self.drawn_y_m[drawn],
            drawn_shows=self.drawn_shows[drawn],
            losses=losses,
        )

    def joined(self, other: "PickedStratum") -> Self:
        """This, and what belongs to other ones of the same fires, fire by fire."""
        fire = np.concatenate([self.fire, other.fire])
        order = np.argsort(fire, kind="stable")
        losses = Losses()
        losses.update(self.losses)
        losses.update(other.losses)
        return type(self)(
            wanted=self.wanted + other.wanted,
            rejected=self.rejected + other.rejected,
            fire=fire[order],
            cells=np.concatenate([self.cells, other.cells])[order],
            rank=np.concatenate([self.rank, other.rank])[order],
            drawn_fire=np.concatenate([self.drawn_fire, other.drawn_fire]),
            drawn_cells=np.concatenate([self.drawn_cells, other.drawn_cells]),
            drawn_x_m=np.concatenate([self.drawn_x_m, other.drawn_x_m]),
            drawn_y_m=np.concatenate([self.drawn_y_m, other.drawn_y_m]),
            drawn_shows=np.concatenate([self.drawn_shows, other.drawn_shows]),
            losses=losses,
        )
