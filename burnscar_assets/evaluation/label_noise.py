"""How far perimeters are wrong as labels: unburned islands in them, and windows whose label is not certain.

A perimeter is drawn around a fire, and ground inside it may not have burned. The change of the burn ratio (dNBR) shows
where, once what unburned ground changed by between the same images is taken off: season, haze and sun of two years
change it by −0.05 to 0.11 on real fires, as much as the bound between unburned and burned.

A burn ratio of the same images is what model and baseline see. So dNBR never makes or corrects a label: it only tells
how many labels are doubtful, and which windows a *second* score leaves out. That score is the first one on easier
ground. It says how much of the error may be the labels', and is no measure for choosing anything; the NBR baseline
gains most by it, since its own index decides what is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.errors import InputError

UNBURNED_BELOW: Final = 0.10
"""dNBR below which Key and Benson call ground unburned."""

MARGIN: Final = 0.05
"""By how much that bound is doubtful: unburned ground scatters by so much about its own change."""

FEWEST_UNBURNED: Final = 3
"""Unburnt windows that tell how unburned ground changed: of fewer, one that was mown or logged would be the median."""

UNCERTAIN_SHARE: Final = 0.25
"""A window is uncertain if more than this share of its pixels is."""

EDGE_M: Final = 30.0
"""Nearer to a perimeter's outline, a pixel may be on either side."""

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1_000
"""Of windows, for the intervals of the share of islands."""

_PER_FIRE: Final = ("fire_id", "windows", "pixels", "unburned_share", "low", "high")


@dataclass(frozen=True)
class LabelNoise:
    """What the report says of the labels' noise.

    Attributes:
        note: How it was estimated, or why it was not.
        fires: One for each fire with burnt windows: fire_id, windows, pixels, unburned_share (of the ground inside its
            perimeter), low and high, the ends of its interval, and offset, the dNBR of unburned ground that was taken
            off (the median of its windows'); None where undefined.
    """

    note: str = ""
    fires: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of_several(cls, found: "Sequence[LabelNoise]") -> "LabelNoise":
        """Of windows that were looked at in several parts, such as folds, by number."""
        if len(found) == 1:
            return found[0]
        notes = "; ".join(f"fold {number}: {one.note}" for number, one in enumerate(found))
        return cls(notes, tuple(fire for one in found for fire in one.fires))


def unburned_offsets(
    change: NDArray[np.floating], burnt: NDArray[np.bool_], places: Sequence[NDArray[np.str_]]
) -> NDArray[np.float64]:
    """(n,) dNBR of unburned ground beside each window, which season, haze and sun explain, not a fire.

    It is the median of the medians of unburnt windows of the same place, so that one that changed as a whole weighs
    little; NaN where no place has three windows.

    Args:
        change: (n, height, width) dNBR, NaN where not known.
        burnt: (n,) whether each window's label is burnt.
        places: (n,) names of places, the best to compare with first; windows with an empty name are in no place.

    Raises:
        InputError: the shapes don't fit.
    """
    _check(change, burnt)
    found = np.full(len(change), np.nan)
    tells = ~burnt & np.isfinite(change).any(axis=(1, 2))
    medians = np.full(len(change), np.nan)
    medians[tells] = np.nanmedian(change[tells], axis=(1, 2))
    for names in places:
        for name in np.unique(names[np.isnan(found) & (names != "")]):
            here = names == name
            if (here & tells).sum() >= FEWEST_UNBURNED:
                found[here & np.isnan(found)] = np.median(medians[here & tells])
    return found


def uncertain_pixels(
    change: NDArray[np.floating], inside: NDArray[np.bool_], edge_distance_m: NDArray[np.floating] | None = None
) -> NDArray[np.bool_]:
    """Which pixels' labels are not certain.

    They are those near the bound of dNBR, those inside a perimeter that dNBR calls unburned (possible islands), those
    near a perimeter's outline, and those that dNBR is not known of. Ground outside a perimeter that changed much
    stays certain: that no fire was mapped there is what the label says, and taking such ground for wrong would spare
    a model its false alarms.

    Args:
        change: dNBR less that of unburned ground, any shape; NaN where not known.
        inside: whether each pixel's label is burnt, of a shape that broadcasts to it.
        edge_distance_m: distance from the nearest outline of a perimeter; None: not looked at.
    """
    near_bound = np.abs(change - UNBURNED_BELOW) < MARGIN
    island = inside & (change < UNBURNED_BELOW)
    doubtful = near_bound | island | np.isnan(change)
    return doubtful if edge_distance_m is None else doubtful | (edge_distance_m < EDGE_M)


def uncertain_windows(
    change: NDArray[np.floating], burnt: NDArray[np.bool_], edge_distance_m: NDArray[np.floating] | None = None
) -> NDArray[np.bool_]:
    """(n,) windows of which more than a quarter of the pixels are uncertain.

    Args:
        change: (n, height, width) dNBR less that of unburned ground, NaN where not known.
        burnt: (n,) whether each window's label is burnt.
        edge_distance_m: (n, height, width) distance from the nearest outline; None: not looked at.

    Raises:
        InputError: the shapes don't fit.
    """
    _check(change, burnt)
    doubtful = uncertain_pixels(change, burnt[:, np.newaxis, np.newaxis], edge_distance_m)
    return np.asarray(doubtful.mean(axis=(1, 2)) > UNCERTAIN_SHARE)


def unburned_islands(change: NDArray[np.floating], fire_ids: NDArray[np.str_]) -> pd.DataFrame:
    """Share of the ground inside each fire's perimeter that may not have burned, with its doubt.

    The interval holds both kinds of doubt: which windows happened to be drawn (they are resampled), and where the bound
    of dNBR lies (it is moved by the margin, down for the lower end, up for the upper one).

    Args:
        change: (n, height, width) dNBR of windows inside perimeters less that of unburned ground, NaN where not known.
        fire_ids: (n,) fire of each window.

    Returns:
        One row a fire, by fire_id: windows, pixels (known ones), unburned_share (NaN if none is known), low, high
        (NaN with fewer than two windows).

    Raises:
        InputError: the shapes don't fit.
    """
    _check(change, fire_ids)
    known = np.isfinite(change).sum(axis=(1, 2))
    bounds = UNBURNED_BELOW + MARGIN * np.array([-1, 0, 1])
    below = np.stack([(change < bound).sum(axis=(1, 2)) for bound in bounds], axis=1)
    rows = []
    for fire_id in np.unique(fire_ids):
        of_fire = (fire_ids == fire_id) & (known > 0)
        share = _share(below[of_fire, 1].sum(), known[of_fire].sum())
        low, high = _interval(below[of_fire], known[of_fire])
        rows.append((str(fire_id), int(of_fire.sum()), int(known[of_fire].sum()), share, low, high))
    return pd.DataFrame(rows, columns=list(_PER_FIRE))


def _interval(below: NDArray[np.integer], known: NDArray[np.integer]) -> tuple[float, float]:
    """Ends of the interval of one fire: (n, 3) pixels below each bound and (n,) known ones of its windows."""
    count = len(known)
    if count < 2:
        return float("nan"), float("nan")
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    shares = (drawn @ below) / (drawn @ known)[:, np.newaxis]
    tail = (1 - CONFIDENCE) / 2
    return float(np.quantile(shares[:, 0], tail)), float(np.quantile(shares[:, 2], 1 - tail))


def _share(part: np.integer, whole: np.integer) -> float:
    return float(part / whole) if whole else float("nan")


def _check(change: NDArray[np.floating], of_windows: NDArray[np.generic]) -> None:
    if change.ndim != 3 or of_windows.shape != change.shape[:1]:
        raise InputError(f"dNBR of windows has shape (n, height, width), not {change.shape} for {len(of_windows)}")
