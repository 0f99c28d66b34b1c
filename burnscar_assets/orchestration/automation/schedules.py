"""Schedules: stale GPU stages within a budget, windows whose imagery may have come since, upkeep."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from burnscar_assets.orchestration import retention, verifying
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.planning import Planner
from burnscar_assets.orchestration.runs import run_tags
from burnscar_assets.storage.contracts import FIRE_SCENES, SCENE_MATCHES, TILES
from burnscar_assets.storage.tables import read_table, read_years, table_path

GPU_RUN_TAG = "burnscar/gpu_schedule"
RUNS_TO_LEARN_FROM = 200
DAY_S = 24 * 3600.0


def build_schedules(world: World) -> list[dg.ScheduleDefinition]:
    """The schedules of a world."""
    automation = world.settings.automation
    return [
        _gpu_stages(world),
        _missing_imagery(world),
        _upkeep(world, "look_for_damage", automation.verify_cron, verifying.JOB),
        _upkeep(world, "forget_old_history", automation.forget_cron, retention.JOB),
    ]


def _status(on: bool) -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED


def _gpu_stages(world: World) -> dg.ScheduleDefinition:
    automation = world.settings.automation

    @dg.schedule(
        cron_schedule=automation.gpu_cron,
        target=[pair.key for setup in (None, *world.setups) for pair in _of(world, setup)],
        default_status=_status(automation.enabled and automation.gpu != "person"),
        description="Asks for stale checkpoints, metrics and maps, newest year first, within a budget if there is one.",
    )
    def gpu_stages(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        assert context.repository_def is not None  # noqa: S101 - Dagster gives it to every schedule of a code location
        planner = Planner(world, context.repository_def.asset_graph, context.instance)
        due = _due(planner)
        if not due:
            return dg.SkipReason("no GPU stage is stale whose inputs are up to date")
        limit = automation.gpu_hours_per_day if automation.gpu == "budget" else None
        affordable = list(due) if limit is None else list(due)[: _affordable(context.instance, limit)]
        if not affordable:
            return dg.SkipReason(f"the GPU budget of {limit} hours in 24 is used up; {len(due)} fire years wait")
        return [_gpu_request(world, year, due[year], context.scheduled_execution_time) for year in affordable]

    return gpu_stages


def _of(world: World, setup: str | None, year: int | None = None) -> list[Pair]:
    """The pairs of a set-up that a GPU makes, but for those that a sensor asks for."""
    seen = world.of(setup)
    pairs = [Pair(seen.asset(spec.makes), year) for spec in seen.stages if not spec.watched]
    return [pair for pair in pairs if world.needs_gpu(pair)]


def _due(planner: Planner) -> dict[int, list[Pair]]:
    """Fire years with a GPU stage that is stale and can be made now, newest first, with all of its set-up's pairs."""
    runs = planner.runs(planner.plan(planner.fire_years(), explain=False))
    due: dict[int, list[Pair]] = {}
    for year in sorted((year for year in runs if year is not None), reverse=True):
        # A season's maps are none of them: stale alone, they must not have checkpoints trained again.
        setups = {pair.setup: None for pair in runs[year] if pair in _of(planner.world, pair.setup, year)}
        pairs = [pair for setup in setups for pair in _of(planner.world, setup, year)]
        if pairs:
            due[year] = pairs
    return due


def _gpu_request(world: World, year: int, pairs: list[Pair], tick: datetime) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"gpu-{year}-{tick:%Y%m%dT%H%M}",
        asset_selection=[pair.key for pair in pairs],
        partition_key=str(year),
        tags=run_tags(world, pairs) | {GPU_RUN_TAG: "yes"},
    )


def _affordable(instance: dg.DagsterInstance, hours: float) -> int:
    """How many more GPU runs fit into the budget of 24 hours, if they take as long as the last ones did.

    The first run ever is affordable, since nobody knows how long it takes.
    """
    started = [
        record
        for record in instance.get_run_records(dg.RunsFilter(tags={GPU_RUN_TAG: "yes"}), limit=RUNS_TO_LEARN_FROM)
        if record.start_time
    ]
    now = datetime.now(UTC).timestamp()
    seconds = {r.dagster_run.run_id: max((r.end_time or now) - (r.start_time or now), 0.0) for r in started}
    spent_s = sum(seconds[r.dagster_run.run_id] for r in started if (r.end_time or now) > now - DAY_S)
    left_s = hours * 3600 - spent_s
    if left_s <= 0:
        return 0
    mean_s = sum(seconds.values()) / len(seconds) if seconds else left_s
    return int(left_s // max(mean_s, 1.0))


def _missing_imagery(world: World) -> dg.ScheduleDefinition:
    automation = world.settings.automation

    @dg.schedule(
        cron_schedule=automation.look_again_cron,
        target=[dg.AssetKey("scene_matches"), dg.AssetKey(FIRE_SCENES.name)],
        default_status=_status(automation.enabled),
        description="Asks for a new search where windows or frames had no usable imagery and more may have come since.",
    )
    def missing_imagery(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time
        requests = [*_search_requests(world, now.astimezone(UTC)), *_frame_requests(world, now.astimezone(UTC))]
        return requests or dg.SkipReason(
            "no window or frame waits for imagery that may have come since it was searched"
        )

    return missing_imagery


def _upkeep(world: World, name: str, cron: str, job: str) -> dg.ScheduleDefinition:
    """A schedule that starts a job of this code location."""
    status = _status(world.settings.automation.enabled)
    return dg.ScheduleDefinition(name=name, cron_schedule=cron, job_name=job, default_status=status)


def _search_requests(world: World, now: datetime) -> Iterator[dg.RunRequest]:
    from burnscar_assets.catalog.searches import windows_to_look_at_again

    root = world.root
    for year in map(int, world.fire_years.get_partition_keys()):
        if not table_path(root, SCENE_MATCHES, year).exists():
            continue
        matches, tiles = read_table(root, SCENE_MATCHES, year), read_years(root, TILES, [year])
        waiting = windows_to_look_at_again(root.dataset, matches, tiles, world.settings.imagery, now)
        if len(waiting):
            yield dg.RunRequest(
                run_key=f"search-{year}-{now:%Y%m%d}",
                asset_selection=[dg.AssetKey("scene_matches")],
                partition_key=str(year),
                tags=run_tags(world, [Pair("scene_matches", year)]),
            )


def _frame_requests(world: World, now: datetime) -> Iterator[dg.RunRequest]:
    from burnscar_assets.mapping.scene_searches import frames_to_look_at_again

    root = world.root
    for year in map(int, world.fire_years.get_partition_keys()):
        if not table_path(root, FIRE_SCENES, year).exists():
            continue
        if frames_to_look_at_again(read_table(root, FIRE_SCENES, year), year, world.settings, root, now):
            yield dg.RunRequest(
                run_key=f"search-frames-{year}-{now:%Y%m%d}",
                asset_selection=[dg.AssetKey(FIRE_SCENES.name)],
                partition_key=str(year),
                tags=run_tags(world, [Pair(FIRE_SCENES.name, year)]),
            )
