"""The sensor that follows the season: looks at the agencies' perimeters, and asks for what changed, once.

Looking fetches nothing. A fire year that looks otherwise than when it was asked for last asks for its records and for
the fires to be mapped; so does a release that has fires of the year, as it supersedes them. Fires that are contained
ask for their maps, and again each day while imagery may still come.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from burnscar_assets.orchestration.automation.watching import Cursor, are_stale, look_if_due, run_of, tick_s
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import SEASON_LOOK_BACK_YEARS, World
from burnscar_assets.orchestration.sources import look, made_versions, open_seasons, seasons_seen
from burnscar_assets.storage.contracts import IN_SEASON_PERIMETERS, IN_SEASON_RECORDS
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.tables import read_years

RECORDS: Final = "in_season_records"
PERIMETERS: Final = "in_season_perimeters"
MAPS: Final = "in_season_maps"
LABELS: Final = "fire_perimeters"


def build_in_season_watch(world: World, status: dg.DefaultSensorStatus) -> list[dg.SensorDefinition]:
    """The sensor of a world that follows an in-season source."""
    settings = world.settings.in_season
    if not settings.enabled:
        return []

    @dg.sensor(
        target=[dg.AssetKey(name) for name in (RECORDS, PERIMETERS, MAPS)],
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
    """Look at each open season if it is time to; returns what is wrong with the source."""

    def look_at_seasons() -> None:
        for season in open_seasons(world, context.instance):
            look(world, context.instance, season)

    minutes = world.settings.in_season.check_minutes
    return look_if_due(world, context, cursor, minutes, "the in-season source", look_at_seasons)


def _season_requests(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> Iterator[dg.RunRequest]:
    """A run of each year whose season, records or labels have another version than when it was asked for last.

    Where a satellite tells that fires burn, they end by not being seen any more, so a year is read again each day.
    """
    today, asked = f"{datetime.now(UTC):%F}", cursor.facts.setdefault("records", {})
    records, labels = (made_versions(world, context.instance, name) for name in (RECORDS, LABELS))
    for year, season in seasons_seen(world, context.instance).items():
        version = hash_json([season, records.get(year), labels.get(year)])
        due_again = asked.get(str(year), today) != today and _is_seen_to_burn(world, year)
        if cursor.years.get(str(year)) == version and not due_again:
            continue
        cursor.years[str(year)], asked[str(year)] = version, today
        read = [Pair(name, year) for name in (RECORDS, PERIMETERS)]
        stale = read if due_again else are_stale(world, context, read)
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


def _is_seen_to_burn(world: World, year: int) -> bool:
    """Whether a fire of a season counts as burning because a satellite saw it lately."""
    from burnscar_assets.labels.season_source import BURNING

    return bool((read_years(world.root, IN_SEASON_RECORDS, [year])["contained_by"] == BURNING).any())


def _imagery_may_come(world: World, year: int, now: datetime) -> bool:
    """Whether a fire of a season was contained so lately that a better image of it may still come."""
    days = world.settings.windows.days_after[1] + world.settings.imagery.late_days
    contained = read_years(world.root, IN_SEASON_PERIMETERS, [year])["containment_date"]
    return bool((contained > now - timedelta(days=days)).any())
