"""Which pixels of a Sentinel-2 scene show the ground: pure functions on the scene classification (SCL).

A fresh scar is dark, and Sen2Cor calls a good part of dark ground cloud shadow (class 3) or dark area (class 2).
Whoever masks these classes throws away what this project looks for. So class 2 is clear here, and class 3 is
shadow only where a cloud stands between the pixel and the sun, which may be the farther off the lower the sun is.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final, NamedTuple

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

CLOUD_TOP_M: Final = 3500.0
"""Height above the ground of the highest clouds that are looked for; higher ones are mostly cirrus."""

LOWEST_SUN: Final = 20.0
"""Elevation below which the sun counts as this high, degrees: Sen2Cor corrects no lower one either."""

_EPOCH: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
_STEP_PX: Final = 2

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

    @property
    def reach_m(self) -> float:
        """How far from a cloud its shadow may lie, metres."""
        return CLOUD_TOP_M / math.tan(math.radians(max(self.elevation, LOWEST_SUN)))


class Margin(NamedTuple):
    """Pixels beyond the left, upper, right and lower side of an image that are looked at for clouds only."""

    left: int
    top: int
    right: int
    bottom: int


NO_MARGIN: Final = Margin(0, 0, 0, 0)


def margin_towards(sun: Sun | None) -> Margin:
    """The margin that holds every cloud whose shadow may lie in an image; on all sides where the sun isn't known."""
    if sun is None:
        return Margin(*[math.ceil(Sun(0, LOWEST_SUN).reach_m / SCL_M) + 1] * 4)
    east, south = (sun.reach_m / SCL_M * part for part in _direction(sun))
    return Margin(*(math.ceil(max(0.0, way)) + 1 for way in (-east, -south, east, south)))


def _direction(sun: Sun) -> tuple[float, float]:
    """Towards the sun: eastwards and southwards, together of length 1."""
    return math.sin(math.radians(sun.azimuth)), -math.cos(math.radians(sun.azimuth))


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


def classify(scl: npt.NDArray[np.uint8], sun: Sun | None, margin: Margin = NO_MARGIN) -> npt.NDArray[np.uint8]:
    """What each pixel shows.

    Args:
        scl: scene classification at `SCL_M`, (rows, columns), north up.
        sun: where it stands over the grid. None if that isn't known: then any cloud of the image shades all of it.
        margin: what is looked at for clouds only; with less than `margin_towards` the sun, clouds beyond the edge
            are missed.

    Returns:
        A `Clearness` for each pixel within the margin.
    """
    height, width = scl.shape
    inner = scl[margin.top : height - margin.bottom, margin.left : width - margin.right]
    result = _KINDS[inner]
    rows, columns = np.nonzero(inner == SHADOW)
    shaded = _are_shaded(scl, rows + margin.top, columns + margin.left, sun)
    result[rows[shaded], columns[shaded]] = Clearness.UNCLEAR
    return result


def verified_shadow(scl: npt.NDArray[np.uint8], sun: Sun | None) -> Mask:
    """Pixels of class 3 that have a cloud within reach in the direction of the sun."""
    rows, columns = np.nonzero(scl == SHADOW)
    shaded = _are_shaded(scl, rows, columns, sun)
    mask = np.zeros(scl.shape, bool)
    mask[rows[shaded], columns[shaded]] = True
    return mask


def weights(first: float, last: float, start: int, count: int) -> npt.NDArray[np.float64]:
    """How much of each of `count` pixels from `start` on lies between two edges, 0–1, along one axis."""
    edges = np.arange(start, start + count + 1, dtype=float)
    return np.clip(np.minimum(edges[1:], last) - np.maximum(edges[:-1], first), 0, 1)


def _are_shaded(scl: npt.NDArray[np.uint8], rows: Places, columns: Places, sun: Sun | None) -> Mask:
    """Whether pixels have a cloud in the direction of the sun."""
    shaded = np.zeros(len(rows), bool)
    if not len(rows):
        return shaded
    if sun is None:
        return shaded | _ARE_CLOUDS[scl].any()
    distances = np.arange(0, int(sun.reach_m / SCL_M) + 1, _STEP_PX)
    right, down = (np.rint(part * distances).astype(np.intp) for part in _direction(sun))
    top, left, bottom, right_edge = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    clouds = _clouds(
        scl, top + down.min() - 1, left + right.min() - 1, bottom + down.max() + 1, right_edge + right.max() + 1
    )
    if not clouds.any():
        return shaded
    clouds = _widen(clouds)
    hit = np.zeros((bottom - top, right_edge - left), bool)
    for y, x in zip(down - down.min() + 1, right - right.min() + 1, strict=True):
        hit |= clouds[y : y + hit.shape[0], x : x + hit.shape[1]]
    return hit[rows - top, columns - left]


def _clouds(scl: npt.NDArray[np.uint8], top: int, left: int, bottom: int, right: int) -> Mask:
    """Whether pixels of a part of a classification are clouds that cast shadows; none are beyond its edges."""
    clouds = np.zeros((bottom - top, right - left), bool)
    inside = scl[max(top, 0) : bottom, max(left, 0) : right]
    y, x = max(-top, 0), max(-left, 0)
    clouds[y : y + inside.shape[0], x : x + inside.shape[1]] = _ARE_CLOUDS[inside]
    return clouds


def _widen(mask: Mask) -> Mask:
    """The mask and its neighbours: rays are sampled at every second pixel."""
    wide = mask.copy()
    wide[1:] |= mask[:-1]
    wide[:-1] |= mask[1:]
    tall = wide.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide
