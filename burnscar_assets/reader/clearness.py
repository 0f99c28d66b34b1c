"""Which pixels of a scene show the ground: a rule for each kind of quality file, and pure functions on what it says.

A fresh scar is dark, and Sen2Cor and CFMask call a good part of dark ground cloud shadow. Whoever masks it throws away
what this project looks for. So shadow counts only where a cloud stands between the pixel and the sun, which may be the
farther off the lower the sun is. Snow, water and haze are ground that is seen. Sources: Sen2Cor's scene classification
(Sentinel-2 L2A); QA_PIXEL of Landsat Collection 2 (USGS, LSDS-1619); Fmask of HLS 2.0 (User Guide, table 9).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from burnscar_assets.sensors.sensor import ClearGround

Numbers = npt.NDArray[np.integer]
Kinds = npt.NDArray[np.uint8]


class Kind(IntEnum):
    """What a pixel of a quality file says of the ground."""

    NO_DATA = 0
    VEILED = 1
    """Cirrus, or what lies next to a cloud: the ground isn't seen, and no shadow is cast."""
    CLEAR = 2
    CLOUD = 3
    """The ground isn't seen, and a shadow is cast."""
    SHADOW = 4
    """Called shadow: clear ground, unless a cloud stands towards the sun."""


@dataclass(frozen=True)
class Rule:
    """How a quality file is read: type of its numbers, its number beyond the scene, and the `Kind` of each number."""

    dtype: str
    nodata: int
    kinds: Kinds

    @classmethod
    def of(cls, dtype: str, nodata: int, kinds: Callable[[Numbers], Kinds]) -> "Rule":
        """The rule of a function that tells the kinds of numbers."""
        return cls(dtype, nodata, kinds(np.arange(np.iinfo(dtype).max + 1)))


def scl(classes: Numbers) -> Kinds:
    """Kinds of Sentinel-2's scene classification."""
    return np.select(
        [np.isin(classes, (0, 1)), np.isin(classes, (8, 9)), classes == 10, classes == 3],
        [Kind.NO_DATA, Kind.CLOUD, Kind.VEILED, Kind.SHADOW],
        Kind.CLEAR,
    ).astype(np.uint8)


def qa_pixel(numbers: Numbers) -> Kinds:
    """Kinds of Landsat's QA_PIXEL: bit 0 fill, 1 dilated cloud, 2 cirrus, 3 cloud, 4 cloud shadow."""
    return np.select(
        [_bit(numbers, 0), _bit(numbers, 3), _bit(numbers, 1) | _bit(numbers, 2), _bit(numbers, 4)],
        [Kind.NO_DATA, Kind.CLOUD, Kind.VEILED, Kind.SHADOW],
        Kind.CLEAR,
    ).astype(np.uint8)


def fmask(numbers: Numbers) -> Kinds:
    """Kinds of HLS's Fmask: 255 no data, bit 1 cloud, 2 next to cloud or its shadow, 3 cloud shadow."""
    return np.select(
        [numbers == 255, _bit(numbers, 1), _bit(numbers, 3), _bit(numbers, 2)],
        [Kind.NO_DATA, Kind.CLOUD, Kind.SHADOW, Kind.VEILED],
        Kind.CLEAR,
    ).astype(np.uint8)


def _bit(numbers: Numbers, place: int) -> npt.NDArray[np.bool_]:
    return (numbers >> place & 1).astype(bool)


RULES: Final = {
    "scl": Rule.of("uint8", 0, scl),
    "qa_pixel": Rule.of("uint16", 1, qa_pixel),
    "fmask": Rule.of("uint8", 255, fmask),
}
"""By the name that a sensor's file gives."""


CLOUD_TOP_M: Final = 3500.0
"""Height above the ground of the highest clouds that are looked for; higher ones are mostly cirrus."""

LOWEST_SUN: Final = 20.0
"""Elevation below which the sun counts as this high, degrees: Sen2Cor corrects no lower one either."""

_EPOCH: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
_STEP_PX: Final = 2

Classes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


class Clearness(IntEnum):
    """What a pixel of a scene shows."""

    NO_DATA = 0
    UNCLEAR = 1
    CLEAR = 2


_CLEARNESS: Final = np.zeros(len(Kind), np.uint8)
_CLEARNESS[[Kind.CLEAR, Kind.SHADOW]] = Clearness.CLEAR
_CLEARNESS[[Kind.VEILED, Kind.CLOUD]] = Clearness.UNCLEAR


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


def margin_towards(sun: Sun | None, metres: float) -> Margin:
    """The margin, in pixels of so many metres, that holds every cloud whose shadow may lie in an image.

    Without a sun it is all around.
    """
    if sun is None:
        return Margin(*[math.ceil(Sun(0, LOWEST_SUN).reach_m / metres) + 1] * 4)
    east, south = (sun.reach_m / metres * part for part in _direction(sun))
    return Margin(*(math.ceil(max(0.0, way)) + 1 for way in (-east, -south, east, south)))


def _direction(sun: Sun) -> tuple[float, float]:
    """Towards the sun: eastwards and southwards, together of length 1."""
    return math.sin(math.radians(sun.azimuth)), -math.cos(math.radians(sun.azimuth))


def is_clear_enough(clear_fraction: npt.NDArray[np.floating], least: float) -> Mask:
    """Which windows show enough of the ground to be trained on and scored: the one place that decides.

    `clear_fraction` is the share of each window that is clear, `least` is `imagery.min_clear_fraction`, both 0–1. A
    window of which no quality file tells (NaN) counts, since nothing speaks against it.
    """
    return ~(clear_fraction < least)


def runs_of(mask: Mask) -> str:
    """The pixels of a mask, (height, width), as a text: `first+count` of each run, row by row from 0."""
    edges = np.flatnonzero(np.diff(mask.ravel(), prepend=False, append=False))
    return " ".join(f"{first}+{last - first}" for first, last in edges.reshape(-1, 2))


def mask_of(runs: str, shape: tuple[int, int]) -> Mask:
    """The mask, (height, width), of what `runs_of` gave; of several such texts together, of the pixels of any."""
    mask = np.zeros(shape, bool)
    for run in runs.split():
        first, count = map(int, run.split("+"))
        mask.flat[first : first + count] = True
    return mask


def at_pixels(classes: Classes, left: int, top: int, bounds: Sequence[int], scale: float) -> Classes:
    """What a quality file says at the centre of each pixel of an image.

    Args:
        classes: of the part of the quality file that the image touches.
        left: its first column, in pixels of the quality file.
        top: its first row.
        bounds: of the image in its own pixels: left, top, right and bottom.
        scale: side of the image's pixels over that of the quality file's.

    Returns:
        (height, width) of the image.
    """
    rows = np.floor((np.arange(bounds[1], bounds[3]) + 0.5) * scale).astype(int) - top
    columns = np.floor((np.arange(bounds[0], bounds[2]) + 0.5) * scale).astype(int) - left
    return classes[np.ix_(rows, columns)]


def sun_at(moment: datetime, longitude: float, latitude: float) -> Sun:
    """The sun's position, to a tenth of a degree or so (low-precision formulas of the Astronomical Almanac).

    The moment has its zone, the place is in degrees.
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


def classify(
    numbers: npt.NDArray[np.integer], ground: ClearGround, sun: Sun | None, margin: Margin = NO_MARGIN
) -> npt.NDArray[np.uint8]:
    """What each pixel shows.

    Args:
        numbers: of the quality file, (rows, columns), north up.
        ground: its rule, and the side of a pixel.
        sun: where it stands over the grid. None if that isn't known: then any cloud of the image shades all of it.
        margin: what is looked at for clouds only; with less than `margin_towards` the sun, clouds beyond the edge
            are missed.

    Returns:
        A `Clearness` for each pixel within the margin.
    """
    kinds = RULES[ground.rule].kinds[numbers]
    height, width = kinds.shape
    inner = kinds[margin.top : height - margin.bottom, margin.left : width - margin.right]
    result = _CLEARNESS[inner]
    rows, columns = np.nonzero(inner == Kind.SHADOW)
    shaded = _are_shaded(kinds, rows + margin.top, columns + margin.left, sun, ground.metres)
    result[rows[shaded], columns[shaded]] = Clearness.UNCLEAR
    return result


def weights(first: float, last: float, start: int, count: int) -> npt.NDArray[np.float64]:
    """How much of each of `count` pixels from `start` on lies between two edges, 0–1, along one axis."""
    edges = np.arange(start, start + count + 1, dtype=float)
    return np.clip(np.minimum(edges[1:], last) - np.maximum(edges[:-1], first), 0, 1)


def _are_shaded(kinds: Kinds, rows: Places, columns: Places, sun: Sun | None, metres: float) -> Mask:
    """Whether pixels have a cloud in the direction of the sun."""
    shaded = np.zeros(len(rows), bool)
    if not len(rows):
        return shaded
    if sun is None:
        return shaded | (kinds == Kind.CLOUD).any()
    distances = np.arange(0, int(sun.reach_m / metres) + 1, _STEP_PX)
    right, down = (np.rint(part * distances).astype(np.intp) for part in _direction(sun))
    top, left, bottom, right_edge = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    clouds = _clouds(
        kinds, top + down.min() - 1, left + right.min() - 1, bottom + down.max() + 1, right_edge + right.max() + 1
    )
    if not clouds.any():
        return shaded
    clouds = _widen(clouds)
    hit = np.zeros((bottom - top, right_edge - left), bool)
    for y, x in zip(down - down.min() + 1, right - right.min() + 1, strict=True):
        hit |= clouds[y : y + hit.shape[0], x : x + hit.shape[1]]
    return hit[rows - top, columns - left]


def _clouds(kinds: Kinds, top: int, left: int, bottom: int, right: int) -> Mask:
    """Whether pixels of a part of an image are clouds that cast shadows; none are beyond its edges."""
    clouds = np.zeros((bottom - top, right - left), bool)
    inside = kinds[max(top, 0) : bottom, max(left, 0) : right]
    y, x = max(-top, 0), max(-left, 0)
    clouds[y : y + inside.shape[0], x : x + inside.shape[1]] = inside == Kind.CLOUD
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
