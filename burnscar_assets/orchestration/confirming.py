"""Partitions whose input changed, but which would come out the same: confirmed as they are, which takes no run.

A scar may show for years, so one edited fire gives the burn history of the years after another content. Hardly a point
or a label raster of theirs is near. What their stages remember tells so at a glance; Dagster is then told that the
partition comes from the new content and is what it was, so that its stale marks agree. Where anything else is wrong
with a partition, or it can't be judged, it is made.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import dagster as dg
from filelock import Timeout

from burnscar_assets.errors import BurnscarError
from burnscar_assets.orchestration.artifacts import configured_store, missing
from burnscar_assets.orchestration.assets.model import checkpoint_holds
from burnscar_assets.orchestration.assets.samples import points_hold, windows_hold
from burnscar_assets.orchestration.dagster_private import as_of
from burnscar_assets.orchestration.lineage import Lineage
from burnscar_assets.orchestration.pairs import Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage import CHANGES, lock_of
from burnscar_assets.orchestration.staleness import EventLog, StalePair, stale_pairs
from burnscar_assets.storage.contracts import BURN_HISTORY, FIRE_PERIMETERS

CONFIRMED = "burnscar/confirmed"
"""Metadata of a materialization that nothing was made for: why that was right."""

_SAID = "nothing here would come out another: it was not made again, and its figures are those of when it was"


class _Rule(NamedTuple):
    """How a stage tells that its result stays.

    Attributes:
        input: the one asset whose change it can judge.
        holds: whether the result of a fire year stays, if nothing else changed.
    """

    input: str
    holds: Callable[[World, int], bool]


_RULES: Mapping[str, _Rule] = {
    "sample_points": _Rule(BURN_HISTORY.name, points_hold),
    "windows": _Rule(BURN_HISTORY.name, windows_hold),
    "checkpoint": _Rule(FIRE_PERIMETERS.name, checkpoint_holds),
}


def can_be_confirmed(pair: Pair) -> bool:
    """Whether a pair's stage can tell that its result stays."""
    return pair.stage in _RULES


def may_hold(pair: Pair, changed: Pair) -> bool:
    """Whether a pair may be confirmed where one of its inputs changed."""
    return pair.stage in _RULES and _RULES[pair.stage].input == changed.asset


def confirm(
    world: World, log: EventLog, lineage: Lineage, stale: tuple[StalePair, ...], unsettled: Collection[Pair]
) -> Iterator[Pair]:
    """Confirm what can be confirmed of a plan, and tell Dagster so.

    Args:
        world: whose pairs.
        log: the event log.
        lineage: of the pairs.
        stale: what is stale, in topological order.
        unsettled: what else may still change: what comes after it, and what runs make at this moment.

    Yields:
        Pairs that are fresh now.
    """
    changing = {*(found.pair for found in stale), *unsettled}
    for found in stale:
        if changing.isdisjoint(lineage.parents(found.pair)) and _confirm_alone(world, log, found.pair):
            changing.remove(found.pair)
            yield found.pair


def confirm_one(world: World, log: EventLog, found: StalePair) -> bool:
    """Confirm a stale pair whose inputs are settled, if it can be; who calls this holds its lock."""
    rule = _RULES.get(found.pair.stage)
    if rule is None or found.inputs != (rule.input,) or found.fire_year is None:
        return False
    sources = [pair for pair in log.parents(found.pair) if pair.asset == rule.input]
    if configured_store() is not None:  # draws/ is not in it
        return False
    try:
        with ExitStack() as held:
            for source in sources:
                held.enter_context(lock_of(world, source).acquire(blocking=False))
            if missing(world, found.pair, "") or not rule.holds(world.of(found.pair.setup), found.fire_year):
                return False
            log.instance.report_runless_asset_event(_event(log, found.pair, sources))
            return True
    except Exception:
        return False


def _confirm_alone(world: World, log: EventLog, pair: Pair) -> bool:
    try:
        with lock_of(world, pair).acquire(blocking=False):
            still = stale_pairs(world, log, [pair], explain=False)
            return any(confirm_one(world, log, found) for found in still)
    except (BurnscarError, OSError, Timeout):
        return False


def _event(log: EventLog, pair: Pair, sources: Sequence[Pair]) -> dg.AssetMaterialization:
    """The last materialization of a pair again, as of the latest content of the years of an input."""
    partition, source = pair.partition_key or "", sources[0].asset
    before = log.latest(pair.key)[partition].asset_materialization
    known = log.latest(dg.AssetKey(source))
    latest = [known[year] for year in sorted(str(one.partition_key) for one in sources) if year in known]
    assert before is not None and latest  # noqa: S101 - else it would be missing
    told: dict[str, Any] = {CHANGES: "", CONFIRMED: f"{source} changed, but {_SAID}"}
    return as_of(before, source, latest, told)
