"""What became of the points that were wanted: picks, and losses with their reasons.

For every fire and stratum, points picked and points lost add up to points wanted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from burnscar_assets.classes import Stratum
from burnscar_assets.sampling.lattice import Cells

CAPPED = "capped"
NOT_SELECTED = "not_selected"
NO_ROOM = "no_room"
NO_WINDOW_INSIDE = "no_window_inside"
SMALLER_THAN_WINDOW = "smaller_than_window"
OTHER_GROUND = "ground_of_another_split"
COULD_STILL_SHOW = "could_still_show"
TOO_CLOSE = "too_close"

REASONS = {
    NOT_SELECTED: "the fire is not among those that are sampled",
    CAPPED: "more than the cap of a fire or complex",
    SMALLER_THAN_WINDOW: "the fire is too small to fill the least share of a window",
    NO_WINDOW_INSIDE: "no window of the lattice lies far enough inside the perimeter",
    OTHER_GROUND: "the windows that were left lie on, or too near, ground of another split",
    COULD_STILL_SHOW: "the windows that were left lie on, or too near, a burn that could still show",
    NO_ROOM: "no more windows at the least spacing",
    TOO_CLOSE: "a more important point lies closer than the least spacing",
}
"""What each reason of table `sample_losses` means."""

PICK_COLUMNS = ("stratum", "fire", "utm_epsg", "cell_col", "cell_row", "rank")


@dataclass
class Losses:
    """Points lost, by fire (its number, or -1 for none), stratum and reason."""

    points: Counter[tuple[int, Stratum, str]] = field(default_factory=Counter)

    def add(self, fire: int, stratum: Stratum, reason: str, points: int) -> None:
        """Count points as lost; none, or fewer than none, are ignored."""
        if points > 0:
            self.points[fire, stratum, reason] += int(points)

    def add_all(self, fires: npt.NDArray[np.int64], stratum: Stratum, reason: str) -> None:
        """Count one point as lost for each fire number."""
        for fire in fires:
            self.add(int(fire), stratum, reason, 1)

    def update(self, other: "Losses") -> None:
        """Take over what another account has."""
        self.points.update(other.points)

    def __iter__(self) -> Iterator[tuple[int, Stratum, str, int]]:
        return iter((*key, points) for key, points in sorted(self.points.items()))


def pick_table(stratum: Stratum, fire: npt.NDArray[np.int64], cells: Cells) -> pd.DataFrame:
    """Windows of a stratum as a table.

    Returns:
        stratum, fire (its number in the sampling frame), utm_epsg, cell_col, cell_row, and rank (the order in
        which a fire's points are picked), which is 0 to begin with.
    """
    rank = np.zeros(len(fire), dtype=np.int64)
    columns = (np.full(len(fire), stratum.value, dtype=object), fire, cells.utm_epsg, cells.col, cells.row, rank)
    return pd.DataFrame(dict(zip(PICK_COLUMNS, columns, strict=True)))


def cells_of(picks: pd.DataFrame) -> Cells:
    """The cells of a table of picks or points."""
    columns = (picks[name].to_numpy(dtype=np.int64) for name in ("utm_epsg", "cell_col", "cell_row"))
    return Cells(*columns)
