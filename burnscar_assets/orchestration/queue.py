"""Running what is stale through the daemon's queue: a backfill per fire year, so that the web UI shows and stops it."""

import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime

import dagster as dg
from filelock import FileLock

from burnscar_assets.clock import is_within
from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.dagster_private import ask_for_backfill, is_finished, unfinished_backfills
from burnscar_assets.orchestration.execution import Refreshed, acceptance
from burnscar_assets.orchestration.pairs import RELEASE, Pair
from burnscar_assets.orchestration.planning import Planner
from burnscar_assets.orchestration.runs import REFRESH_TAG, failure_reason, run_tags
from burnscar_assets.orchestration.unfinished import fail_interrupted_runs
from burnscar_assets.progress import Progress, silent

HEARTBEAT_TOLERANCE_S = 75.0
"""A daemon writes its heartbeat every 30 s."""

POLL_S = 1.0


def daemon_is_running(instance: dg.DagsterInstance) -> bool:
    """Whether a daemon that starts backfills told of itself lately."""
    heartbeat = instance.get_daemon_heartbeats().get("BACKFILL")
    now = datetime.now(UTC).timestamp()
    return heartbeat is not None and is_within(heartbeat.timestamp, now, HEARTBEAT_TOLERANCE_S)


def refresh_through_queue(
    planner: Planner,
    fire_years: Collection[int],
    *,
    assets: Collection[str] | None = None,
    accept_release: bool = False,
    progress: Progress = silent,
) -> Refreshed:
    """As `Runner.refresh`, with years beside each other as far as the queue admits.

    Backfills of another refresh, or of one that was interrupted, are waited for before each wave is planned, so that
    two refreshes at once do the work once.

    Raises:
        BurnscarError: the daemon went away.
    """
    instance = planner.instance
    refreshed, failed = Refreshed(), set[Pair]()
    asking = FileLock(planner.world.root.dagster_home / "queue.lock")
    while True:
        with asking:
            _wait(instance, unfinished_backfills(instance, REFRESH_TAG), progress)
            runs = _next(planner, fire_years, assets, failed, refreshed.confirmed)
            try:
                refreshed.must_not_repeat([pair for pairs in runs.values() for pair in pairs])
            except BurnscarError as error:
                refreshed.failures.append(error)
                return refreshed
            asked = {_submit(planner, year, pairs, accept_release): pairs for year, pairs in runs.items()}
        if not asked:
            return refreshed
        _wait(instance, asked, progress)
        for backfill_id, pairs in asked.items():
            errors = list(_failures(instance, backfill_id))
            refreshed.runs += 1
            refreshed.failures += errors
            if errors:
                failed |= set(pairs)
            else:
                refreshed.pairs += pairs


def _next(
    planner: Planner,
    fire_years: Collection[int],
    assets: Collection[str] | None,
    failed: Collection[Pair],
    confirmed: list[Pair],
) -> dict[int | None, list[Pair]]:
    """What can be asked for now, by fire year; adds to confirmed."""
    plan, without_run = planner.confirm(planner.plan(fire_years, assets, explain=False))
    confirmed += without_run
    return planner.runs(plan, failed)


def _submit(planner: Planner, year: int | None, pairs: Collection[Pair], accept_release: bool) -> str:
    what = year or ("release" if _of_release(pairs) else "all years")
    tags = run_tags(planner.world, pairs) | {REFRESH_TAG: "queue"}
    config = (acceptance(pairs) if accept_release else None) or None
    return ask_for_backfill(planner.instance, planner.graph, pairs, tags, f"refresh {what}", config)


def _of_release(pairs: Collection[Pair]) -> bool:
    return any(pair.asset == RELEASE for pair in pairs)


def _wait(instance: dg.DagsterInstance, backfill_ids: Collection[str], progress: Progress) -> None:
    while backfill_ids:
        done = sum(is_finished(instance, backfill_id) for backfill_id in backfill_ids)
        progress("fire years through the daemon's queue", done, len(backfill_ids))
        if done == len(backfill_ids):
            return
        fail_interrupted_runs(instance)
        if not daemon_is_running(instance):
            raise BurnscarError(
                "the daemon went away; what it was asked for stays in its queue: start it again (burnscar ui), "
                "or run burnscar refresh again to go on without it"
            )
        time.sleep(POLL_S)


def _failures(instance: dg.DagsterInstance, backfill_id: str) -> Iterator[BurnscarError]:
    backfill = instance.get_backfill(backfill_id)
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id}))
    bad = [run for run in runs if run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)]
    for run in bad:
        yield BurnscarError(f"run {run.run_id[:8]} failed: {failure_reason(instance, run.run_id)}")
    if not bad and backfill is not None and backfill.error is not None:
        yield BurnscarError(f"backfill {backfill_id} failed: {backfill.error.message}")
