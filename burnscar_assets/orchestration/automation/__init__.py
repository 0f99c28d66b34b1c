"""What the daemon does by itself: when stages follow, sensors, alarms; schedules are in `schedules.py`."""

import dagster as dg

from burnscar_assets.alerts import alert
from burnscar_assets.orchestration.automation.in_season_watch import build_in_season_watch
from burnscar_assets.orchestration.automation.release_watch import build_release_watch
from burnscar_assets.orchestration.automation.source_watch import build_source_watch
from burnscar_assets.orchestration.corrections import FIRES_OUT
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.runs import failure_reason
from burnscar_assets.orchestration.unfinished import fail_interrupted_runs

FOLLOW_S = 15
LOOK_S = 60


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


def build_alarms(world: World, status: dg.DefaultSensorStatus) -> list[dg.SensorDefinition]:
    """The sensors that look after runs: one tells people of failed ones, one finds those whose process is gone."""

    @dg.run_failure_sensor(
        default_status=status, description="Tells of failed runs: in the log, and through a webhook if there is one."
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        assets = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ())) or run.job_name
        year = run.tags.get("dagster/partition", "")
        reason = failure_reason(context.instance, run.run_id)
        alert(
            world.settings, context.log, f"run {run.run_id[:8]} of {assets} {year} failed: {reason}".replace("  ", " ")
        )

    @dg.sensor(
        minimum_interval_seconds=LOOK_S,
        default_status=status,
        description="Reports runs whose process was killed as failed, and frees their places in pools.",
    )
    def interrupted_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        found = fail_interrupted_runs(context.instance)
        return dg.SkipReason(f"reported as failed: {', '.join(found)}" if found else "no run lost its process")

    return [failed_runs, interrupted_runs]


def follow() -> dg.AutomationCondition:
    """When a cheap stage follows by itself: missing, or of another version of code or inputs, once inputs are there.

    A year that has nothing yet goes through all stages in one run; a changed one stage by stage, so that the wave
    stops where the content comes out as it was. What failed is left to a person, until an input changes again.
    """
    condition, words = dg.AutomationCondition, dg.AssetSelection.assets(FIRES_OUT)
    never_made = condition.missing() & ~condition.execution_failed()
    changed_input = condition.any_deps_match(condition.data_version_changed() & ~condition.missing())
    changed: dg.AutomationCondition = condition.code_version_changed() | changed_input
    return (
        (never_made | changed.since_last_handled())
        & ~condition.any_deps_missing().ignore(words)  # Dagster takes what is observed by year for missing
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
    ).with_label("missing or changed")
