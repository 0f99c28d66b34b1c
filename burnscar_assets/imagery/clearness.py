"""Which pixels of a Sentinel-2 scene show the ground: pure functions on the scene classification (SCL).

A fresh scar is dark, and Sen2Cor calls a good part of dark ground cloud shadow (class 3) or dark area (class 2).
Whoever masks these classes throws away what this project looks for. So class 2 is clear here, and class 3 is
shadow only where a cloud stands between the pixel and the sun.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

SCL_M: Final = 20
"""Ground sampling distance of the scene classification, metres."""

SHADOW: Final = 3
CLOUDS: Final = (8, 9)
"""Clouds of medium and high probability: those that cast shadows."""

UNCLEAR: Final = (8, 9, 10)
"""Clouds and cirrus."""

NO_DATA: Final = (0, 1)
"""No data; saturated or defective."""

REACH_M: Final = 2000.0
"""How far towards the sun a shadow's cloud is looked for, metres: with the sun at 60°, clouds up to 3,500 m."""

_EPOCH: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
_STEP_PX: Final = 2

Mask = npt.NDArray[np.bool_]


class Clearness(IntEnum):
    """What a pixel of a scene shows."""

    NO_DATA = 0
    UNCLEAR = 1
    CLEAR = 2


@dataclass(frozen=True)
class Sun:
    """Where the sun stands: azimuth from north by east, elevation above the horizon, degrees."""

    azimuth: float
    elevation: float


def sun_at(moment: datetime, longitude: float, latitude: float) -> Sun:
    """The sun's position, to a tenth of a degree or so (low-precision formulas of the Astronomical Almanac).

    Args:
        moment: when, with its zone.
        longitude: degrees.
        latitude: degrees.
    """
    days = (moment - _EPOCH).total_seconds() / 86_400
    anomaly = np.radians(357.529 + 0.98560028 * days)
    longitude_of_sun = np.radians(280.459 + 0.98564736 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    tilt = np.radians(23.439 - 0.00000036 * days)
    ascension = np.arctan2(np.cos(tilt) * np.sin(longitude_of_sun), np.cos(longitude_of_sun))
    declination = np.arcsin(np.sin(tilt) * np.sin(longitude_of_sun))
    sidereal = np.radians(15 * (18.697374558 + 24.06570982441908 * days) + longitude)
    hour_angle, phi = sidereal - ascension, np.radians(latitude)
    sine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    azimuth = np.arctan2(-np.sin(hour_angle), np.tan(declination) * np.cos(phi) - np.sin(phi) * np.cos(hour_angle))
    return Sun(float(np.degrees(azimuth) % 360), float(np.degrees(np.arcsin(sine))))


def classify(scl: npt.NDArray[np.uint8], azimuth: float) -> npt.NDArray[np.uint8]:
    """What each pixel shows.

    Args:
        scl: scene classification at `SCL_M`, (rows, columns), north up; pixels less than `REACH_M` from an edge
            are judged by the clouds inside.
        azimuth: of the sun, degrees from the grid's north by east.

    Returns:
        A `Clearness` for each pixel.
    """
    result = np.full(scl.shape, Clearness.CLEAR, np.uint8)
    result[np.isin(scl, UNCLEAR) | verified_shadow(scl, azimuth)] = Clearness.UNCLEAR
    result[np.isin(scl, NO_DATA)] = Clearness.NO_DATA
    return result


def verified_shadow(scl: npt.NDArray[np.uint8], azimuth: float, reach_m: float = REACH_M) -> Mask:
    """Pixels of class 3 that have a cloud within reach in the direction of the sun."""
    called = scl == SHADOW
    clouds = np.isin(scl, CLOUDS)
    if not called.any() or not clouds.any():
        return np.zeros(scl.shape, bool)
    clouds = _widen(np.pad(clouds, 1))
    shaded = clouds.copy()
    towards = -np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))
    for distance in range(_STEP_PX, int(reach_m / SCL_M) + 1, _STEP_PX):
        shaded |= _shifted(clouds, round(distance * towards[0]), round(distance * towards[1]))
    return called & shaded[1:-1, 1:-1]


def weights(first: float, last: float, start: int, count: int) -> npt.NDArray[np.float64]:
    """How much of each of `count` pixels from `start` on lies between two edges, 0–1, along one axis."""
    edges = np.arange(start, start + count + 1, dtype=float)
    return np.clip(np.minimum(edges[1:], last) - np.maximum(edges[:-1], first), 0, 1)


def _widen(mask: Mask) -> Mask:
    """The mask and its neighbours: rays are sampled at every second pixel."""
    wide = mask.copy()
    wide[1:] |= mask[:-1]
    wide[:-1] |= mask[1:]
    tall = wide.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide


def _shifted(mask: Mask, rows: int, columns: int) -> Mask:
    """For each pixel, what the mask says so many rows below and columns right of it; nothing beyond the edges."""
    moved = np.zeros_like(mask)
    height, width = mask.shape
    if abs(rows) < height and abs(columns) < width:
        to_rows, to_columns = _overlap(-rows, height), _overlap(-columns, width)
        from_rows, from_columns = _overlap(rows, height), _overlap(columns, width)
        moved[to_rows, to_columns] = mask[from_rows, from_columns]
    return moved


def _overlap(shift: int, size: int) -> slice:
    return slice(max(shift, 0), size + min(shift, 0))
