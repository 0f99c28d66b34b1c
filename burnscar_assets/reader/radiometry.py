"""What the numbers of a scene are worth: evidence on one side, a decision on the other.

Numbers of most sensors have one scale (rule `fixed`), and what files and items state must agree with it. Those of
Sentinel-2 may carry an offset (rule `sentinel2-baseline`): from processing baseline 04.00 on, ESA adds 1000 to each.
Archives take it off, or don't, and say so in a flag, in `raster:bands`, in tags of their files, or nowhere. What is
said may be wrong, so the pixels are asked first: with the offset, hardly any pixel lies below 1000, and ground without
light or reflectance lies at it; without, nearly every scene has ground below. Where the pixels prove nothing (bright
desert, ice, cloud), a neighbour in time may (`neighbours.py`); else what is said decides if it agrees; if it doesn't,
the scene is set aside. Numbers of this module are digital numbers: reflectance × 10,000.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from burnscar_assets.errors import InputError
from burnscar_assets.reader.pixels import Radiometry, radiometry_of_item
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN, DN_PER_REFLECTANCE, RadiometryRule, Role, Sensor

OFFSET_FROM_BASELINE: Final = 4.0

BASELINE: Final = "s2:processing_baseline"
OFFSET_APPLIED: Final = "earthsearch:boa_offset_applied"
RASTER_BANDS: Final = "raster:bands"
OF_RADIOMETRY: Final = (BASELINE, OFFSET_APPLIED, RASTER_BANDS)
"""Properties of items that say what their scenes' numbers are worth."""

BY_BASELINE: Final = "processing baseline"
BY_STORE: Final = "the tile store"

SAMPLED: Final[tuple[Role, ...]] = (
    "swir2", "blue", "swir1", "red", "nir_narrow", "green", "rededge1", "nir", "coastal", "water_vapour", "rededge2",
    "rededge3",
)  # fmt: skip
"""Bands in the order in which they tell most: water and shadow are dark in all of them, plants in the first ones."""

BANDS_SAMPLED: Final = 3
FEWEST_PIXELS: Final = 200

DARK_DN: Final = 800
"""With the offset, no ground has numbers below: reflectance of −0.02."""

DARK_SHARE: Final = 0.01
"""Share of a band's pixels below `DARK_DN` that proves that there is no offset."""

BRIGHT_SHARE: Final = 0.001
"""Share that an offset leaves room for: noise, and shadows that were corrected too far."""

DARKEST_WITH_OFFSET: Final = (930, 1150)
"""Where the first percentile of a band with dark ground lies if the offset is still there."""

VISIBLE: Final[tuple[Role, ...]] = ("coastal", "blue", "green", "red")
LARGEST_REFLECTANCE: Final = 2.5
SMALLEST_DN_RANGE: Final = 300
LARGEST_DN: Final = 30_000

Floats = npt.NDArray[np.float64]


class Shown(StrEnum):
    """What pixels show of the offset."""

    WITH = "with"
    WITHOUT = "without"
    UNPROVED = "not proved"


@dataclass(frozen=True)
class BandSample:
    """What is known of the numbers of a band of a scene.

    Attributes:
        band: name of the band.
        count: pixels with data.
        dark_share: share of them below `DARK_DN`, 0–1.
        low, middle, high: percentiles 1, 50 and 99.9.
        visible: whether it is of visible light, whose haze proves nothing.
    """

    band: str
    count: int
    dark_share: float
    low: float
    middle: float
    high: float
    visible: bool

    @classmethod
    def of(cls, band: str, numbers: npt.NDArray[Any], *, visible: bool) -> "BandSample | None":
        """Of pixels with data; None where there are too few."""
        if numbers.size < FEWEST_PIXELS:
            return None
        low, middle, high = np.quantile(numbers, (0.01, 0.5, 0.999)).tolist()
        return cls(band, int(numbers.size), float((numbers < DARK_DN).mean()), low, middle, high, visible)

    def __str__(self) -> str:
        return f"{self.band}: 1 % below {self.low:.0f}, {100 * self.dark_share:.2f} % below {DARK_DN}"


@dataclass(frozen=True)
class Statement:
    """What somebody (a property of the item, files' tags, the product's metadata, the source) says of the offset.

    `offset_dn` is what the numbers are said to carry still, 0 or more.
    """

    by: str
    offset_dn: int
    text: str

    def __str__(self) -> str:
        return f"{self.by}: {self.text}"


@dataclass(frozen=True)
class Evidence:
    """What numbers over the same ground show beside those of a neighbour in time, and in words.

    `offset_dn` is what they carry; -1000 where the offset was taken off twice, None if nothing is proved.
    """

    offset_dn: int | None
    text: str


@dataclass(frozen=True)
class Conversion:
    """Digital number = number × factor + shift."""

    factor: float = 1.0
    shift: float = 0.0

    def apply(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Digital numbers, rounded; what is no data is converted too."""
        if self.factor == 1 and numbers.dtype.kind in "iu" and float(self.shift).is_integer():
            return numbers.astype(np.int64 if numbers.dtype.itemsize > 2 else np.int32) + int(self.shift)
        return np.rint(numbers.astype(np.float64) * self.factor + self.shift)


@dataclass(frozen=True)
class RadiometryDecision:
    """What is made of the evidence on a scene.

    Attributes:
        scene: name of the scene.
        usable: whether it can be used; if not, it is set aside.
        offset_dn: what is taken off its digital numbers.
        decided_by: `pixels`, `neighbour`, `statements`, `sensor` or `nothing`.
        evidence_for, evidence_against: what speaks for the decision, and against it.
    """

    scene: str
    usable: bool
    offset_dn: int
    decided_by: str
    evidence_for: tuple[str, ...] = ()
    evidence_against: tuple[str, ...] = ()

    @property
    def is_proved(self) -> bool:
        """Whether the scene's own pixels prove it."""
        return self.decided_by == "pixels"

    @property
    def reason(self) -> str:
        """Why a scene is set aside; empty if it isn't."""
        if self.usable:
            return ""
        return f"what the numbers of scene {self.scene} are worth is in doubt: {'; '.join(self.evidence_against)}"


def conversion_of_sensor(sensor: Sensor) -> Conversion | None:
    """From numbers of a sensor's files to digital numbers, but for an offset that is to be proved; None if they are."""
    rule = sensor.radiometry
    found = Conversion(rule.scale * DN_PER_REFLECTANCE, rule.offset * DN_PER_REFLECTANCE)
    return None if found == Conversion() else found


def decide_fixed(scene: str, sensor: Sensor, dtypes: Iterable[str], stated: Iterable[Radiometry]) -> RadiometryDecision:
    """Whether numbers of a sensor with one scale can be taken for what the sensor's file says.

    A scene with files of another type whose scale nothing states, or of which another scale is stated, is set aside.
    """
    rule = sensor.radiometry
    said = f"{sensor.title} has scale {rule.scale:g} and offset {rule.offset:g}"
    others = sorted({f"scale {s.scale:g}, offset {s.offset:g} is stated" for s in stated if not _is_alike(s, rule)})
    others += [f"numbers are of type {dtype}, not {sensor.dtype}" for dtype in sorted({*dtypes} - {sensor.dtype})]
    if others:
        return RadiometryDecision(scene, False, 0, "nothing", (), (said, *others))
    return RadiometryDecision(scene, True, 0, "sensor", (said,))


def _is_alike(stated: Radiometry, rule: RadiometryRule) -> bool:
    return math.isclose(stated.scale, rule.scale, rel_tol=1e-6) and math.isclose(
        stated.offset, rule.offset, rel_tol=1e-6, abs_tol=1e-9
    )


def what_pixels_show(samples: Iterable[BandSample]) -> Shown:
    """Whether digital numbers carry the offset, as far as they prove it."""
    known = list(samples)
    if any(sample.dark_share >= DARK_SHARE for sample in known):
        return Shown.WITHOUT
    if any(sample.dark_share > BRIGHT_SHARE for sample in known):
        return Shown.UNPROVED
    least, most = DARKEST_WITH_OFFSET
    dark = [s for s in known if least <= s.low <= most and s.high > s.low]
    proved = len(dark) > 1 and any(not sample.visible for sample in dark)
    return Shown.WITH if proved else Shown.UNPROVED


def decide(
    scene: str,
    statements: Sequence[Statement],
    samples: Sequence[BandSample],
    overruled: Sequence[Statement] = (),
    neighbour: Evidence | None = None,
) -> RadiometryDecision:
    """What is to be taken off a scene's numbers.

    Args:
        scene: its name.
        statements: all that is said of it.
        samples: of its numbers.
        overruled: what is said, too, but yields to the statements; shown only.
        neighbour: what a neighbour in time shows, if one was asked.

    Returns:
        The decision: by the pixels where they prove one, else by its neighbour, else by statements that agree, else
        that it is set aside; so are numbers that an offset was taken off twice, as the darkest of them are lost.
        That there is an offset is no proof against a baseline that never had one: ground may be as bright.
    """
    shown = what_pixels_show(samples)
    unproved = f"pixels prove nothing ({'; '.join(map(str, samples)) or 'no pixels'})"
    beside = [neighbour.text] if neighbour else []
    seen = neighbour.offset_dn if neighbour else None
    offsets = {statement.offset_dn for statement in statements}
    never_added = offsets == {0} and any(statement.by in (BY_BASELINE, BY_STORE) for statement in statements)
    if shown is not Shown.UNPROVED and not (shown is Shown.WITH and never_added):
        offset, by = BASELINE_OFFSET_DN if shown is Shown.WITH else 0, "pixels"
        proof = [f"pixels show numbers {shown} the offset ({'; '.join(map(str, samples))})"]
        doubt = []
    elif seen is not None and seen >= 0 and not (seen and never_added):
        offset, by = seen, "neighbour"
        proof, doubt = beside, [unproved]
    elif len(offsets) == 1 and (seen is None or seen >= 0):
        offset, by = offsets.pop(), "statements"
        proof, doubt = [], [unproved, *beside]
    else:
        said = [str(s) for s in (*statements, *overruled)] or ["nothing is said of the offset"]
        by = "nothing" if seen is None else "neighbour"
        return RadiometryDecision(scene, False, 0, by, (), (*said, unproved, *beside))
    everything = (*statements, *overruled)
    agree = [str(s) for s in everything if s.offset_dn == offset]
    against = tuple(str(s) for s in everything if s.offset_dn != offset)
    return RadiometryDecision(scene, True, offset, by, (*proof, *agree), (*against, *doubt))


def statements_of_item(properties: Mapping[str, Any], baseline: str) -> list[Statement]:
    """What an item says of the offset, by its recorded properties and its baseline, such as 05.09; empty if unknown."""
    of_assets = [
        said
        for stated in stated_of_item(properties)
        if (said := statement_of_scale(RASTER_BANDS, stated.scale, stated.offset)) is not None
    ]
    return [*_of_flag_and_baseline(_as_bool(properties.get(OFFSET_APPLIED)), baseline), *of_assets]


def stated_of_item(properties: Mapping[str, Any]) -> list[Radiometry]:
    """The scales and offsets that an item's properties state of its bands, each once."""
    return [Radiometry(*pair) for pair in {tuple(pair) for pair in (properties.get(RASTER_BANDS) or {}).values()}]


def _of_flag_and_baseline(taken_off: bool | None, baseline: str) -> list[Statement]:
    """A flag says more than a baseline, which only says what ESA did; where none was added, none is left."""
    try:
        added = float(baseline) >= OFFSET_FROM_BASELINE
    except ValueError:
        added = None
    flagged = [Statement(OFFSET_APPLIED, 0, "true, the offset was taken off")] if taken_off else []
    if flagged and added is not False:
        return flagged
    if taken_off is False and added is not False:
        return [Statement(OFFSET_APPLIED, BASELINE_OFFSET_DN, "false, the offset was not taken off")]
    if added is None:
        return []
    return [
        *flagged,
        Statement(
            BY_BASELINE, BASELINE_OFFSET_DN if added else 0, f"{baseline} {'adds an' if added else 'has no'} offset"
        ),
    ]


def raster_bands(assets: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Scale and offset that the assets of a STAC item state, by key: what `RASTER_BANDS` holds among its properties.

    Entries that say nothing, or nothing that can be, are left out.
    """
    found = {}
    for key, asset in assets.items():
        entries = asset.get("raster:bands") or asset.get("bands") or [asset]
        stated = _stated(entries[0]) if isinstance(entries, Sequence) and len(entries) == 1 else None
        if stated is not None:
            found[key] = (stated.scale, stated.offset)
    return found


def _stated(entry: Any) -> Radiometry | None:
    try:
        return radiometry_of_item(entry, "") if isinstance(entry, Mapping) else None
    except InputError:
        return None


def statement_of_scale(by: str, scale: float, offset: float) -> Statement | None:
    """What a scale and offset of reflectance say of the offset of digital numbers, by whom; None for another scale."""
    if not is_standard(scale):
        return None
    return Statement(by, round(-offset * DN_PER_REFLECTANCE), f"scale {scale:g}, offset {offset:g}")


def is_standard(scale: float) -> bool:
    """Whether numbers of this scale are digital numbers of Sentinel-2."""
    return abs(scale * DN_PER_REFLECTANCE - 1) < 1e-6


def prefer_files(
    of_item: Sequence[Statement], of_files: Sequence[Statement]
) -> tuple[list[Statement], list[Statement]]:
    """All that is said, and what of it yields: a bare baseline, to what the files say of their own numbers."""
    files = [*{statement.offset_dn: statement for statement in of_files}.values()]
    yields = [statement for statement in of_item if files and statement.by == BY_BASELINE]
    return [*(statement for statement in of_item if statement not in yields), *files], yields


def conversion_of_range(dtype: npt.DTypeLike, samples: Sequence[npt.NDArray[Any]]) -> Conversion | None:
    """How numbers become digital numbers where no scale is stated, by their type and range; None if that is in doubt.

    `samples` are the pixels with data of each band that was sampled.
    """
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        return Conversion() if kind.itemsize > 1 else None
    numbers = np.concatenate([np.ravel(sample) for sample in samples]) if samples else np.zeros(0)
    if not numbers.size:
        return None
    middle, high = np.quantile(numbers, (0.5, 0.999)).tolist()
    if high <= LARGEST_REFLECTANCE and middle > 0:
        return Conversion(DN_PER_REFLECTANCE)
    return Conversion() if SMALLEST_DN_RANGE <= high <= LARGEST_DN else None


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None if value is None else bool(value)
