"""Where the simulated fires and granules lie: blocks of ground near real places, of each split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from pyproj import Transformer
from shapely import union_all
from shapely.geometry.base import BaseGeometry

from burnscar_assets.classes import Split
from burnscar_assets.demo.plan import Granule
from burnscar_assets.errors import SettingsError
from burnscar_assets.regions.load import working_region
from burnscar_assets.regions.region import Place
from burnscar_assets.sampling.lattice import utm_epsg_of
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import SplitSettings
from burnscar_assets.storage.tables import table_crs

ZONE_BOUNDARY_OVERLAP_M = 2000.0
"""Strip that the two granules on either side of the border of two UTM zones share."""

LEAST_PLACES: Final = 2
_TURNS: Final = 12

SEARCH_BLOCKS = 6
"""How far from its anchor a region may lie, in blocks."""

EDGE_M = 150.0
"""Perimeters keep this far from the edge of what scenes see."""


@dataclass(frozen=True)
class Region:
    """Ground of one split that scenes see, with room for fires.

    Its name is its anchor's, numbered if an anchor serves twice; granules are one, or two on either side of the border
    of two UTM zones.
    """

    name: str
    anchor: Place
    split: Split
    granules: tuple[Granule, ...]

    @property
    def ground(self) -> BaseGeometry:
        """Where perimeters may lie, the region's CRS."""
        return union_all([granule.ground for granule in self.granules]).buffer(-EDGE_M)


def quotas(fires_per_year: int) -> dict[Split, int]:
    """How many usable fires of a year each split gets: a third for test, a sixth for validation, the rest to train."""
    test = max(round(fires_per_year / 3), 1)
    val = max(round(fires_per_year / 6), 1)
    return {Split.TRAIN: max(fires_per_year - test - val, 1), Split.VAL: val, Split.TEST: test}


def choose_regions(splits: SplitSettings, fires_per_year: int, granule_m: float, fires_a_region: float) -> list[Region]:
    """Regions for every split; the first lies across the border of two UTM zones, on training ground.

    `fires_per_year` are usable fires of all regions together, `fires_a_region` those that a region has room for.

    Raises:
        SettingsError: near an anchor no block is of the split that is wanted, or the region names no places.
    """
    ground = SplitMap(splits)
    border, anchors = _places()
    wanted = {split: ceil(count / fires_a_region) for split, count in quotas(fires_per_year).items()}
    used: set[tuple[int, int]] = set()
    regions = [_zone_boundary_region(border, ground, granule_m, used)]
    wanted[Split.TRAIN] -= 1
    for number, split in enumerate(_dealt(wanted)):
        anchor = anchors[number % len(anchors)]
        turn = number // len(anchors)
        name = f"{anchor.name}{turn + 1}" if turn else anchor.name
        x_m, y_m = _block_centre(ground, anchor, split, used)
        granule = Granule.around(name, name, anchor.biome, _zone_at(x_m, y_m), x_m, y_m, granule_m)
        regions.append(Region(name, anchor, split, (granule,)))
    return regions


def _dealt(wanted: dict[Split, int]) -> Iterator[Split]:
    left = dict(wanted)
    while any(count > 0 for count in left.values()):
        for split in (Split.TEST, Split.TRAIN, Split.TRAIN, Split.VAL):
            if left[split] > 0:
                left[split] -= 1
                yield split


def _places() -> tuple[Place, tuple[Place, ...]]:
    """The place on the border of two UTM zones, and the others."""
    region = working_region()
    if len(region.places) < LEAST_PLACES:
        raise SettingsError(
            f"region {region.name} names {len(region.places)} places to simulate fires near: add {LEAST_PLACES} to its "
            "file as places, the first of them on the border of two UTM zones; or give perimeters in demo.perimeters"
        )
    return region.places[0], region.places[1:]


def _zone_boundary_region(border: Place, ground: SplitMap, granule_m: float, used: set[tuple[int, int]]) -> Region:
    _, y_m = _to_albers(border.lon, border.lat)
    side_m = ground.settings.block_km * 1000
    nearest = int(y_m // side_m)
    rows = sorted(range(nearest - 40, nearest + 40), key=lambda row: abs((row + 0.5) * side_m - y_m))
    away_m = (granule_m - ZONE_BOUNDARY_OVERLAP_M) / 2
    zones = utm_epsg_of([border.lon - 1, border.lon + 1], border.lat).tolist()
    for row in rows[: 2 * SEARCH_BLOCKS]:
        middle_m = (row + 0.5) * side_m
        (x_m, _), *_ = meridian(border.lon, middle_m, middle_m)
        cols = [int(ground.block_of(x_m + off, middle_m)[0]) for off in (-granule_m, granule_m)]
        if {str(split) for split in ground.split_of_block(cols, [row, row])} == {Split.TRAIN.value}:
            used |= {(col, row) for col in cols}
            granules = tuple(
                Granule.around(f"{border.name}{side}", border.name, border.biome, epsg, x_m + off, middle_m, granule_m)
                for side, epsg, off in zip(("west", "east"), zones, (-away_m, away_m), strict=True)
            )
            return Region(border.name, border, Split.TRAIN, granules)
    raise SettingsError(
        f"sampling.splits: no two training blocks meet at longitude {border.lon:g}; choose another seed or share"
    )


def meridian(lon: float, south_m: float, north_m: float) -> list[tuple[float, float]]:
    """The points of a meridian at two heights y, (x, y) in the region's CRS, to a millimetre."""
    to_degrees = Transformer.from_crs(table_crs(), "EPSG:4326", always_xy=True)
    start, _ = _to_albers(lon, working_region().places[0].lat)
    found = []
    for y_m in (south_m, north_m):
        x_m = start
        for _ in range(_TURNS):  # along the meridian to the height that is wanted
            x_m, _ = _to_albers(lon, to_degrees.transform(x_m, y_m)[1])
        found.append((round(x_m, 3) + 0.0, y_m))
    return found


def _block_centre(ground: SplitMap, anchor: Place, split: Split, used: set[tuple[int, int]]) -> tuple[float, float]:
    x_m, y_m = _to_albers(anchor.lon, anchor.lat)
    col, row = (int(number) for number in ground.block_of(x_m, y_m))
    reach = range(-SEARCH_BLOCKS, SEARCH_BLOCKS + 1)
    around: Sequence[tuple[int, int]] = sorted(
        ((col + right, row + up) for right in reach for up in reach),
        key=lambda block: (np.hypot(block[0] - col, block[1] - row), block),
    )
    for block in around:
        if block not in used and ground.split_of_block(*block) == split.value:
            used.add(block)
            west, south, east, north = ground.block_bounds(*block)
            return (west + east) / 2, (south + north) / 2
    raise SettingsError(f"sampling.splits: no {split} block near {anchor.name}; choose another seed or share")


def _to_albers(lon: float, lat: float) -> tuple[float, float]:
    return Transformer.from_crs("EPSG:4326", table_crs(), always_xy=True).transform(lon, lat)


def _zone_at(x_m: float, y_m: float) -> int:
    return int(utm_epsg_of(*Transformer.from_crs(table_crs(), "EPSG:4326", always_xy=True).transform(x_m, y_m)))
