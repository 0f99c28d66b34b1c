"""Small worlds of fires for tests of sampling: round fires on both sides of 120° W, where two UTM zones meet."""

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from hypothesis import strategies as st

from burnscar_assets.sampling.points import SampledPoints, sample_points
from burnscar_assets.settings import SamplingSettings, WindowSettings
from burnscar_assets.storage.contracts import BURN_HISTORY, FIRE_PERIMETERS

WINDOWS = WindowSettings()
LAND = gpd.GeoDataFrame(geometry=[shapely.box(-150_000, -150_000, 150_000, 150_000)], crs="EPSG:3310")
YEAR = 2020


@dataclass(frozen=True)
class Fire:
    """A round fire: centre and radius in EPSG:3310 metres."""

    x_m: float
    y_m: float
    radius_m: float
    complex_id: str = ""
    name: str = ""

    @property
    def shape(self) -> shapely.Polygon:
        return shapely.Point(self.x_m, self.y_m).buffer(self.radius_m)

    @property
    def fire_id(self) -> str:
        return self.name or f"{self.x_m:.0f}/{self.y_m:.0f}/{self.radius_m:.0f}"


def perimeters_of(fires: Sequence[Fire], fire_year: int = YEAR) -> gpd.GeoDataFrame:
    """Table `fire_perimeters` of fires; containment in late summer."""
    shapes = [fire.shape for fire in fires]
    days = [pd.Timestamp(fire_year, 8, 1, tz="UTC") + pd.Timedelta(days=i % 40) for i in range(len(fires))]
    count = len(fires)
    table = gpd.GeoDataFrame(
        {
            "fire_id": [fire.fire_id for fire in fires],
            "fire_year": [fire_year] * count,
            **{
                name: [""] * count for name in ("fire_name", "agency", "unit_id", "inc_num", "irwin_id", "complex_name")
            },
            "complex_id": [fire.complex_id for fire in fires],
            "cause": [14] * count,
            "c_method": [8] * count,
            "alarm_date": days,
            "containment_date": days,
            "area_ha": [shape.area / 1e4 for shape in shapes],
            "reported_area_ha": [shape.area / 1e4 for shape in shapes],
            "source": ["frap"] * count,
            "end_kind": ["contained"] * count,
            "end_precision_days": [1.0] * count,
            "flags": [[]] * count,
            "flag": [None] * count,
            "simulated": [True] * count,
        },
        geometry=gpd.GeoSeries(shapes, crs="EPSG:3310"),
    )
    return FIRE_PERIMETERS.conform(table)


def history_of(burns: Sequence[Fire], burn_year: int | None = YEAR - 3, kind: str = "fire") -> gpd.GeoDataFrame:
    """Table `burn_history` of burns that are all of one year."""
    table = gpd.GeoDataFrame(
        {
            "burn_id": [f"old {burn.fire_id}" for burn in burns],
            "kind": [kind] * len(burns),
            "burn_year": [burn_year] * len(burns),
            "alarm_date": pd.NaT,
            "containment_date": pd.NaT,
            "source": ["frap"] * len(burns),
            "end_kind": [None] * len(burns),
            "name": [""] * len(burns),
        },
        geometry=gpd.GeoSeries([burn.shape for burn in burns], crs="EPSG:3310"),
    )
    return BURN_HISTORY.conform(table)


def sample(
    fires: Sequence[Fire],
    burns: Sequence[Fire] = (),
    settings: SamplingSettings | None = None,
    windows: WindowSettings = WINDOWS,
    fire_year: int = YEAR,
) -> SampledPoints:
    """Sample a world of fires and older burns."""
    perimeters, history = perimeters_of(fires, fire_year), history_of(burns)
    return sample_points(
        perimeters, history, fire_year, settings or SamplingSettings(), windows, land=LAND, hard_negatives=None
    )


def fires_strategy(largest: int = 7, reach_m: float = 70_000) -> st.SearchStrategy[list[Fire]]:
    """Worlds of up to `largest` fires, from less than a window to some thousand hectares, some in a complex."""
    place = st.integers(-int(reach_m), int(reach_m))
    fire = st.builds(
        Fire,
        x_m=st.one_of(st.integers(-3_000, 3_000), place),
        y_m=place,
        radius_m=st.sampled_from([100, 180, 250, 500, 1_200, 4_000]),
        complex_id=st.sampled_from(["", "", "", "A"]),
    )
    return st.lists(fire, min_size=1, max_size=largest, unique_by=lambda f: f.fire_id)


def shuffled(table: gpd.GeoDataFrame, seed: int) -> gpd.GeoDataFrame:
    """The rows in another order, with another index."""
    order = np.random.default_rng(seed).permutation(len(table))
    return table.iloc[order].reset_index(drop=True)
