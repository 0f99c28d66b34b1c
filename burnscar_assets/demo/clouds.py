"""Clouds of an acquisition, their shadows, and where the sun stands."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from burnscar_assets.demo.noise import Floats, fractal_noise, generator, upsample
from burnscar_assets.demo.plan import NODE_PX, Granule, ScenePlan

THICK = 0.55
"""Opacity from which a cloud counts as of high probability (SCL 9)."""

CLOUD_HEIGHT_M = (900.0, 2200.0)
LEAST_COVER = 0.005
"""Targets below this are clear skies."""

HAZE = 0.012
"""Opacity of haze on a usual day, in the mean."""

SMOKY_SHARE, SMOKE = 0.3, (0.06, 0.3)
"""Share of days on which smoke drifts over a region, and its opacity where it is thick."""

_EDGE_WIDTH = 0.05


@dataclass(frozen=True)
class Sun:
    """Where the sun stands: elevation above the horizon and azimuth from north by east, radians."""

    elevation: float
    azimuth: float


@dataclass(frozen=True)
class Sky:
    """What lies between land and satellite, at 10 m, 0–1; empty where there is none of it.

    Shadows are without the ground under the clouds themselves; smoke is what takes of the deep blue.
    """

    opacity: Floats | None
    shadow: Floats | None
    cirrus: Floats | None
    smoke: Floats


def sun_at(acquired: datetime, latitude: float) -> Sun:
    """The sun at a Sentinel-2 overpass, about 10:45 local solar time (Spencer's declination, first term)."""
    day = acquired.timetuple().tm_yday
    declination = np.radians(-23.44) * np.cos(2 * np.pi * (day + 10) / 365.25)
    hour_angle, phi = np.radians(-18.75), np.radians(latitude)
    sine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    elevation = float(np.arcsin(sine))
    cosine = (np.sin(declination) - np.sin(elevation) * np.sin(phi)) / (np.cos(elevation) * np.cos(phi))
    return Sun(elevation, float(np.arccos(np.clip(cosine, -1, 1))))


def make_sky(seed: int, scene: ScenePlan, sun: Sun) -> Sky:
    """The clouds of a scene; granules of a region that are seen at one time share them."""
    granule = scene.granule
    name = (seed, "sky", granule.region, scene.acquired.isoformat())
    rng = generator(*name)
    height_m = float(rng.uniform(*CLOUD_HEIGHT_M))
    thin: Floats | None = None
    if rng.random() < 0.18:
        veil = fractal_noise((*name, "cirrus"), granule.frame, 6000, 3)
        thin = upsample(np.clip((veil - 0.52) * 0.7, 0, 0.14).astype(np.float32), NODE_PX)
    smoke = _smoke(name, granule)
    if scene.cloud_target < LEAST_COVER:
        return Sky(None, None, thin, smoke)
    cell_m = float(rng.uniform(1400, 4200))
    field = fractal_noise((*name, "cloud"), granule.frame, cell_m, 6, 0.55)
    threshold = np.float32(np.quantile(field, 1 - scene.cloud_target))
    reach_m = height_m / np.tan(sun.elevation)
    toward_sun = granule.frame.shifted(reach_m * np.sin(sun.azimuth), reach_m * np.cos(sun.azimuth))
    between = fractal_noise((*name, "cloud"), toward_sun, cell_m, 6, 0.55)
    opacity, shade = (
        upsample(np.clip((noise - threshold) / _EDGE_WIDTH, 0, 1).astype(np.float32), NODE_PX)
        for noise in (field, between)
    )
    return Sky(opacity, shade * (1 - opacity), thin, smoke)


def _smoke(name: tuple[str | int, ...], granule: Granule) -> Floats:
    """Haze all over, and on some days plumes that thin out."""
    rng = generator(*name, "smoke")
    opacity = HAZE * rng.exponential() * (0.5 + fractal_noise((*name, "haze"), granule.frame, 4000, 2))
    if rng.random() < SMOKY_SHARE:
        plumes = fractal_noise((*name, "smoke"), granule.frame, 2600, 4, 0.6)
        opacity += rng.uniform(*SMOKE) * np.clip((plumes - 0.45) / 0.25, 0, 1)
    return upsample(opacity.astype(np.float32), NODE_PX)
