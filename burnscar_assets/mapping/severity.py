"""Burn severity from the change of the burn ratio, in the classes of Key and Benson.

Indices are unscaled: dNBR lies between −2 and 2. Tables of thresholds are often for dNBR × 1,000, as files of USGS
are; divide by 1,000 first. Sources: Key and Benson (2006), Landscape Assessment, FIREMON, table LA-2 (dNBR, classes,
offset).
The thresholds are those of forests of the northern Rocky Mountains; without plots on the ground a class is a degree of
change, not of damage. Grass and chaparral change little or recover within weeks.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.grid import Grid
from burnscar_assets.sensors.indices import FloatArray

NO_SEVERITY: Final = 0
"""In a raster of severity classes: no data."""


@dataclass(frozen=True)
class SeverityClass:
    """A class of burn severity.

    `low` is its least dNBR, unscaled; the next class's is the first beyond.
    """

    code: int
    name: str
    low: float
    colour: str


SEVERITY_CLASSES: Final = (
    SeverityClass(1, "high regrowth", -np.inf, "#1a9850"),
    SeverityClass(2, "low regrowth", -0.25, "#91cf60"),
    SeverityClass(3, "unburned", -0.10, "#d9d9d9"),
    SeverityClass(4, "low", 0.10, "#fee391"),
    SeverityClass(5, "moderate-low", 0.27, "#fdae61"),
    SeverityClass(6, "moderate-high", 0.44, "#e6550d"),
    SeverityClass(7, "high", 0.66, "#7f0000"),
)
UNBURNED_CODE: Final = 3

RING_M: Final = (150.0, 1_150.0)
"""Distance from burned ground of the ring whose change is taken for phenology, as negatives of the ring are sampled."""

FEWEST_RING_PIXELS: Final = 100


def classify(change: FloatArray) -> NDArray[np.uint8]:
    """Codes of SEVERITY_CLASSES for dNBR; NO_SEVERITY where it is not a number."""
    lows = [severity.low for severity in SEVERITY_CLASSES[1:]]
    codes = np.digitize(change, np.asarray(lows, dtype=np.float32)) + SEVERITY_CLASSES[0].code
    return np.where(np.isnan(change), NO_SEVERITY, codes).astype(np.uint8)


def severity_ha(
    classes: NDArray[np.uint8], pixel_ha: float, inside: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """Hectares of each class by its name, where `inside` holds, or everywhere."""
    chosen = classes if inside is None else classes[inside]
    pixels = np.bincount(chosen.ravel(), minlength=len(SEVERITY_CLASSES) + 1)
    return {severity.name: float(pixels[severity.code] * pixel_ha) for severity in SEVERITY_CLASSES}


@dataclass(frozen=True)
class Offset:
    """How unburnt ground changed between two images.

    Median dNBR of the ring, which is to be subtracted, the median absolute deviation from it, and the ring's pixels.
    """

    dnbr: float
    spread: float
    pixels: int


def phenology_offset(change: FloatArray, burned: NDArray[np.bool_], grid: Grid) -> Offset | None:
    """Change of the unburnt ring about a fire, which season, sun and haze explain, not the fire.

    What `burned` holds, by a perimeter or a map, is kept out of the ring; what burned and isn't in it weighs little in
    a median. None if the ring shows fewer than 100 pixels: then nothing is to be subtracted.

    Raises:
        InputError: the shapes differ.
    """
    from scipy import ndimage

    if change.shape != burned.shape:
        raise InputError(f"dNBR has shape {change.shape}, but burned ground {burned.shape}")
    if not burned.any():
        return None
    distance = ndimage.distance_transform_edt(~burned, sampling=(grid.height_m, grid.width_m))
    ring = change[(distance >= RING_M[0]) & (distance <= RING_M[1]) & np.isfinite(change)]
    if len(ring) < FEWEST_RING_PIXELS:
        return None
    median = float(np.median(ring))
    return Offset(median, float(np.median(np.abs(ring - median))), len(ring))
