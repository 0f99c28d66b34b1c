"""What the numbers of a user's own images are worth, by what the files say, what the user says, and what they show.

A burn ratio needs no scale, but an offset that is left in the numbers, or taken off twice, bends it: left in one image
of a pair, it looks like a fire. So each image has its own radiometry, and what is said is held against its darkest
ground and against the other image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.image_files import Band, Numbers, OpenImage
from burnscar_assets.reader.pixels import Radiometry, stated_radiometry
from burnscar_assets.reader.radiometry import (
    BandSample,
    Conversion,
    Shown,
    conversion_of_range,
    is_standard,
    what_pixels_show,
)
from burnscar_assets.sensors.indices import FloatArray
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN, DN_PER_REFLECTANCE
from burnscar_assets.sensors.sentinel2_files import is_visible, scale_of_product

NEGATIVE_DN: Final = -200
"""Ground without light comes out this low after a correction of the atmosphere, not lower, but for a few pixels."""

NEGATIVE_SHARE: Final = 0.01
SHIFT_DN: Final = (700, 1300)
"""Both bands differing by as much, on most of the ground that two images share, differ by an offset of 1,000."""


@dataclass(frozen=True)
class Measured:
    """An image in reflectance, or in numbers that are proportional to it.

    Attributes:
        label: What messages call it.
        near, short: (height, width) near and short-wave infrared, NaN without data.
        unit: Digital numbers (reflectance × 10,000) that one number of the file is; None if that is not known.
        dn: Digital numbers that a value of the planes is; likewise.
        taken: What was taken off each number of the file.
        notes: What a reader must know.
    """

    label: str
    near: FloatArray
    short: FloatArray
    unit: float | None
    dn: float | None
    taken: float
    notes: tuple[str, ...]


def measured(image: OpenImage, numbers: Numbers, offset: float | None, option: str) -> Measured:
    """Take off what an image's numbers carry, and scale them as its files say.

    Args:
        image: the open image.
        numbers: of it.
        offset: what each number carries, by the user; None: what the files say.
        option: of the command that sets the offset, for notes.

    Raises:
        InputError: the offset leaves nothing, or the files state a scale that can't be.
    """
    near, notes = _radiometry(image, image.nir, offset, option)
    short, _ = _radiometry(image, image.swir, offset, option)
    planes = near.reflectance(numbers.near), short.reflectance(numbers.short)
    _check_something_is_left(image.label, near, planes, numbers, option)
    kind = np.dtype(image.nir.source.dtypes[image.nir.number - 1])
    said = stated_of(image, image.nir)
    unit = _unit_dn(kind, numbers, said)
    dn = None if unit is None else unit * (1 if said is None else 1 / said.scale)
    shown = Shown.UNPROVED if unit is None else what_pixels_show(_samples(numbers, unit))
    if unit is not None and dn is not None:
        said_so = said is not None or offset is not None
        doubts = list(_doubts(image.label, near, shown, unit, option, said_so=said_so))
        notes += doubts or _negative(image.label, planes, dn, option)
    if kind.itemsize == 1:
        notes.append(
            f"{image.label} has numbers of 8 bits, which somebody scaled: the index is right only where 0 stands for "
            "no reflectance and both bands were scaled alike"
        )
    return Measured(image.label, *planes, unit, dn, _in_numbers(near), (*image.notes, *notes))


def stated_of(image: OpenImage, band: Band) -> Radiometry | None:
    """What an image's files say of a band: its tags, or the metadata of the Sentinel-2 product that it lies in."""
    other = image.swir if band is image.nir else image.nir
    if (stated := stated_radiometry(band.source, band.number)) is not None:
        return stated
    of_product = scale_of_product(Path(band.source.name), band.name)
    return Radiometry(*of_product) if of_product else stated_radiometry(other.source, other.number)


def doubts_of_pair(after: Measured, before: Measured) -> Iterator[str]:
    """What speaks for an offset in one image of a pair only, or for one that was taken off twice.

    Args:
        after: the image after the fire.
        before: the one before it, on the same grid.
    """
    if after.dn is None or before.dn is None:
        return
    pairs = ((before.near, after.near), (before.short, after.short))
    shifts = [_median(earlier * before.dn - later * after.dn) for earlier, later in pairs]
    least, most = SHIFT_DN
    for higher, lower, sign, option, other in (
        (before, after, 1, "--offset-before", "--offset"),
        (after, before, -1, "--offset", "--offset-before"),
    ):
        if all(least <= sign * shift <= most for shift in shifts):
            twice = lower.taken * (lower.unit or 1) > BASELINE_OFFSET_DN / 2
            right = higher.taken if twice else BASELINE_OFFSET_DN / (higher.unit or 1)
            why = "the second one's offset had been taken off twice" if twice else "the first still carried an offset"
            yield (
                f"{higher.label} lies about {BASELINE_OFFSET_DN:,} digital numbers above {lower.label} in both bands "
                f"on most of the ground, as if {why}; try {option} {right:g} {other} 0"
            )


def _in_numbers(taken: Radiometry) -> float:
    """What a radiometry takes off each number of a file."""
    return -taken.offset / taken.scale + 0.0


def _median(values: FloatArray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else np.nan


def _check_something_is_left(
    label: str, taken: Radiometry, planes: tuple[FloatArray, FloatArray], numbers: Numbers, option: str
) -> None:
    known = [plane[np.isfinite(plane)] for plane in planes]
    if all(plane.size and not (plane > 0).any() for plane in known):
        largest = max(float(np.nanmax(plane)) for plane in (numbers.near, numbers.short))
        raise InputError(
            f"an offset of {_in_numbers(taken):g} leaves no number of {label} above 0, they reach to "
            f"{largest:g}: give {option} in the file's own numbers"
        )


def _radiometry(image: OpenImage, band: Band, offset: float | None, option: str) -> tuple[Radiometry, list[str]]:
    """What is done to a band's numbers, and whether the user and the files contradict each other."""
    stated = stated_of(image, band)
    if offset is None:
        return stated or Radiometry(), []
    scale = 1.0 if stated is None else stated.scale
    in_file = offset if stated is None else _in_numbers(stated)
    contradicts = not np.isclose(in_file, offset, rtol=1e-3, atol=1e-9)
    notes = []
    if contradicts:
        notes.append(f"{image.label} itself says that each number carries {in_file:.6g}; {option} {offset:g} is taken")
    if offset < 0:
        notes.append(
            f"{option} {offset:g} adds {-offset:g} to each number of {image.label}; it is what a number carries: "
            f"did you mean {-offset:g}?"
        )
    return Radiometry(scale, -offset * scale), notes


def _doubts(label: str, taken: Radiometry, shown: Shown, unit: float, option: str, *, said_so: bool) -> Iterator[str]:
    """Where what is taken off is not what the numbers show."""
    in_numbers, taken_dn = BASELINE_OFFSET_DN / unit, _in_numbers(taken) * unit
    if shown is Shown.WITH and taken_dn < BASELINE_OFFSET_DN / 2:
        yield (
            f"the darkest ground of {label} lies at {in_numbers:g}, as if its numbers still carried Sentinel-2's "
            f"offset; try {option} {in_numbers:g}"
        )
    elif shown is Shown.WITHOUT and taken_dn > BASELINE_OFFSET_DN / 2:
        yield (
            f"{taken_dn / unit:g} is taken off each number of {label}, but much of its ground lies below that, as if "
            f"it had been taken off already; try {option} 0"
        )
    elif shown is Shown.UNPROVED and not said_so:
        yield (
            f"neither {label} nor its darkest ground says whether its numbers carry an offset, as Sentinel-2's do "
            f"since 2022: if so, give {option} {in_numbers:g}"
        )


def _negative(label: str, planes: tuple[FloatArray, FloatArray], dn: float, option: str) -> list[str]:
    """Whether much of the ground has reflectance below what ground can have."""
    known = [plane[np.isfinite(plane)] for plane in planes]
    share = max(float((plane * dn < NEGATIVE_DN).mean()) if plane.size else 0.0 for plane in known)
    if share <= NEGATIVE_SHARE:
        return []
    return [f"{100 * share:.0f} % of the ground of {label} has negative reflectance: is its offset right ({option})?"]


def _unit_dn(kind: np.dtype, numbers: Numbers, stated: Radiometry | None) -> float | None:
    """Digital numbers (reflectance × 10,000) for one number of the file; None if that is not known."""
    if stated is not None and stated.scale != 1.0:
        return DN_PER_REFLECTANCE * stated.scale
    found: Conversion | None = conversion_of_range(kind, list(numbers.samples.values()))
    return None if found is None else found.factor


def _samples(numbers: Numbers, unit: float) -> list[BandSample]:
    if not is_standard(unit / DN_PER_REFLECTANCE) and unit != DN_PER_REFLECTANCE:
        return []
    known = (BandSample.of(name, values * unit, visible=is_visible(name)) for name, values in numbers.samples.items())
    return [sample for sample in known if sample is not None]
