"""Sensors that look after runs: one tells people of failed ones, one finds those whose process is gone."""

import dagster as dg

from burnscar_assets.alerts import alert
from burnscar_assets.orchestration.interrupted import fail_interrupted_runs
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.runs import failure_reason

LOOK_S = 60


def build_alarms(world: World, status: dg.DefaultSensorStatus) -> list[dg.SensorDefinition]:
    """The two sensors of a world."""

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
