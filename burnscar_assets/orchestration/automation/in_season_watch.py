"""The sensor that follows the season: looks at the agencies' perimeters, and asks for what changed, once.

Looking fetches nothing. A fire year that looks otherwise than when it was asked for last asks for its records and for
the fires to be mapped; so does a release that has fires of the year, as it supersedes them.
"""

from collections.abc import Iterator

import dagster as dg

from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.automation.watching import Cursor, are_stale, count_failure, run_of, tick_s
from burnscar_assets.orchestration.in_season import (
    ASSETS,
    RECORDS,
    made_versions,
    observe_season,
    open_years,
    seasons_seen,
)
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.storage.hashing import hash_json

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
        requests = list(_season_requests(world, context, cursor))
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
        stale = are_stale(world, context, [Pair(name, year) for name in ASSETS])
        if stale:
            yield run_of(world, stale, cursor.run_key(f"season-{year}", version))
