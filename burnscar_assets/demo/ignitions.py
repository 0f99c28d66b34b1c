"""Which simulated fires burn where and when: usable ones, those with bad records, old and prescribed ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import numpy as np
from shapely import LineString
from shapely.geometry.base import BaseGeometry

from burnscar_assets.classes import Split
from burnscar_assets.demo.fires import M2_PER_HA, SimulatedFire, find_room, fire_shape
from burnscar_assets.demo.noise import generator
from burnscar_assets.demo.outlines import cut_short, drawn_outline
from burnscar_assets.demo.regions import Region, meridian, quotas
from burnscar_assets.regions.load import working_region

SMALLEST_HA, LARGEST_HA = 4.0, 1450.0
LARGEST_SHARE_OF_REGION = 0.3
SEASON_DAYS = 20
"""All usable fires of a year are contained within so many days, so that a few acquisitions serve them all."""

LATE_DAYS = 75
"""A late fire is contained so long after the season's start, under cloud."""

SPRING_DAYS = 75
"""A spring fire is contained so long before the season's start, while grass cures."""

SPRING_BIOMES: Final = ("foothill", "coast_range", "chaparral")
"""Grassy enough to burn in May and June."""

GAP_SAME_YEAR_M = 700.0
GAP_OTHER_YEAR_M = 60.0

RECENT: Final = "recent-"
"""Begins the keys of scars of the years just before the demo's."""

EXTRA_DEFECTS: Final = ("containment_missing", "containment_before_alarm", "containment_year_late", "alarm_year_wrong")
"""Defects that make a record no label: such fires come on top of the usable ones, one a year in turn."""

FLAGGED_DEFECTS: Final = ("bow_tie", "area_wrong", "bow_tie", "no_number", "bow_tie", "no_number")
"""Defects that a record survives: dealt to usable fires of medium size."""


@dataclass(frozen=True)
class _Wish:
    """A fire that still needs a place."""

    key: str
    kind: str
    region: Region
    fire_year: int
    area_ha: float
    severity: float
    containment: date
    part_of: str = ""
    defect: str = ""
    over: str = ""
    on_boundary: bool = False


def season_start(seed: int, fire_year: int) -> date:
    """First day on which fires of a year are contained, in summer: 19 July to 6 September of calendar years."""
    later = timedelta(days=int(generator(seed, "season", fire_year).integers(0, 50)))
    return working_region().day_in(fire_year, 7, 19) + later


def simulate_fires(
    seed: int, regions: Sequence[Region], fire_years: Sequence[int], fires_per_year: int
) -> list[SimulatedFire]:
    """All fires of the world, each with a place of its own, ordered by key.

    Raises:
        BurnscarError: a region has no room for its fires.
    """
    wishes: list[_Wish] = []
    for turn, fire_year in enumerate(fire_years):
        usable = _usable(seed, regions, fire_year, turn, fires_per_year)
        wishes += usable + _extra(seed, regions, fire_year, turn)
    wishes = _with_reburns(wishes, fire_years)
    for turn, region in enumerate(regions):
        wishes += _earlier(seed, region, turn, fire_years[0], fire_years[-1])
    return _placed(seed, wishes)


def sizes_ha(seed: int, fire_year: int, count: int) -> list[float]:
    """Areas of a year's usable fires, largest first: spread evenly over the logarithm."""
    rng = generator(seed, "sizes", fire_year)
    share = (np.arange(count) + rng.uniform(0.15, 0.85, count)) / count
    areas = LARGEST_HA * (SMALLEST_HA / LARGEST_HA) ** share
    return [float(area) for area in areas]


def _usable(seed: int, regions: Sequence[Region], fire_year: int, turn: int, fires_per_year: int) -> list[_Wish]:
    rng = generator(seed, "usable", fire_year)
    start = season_start(seed, fire_year)
    by_split = {split: [r for r in regions if r.split == split] for split in Split}
    dealt = dict.fromkeys(Split, 0)
    wishes = []
    for rank, (split, area_ha) in enumerate(
        zip(_splits_by_size(fires_per_year), sizes_ha(seed, fire_year, fires_per_year), strict=True)
    ):
        candidates = by_split[split]
        region = candidates[(dealt[split] + turn) % len(candidates)]
        dealt[split] += 1
        contained = start + timedelta(days=int(rng.integers(0, SEASON_DAYS + 1)))
        severity = float(np.clip(rng.normal(0.68, 0.12), 0.5, 0.9))
        wishes.append(_Wish(f"{fire_year}-{rank:02d}", "fire", region, fire_year, area_ha, severity, contained))
    wishes = _with_boundary(wishes, regions[0]) if turn == 0 else wishes
    wishes = _with_complex(wishes, fire_year) if turn % 2 else wishes
    middle = len(wishes) // 2
    defect = FLAGGED_DEFECTS[turn % len(FLAGGED_DEFECTS)]
    wishes[middle] = replace(wishes[middle], defect=defect)
    if defect == "no_number":
        wishes[middle - 1] = replace(wishes[middle - 1], defect=defect)
    return wishes


def _splits_by_size(count: int) -> list[Split]:
    """Splits of a year's fires, largest first, so that no split has just the large or the small."""
    left = quotas(count)
    total = dict(left)
    order = []
    for _ in range(sum(left.values())):
        split = max(Split, key=lambda s: (left[s] / total[s], total[s]))
        left[split] -= 1
        order.append(split)
    return order[:count]


def _with_boundary(wishes: list[_Wish], region: Region) -> list[_Wish]:
    """Let the region's first fire lie across the boundary of the UTM zones."""
    first = next((i for i, wish in enumerate(wishes) if wish.region.name == region.name), None)
    return [
        replace(w, on_boundary=True, area_ha=max(w.area_ha, 120)) if i == first else w for i, w in enumerate(wishes)
    ]


def _with_complex(wishes: list[_Wish], fire_year: int) -> list[_Wish]:
    """Make the first two fires that share a region a complex."""
    for first in wishes:
        mates = [w.key for w in wishes if w.region.name == first.region.name]
        if len(mates) > 1:
            return [replace(w, part_of=f"{fire_year}-complex") if w.key in mates[:2] else w for w in wishes]
    return wishes


def _extra(seed: int, regions: Sequence[Region], fire_year: int, turn: int) -> list[_Wish]:
    """Fires whose records are no labels, a grass fire in spring, and every second year one too late for clear skies."""
    rng = generator(seed, "extra", fire_year)
    start = season_start(seed, fire_year)
    wishes = []
    for number in range(2):
        defect = EXTRA_DEFECTS[(2 * turn + number) % len(EXTRA_DEFECTS)]
        contained = start + timedelta(days=int(rng.integers(2, SEASON_DAYS)))
        region = regions[(turn + 3 * number) % len(regions)]
        area_ha = float(rng.uniform(15, 60))
        wishes.append(
            _Wish(f"{fire_year}-x{number}", "fire", region, fire_year, area_ha, 0.55, contained, defect=defect)
        )
    grassy = [region for region in regions if region.anchor.biome in SPRING_BIOMES] or list(regions)
    contained = start - timedelta(days=SPRING_DAYS)
    spring_ha = float(rng.uniform(40, 160))
    region = grassy[turn % len(grassy)]
    wishes.append(_Wish(f"{fire_year}-spring", "fire", region, fire_year, spring_ha, 0.6, contained))
    if turn % 2 == 0:
        region = regions[(turn + 1) % len(regions)]
        contained = start + timedelta(days=LATE_DAYS)
        wishes.append(_Wish(f"{fire_year}-late", "fire", region, fire_year, 70.0, 0.5, contained))
    return wishes


def _with_reburns(wishes: list[_Wish], fire_years: Sequence[int]) -> list[_Wish]:
    """Let a fire of every second year from the third on (or of the last) burn over one of a year before."""
    for later_year in fire_years[2::2] or fire_years[-1:]:
        pair = next(
            (
                (later, earlier)
                for later in wishes
                for earlier in wishes
                if later.fire_year == later_year
                and earlier.fire_year < later_year
                and earlier.region.name == later.region.name
                and 20 < later.area_ha < 400
                and earlier.area_ha > 40
                and not (later.defect or earlier.defect or later.on_boundary or later.part_of or earlier.over)
            ),
            None,
        )
        if pair is not None:
            later, earlier = pair
            wishes = [replace(w, over=earlier.key) if w.key == later.key else w for w in wishes]
    return wishes


def _earlier(seed: int, region: Region, turn: int, first_year: int, last_year: int) -> list[_Wish]:
    """Fires from before the demo's years whose scars still show, an old and a recent one, and a prescribed burn."""
    rng, days = generator(seed, "earlier", region.name), working_region().day_in
    old_year = first_year - 1 - turn % 8
    rx_year = first_year - 1 + turn % (last_year - first_year + 2)
    old_day = days(old_year, 8, 1) + timedelta(days=int(rng.integers(0, 60)))
    rx_day = days(rx_year, 4, 1) + timedelta(days=int(rng.integers(0, 75)))
    old_ha, rx_ha = float(rng.uniform(60, 320)), float(rng.uniform(12, 50))
    recent_year = first_year - 1 - turn % 2
    recent_day = days(recent_year, 9, 1) + timedelta(days=int(rng.integers(0, 30)))
    recent_ha = float(rng.uniform(30, 140))
    return [
        _Wish(f"old-{region.name}", "old", region, old_year, old_ha, 0.7, old_day),
        _Wish(f"{RECENT}{region.name}", "old", region, recent_year, recent_ha, 0.75, recent_day),
        _Wish(f"rx-{region.name}", "prescribed", region, rx_year, rx_ha, 0.34, rx_day),
    ]


def _placed(seed: int, wishes: list[_Wish]) -> list[SimulatedFire]:
    """Give every wish a place, the pinned ones first, then by size."""
    fires: dict[str, SimulatedFire] = {}
    for wish in sorted(wishes, key=lambda w: (bool(w.over), not w.on_boundary, -w.area_ha, w.key)):
        near: BaseGeometry | None = fires[wish.over].geometry if wish.over else None
        if wish.on_boundary:
            near = _strip_at_zone_boundary(wish.region)
        near_by = [other for other in fires.values() if other.region == wish.region.name and other.key != wish.over]
        keep_off = [(other.geometry, _gap_m(wish, other)) for other in near_by]
        ground = wish.region.ground
        area_ha = min(wish.area_ha, LARGEST_SHARE_OF_REGION * ground.area / M2_PER_HA)
        shape = fire_shape(seed, wish.key, area_ha)
        placed = find_room(shape, ground, keep_off, (seed, "room", wish.key), near)
        fires[wish.key] = _as_fire(seed, wish, placed)
    return [fires[key] for key in sorted(fires)]


def _gap_m(wish: _Wish, other: SimulatedFire) -> float:
    """Least distance of two fires; recent scars lie anywhere, so that fires burn over some of them."""
    if RECENT in wish.key or RECENT in other.key:
        return 0.0
    return GAP_SAME_YEAR_M if other.fire_year == wish.fire_year else GAP_OTHER_YEAR_M


def _strip_at_zone_boundary(region: Region) -> BaseGeometry:
    """Ground within 200 m of the border of two UTM zones."""
    _, south, _, north = region.ground.bounds
    return LineString(meridian(region.anchor.lon, south, north)).buffer(200, cap_style="flat")


def _as_fire(seed: int, wish: _Wish, placed: BaseGeometry) -> SimulatedFire:
    longest = int(np.clip(np.sqrt(wish.area_ha) / 3, 1, 11))
    days = int(generator(seed, "duration", wish.key).integers(1, longest + 1))
    return SimulatedFire(
        key=wish.key,
        kind=wish.kind,
        region=wish.region.name,
        fire_year=wish.fire_year,
        alarm=wish.containment - timedelta(days=days),
        containment=wish.containment,
        severity=wish.severity,
        geometry=placed,
        perimeter=cut_short(seed, wish.key, drawn_outline(seed, wish.key, placed)),
        part_of=wish.part_of,
        defect=wish.defect,
    )
