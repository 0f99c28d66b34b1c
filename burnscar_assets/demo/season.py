"""How the land looks apart from fire on a day: drier or greener by cover, by aspect, by weather, never twice the same.

Two images of unburned ground differ. On real pairs (`california_fires`) the median of dNBR outside fires lies between
−0.05 and 0.11, about it the pixels spread by 0.035. Stress is given as the NBR that ground of middling NBR loses.
"""

from typing import Final

import numpy as np

from burnscar_assets.demo.noise import Floats, fractal_noise, generator, upsample
from burnscar_assets.demo.plan import NODE_PX, ScenePlan
from burnscar_assets.demo.spectra import BANDS, Cover
from burnscar_assets.demo.terrain import Level
from burnscar_assets.regions.load import working_region

COMMON_SPREAD = 0.027
"""Of a day's stress over all covers: pairs then differ by 0.05."""

COVER_SPREAD = {Cover.GRASS: 0.035, Cover.SHRUB: 0.018, Cover.CONIFER: 0.012}
OTHER_SPREAD = 0.02
"""Of a day's stress of one cover: grass cures and greens, canopy hardly does."""

ASPECT_SPREAD = 0.10
"""Of a day's stress per unit of slope to the south: sunny slopes dry first."""

DRYING_A_DAY = 0.0006
"""Rise of stress from June to October, for summer drought."""

WEATHER_CELL_M = 900.0
WEATHER = 0.09
"""Of stress that differs from place to place: showers, groundwater, beetles; by the noise's deviation, 0.15."""

_ORDER: Final = {
    "B01": 0.3, "B02": 0.4, "B03": 0.3, "B04": 0.7, "B05": 0.4, "B06": -0.4, "B07": -0.7, "B08": -0.9, "B8A": -0.9,
    "B09": -0.8, "B11": 1.0, "B12": 1.4,
}  # fmt: skip
RESPONSE: Final = np.array([_ORDER[band] for band in BANDS], np.float32)
"""How a band's reflectance answers to stress: leaves lose infrared, red and leaf water absorb less."""


def weather_on(seed: int, scene: ScenePlan) -> Floats:
    """Stress that differs from place to place on a day, at 10 m; granules of a region share it."""
    granule = scene.granule
    name = (seed, "weather", granule.region, scene.acquired.date().isoformat())
    noise = fractal_noise(name, granule.frame, WEATHER_CELL_M, 4, 0.65)
    return upsample(np.float32(WEATHER) * (noise - np.float32(0.5)), NODE_PX)


def stress_on(seed: int, scene: ScenePlan, level: Level, weather: Floats) -> Floats:
    """Stress of each pixel on a day: of its cover, its aspect and the weather there.

    `weather` is `weather_on` the day, at the level's ground sampling distance.
    """
    rng = generator(seed, "stress", scene.granule.region, scene.acquired.date().isoformat())
    day = working_region().day_of_year(scene.acquired.date())
    common = rng.normal(0, COMMON_SPREAD) + DRYING_A_DAY * (np.clip(day, 150, 290) - 220)
    by_cover = np.array([common + rng.normal(0, COVER_SPREAD.get(c, OTHER_SPREAD)) for c in Cover], np.float32)
    by_cover[Cover.WATER] = 0
    sunny = np.float32(rng.normal(0, ASPECT_SPREAD))
    return by_cover[level.cover] - sunny * level.slope_north + weather
