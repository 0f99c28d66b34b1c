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
_AT_ONCE: Final = 16_384

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


class Clearness(IntEnum):
    """What a pixel of a scene shows."""

    NO_DATA = 0
    UNCLEAR = 1
    CLEAR = 2


_KINDS: Final = np.full(256, Clearness.CLEAR, np.uint8)
_KINDS[list(UNCLEAR)] = Clearness.UNCLEAR
_KINDS[list(NO_DATA)] = Clearness.NO_DATA
_ARE_CLOUDS: Final = np.isin(np.arange(256), CLOUDS)


@dataclass(frozen=True)
class Sun:
    """Where the sun stands: azimuth from north by east, elevation above the horizon, degrees."""

    azimuth: float
    elevation: float


def is_clear_enough(clear_fraction: npt.NDArray[np.floating], least: float) -> Mask:
    """Which windows show enough of the ground to be trained on and scored: the one place that decides.

    Args:
        clear_fraction: share of each window that is clear, 0–1; NaN where no scene classification tells, and such a
            window counts, since nothing speaks against it.
        least: `imagery.min_clear_fraction`, 0–1.
    """
    return ~(clear_fraction < least)


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


def classify(scl: npt.NDArray[np.uint8], azimuth: float, margin: int = 0) -> npt.NDArray[np.uint8]:
    """What each pixel shows.

    Args:
        scl: scene classification at `SCL_M`, (rows, columns), north up.
        azimuth: of the sun, degrees from the grid's north by east.
        margin: pixels along each edge that are looked at for clouds only; with less than `REACH_M`, clouds beyond
            the edge are missed.

    Returns:
        A `Clearness` for each pixel within the margin.
    """
    height, width = scl.shape
    inner = scl[margin : height - margin, margin : width - margin]
    result = _KINDS[inner]
    rows, columns = np.nonzero(inner == SHADOW)
    shaded = _are_shaded(scl, rows + margin, columns + margin, azimuth, REACH_M)
    result[rows[shaded], columns[shaded]] = Clearness.UNCLEAR
    return result


def verified_shadow(scl: npt.NDArray[np.uint8], azimuth: float, reach_m: float = REACH_M) -> Mask:
    """Pixels of class 3 that have a cloud within reach in the direction of the sun."""
    rows, columns = np.nonzero(scl == SHADOW)
    shaded = _are_shaded(scl, rows, columns, azimuth, reach_m)
    mask = np.zeros(scl.shape, bool)
    mask[rows[shaded], columns[shaded]] = True
    return mask


def weights(first: float, last: float, start: int, count: int) -> npt.NDArray[np.float64]:
    """How much of each of `count` pixels from `start` on lies between two edges, 0–1, along one axis."""
    edges = np.arange(start, start + count + 1, dtype=float)
    return np.clip(np.minimum(edges[1:], last) - np.maximum(edges[:-1], first), 0, 1)


def _are_shaded(scl: npt.NDArray[np.uint8], rows: Places, columns: Places, azimuth: float, reach_m: float) -> Mask:
    """Whether pixels have a cloud in the direction of the sun."""
    shaded = np.zeros(len(rows), bool)
    if not len(rows):
        return shaded
    distances = np.arange(0, int(reach_m / SCL_M) + 1, _STEP_PX)
    down = np.rint(-np.cos(np.radians(azimuth)) * distances).astype(np.intp)
    right = np.rint(np.sin(np.radians(azimuth)) * distances).astype(np.intp)
    top, left = max(rows.min() + down.min() - 1, 0), max(columns.min() + right.min() - 1, 0)
    corridor = scl[top : rows.max() + down.max() + 2, left : columns.max() + right.max() + 2]
    clouds = _ARE_CLOUDS[corridor]
    if not clouds.any():
        return shaded
    clouds = _widen(np.pad(clouds, 1))
    height, width = clouds.shape
    for first in range(0, len(rows), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        y = rows[part, None] - top + 1 + down
        x = columns[part, None] - left + 1 + right
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        shaded[part] = (clouds[np.where(inside, y, 0), np.where(inside, x, 0)] & inside).any(axis=1)
    return shaded


def _widen(mask: Mask) -> Mask:
    """The mask and its neighbours: rays are sampled at every second pixel."""
    wide = mask.copy()
    wide[1:] |= mask[:-1]
    wide[:-1] |= mask[1:]
    tall = wide.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide
