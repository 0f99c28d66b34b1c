"""The sensor that watches the release's source: looks, remembers, and asks for what changed, once.

Looking fetches nothing. A source of another version asks for a run of `calfire_release`; that run tells on which fire
years the release bears in another way, and for those the sensor asks for their labels. The rest follows by itself.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from burnscar_assets.alerts import alert
from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.checks import freshness
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.runs import run_tags
from burnscar_assets.orchestration.sources import (
    NO_RECORDS,
    RELEASE_BURNS,
    RELEASE_SOURCE,
    observe,
    record,
    years_of_release,
)
from burnscar_assets.orchestration.staleness import EventLog, stale_pairs
from burnscar_assets.storage.hashing import hash_json

RELEASE = Pair("calfire_release", None)
LABELS = ("fire_perimeters", "burn_history")
TICK_S = 30
"""How often the sensor wakes, in seconds, unless it is to look at the source more often."""

SETTLE_S = 10.0
RETRY_MINUTES = 5.0
"""After a failed look the next one comes so soon, if looks aren't more frequent anyway."""

FAILURES_PER_ALERT = (2, 50)
"""An alert is sent at the first number of failures in a row, and again each time that the second is reached."""


@dataclass
class Cursor:
    """What the sensor remembers between ticks."""

    looked_at: float = 0.0
    version: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    failures: int = 0
    years: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """The cursor of the last tick; a fresh one if there is none that can be read."""
        try:
            return cls(**json.loads(text or "{}"))
        except (ValueError, TypeError):
            return cls()

    def write(self) -> str:
        """The cursor as Dagster keeps it."""
        return json.dumps(asdict(self), sort_keys=True)

    def run_key(self, what: str, version: str) -> str:
        """A key that is new even if a version comes back that was there before."""
        self.asked += 1
        return f"{what}:{self.asked}:{version[:16]}"


def build_release_watch(world: World, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor of a world."""

    @dg.sensor(
        target=[dg.AssetKey(name) for name in (RELEASE.asset, *LABELS)],
        minimum_interval_seconds=max(round(min(TICK_S, 60 * world.settings.automation.check_release_minutes)), 1),
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
    automation = world.settings.automation
    minutes = automation.check_release_minutes
    interval_s = 60 * (min(minutes, RETRY_MINUTES) if cursor.failures else minutes)
    now = datetime.now(UTC).timestamp()
    if now - cursor.looked_at < interval_s:
        return None
    cursor.looked_at = now
    try:
        return _record_look(world, context, cursor)
    finally:
        context.instance.report_runless_asset_event(freshness(world, context.instance))


def _record_look(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> str | None:
    try:
        seen = observe(world, RELEASE_SOURCE, cursor.facts, settle_s=SETTLE_S)
    except BurnscarError as error:
        cursor.failures += 1
        first, every = FAILURES_PER_ALERT
        if cursor.failures == first or cursor.failures % every == 0:
            text = f"the release's source failed {cursor.failures} times in a row, what was fetched is kept: {error}"
            alert(world.settings, context.log, text)
        return f"the source was not looked at ({cursor.failures} times in a row): {error}"
    cursor.failures = 0
    cursor.facts = dict(seen.facts)
    record(context.instance, Pair(RELEASE_SOURCE, None), seen)
    return None


def _release_request(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> Iterator[dg.RunRequest]:
    """A run of the release if its source has another version than when it was asked for last."""
    version = cursor.facts.get("version")
    if not version or version == cursor.version:
        return
    cursor.version = version
    if _are_stale(world, context, [RELEASE]):
        yield dg.RunRequest(
            run_key=cursor.run_key("release", version), asset_selection=[RELEASE.key], tags=run_tags(world, [RELEASE])
        )


def _year_requests(world: World, context: dg.SensorEvaluationContext, cursor: Cursor) -> Iterator[dg.RunRequest]:
    """A run of the labels of each year on which the release bears in another way than when it was asked for last."""
    burns = years_of_release(world, context.instance, RELEASE_BURNS)
    for year, fires in years_of_release(world, context.instance).items():
        version = NO_RECORDS if fires == NO_RECORDS else hash_json([fires, burns.get(year)])
        if cursor.years.get(str(year)) == version:
            continue
        cursor.years[str(year)] = version
        stale = _are_stale(world, context, [Pair(name, year) for name in LABELS])
        if stale and version != NO_RECORDS:
            yield dg.RunRequest(
                run_key=cursor.run_key(f"labels-{year}", version),
                asset_selection=[pair.key for pair in stale],
                partition_key=str(year),
                tags=run_tags(world, stale),
            )


def _are_stale(world: World, context: dg.SensorEvaluationContext, pairs: list[Pair]) -> list[Pair]:
    assert context.repository_def is not None  # noqa: S101 - Dagster gives it to every sensor of a code location
    log = EventLog(context.repository_def.asset_graph, context.instance)
    return [found.pair for found in stale_pairs(world, log, pairs, explain=False)]
