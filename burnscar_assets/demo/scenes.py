"""Rendering one scene: land, burns, sun and sky become Sentinel-2 L2A digital numbers and a scene classification."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from burnscar_assets.demo.burns import BurnLayer, BurnState, burn_state, fire_ground, make_burn_layers
from burnscar_assets.demo.clouds import THICK, Sky, Sun, make_sky, sun_at
from burnscar_assets.demo.noise import Floats, block_mean, generator
from burnscar_assets.demo.plan import PIXEL_M, Burn, Granule, ScenePlan
from burnscar_assets.demo.season import RESPONSE, stress_on, weather_on
from burnscar_assets.demo.spectra import (
    BAND_RESOLUTION_M,
    BANDS,
    CHAR,
    CLOUD,
    SKYLIGHT,
    SMOKE,
    SMOKE_DN,
    TEXTURE,
    Cover,
    green_table,
    ground_table,
)
from burnscar_assets.demo.terrain import FACTORS, Land, Level, cover_on, green_on, make_land
from burnscar_assets.regions.load import working_region
from burnscar_assets.sensors.sensor import BASELINE_OFFSET_DN

SCL_RESOLUTION_M = 20
CLOUDY_CLASSES: Final = (8, 9, 10)
SENSOR_NOISE_DN = 9
SHIFT_M = (3.0, 10.0)
"""How far a scene lies beside its place: 0.3–1 pixel of 10 m."""

_DARKEST_DN = 1
_BRIGHTEST_DN = 65_535


@dataclass(frozen=True)
class Ground:
    """What doesn't change from scene to scene: the land of a granule and its burns."""

    seed: int
    granule: Granule
    land: Land
    burns: list[BurnLayer]


@dataclass(frozen=True)
class Scene:
    """A rendered scene.

    Bands are uint16 digital numbers, each at its native ground sampling distance, 0 without data; SCL is at 20 m; cloud
    cover is the percentage of pixels with data that SCL calls cloud or cirrus.
    """

    bands: dict[str, npt.NDArray[np.uint16]]
    classification: npt.NDArray[np.uint8]
    cloud_cover: float


@dataclass(frozen=True)
class _View:
    """One ground sampling distance of a scene, ready for its bands."""

    cover: npt.NDArray[np.uint8]
    green: Floats
    char: Floats
    texture: Floats
    stress: Floats
    light: Floats
    shift_px: tuple[float, float]
    smoke: Floats
    opacity: Floats | None
    shadow: Floats | None
    cirrus: Floats | None
    outside: npt.NDArray[np.bool_]


def make_ground(seed: int, granule: Granule, burns: tuple[Burn, ...]) -> Ground:
    """Land and burns of a granule; kept for all of its scenes."""
    land = make_land(seed, granule, fire_ground(granule, burns))
    return Ground(seed, granule, land, make_burn_layers(seed, granule, burns, land.levels[1].cover))


def render(ground: Ground, scene: ScenePlan) -> Scene:
    """Draw a scene; the same ground and plan give the same pixels."""
    rng = generator(ground.seed, "pixels", scene.granule.granule_id, scene.acquired.isoformat())
    sun = sun_at(scene.acquired, scene.granule.centre_lonlat[1])
    sky = make_sky(ground.seed, scene, sun)
    state = burn_state(ground.burns, ground.land.levels[1].cover, scene.acquired.date())
    weather = weather_on(ground.seed, scene)
    views = {factor: _view(ground, scene, sun, sky, state, weather, factor) for factor in FACTORS}
    calibration = rng.normal(1.0, 0.015, len(BANDS)).astype(np.float32)
    reflectance = {
        band: _band(views[BAND_RESOLUTION_M[band] // PIXEL_M], index, calibration[index], rng)
        for index, band in enumerate(BANDS)
    }
    view = views[SCL_RESOLUTION_M // PIXEL_M]
    red, nir = block_mean(reflectance["B04"], 2), reflectance["B8A"]
    scl = _classify(view, red, nir, rng)
    offset = BASELINE_OFFSET_DN if scene.has_offset else 0
    numbers = {
        band: _to_numbers(pixels, views[BAND_RESOLUTION_M[band] // PIXEL_M].outside, offset)
        for band, pixels in reflectance.items()
    }
    inside = max(int((scl > 0).sum()), 1)
    return Scene(numbers, scl, round(100 * float(np.isin(scl, CLOUDY_CLASSES).sum()) / inside, 2))


def outside_swath(scene: ScenePlan, size: int) -> npt.NDArray[np.bool_]:
    """Pixels of a `size` × `size` grid beyond the edge of the swath, which leans as a descending orbit does."""
    if not scene.swath_edge:
        return np.zeros((size, size), bool)
    position = (np.arange(size) + 0.5) / size
    lean = 0.12 * (0.5 - position)[:, None]
    share = abs(scene.swath_edge)
    across = position[None, :] if scene.swath_edge < 0 else 1 - position[None, :]
    return across + (lean if scene.swath_edge < 0 else -lean) < share


def _shift_m(seed: int, scene: ScenePlan) -> tuple[float, float]:
    """How far a scene lies east and south of its place, metres."""
    rng = generator(seed, "shift", scene.granule.region, scene.acquired.isoformat())
    length, turn = rng.uniform(*SHIFT_M), rng.uniform(0, 2 * np.pi)
    return float(length * np.cos(turn)), float(length * np.sin(turn))


def _view(
    ground: Ground, scene: ScenePlan, sun: Sun, sky: Sky, state: BurnState, weather: Floats, factor: int
) -> _View:
    level, granule = ground.land.levels[factor], ground.granule
    region, taken = working_region(), scene.acquired.date()
    day = region.day_of_year(taken)
    cover = cover_on(ground.land, level, ground.seed, granule.region, region.fire_year(taken), day)
    burned = state.at(factor)
    opacity, shadow, cirrus = (
        layer if layer is None or factor == 1 else block_mean(layer, factor)
        for layer in (sky.opacity, sky.shadow, sky.cirrus)
    )
    smoke, weather_here = (layer if factor == 1 else block_mean(layer, factor) for layer in (sky.smoke, weather))
    east_m, south_m = _shift_m(ground.seed, scene)
    return _View(
        cover=cover,
        green=green_on(level, cover, day) * (1 - burned.loss),
        char=burned.char,
        texture=level.texture,
        stress=stress_on(ground.seed, scene, level, weather_here),
        light=_illumination(level, sun),
        shift_px=(east_m / (factor * PIXEL_M), south_m / (factor * PIXEL_M)),
        smoke=smoke,
        opacity=opacity,
        shadow=shadow,
        cirrus=cirrus,
        outside=outside_swath(scene, granule.side_px // factor),
    )


def _illumination(level: Level, sun: Sun) -> Floats:
    """Light on slopes relative to flat land: cosine of incidence, a third of it from the sky."""
    toward_east, toward_north = np.sin(sun.azimuth), np.cos(sun.azimuth)
    steepness = np.sqrt(1 + level.slope_east**2 + level.slope_north**2)
    direct = np.sin(sun.elevation) - np.cos(sun.elevation) * (
        np.float32(toward_east) * level.slope_east + np.float32(toward_north) * level.slope_north
    )
    relative = np.clip(direct / steepness / np.sin(sun.elevation), 0, 1.6)
    return (np.float32(0.35) + np.float32(0.65) * relative).astype(np.float32)


def _band(view: _View, index: int, gain: np.float32, rng: np.random.Generator) -> Floats:
    """Reflectance of one band × 10,000, clouds included."""
    ground, green = ground_table()[:, index], green_table()[:, index]
    pixels = ground[view.cover]
    pixels += view.green * (green - ground)[view.cover]
    pixels += view.char * (CHAR[index] * (1 + view.texture) - pixels)
    pixels *= view.light * (1 + TEXTURE[index] * view.texture)
    pixels *= gain * (1 + RESPONSE[index] * view.stress)
    pixels = _shifted(pixels, *view.shift_px)
    if view.shadow is not None:
        pixels *= 1 - (1 - SKYLIGHT[index]) * view.shadow
    pixels += view.smoke * (SMOKE[index] * (SMOKE_DN - pixels))
    if view.cirrus is not None:
        pixels += view.cirrus * (np.float32(0.6) * CLOUD[index] - pixels)
    if view.opacity is not None:
        pixels += view.opacity * (CLOUD[index] * (1 + np.float32(0.4) * view.texture) - pixels)
    pixels += rng.standard_normal(pixels.shape, np.float32) * np.float32(SENSOR_NOISE_DN)
    return pixels


def _shifted(pixels: Floats, east_px: float, south_px: float) -> Floats:
    """The image moved by less than a pixel, bilinear; at two edges the outermost pixels stay."""
    for axis, part in ((1, east_px), (0, south_px)):
        neighbour = np.roll(pixels, 1 if part > 0 else -1, axis)
        edge = (slice(None),) * axis + (0 if part > 0 else -1,)
        neighbour[edge] = pixels[edge]
        neighbour -= pixels
        neighbour *= np.float32(abs(part))
        pixels = pixels + neighbour
    return pixels


def _classify(view: _View, red: Floats, nir: Floats, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Scene classification after Sen2Cor's classes; dark scars are now and then taken for shadow, as it does."""
    ndvi = (nir - red) / np.maximum(nir + red, 1)
    scl = np.where(ndvi > 0.38, 4, 5).astype(np.uint8)
    scl[nir < 1150] = 2
    scl[(view.cover == Cover.WATER) & (nir < 900)] = 6
    confused = (view.char > 0.6) & (nir < 1250) & (rng.random(scl.shape, np.float32) < 0.45)
    scl[confused] = 3
    for layer, least, scl_class in (
        (view.shadow, 0.3, 3),
        (view.cirrus, 0.06, 10),
        (view.opacity, 0.12, 8),
        (view.opacity, THICK, 9),
    ):
        if layer is not None:
            scl[layer > least] = scl_class
    scl[view.outside] = 0
    return scl


def _to_numbers(pixels: Floats, outside: npt.NDArray[np.bool_], offset: int) -> npt.NDArray[np.uint16]:
    numbers = np.clip(np.rint(pixels) + offset, _DARKEST_DN, _BRIGHTEST_DN).astype(np.uint16)
    numbers[outside] = 0
    return numbers
