"""Surface reflectance of land covers in Sentinel-2's bands, as digital numbers without offset (reflectance × 10,000).

Shapes after what is common knowledge of the field: chlorophyll absorption with a red edge from 700 to 740 nm,
a water-vapour band left flat because L2A corrects it, leaf water at 1.6 and 2.2 µm, iron-rich soils that rise
to 1.6 µm, clear water that vanishes beyond 700 nm (USGS and ECOSTRESS spectral libraries); char is dark with a
slow rise to 2.2 µm and has neither red edge nor leaf water (Lentile et al. 2006, Key & Benson 2006). Rounded
by hand: good for telling covers apart as the real ones are told apart, not for radiometry.
"""

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from burnscar_assets.sensors.load import default_sensor


class Cover(IntEnum):
    """Land covers; crops are three, by the state of the field on the day."""

    CONIFER = 0
    SHRUB = 1
    GRASS = 2
    BARE = 3
    URBAN = 4
    WATER = 5
    LAVA = 6
    CROP_GREEN = 7
    CROP_STUBBLE = 8
    CROP_PLOUGHED = 9


BANDS: Final = default_sensor().names
"""What simulated scenes have, in the shipped Sentinel-2's order."""

BAND_RESOLUTION_M: Final = {band.name: int(band.metres) for band in default_sensor().bands}
"""Native ground sampling distance of each band in metres."""

_ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
_COLUMNS = [_ORDER.index(band) for band in BANDS]

_GREEN = {
    Cover.CONIFER: (150, 180, 340, 230, 640, 1650, 2050, 2200, 2350, 2350, 1100, 500),
    Cover.SHRUB: (210, 260, 470, 390, 850, 1650, 1950, 2080, 2250, 2300, 1550, 820),
    Cover.GRASS: (240, 330, 720, 480, 1200, 2450, 2950, 3150, 3300, 3250, 2000, 1000),
    Cover.BARE: (500, 650, 950, 1000, 1400, 1900, 2100, 2250, 2400, 2450, 2500, 1900),
    Cover.URBAN: (350, 430, 700, 600, 1000, 1800, 2100, 2250, 2350, 2400, 1800, 1200),
    Cover.WATER: (270, 300, 310, 200, 180, 160, 150, 130, 120, 110, 70, 40),
    Cover.LAVA: (380, 420, 520, 540, 720, 1000, 1100, 1180, 1260, 1260, 1250, 1050),
    Cover.CROP_GREEN: (240, 330, 700, 400, 1200, 3150, 3900, 4200, 4350, 4200, 2000, 1000),
    Cover.CROP_STUBBLE: (560, 720, 1100, 1200, 1700, 2300, 2500, 2650, 2800, 2800, 2900, 2100),
    Cover.CROP_PLOUGHED: (450, 560, 820, 900, 1250, 1600, 1750, 1900, 2000, 2000, 2100, 1600),
}

_GROUND = {
    Cover.CONIFER: (330, 430, 640, 800, 1050, 1300, 1450, 1560, 1660, 1700, 2050, 1450),
    Cover.SHRUB: (560, 730, 1080, 1380, 1650, 1850, 2000, 2130, 2240, 2280, 2900, 2300),
    Cover.GRASS: (680, 880, 1320, 1720, 2080, 2330, 2520, 2720, 2870, 2930, 3550, 2800),
    Cover.BARE: (900, 1150, 1600, 2050, 2250, 2350, 2450, 2550, 2650, 2650, 3300, 2950),
    Cover.URBAN: (1050, 1200, 1400, 1500, 1620, 1740, 1840, 1940, 2000, 2000, 2250, 2050),
    Cover.WATER: (220, 250, 230, 130, 110, 90, 85, 75, 70, 65, 40, 25),
    Cover.LAVA: (440, 470, 540, 600, 650, 710, 760, 810, 860, 870, 1100, 1040),
    Cover.CROP_GREEN: (550, 680, 900, 1100, 1300, 1450, 1550, 1650, 1750, 1750, 2300, 1900),
    Cover.CROP_STUBBLE: (740, 900, 1300, 1700, 1950, 2100, 2250, 2400, 2500, 2520, 3350, 2800),
    Cover.CROP_PLOUGHED: (480, 590, 800, 1000, 1150, 1260, 1350, 1450, 1550, 1560, 2150, 1850),
}

CHAR: Final = np.array((330, 370, 420, 480, 560, 650, 730, 800, 870, 950, 1450, 1550), np.float32)[_COLUMNS]
"""Charred ground and wood, bands in the order of `BANDS`."""

CLOUD: Final = np.array((6400, 6300, 6200, 6300, 6400, 6500, 6600, 6700, 6700, 5200, 4600, 3500), np.float32)[_COLUMNS]
"""Thick cloud."""

SKYLIGHT: Final = np.array((0.62, 0.56, 0.46, 0.40, 0.38, 0.36, 0.34, 0.33, 0.32, 0.32, 0.26, 0.24), np.float32)[
    _COLUMNS
]
"""What is left of a band's signal in the shadow of a cloud: more in the blue, where the sky shines."""

SMOKE: Final = np.array((1.0, 0.9, 0.68, 0.52, 0.46, 0.40, 0.36, 0.31, 0.28, 0.27, 0.07, 0.03), np.float32)[_COLUMNS]
"""How much of a band smoke and haze take, relative to the deep blue: next to nothing at 2.2 µm."""

SMOKE_DN: Final = np.float32(2300)
"""Reflectance of thick smoke × 10,000."""

TEXTURE: Final = np.array((0.5, 0.6, 0.8, 1.0, 0.9, 0.8, 0.8, 0.8, 0.8, 0.6, 0.9, 1.0), np.float32)[_COLUMNS]
"""How strongly brightness texture shows in a band, relative to red."""


def green_table() -> npt.NDArray[np.float32]:
    """Spectra of the green end of each cover, shape (covers, bands)."""
    return np.array([_GREEN[cover] for cover in Cover], np.float32)[:, _COLUMNS]


def ground_table() -> npt.NDArray[np.float32]:
    """Spectra of each cover's ground without green, shape (covers, bands)."""
    return np.array([_GROUND[cover] for cover in Cover], np.float32)[:, _COLUMNS]


def greenness(cover: Cover, day_of_year: int) -> float:
    """Factor on the green share of a cover over a fire year of winter rain and summer drought."""
    wet_season = 0.5 + 0.5 * float(np.cos(2 * np.pi * (day_of_year - 75) / 365.25))
    summer_low = {Cover.GRASS: 0.12, Cover.SHRUB: 0.86, Cover.CONIFER: 0.93, Cover.BARE: 0.4, Cover.URBAN: 0.8}
    low = summer_low.get(cover, 1.0)
    return low + (1 - low) * wet_season**1.5
