"""Where the simulated fires and granules lie: blocks of ground near real places of California, of each split."""

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
from burnscar_assets.sampling.splits import SplitMap
from burnscar_assets.settings import SplitSettings
from burnscar_assets.storage.tables import table_crs

ZONE_BOUNDARY_OVERLAP_M = 2000.0
"""Strip that the two granules on either side of longitude -120 share."""

SEARCH_BLOCKS = 6
"""How far from its anchor a region may lie, in blocks."""

EDGE_M = 150.0
"""Perimeters keep this far from the edge of what scenes see."""


@dataclass(frozen=True)
class Anchor:
    """A real place that a simulated region is named after and lies near."""

    name: str
    biome: str
    unit_id: str
    lon: float
    lat: float


ANCHORS: Final = (
    Anchor("coastrange", "coast_range", "LNU", -122.7, 39.2),
    Anchor("angeles", "chaparral", "LAC", -118.4, 34.6),
    Anchor("modoc", "modoc", "LMU", -121.1, 41.4),
    Anchor("kern", "foothill", "CND", -118.7, 35.7),
    Anchor("plumas", "sierra", "BTU", -120.9, 39.9),
    Anchor("gabilan", "coast_range", "BEU", -121.3, 36.4),
    Anchor("palomar", "chaparral", "MVU", -116.8, 33.3),
    Anchor("sequoia", "sierra", "FKU", -119.0, 36.9),
)
ZONE_BOUNDARY: Final = Anchor("carson", "sierra", "AEU", -120.0, 38.6)


@dataclass(frozen=True)
class Region:
    """Ground of one split that scenes see, with room for fires.

    Args:
        name: its anchor's name, numbered if an anchor serves twice.
        anchor: what it is named after.
        split: split of its ground.
        granules: one, or two on either side of longitude -120.
    """

    name: str
    anchor: Anchor
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
    """Regions for every split; the first lies across the boundary of UTM zones 10 and 11, on training ground.

    Args:
        splits: how ground is dealt to splits.
        fires_per_year: usable fires of a year, all regions together.
        granule_m: side of a granule, metres.
        fires_a_region: usable fires of a year that a region has room for.

    Raises:
        SettingsError: near an anchor no block is of the split that is wanted.
    """
    ground = SplitMap(splits)
    wanted = {split: ceil(count / fires_a_region) for split, count in quotas(fires_per_year).items()}
    used: set[tuple[int, int]] = set()
    regions = [_zone_boundary_region(ground, granule_m, used)]
    wanted[Split.TRAIN] -= 1
    for number, split in enumerate(_dealt(wanted)):
        anchor = ANCHORS[number % len(ANCHORS)]
        turn = number // len(ANCHORS)
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


def _zone_boundary_region(ground: SplitMap, granule_m: float, used: set[tuple[int, int]]) -> Region:
    _, y_m = _to_albers(ZONE_BOUNDARY)
    side_m = ground.settings.block_km * 1000
    rows = sorted(range(-40, 40), key=lambda row: abs((row + 0.5) * side_m - y_m))
    for row in rows[: 2 * SEARCH_BLOCKS]:
        if {str(split) for split in ground.split_of_block([-1, 0], [row, row])} == {Split.TRAIN.value}:
            used |= {(-1, row), (0, row)}
            away_m = (granule_m - ZONE_BOUNDARY_OVERLAP_M) / 2
            middle_m = (row + 0.5) * side_m
            granules = tuple(
                Granule.around(f"carson{side}", "carson", ZONE_BOUNDARY.biome, epsg, x_m, middle_m, granule_m)
                for side, epsg, x_m in (("west", 32610, -away_m), ("east", 32611, away_m))
            )
            return Region("carson", ZONE_BOUNDARY, Split.TRAIN, granules)
    raise SettingsError("sampling.splits: no two training blocks meet at longitude -120; choose another seed or share")


def _block_centre(ground: SplitMap, anchor: Anchor, split: Split, used: set[tuple[int, int]]) -> tuple[float, float]:
    x_m, y_m = _to_albers(anchor)
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


def _to_albers(anchor: Anchor) -> tuple[float, float]:
    return Transformer.from_crs("EPSG:4326", table_crs(), always_xy=True).transform(anchor.lon, anchor.lat)


def _zone_at(x_m: float, y_m: float) -> int:
    lon, _ = Transformer.from_crs(table_crs(), "EPSG:4326", always_xy=True).transform(x_m, y_m)
    return 32601 + int((lon + 180) // 6)
