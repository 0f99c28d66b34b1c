"""What the daemon does by itself: conditions on assets, sensors, schedules, alerts."""

import dagster as dg

from burnscar_assets.orchestration.automation.alarms import build_alarms
from burnscar_assets.orchestration.automation.in_season_watch import build_in_season_watch
from burnscar_assets.orchestration.automation.release_watch import build_release_watch
from burnscar_assets.orchestration.automation.source_watch import build_source_watch
from burnscar_assets.orchestration.partitions import World


def build_sensors(world: World) -> list[dg.SensorDefinition]:
    """The sensors of a world; they run with the daemon unless the settings say otherwise."""
    on = world.settings.automation.enabled
    status = dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED
    following = dg.AutomationConditionSensorDefinition(
        "stages_follow",
        target=dg.AssetSelection.all(),
        default_status=status,
        minimum_interval_seconds=FOLLOW_S,
        description="Asks for cheap stages whose inputs, settings or code changed.",
    )
    watches = [
        build_release_watch(world, status),
        build_source_watch(world, status),
        *build_in_season_watch(world, status),
    ]
    return [*watches, following, *build_alarms(world, status)]


FOLLOW_S = 15
