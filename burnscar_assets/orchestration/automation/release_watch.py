"""The sensor that watches the release's source: looks, remembers, and asks for what changed, once.

Looking fetches nothing. A source of another version asks for a run of `calfire_release`; that run tells on which fire
years the release bears in another way, and for those the sensor asks for their labels. The rest follows by itself.
"""

from collections.abc import Iterator

import dagster as dg

from burnscar_assets.orchestration.automation.watching import Cursor, are_stale, look_if_due, run_of, tick_s
from burnscar_assets.orchestration.checks import freshness
from burnscar_assets.orchestration.corrections import CORRECTED_BURNS, CORRECTED_FIRES
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import (
    NO_RECORDS,
    RELEASE_BURNS,
    RELEASE_SOURCE,
    observe,
    record,
    years_of_release,
)
from burnscar_assets.storage.hashing import hash_json

RELEASE = Pair("calfire_release", None)
SOURCE = Pair(RELEASE_SOURCE, None)
LABELS = ("fire_perimeters", "burn_history")
SETTLE_S = 10.0


def build_release_watch(world: World, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor of a world."""

    @dg.sensor(
        target=[dg.AssetKey(name) for name in (RELEASE.asset, *LABELS)],
        minimum_interval_seconds=tick_s(world.settings.automation.check_release_minutes),
        default_status=status,
        description="Watches the release's source; asks for the release, and for the years that it changed.",
    )
    def release_watch(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = Cursor.read(context.cursor)
        problem = _look(world, context, cursor)
        requests = [*_release_request(world, context, cursor), *_year_requests(world, context, cursor)]
        skipped = None if requests else dg.SkipReason(problem or "the release is as it was")
        return dg.SensorResult(run_requests=requests, cursor=cursor.write(), skip_reason=skipped)

    return release_watch


def _look(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> str | None:
    """Look at the source if it is time to; returns what is wrong with it."""

    def look() -> None:
        try:
            seen = observe(world, SOURCE, cursor.facts, settle_s=SETTLE_S)
            record(context.instance, SOURCE, seen)
            cursor.facts = dict(seen.facts)
        finally:
            context.instance.report_runless_asset_event(freshness(world, context.instance))

    minutes = world.settings.automation.check_release_minutes
    return look_if_due(world, context, cursor, minutes, "the release's source", look)


def _release_request(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> Iterator[dg.RunRequest]:
    """A run of the release if its source has another version than when it was asked for last."""
    version = cursor.facts.get("version")
    if not version or version == cursor.version:
        return
    cursor.version = version
    if are_stale(world, context, [RELEASE]):
        yield run_of(world, [RELEASE], cursor.run_key("release", version))


def _year_requests(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> Iterator[dg.RunRequest]:
    """A run of the labels of each year on which release or corrections bear in another way than when last asked for."""
    burns = years_of_release(world, context.instance, RELEASE_BURNS)
    corrected = [years_of_release(world, context.instance, name) for name in (CORRECTED_FIRES, CORRECTED_BURNS)]
    for year, fires in years_of_release(world, context.instance).items():
        told = [fires, burns.get(year), *(words.get(year) for words in corrected)]
        version = NO_RECORDS if fires == NO_RECORDS else hash_json(told)
        if cursor.years.get(str(year)) == version:
            continue
        cursor.years[str(year)] = version
        stale = are_stale(world, context, [Pair(name, year) for name in LABELS])
        if stale and version != NO_RECORDS:
            yield run_of(world, stale, cursor.run_key(f"labels-{year}", version))
