"""The sensor that looks at what is outside besides the release: sampling ground, index of imagery, corrections."""

import dagster as dg

from burnscar_assets.orchestration.corrections import observe_corrections
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.sources import IMAGERY_CATALOGUE, SAMPLING_GROUND, observe_all

WATCHED = (SAMPLING_GROUND, IMAGERY_CATALOGUE)


def build_source_watch(world: World, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor of a world; without what it records, the stages that read these sources would wait for ever."""

    @dg.sensor(
        minimum_interval_seconds=max(round(60 * world.settings.automation.check_release_minutes), 1),
        default_status=status,
        description="Looks at the sampling ground's files, the imagery's index and corrections, and records changes.",
    )
    def source_watch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        problems = [
            *observe_all(world, context.instance, WATCHED),
            *observe_corrections(world, context.instance),
        ]
        return dg.SkipReason("; ".join(problems) or "looked; what follows is asked for by stages_follow")

    return source_watch
