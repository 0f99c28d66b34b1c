"""Old scars: ground that the image before the fire shows burned already, and that has hardly changed since.

An image after the fire alone takes such ground for fresh. One rule keeps it out of published and judged maps alike: an
old scar is a pixel whose NBR before lies below a bound, as that of burned ground does, and whose NBR fell by less than
Key and Benson's least of burned ground, after the mode of the frame's unburned ground was taken off, which is how
season, sun and haze changed it. No perimeter is looked at. The bound is part of the rules of maps.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.mapping.severity import SEVERITY_CLASSES, UNBURNED_CODE
from burnscar_assets.sensors.indices import FloatArray, dnbr, nbr, shows_water

LEAST_BURNED_DNBR: Final = next(s.low for s in SEVERITY_CLASSES if s.code == UNBURNED_CODE + 1)

SCAR_BOUNDS: Final = (-0.2, -0.1, 0.0, 0.1, 0.2)
"""NBR before the fire below which ground may be an old scar: bounds that validation fires choose from."""

SET_SCAR_BOUND: Final = 0.0
"""The bound where no validation fire can tell: NBR of ground without living plants lies below."""

FEWEST_PIXELS: Final = 100
"""With fewer there is no mode."""

_MODE_EDGES: Final = np.linspace(-1, 1, 201)
_MODE_SMOOTHING: Final = 2.0
"""Deviation of the bell curve that the histogram is smoothed with, in bins of 0.01."""

_MODE_LEAST: Final = 0.5
"""A peak counts that is at least this high beside the highest."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class BurnRatios:
    """NBR of two images of the same ground, (height, width) each.

    NaN where either image doesn't show the ground; `water` is open water in either image.
    """

    before: FloatArray
    after: FloatArray
    water: Mask

    @classmethod
    def of(cls, before: NDArray[np.generic], after: NDArray[np.generic], clear: Mask, *, has_red: bool) -> "BurnRatios":
        """Ratios of digital numbers.

        Args:
            before: (3, height, width) short-wave infrared, near infrared and red before the fire (`Sensor.shown`).
            after: the same after it.
            clear: (height, width) where both show the ground.
            has_red: whether the sensor has a red band; near infrared is shown for it if not.
        """
        early, late = (np.where(clear, nbr(nir, swir), np.float32(np.nan)) for swir, nir, _ in (before, after))
        water = [shows_water(nir, swir, red if has_red else None) for swir, nir, red in (before, after)]
        return cls(early, late, water[0] | water[1])

    @cached_property
    def mode(self) -> float | None:
        """The mode of dNBR of the unburned ground among these pixels; None where too little shows."""
        return mode_of(change_counts(dnbr(self.before, self.after), ~self.water))

    def old_scars(self, bound: float | None, mode: float | None) -> Mask:
        """(height, width) old scars; none without a bound or a mode.

        The mode is that of dNBR of the whole frame's unburned ground.
        """
        if bound is None or mode is None:
            return np.zeros(self.before.shape, dtype=bool)
        hardly_changed = dnbr(self.before, self.after) - np.float32(mode) < LEAST_BURNED_DNBR
        return np.asarray((self.before < bound) & hardly_changed)

    def scars_by_bound(self) -> Mask:
        """(SCAR_BOUNDS, height, width) old scars by each bound, these pixels being a whole frame."""
        return np.stack([self.old_scars(bound, self.mode) for bound in SCAR_BOUNDS])


def change_counts(change: FloatArray, land: Mask) -> NDArray[np.int64]:
    """Pixels by dNBR, in bins of 0.01 from -1 to 1; what lies beyond is in the outer ones.

    NaN counts nowhere, nor does water, which is no `land`.
    """
    known = change[land & np.isfinite(change)]
    return np.asarray(np.histogram(known.clip(-1, 1), _MODE_EDGES)[0], np.int64)


def mode_of(counts: NDArray[np.int64]) -> float | None:
    """The mode of dNBR of ground that didn't burn: season, sun and haze move it, and the fire doesn't.

    Fire raises dNBR, so it is the lowest peak of the smoothed histogram that is at least half as high as the highest,
    wherever the fire is and even if it takes up most of the frame. None with fewer than FEWEST_PIXELS.
    """
    from scipy.ndimage import gaussian_filter1d

    if counts.sum() < FEWEST_PIXELS:
        return None
    smooth = np.pad(gaussian_filter1d(counts.astype(np.float64), _MODE_SMOOTHING, mode="constant"), 1)
    inner = smooth[1:-1]
    peaks = (inner >= smooth[:-2]) & (inner > smooth[2:]) & (inner >= _MODE_LEAST * inner.max())
    place = int(np.argmax(peaks))
    return float((_MODE_EDGES[place] + _MODE_EDGES[place + 1]) / 2)
