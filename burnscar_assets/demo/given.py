"""A plan for imagery over perimeters that are given: granules of bounded size around each fire.

What burns lies a little beside each perimeter (`outlines`), as it does of real ones.

A fire that fits a granule is covered whole, with its ring and some land around. Of a larger one only a part
is covered, where its edge runs: windows elsewhere have no scene, and the platform counts and lists them.
"""

from datetime import date, timedelta
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
from pyproj import Transformer
from shapely import box
from shapely.geometry.base import BaseGeometry

from burnscar_assets.demo.acquisitions import scenes_around_fire
from burnscar_assets.demo.fires import M2_PER_HA
from burnscar_assets.demo.noise import generator
from burnscar_assets.demo.outlines import drawn_outline
from burnscar_assets.demo.plan import Burn, Granule, WorldPlan
from burnscar_assets.demo.terrain import BIOMES
from burnscar_assets.sampling.lattice import utm_epsg_of
from burnscar_assets.storage.tables import table_crs

SMALLEST_GRANULE_M = 7_200.0
LARGEST_GRANULE_M = 14_400.0
MARGIN_M = 2_700.0
"""Ground around a fire: ring and a little land for negatives."""

LEAST_MARGIN_M = 1_300.0
"""Ground around a fire without which it counts as too large for one granule: its ring."""

TWO_GRANULES_FROM_HA = 40_000.0
BIOME_CELL_M = 80_000.0
_CANDIDATES: Final = 24


def plan_over(seed: int, perimeters: gpd.GeoDataFrame) -> WorldPlan:
    """Granules, burns and scenes over given perimeters (contract FIRE_PERIMETERS), in an order of their own."""
    burns = sorted((_burn(seed, row) for row in perimeters.itertuples()), key=lambda burn: burn.burn_id)
    granules, scenes = [], []
    for burn in burns:
        for granule in granules_over(seed, burn):
            granules.append(granule)
            scenes += scenes_around_fire(seed, granule, burn)
    return WorldPlan(seed, tuple(granules), tuple(burns), tuple(scenes))


def granules_over(seed: int, burn: Burn) -> list[Granule]:
    """The granules that show a fire: one around it, or one or two on the edge of a large one."""
    west, south, east, north = burn.geometry.bounds
    extent_m = max(east - west, north - south)
    if extent_m + 2 * LEAST_MARGIN_M <= LARGEST_GRANULE_M:
        side_m = float(np.clip(extent_m + 2 * MARGIN_M, SMALLEST_GRANULE_M, LARGEST_GRANULE_M))
        return [_granule(burn, 0, (west + east) / 2, (south + north) / 2, side_m)]
    wanted = 2 if burn.geometry.area > TWO_GRANULES_FROM_HA * M2_PER_HA else 1
    centres = _edge_points(seed, burn, wanted)
    return [_granule(burn, number, x_m, y_m, LARGEST_GRANULE_M) for number, (x_m, y_m) in enumerate(centres)]


def _burn(seed: int, row: object) -> Burn:
    fire_id, geometry = str(row.fire_id), row.geometry  # type: ignore[attr-defined]
    end: date = row.containment_date.date()  # type: ignore[attr-defined]
    alarm = row.alarm_date  # type: ignore[attr-defined]
    start = end - timedelta(days=1) if pd.isna(alarm) else min(alarm.date(), end)
    severity = float(np.clip(generator(seed, "severity", fire_id).normal(0.68, 0.12), 0.5, 0.9))
    return Burn(fire_id, drawn_outline(seed, fire_id, geometry), start, end, severity)


def _granule(burn: Burn, number: int, x_m: float, y_m: float, side_m: float) -> Granule:
    place = Transformer.from_crs(table_crs(), "EPSG:4326", always_xy=True).transform(x_m, y_m)
    epsg = int(utm_epsg_of(*place))
    cell = (int(x_m // BIOME_CELL_M), int(y_m // BIOME_CELL_M))
    biome = sorted(BIOMES)[int(generator("biome", *cell).integers(len(BIOMES)))]
    name = f"{_short(burn.burn_id)}{'ab'[number]}"
    return Granule.around(name, "given", biome, epsg, x_m, y_m, side_m)


def _edge_points(seed: int, burn: Burn, wanted: int) -> list[tuple[float, float]]:
    """Points on the perimeter whose granule is about half burned, far from each other."""
    exterior = max(getattr(burn.geometry, "geoms", [burn.geometry]), key=lambda part: part.area).exterior
    shares = generator(seed, "edge", burn.burn_id).uniform(0, 1, _CANDIDATES)
    points = [exterior.interpolate(float(share), normalized=True) for share in shares]
    half_m = LARGEST_GRANULE_M / 2
    simple: BaseGeometry = burn.geometry.simplify(100.0).buffer(0)

    def burned_share(x_m: float, y_m: float) -> float:
        extent = box(x_m - half_m, y_m - half_m, x_m + half_m, y_m + half_m)
        return float(simple.intersection(extent).area / extent.area)

    ranked = sorted(points, key=lambda p: (abs(burned_share(p.x, p.y) - 0.55), p.x, p.y))
    chosen = ranked[:1]
    chosen += [p for p in ranked[1:] if p.distance(chosen[0]) > 1.2 * LARGEST_GRANULE_M][: wanted - 1]
    return [(p.x, p.y) for p in chosen]


def _short(fire_id: str) -> str:
    kept = "".join(letter for letter in fire_id if letter.isalnum()).lower()
    return f"{kept[:8]}{int(generator('granule', fire_id).integers(16**4)):04x}"
