"""The sensor that looks at what is outside besides the release: ground, imagery's index, land cover, corrections.

Conditions take what is observed by year for missing, so the sensor itself asks for metrics that a person's word made
stale; the comparison then follows.
"""

from collections import defaultdict
from collections.abc import Iterator

import dagster as dg

from burnscar_assets.orchestration.automation.watching import Cursor, find_stale, run_of
from burnscar_assets.orchestration.corrections import FIRES_OUT, observe_corrections
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import (
    IMAGERY_CATALOGUE,
    LAND_COVER,
    SAMPLING_GROUND,
    look_at_all,
    years_of_release,
)
from burnscar_assets.storage.hashing import hash_json

WATCHED = tuple(Pair(name, None) for name in (SAMPLING_GROUND, IMAGERY_CATALOGUE, LAND_COVER))


def build_source_watch(world: World, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor of a world; without what it records, the stages that read these sources would wait for ever."""

    @dg.sensor(
        target=[dg.AssetKey.from_user_string(name) for name in _metrics(world)],
        minimum_interval_seconds=max(round(60 * world.settings.automation.check_release_minutes), 1),
        default_status=status,
        description="Looks at the sampling ground's files, the imagery's index, land cover and corrections, and "
        "records changes; asks for metrics where a person took fires out of the scores.",
    )
    def source_watch(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        problems = [
            *look_at_all(world, context.instance, WATCHED),
            *observe_corrections(world, context.instance),
        ]
        cursor = Cursor.read(context.cursor)
        requests = list(_metrics_requests(world, context, cursor))
        said = "; ".join(problems) or "looked; what follows is asked for by stages_follow"
        return dg.SensorResult(
            run_requests=requests, cursor=cursor.write(), skip_reason=None if requests else dg.SkipReason(said)
        )

    return source_watch


def _metrics(world: World) -> list[str]:
    """The metrics of all set-ups."""
    return [seen.asset("evaluation_metrics") for seen in (world, *map(world.of, world.setups))]


def _metrics_requests(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> Iterator[dg.RunRequest]:
    """A run of each year's metrics that nothing but fires that are out, or are so no more, makes stale.

    They are asked for once, of set-ups with a network too: the word that asks is a person's, and trains nothing.
    """
    version = hash_json(years_of_release(world, context.instance, FIRES_OUT))
    if cursor.version == version:
        return
    cursor.version = version
    by_year: dict[int | None, list[Pair]] = defaultdict(list)
    years = map(int, world.model_years.get_partition_keys())
    for found in find_stale(world, context, [Pair(name, year) for year in years for name in _metrics(world)]):
        if found.inputs == (FIRES_OUT,):
            by_year[found.fire_year].append(found.pair)
    for year, pairs in by_year.items():
        yield run_of(world, pairs, cursor.run_key(f"metrics-{year}", version))
