"""When the simulated satellites pass, how cloudy it is, and where the swath ends."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from burnscar_assets.demo.fires import SimulatedFire
from burnscar_assets.demo.ignitions import LATE_DAYS, SPRING_DAYS, season_start
from burnscar_assets.demo.noise import generator
from burnscar_assets.demo.plan import Burn, Granule, ScenePlan
from burnscar_assets.demo.regions import Region

SEASON_OFFSETS_DAYS = (-14, 4, 14, 24, 34, 44)
"""Passes relative to the season's start: one before the fires, three within 30 days of any containment."""

CLEARER_OFFSETS_DAYS = (14, 34)
CLEARER_AT_MOST = 0.3
LATE_OFFSETS_DAYS = (LATE_DAYS + 6, LATE_DAYS + 16)
LATE_CLOUD = (0.82, 0.96)
SPRING_OFFSETS_DAYS = (-SPRING_DAYS - 12, -SPRING_DAYS + 4, -SPRING_DAYS + 14, -SPRING_DAYS + 24)
"""Passes around a spring fire: one before it, three within 30 days of its containment."""

PHASE_DAYS = 3
SWATH_EDGE_SHARE = 0.1

BEFORE_FIRE_DAYS = 9
AFTER_FIRE_DAYS = (3, 12, 22)


def season_scenes(
    seed: int, regions: Sequence[Region], fires: Sequence[SimulatedFire], fire_years: Iterable[int]
) -> list[ScenePlan]:
    """Acquisitions of every region in every year; granules of a region are seen in one pass."""
    late, spring = (
        {(fire.region, fire.fire_year) for fire in fires if fire.key.endswith(ending)}
        for ending in ("-late", "-spring")
    )
    scenes: list[ScenePlan] = []
    for fire_year in fire_years:
        start = season_start(seed, fire_year)
        for region in regions:
            phase = int(generator(seed, "phase", region.name, fire_year).integers(0, PHASE_DAYS))
            passes = [
                (offset + phase, _usual_cloud(seed, region.name, fire_year, offset)) for offset in SEASON_OFFSETS_DAYS
            ]
            if (region.name, fire_year) in spring:
                clouds = [_usual_cloud(seed, region.name, fire_year, offset) for offset in SPRING_OFFSETS_DAYS]
                passes += [
                    (offset + phase, min(cloud, CLEARER_AT_MOST))
                    for offset, cloud in zip(SPRING_OFFSETS_DAYS, clouds, strict=True)
                ]
            if (region.name, fire_year) in late:
                rng = generator(seed, "late", region.name, fire_year)
                passes += [(offset, float(rng.uniform(*LATE_CLOUD))) for offset in LATE_OFFSETS_DAYS]
            for offset, cloud in passes:
                day = start + timedelta(days=offset)
                scenes += [_scene(seed, granule, day, cloud) for granule in region.granules]
    return scenes


def scenes_around_fire(seed: int, granule: Granule, burn: Burn) -> list[ScenePlan]:
    """Acquisitions for one given fire: one before its alarm, three within 30 days of its containment."""
    jitter = int(generator(seed, "phase", granule.granule_id).integers(0, PHASE_DAYS))
    days = [burn.start - timedelta(days=BEFORE_FIRE_DAYS - jitter)]
    days += [burn.end + timedelta(days=after + jitter) for after in AFTER_FIRE_DAYS]
    scenes = []
    for number, day in enumerate(days):
        cloud = _usual_cloud(seed, granule.granule_id, day.year, number)
        scenes.append(_scene(seed, granule, day, min(cloud, CLEARER_AT_MOST) if number == 2 else cloud))
    return scenes


def _usual_cloud(seed: int, region: str, fire_year: int, offset: int) -> float:
    """Summer in California: mostly clear, sometimes half covered."""
    rng = generator(seed, "cloud", region, fire_year, offset)
    kind = rng.random()
    low, high = (0.0, 0.012) if kind < 0.45 else (0.04, 0.3) if kind < 0.75 else (0.3, 0.7)
    cloud = float(rng.uniform(low, high))
    return min(cloud, CLEARER_AT_MOST) if offset in CLEARER_OFFSETS_DAYS else cloud


def _scene(seed: int, granule: Granule, day: date, cloud: float) -> ScenePlan:
    """A pass at about 10:45 local solar time."""
    rng = generator(seed, "pass", granule.region, day.isoformat())
    at_noon = datetime.combine(day, time(12), UTC) - timedelta(hours=granule.centre_lonlat[0] / 15)
    minutes = round((at_noon - timedelta(hours=1, minutes=15)).timestamp() / 600) * 600
    acquired = datetime.fromtimestamp(minutes, UTC) + timedelta(seconds=int(rng.integers(0, 60)))
    edge = (
        float(rng.uniform(0.12, 0.45)) * (-1 if rng.random() < 0.5 else 1) if rng.random() < SWATH_EDGE_SHARE else 0.0
    )
    return ScenePlan(granule, acquired, cloud, round(edge, 3))
