"""What the numbers of a scene's quality file mean: a rule for each kind of file that a sensor may have.

A fresh scar is dark, and Sen2Cor and CFMask call a good part of dark ground cloud shadow. Whoever masks it throws away
what this project looks for. So shadow is a kind of its own here, which `clearness.py` looks for a cloud to. Snow, water
and haze are ground that is seen. Sources: Sen2Cor's scene classification (Sentinel-2 L2A); QA_PIXEL of Landsat
Collection 2 (USGS, LSDS-1619); Fmask of HLS 2.0 (User Guide, table 9).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

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
    """How a quality file is read.

    Attributes:
        dtype: of its numbers.
        nodata: its number beyond the scene.
        kinds: the `Kind` of each number, by the number.
    """

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
