"""The land that a granule sees: relief, land cover, vegetation, fields; the same for all granules of a region."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from burnscar_assets.demo.noise import Floats, block_mean, fractal_noise, generator, upsample
from burnscar_assets.demo.plan import NODE_PX, PIXEL_M, Granule
from burnscar_assets.demo.spectra import Cover, greenness
from burnscar_assets.sampling.randomness import key_of, mix, uniform

FACTORS: Final = (1, 2, 6)
"""Pixels of 10 m to a pixel of 10, 20 and 60 m."""

PARCEL_M = (310.0, 250.0)
HARVEST_SPAN_DAYS = (120, 320)
STUBBLE_DAYS = 35
GROWING_DAYS = 130

TAME = (Cover.CROP_GREEN, Cover.URBAN, Cover.WATER, Cover.LAVA)
"""Covers that fires stop at more often than not: they reach up to every outline, and fewer of them lie within."""

TAME_WITHIN = 0.25
"""What is left within outlines of the share of a TAME cover."""

_NOISE_SPREAD = 0.125
"""Standard deviation of fractal noise over a region, about."""

_FULL_COVER = {
    Cover.CONIFER: 0.82,
    Cover.SHRUB: 0.78,
    Cover.GRASS: 0.75,
    Cover.BARE: 0.10,
    Cover.URBAN: 0.22,
    Cover.WATER: 0.30,
    Cover.LAVA: 0.10,
    Cover.CROP_GREEN: 0.92,
    Cover.CROP_STUBBLE: 0.12,
    Cover.CROP_PLOUGHED: 0.06,
}


@dataclass(frozen=True)
class Biome:
    """What a region is covered with.

    Grass and conifer are shares of the natural vegetation from its driest and its wettest end, with shrub between;
    `special` are shares of the whole for covers that don't follow from wetness.
    """

    grass: float
    conifer: float
    special: dict[Cover, float]
    relief_m: float


BIOMES: Final = {
    "sierra": Biome(0.18, 0.48, {Cover.WATER: 0.03, Cover.BARE: 0.06, Cover.LAVA: 0.03, Cover.CROP_GREEN: 0.03}, 1100),
    "coast_range": Biome(
        0.34, 0.22, {Cover.WATER: 0.02, Cover.BARE: 0.03, Cover.LAVA: 0.02, Cover.CROP_GREEN: 0.10}, 700
    ),
    "chaparral": Biome(0.28, 0.10, {Cover.URBAN: 0.07, Cover.BARE: 0.05, Cover.CROP_GREEN: 0.06}, 800),
    "modoc": Biome(0.30, 0.30, {Cover.LAVA: 0.09, Cover.BARE: 0.06, Cover.CROP_GREEN: 0.05}, 500),
    "foothill": Biome(0.46, 0.14, {Cover.CROP_GREEN: 0.14, Cover.URBAN: 0.03, Cover.WATER: 0.02}, 450),
}

_SPECIAL_CELL_M = {
    Cover.CROP_GREEN: 3200.0,
    Cover.URBAN: 2200.0,
    Cover.BARE: 700.0,
    Cover.LAVA: 1100.0,
    Cover.WATER: 1500.0,
}


@dataclass(frozen=True)
class Level:
    """Land at one ground sampling distance; all arrays have the same square shape.

    `green` is a pixel's share at the height of the season, 0–1; slopes are rise per metre; `parcel` is the number of
    the field, -1 elsewhere.
    """

    cover: npt.NDArray[np.uint8]
    green: Floats
    texture: Floats
    slope_east: Floats
    slope_north: Floats
    parcel: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Land:
    """Land of a granule at 10, 20 and 60 m.

    Levels go by factor (1, 2, 6); parcel keys are (fields, 2) lattice columns and rows.
    """

    levels: dict[int, Level]
    parcel_keys: npt.NDArray[np.int64]


def make_land(seed: int, granule: Granule, wild: npt.NDArray[np.bool_]) -> Land:
    """The land of a granule.

    Fields, towns, lakes and lava are fewer where `wild` holds: 10 m pixels within the outlines of fires.
    """
    finest, parcel_keys = _finest_level(seed, granule, wild)
    levels = {factor: finest if factor == 1 else _coarser(finest, factor) for factor in FACTORS}
    return Land(levels, parcel_keys)


def cover_on(land: Land, level: Level, seed: int, region: str, year: int, day_of_year: int) -> npt.NDArray[np.uint8]:
    """Land cover on a day: each field is green, stubble or ploughed by its own calendar of that year."""
    if not len(land.parcel_keys):
        return level.cover
    phase = uniform(mix(key_of("harvest", seed, region, year), land.parcel_keys[:, 0], land.parcel_keys[:, 1]))
    first, last = HARVEST_SPAN_DAYS
    since_harvest = day_of_year - (first + phase * (last - first))
    state = np.full(len(phase), Cover.CROP_PLOUGHED, np.uint8)
    state[(since_harvest < 0) & (since_harvest > -GROWING_DAYS)] = Cover.CROP_GREEN
    state[(since_harvest >= 0) & (since_harvest < STUBBLE_DAYS)] = Cover.CROP_STUBBLE
    return np.where(level.parcel >= 0, state[level.parcel], level.cover).astype(np.uint8)


def green_on(level: Level, cover: npt.NDArray[np.uint8], day_of_year: int) -> Floats:
    """Green share of each pixel on a day, 0–1."""
    factors = np.array([greenness(c, day_of_year) for c in Cover], np.float32)
    full = np.array([_FULL_COVER[c] for c in Cover], np.float32)
    by_cover = factors * np.where(np.isin(list(Cover), (Cover.CROP_STUBBLE, Cover.CROP_PLOUGHED)), full, 1.0)
    return level.green * by_cover.astype(np.float32)[cover]


def _finest_level(seed: int, granule: Granule, wild: npt.NDArray[np.bool_]) -> tuple[Level, npt.NDArray[np.int64]]:
    biome, frame, size = BIOMES[granule.biome], granule.frame, granule.side_px
    name = (seed, granule.region)
    height = fractal_noise((*name, "height"), frame, 5200, 6, 0.47)
    rise = np.gradient(height * np.float32(biome.relief_m / 0.35), NODE_PX * PIXEL_M)
    wetness = upsample(0.3 * height + 0.7 * fractal_noise((*name, "wetness"), frame, 1900, 5, 0.55), NODE_PX)
    grain = generator(*name, granule.granule_id, "grain").standard_normal((size, size), np.float32)
    cover = _natural_cover(biome, wetness + np.float32(0.012) * grain)
    x_m, y_m = (upsample(c.astype(np.float32), NODE_PX) for c in (frame.x_m, frame.y_m))
    parcels = np.stack((np.floor(x_m / PARCEL_M[0]), np.floor(y_m / PARCEL_M[1])), axis=-1).astype(np.int64)
    for special, share in biome.special.items():
        field = upsample(fractal_noise((*name, int(special)), frame, _SPECIAL_CELL_M[special], 3), NODE_PX)
        within = share * TAME_WITHIN if special in TAME else share
        cover[field > np.where(wild, np.float32(_upper(within)), np.float32(_upper(share)))] = special
    parcel, keys = _number_parcels(parcels, cover == Cover.CROP_GREEN)
    density = upsample(fractal_noise((*name, "density"), frame, 420, 3, 0.6), NODE_PX)
    full = np.array([_FULL_COVER[c] for c in Cover], np.float32)[cover]
    green = np.clip(full * (0.45 + 1.1 * density + np.float32(0.035) * grain), 0, 1).astype(np.float32)
    patches = upsample(fractal_noise((*name, "patches"), frame, 320, 3, 0.7), NODE_PX) - np.float32(0.5)
    texture = (np.float32(0.55) * patches + np.float32(0.022) * grain).astype(np.float32)
    slope_north, slope_east = (upsample(r.astype(np.float32), NODE_PX) for r in (-rise[0], rise[1]))
    return Level(cover, green, texture, slope_east, slope_north, parcel), keys


def _natural_cover(biome: Biome, wetness: Floats) -> npt.NDArray[np.uint8]:
    cover = np.full(wetness.shape, Cover.SHRUB, np.uint8)
    cover[wetness < 1 - _upper(biome.grass, 0.105)] = Cover.GRASS
    cover[wetness > _upper(biome.conifer, 0.105)] = Cover.CONIFER
    return cover


def _upper(share: float, spread: float = _NOISE_SPREAD) -> float:
    """The value that a `share` of noise lies above."""
    return NormalDist(0.5, spread).inv_cdf(1 - share)


def _number_parcels(
    parcels: npt.NDArray[np.int64], is_field: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    number = np.full(is_field.shape, -1, np.int32)
    if not is_field.any():
        return number, np.empty((0, 2), np.int64)
    keys, inverse = np.unique(parcels[is_field], axis=0, return_inverse=True)
    number[is_field] = inverse.ravel().astype(np.int32)
    return number, keys


def _coarser(level: Level, factor: int) -> Level:
    middle = slice(factor // 2, None, factor)
    return Level(
        cover=level.cover[middle, middle],
        green=block_mean(level.green, factor),
        texture=block_mean(level.texture, factor),
        slope_east=block_mean(level.slope_east, factor),
        slope_north=block_mean(level.slope_north, factor),
        parcel=level.parcel[middle, middle],
    )
