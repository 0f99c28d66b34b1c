"""Windows of a small world, for tests of what is made of points."""

import geopandas as gpd

from burnscar_assets.dataset.definition import define_windows
from burnscar_assets.settings import WindowSettings
from burnscar_assets_tests.sampling.fire_worlds import YEAR, Fire, sample

FIRES = [Fire(1_000, 2_000, 1_500), Fire(-40_000, 5_000, 700), Fire(35_000, -60_000, 700)]


def points_of(fire_year: int = YEAR, fires: list[Fire] = FIRES) -> gpd.GeoDataFrame:
    """Table `sample_points` of the small world."""
    return sample(fires, fire_year=fire_year).points


def windows_of(fire_year: int = YEAR, fires: list[Fire] = FIRES) -> gpd.GeoDataFrame:
    """Table `windows` of the small world."""
    return define_windows(points_of(fire_year, fires), WindowSettings())
