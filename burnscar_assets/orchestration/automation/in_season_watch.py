"""The sensor that follows the season: looks at the agencies' perimeters, and asks for what changed, once.

Looking fetches nothing. A fire year that looks otherwise than when it was asked for last asks for its records and for
the fires to be mapped; so does a release that has fires of the year, as it supersedes them. Fires that are contained
ask for their maps, and again each day while imagery may still come.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.automation.watching import Cursor, are_stale, count_failure, run_of, tick_s
from burnscar_assets.orchestration.in_season import (
    ASSETS,
    MAPS,
    PERIMETERS,
    RECORDS,
    made_versions,
    observe_season,
    open_years,
    seasons_seen,
)
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import SEASON_LOOK_BACK_YEARS, World
from burnscar_assets.storage.contracts import IN_SEASON_PERIMETERS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.tables import read_years

LABELS = "fire_perimeters"


def build_in_season_watch(world: World, status: dg.DefaultSensorStatus) -> list[dg.SensorDefinition]:
    """The sensor of a world that follows an in-season source."""
    settings = world.settings.in_season
    if not settings.enabled:
        return []

    @dg.sensor(
        target=[dg.AssetKey(name) for name in ASSETS],
        minimum_interval_seconds=tick_s(settings.check_minutes),
        default_status=status,
        description="Watches the agencies' perimeters of the season; asks for the fire years that changed.",
    )
    def in_season_watch(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = Cursor.read(context.cursor)
        problem = _look(world, context, cursor)
        requests = [*_season_requests(world, context, cursor), *_map_requests(world, context, cursor)]
        skipped = None if requests else dg.SkipReason(problem or "the season is as it was")
        return dg.SensorResult(run_requests=requests, cursor=cursor.write(), skip_reason=skipped)

    return [in_season_watch]


def _look(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> str | None:
    """Look at each open year if it is time to; returns what is wrong with the source."""
    if not cursor.is_due(world.settings.in_season.check_minutes):
        return None
    try:
        for year in open_years(world, context.instance):
            observe_season(world, context.instance, year)
    except BurnscarError as error:
        return count_failure(world, context, cursor, "the in-season source", error)
    cursor.failures = 0
    return None


def _season_requests(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> Iterator[dg.RunRequest]:
    """A run of each year whose season, records or labels have another version than when it was asked for last."""
    records, labels = (made_versions(world, context.instance, name) for name in (RECORDS, LABELS))
    for year, season in seasons_seen(world, context.instance).items():
        version = hash_json([season, records.get(year), labels.get(year)])
        if cursor.years.get(str(year)) == version:
            continue
        cursor.years[str(year)] = version
        stale = are_stale(world, context, [Pair(name, year) for name in (RECORDS, PERIMETERS)])
        if stale:
            yield run_of(world, stale, cursor.run_key(f"season-{year}", version))


def _map_requests(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> Iterator[dg.RunRequest]:
    """A run of the maps of each season whose fires are others than when it was asked for last, or that is due again."""
    if not world.settings.in_season.maps:
        return
    now, asked = datetime.now(UTC), cursor.facts.setdefault("maps", {})
    for year, fires in made_versions(world, context.instance, PERIMETERS).items():
        version, day = asked.get(str(year), ["", ""])
        due_again = day != f"{now:%F}" and _imagery_may_come(world, year, now)
        if (version == fires and not due_again) or not _can_be_mapped(world, year):
            continue
        asked[str(year)] = [fires, f"{now:%F}"]
        pair = Pair(MAPS, year)
        if due_again or are_stale(world, context, [pair]):
            yield run_of(world, [pair], cursor.run_key(f"maps-{year}", fires))


def _can_be_mapped(world: World, year: int) -> bool:
    """Whether there is a checkpoint to map a season by, and something that was or is to be mapped."""
    from burnscar_assets.publish.season import checkpoint_before

    there = world.root.season_maps(year).exists() or len(read_years(world.root, IN_SEASON_PERIMETERS, [year])) > 0
    return there and checkpoint_before(world.mapped.root, year, SEASON_LOOK_BACK_YEARS) is not None


def _imagery_may_come(world: World, year: int, now: datetime) -> bool:
    """Whether a fire of a season was contained so lately that a better image of it may still come."""
    days = world.settings.windows.days_after[1] + world.settings.imagery.late_days
    contained = read_years(world.root, IN_SEASON_PERIMETERS, [year])["containment_date"]
    return bool((contained > now - timedelta(days=days)).any())
