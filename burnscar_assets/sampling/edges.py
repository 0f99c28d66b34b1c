"""Windows on the edges of fires, for models that answer pixel by pixel: half of what a map asks about is there.

A window is a cell of the lattice that the outline of its fire crosses, that of an unburned island too. The lattice lies
anyhow to fires, so an outline runs anywhere through such windows, and cells are drawn at random along it. They have no
class as a whole; their label rasters say what each pixel is. A fire wants `edge_share` of the burnt points that it may
have, and none on ground for testing, where only pure windows and whole frames are judged.
"""

import math

import numpy as np
import numpy.typing as npt

from burnscar_assets.classes import Split, Stratum
from burnscar_assets.sampling import accounts
from burnscar_assets.sampling.burnt import burnt_points_allowed, cells_near_fires, spread_over_fires, thin_out
from burnscar_assets.sampling.frame import SamplingFrame
from burnscar_assets.sampling.picked import PickedStratum
from burnscar_assets.sampling.randomness import mix, uniform


def edges_wanted(frame: SamplingFrame) -> npt.NDArray[np.int64]:
    """Windows on its edge that each fire wants; fractions are rounded by a hash of the fire."""
    share = (frame.settings.edge_share * burnt_points_allowed(frame)).round(9)
    wanted = np.floor(share + uniform(mix(frame.keys("edges"), 0))).astype(np.int64)
    return np.where(frame.splits == Split.TEST, 0, wanted)


def spread_edges(frame: SamplingFrame, chosen: npt.NDArray[np.bool_]) -> PickedStratum:
    """The windows on the edges of the chosen fires, each fire on its own, before what others leave of them."""
    wanted = np.where(chosen, edges_wanted(frame), 0)
    cells = cells_near_fires(frame, Stratum.EDGE, wanted > 0)
    crossed = cells[(cells["share"] > 0) & (cells["share"] < frame.settings.min_burnt_share)].reset_index(drop=True)
    nowhere = np.full(len(wanted), accounts.NO_ROOM)
    return spread_over_fires(frame, Stratum.EDGE, crossed, wanted, nowhere)


def pick_edges(frame: SamplingFrame, spread_out: PickedStratum) -> PickedStratum:
    """Pick windows on edges."""
    most_a_complex = math.ceil(frame.settings.edge_share * frame.settings.max_points_per_complex)
    return thin_out(frame, Stratum.EDGE, spread_out, most_a_complex)
