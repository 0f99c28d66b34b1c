"""What the sensors that watch sources share: what they remember, when they look, and whom they tell of failures."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from burnscar_assets.alerts import alert
from burnscar_assets.clock import is_within
from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.runs import run_tags
from burnscar_assets.orchestration.staleness import EventLog, StalePair, stale_pairs

TICK_S = 30
"""How often a sensor wakes, in seconds, unless it is to look at its source more often."""

RETRY_MINUTES = 5.0
"""After a failed look the next one comes so soon, if looks aren't more frequent anyway."""

FAILURES_PER_ALERT = (2, 50)
"""An alert is sent at the first number of failures in a row, and again each time that the second is reached."""


@dataclass
class Cursor:
    """What a sensor remembers between ticks."""

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

    def is_due(self, minutes: float) -> bool:
        """Whether it is time to look again; if so, that is remembered."""
        interval_s = 60 * (min(minutes, RETRY_MINUTES) if self.failures else minutes)
        now = datetime.now(UTC).timestamp()
        if is_within(self.looked_at, now, interval_s):
            return False
        self.looked_at = now
        return True


def tick_s(minutes: float) -> int:
    """How often a sensor wakes that looks every so many minutes, in seconds."""
    return max(round(min(TICK_S, 60 * minutes)), 1)


def look_if_due(
    world: World,
    context: dg.SensorEvaluationContext,
    cursor: Cursor,
    minutes: float,
    what: str,
    look: Callable[[], None],
) -> str | None:
    """Look at a source if it is time to; a failure is remembered, and people are told now and then.

    Args:
        world: whose source.
        context: of the sensor's tick.
        cursor: what the sensor remembers.
        minutes: how often it looks.
        what: what the source is called.
        look: looks, and records what was seen.

    Returns:
        What is wrong with the source, in words; None if it was seen, or isn't due.
    """
    if not cursor.is_due(minutes):
        return None
    try:
        look()
    except BurnscarError as error:
        return _count_failure(world, context, cursor, what, error)
    cursor.failures = 0
    return None


def _count_failure(
    world: World, context: dg.SensorEvaluationContext, cursor: Cursor, what: str, error: Exception
) -> str:
    cursor.failures += 1
    first, every = FAILURES_PER_ALERT
    if cursor.failures == first or cursor.failures % every == 0:
        text = f"{what} failed {cursor.failures} times in a row, what was fetched is kept: {error}"
        alert(world.settings, context.log, text)
    return f"the source was not looked at ({cursor.failures} times in a row): {error}"


def are_stale(world: World, context: dg.SensorEvaluationContext, pairs: Iterable[Pair]) -> list[Pair]:
    """Those of the pairs that are stale or missing."""
    return [found.pair for found in find_stale(world, context, pairs)]


def find_stale(world: World, context: dg.SensorEvaluationContext, pairs: Iterable[Pair]) -> list[StalePair]:
    """The same, with what makes each of them stale."""
    assert context.repository_def is not None  # noqa: S101 - Dagster gives it to every sensor of a code location
    log = EventLog(context.repository_def.asset_graph, context.instance)
    return stale_pairs(world, log, pairs, explain=False)


def run_of(world: World, pairs: list[Pair], run_key: str) -> dg.RunRequest:
    """A run of pairs of one fire year, or of one that has none."""
    return dg.RunRequest(
        run_key=run_key,
        asset_selection=[pair.key for pair in pairs],
        partition_key=pairs[0].partition_key,
        tags=run_tags(world, pairs),
    )
