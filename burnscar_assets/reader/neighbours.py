"""Neighbours in time: scenes of the same ground that prove what numbers are worth where dark targets don't.

An offset is added to all ground alike: it moves numbers by 1000 and leaves their contrast. Season, haze, cloud and snow
change the contrast, differ from band to band, or move numbers by less; then a comparison proves nothing.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from burnscar_assets.catalog.footprints import mgrs_tile
from burnscar_assets.catalog.items import FALLBACK_SCENE, SerializedItem, acquisition_time, processing_baseline
from burnscar_assets.reader.radiometry import FEWEST_PIXELS, VISIBLE, Evidence, Floats, statements_of_item
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN, Role, Sensor

SHORTWAVE: Role = "swir2"
COMPARED = (*VISIBLE, SHORTWAVE)
"""Bands that are compared: plants change least in them. One visible band and `SHORTWAVE` must agree."""

CLOSE_DN = 250
"""How far from 0 or ±1000 the median difference may lie: season changes ground by some hundred."""

LARGEST_SPREAD_DN = 300
"""Interquartile range of the differences that is still one shift."""

LEAST_CORRELATION = 0.7
"""Of the two scenes' numbers: what an offset is added to is still the same ground; cloud and snow hide it."""

CONTRAST_KEPT = (0.85, 1.18)
"""Ratio of the scene's contrast to its neighbour's: an offset leaves it, haze lowers it, more light raises it."""

LARGEST_TILT_DN = 200
"""What a change of contrast may make of the median: as much light is more on bright ground."""


def nearest_in_time(scene: SerializedItem, candidates: Iterable[SerializedItem]) -> SerializedItem | None:
    """The scene that another one is compared with, by what is known before anything is read.

    Of the candidates of the same source and MGRS tile whose own statements don't contradict each other, the nearest
    in time, ties by name; None if there is none, or the scene has no time.
    """
    taken = acquisition_time(scene)
    if taken is None:
        return None
    found = [
        (abs(time - taken), item["name"], item)
        for item in candidates
        if item["name"] != scene["name"]
        and (time := acquisition_time(item)) is not None
        and _place(item) == _place(scene)
        and len(_offsets(item)) <= 1
    ]
    return min(found, key=lambda entry: entry[:2])[2] if found else None


def compare(
    neighbour: str, bands: Mapping[str, tuple[np.ma.MaskedArray, np.ma.MaskedArray]], sensor: Sensor
) -> Evidence:
    """What all compared bands of a scene show alike beside a neighbour that is proved; else nothing is proved.

    Args:
        neighbour: its name.
        bands: by band, digital numbers of the scene as they are, and of the neighbour without an offset; the same
            pixels in the same order, those without data masked.
        sensor: whose scenes they are.
    """
    shifts = {band: _shift(*pair) for band, pair in sorted(bands.items()) if band in sensor.bands_of(COMPARED)}
    measured = ", ".join(f"{band} {text}" for band, (_, text) in shifts.items()) or "no bands in common"
    offsets = {offset for offset, _ in shifts.values()}
    visible = shifts.keys() & {*sensor.bands_of(VISIBLE)}
    if sensor.band(SHORTWAVE) in shifts and visible and len(offsets) == 1 and None not in offsets:
        (offset,) = offsets
        return Evidence(offset, f"numbers over the same ground, beside those of neighbour {neighbour}: {measured}")
    return Evidence(None, f"neighbour {neighbour} proves nothing ({measured})")


def _shift(scene: np.ma.MaskedArray, neighbour: np.ma.MaskedArray) -> tuple[int | None, str]:
    """By which multiple of the offset the darker half of the common ground is shifted, if by any; and in words."""
    common = ~(np.ma.getmaskarray(scene) | np.ma.getmaskarray(neighbour))
    mine: Floats = scene.data[common].astype(np.float64)
    other: Floats = neighbour.data[common].astype(np.float64)
    if mine.size < 2 * FEWEST_PIXELS:
        return None, f"has {mine.size} pixels in common"
    darker = mine + other <= np.median(mine + other)
    mine, other = mine[darker], other[darker]
    middle = float(np.median(mine - other))
    spread, contrast, before = _quartile_range(mine - other), _quartile_range(mine), _quartile_range(other)
    text = f"{middle:+.0f} ± {spread / 2:.0f}"
    if spread > LARGEST_SPREAD_DN or not contrast or not before:
        return None, text
    correlation = float(np.corrcoef(mine, other)[0, 1])
    tilt = abs(contrast / before - 1) * float(np.median(other))
    least, most = CONTRAST_KEPT
    is_same = correlation >= LEAST_CORRELATION and least <= contrast / before <= most and tilt <= LARGEST_TILT_DN
    offset = round(middle / BASELINE_OFFSET_DN) * BASELINE_OFFSET_DN
    is_close = abs(offset) <= BASELINE_OFFSET_DN and abs(middle - offset) <= CLOSE_DN
    return (offset if is_same and is_close else None), text


def _quartile_range(numbers: Floats) -> float:
    low, high = np.quantile(numbers, (0.25, 0.75)).tolist()
    return float(high - low)


def _place(item: SerializedItem) -> tuple[str, bool]:
    tile = mgrs_tile({"id": item["name"], "properties": item.get("properties")})
    return tile, bool(item.get(FALLBACK_SCENE))


def _offsets(item: SerializedItem) -> set[int]:
    said = statements_of_item(item.get("properties") or {}, processing_baseline(item))
    return {statement.offset_dn for statement in said}
