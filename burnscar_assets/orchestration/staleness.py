"""Which partitions of which assets are stale, missing or failed: by Dagster's rules, and by what is there; and why.

The rules are those of the marks in the web UI (tests compare the two). Dagster's own code asks its event log for each
input of each partition; here it is asked once for each asset, and what an event says is kept from plan to plan.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import dagster as dg

from burnscar_assets.orchestration.artifacts import missing
from burnscar_assets.orchestration.dagster_private import AssetGraph, failed_checks
from burnscar_assets.orchestration.lineage import parents
from burnscar_assets.orchestration.pairs import INPUT_POINTER_TAG, INPUT_VERSION_TAG, VERSION_TAG, Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage import CHANGES, SETTINGS
from burnscar_assets.orchestration.unfinished import Note, cut_off
from burnscar_assets.orchestration.versions import changed_settings, code_version, stage_settings

_UNKNOWN = "INITIAL"
"""Dagster's data version of what has none, and of a source that was never observed."""


@dataclass(frozen=True)
class StalePair:
    """One partition of one asset that isn't what its code, settings and inputs would make of it.

    Attributes:
        asset, fire_year: which.
        status: STALE, MISSING or FAILED.
        causes: in words.
        inputs: assets whose new content makes it stale, if nothing else is wrong with it.
    """

    asset: str
    fire_year: int | None
    status: str
    causes: tuple[str, ...]
    inputs: tuple[str, ...] = ()

    @property
    def pair(self) -> Pair:
        """Which partition of which asset."""
        return Pair(self.asset, self.fire_year)


class EventLog:
    """The latest event of each partition, for any number of plans.

    Args:
        graph: the assets.
        instance: whose event log.
    """

    def __init__(self, graph: AssetGraph, instance: dg.DagsterInstance) -> None:
        self.graph, self.instance = graph, instance
        self.inputs: dict[Pair, tuple[Pair, ...]] = {}
        """What pairs are made from: it follows from the graph."""
        self._read: dict[int, dg.EventLogRecord] = {}

    def parents(self, pair: Pair) -> tuple[Pair, ...]:
        """The pairs that a pair is made from."""
        if pair not in self.inputs:
            self.inputs[pair] = tuple(parents(self.graph, pair))
        return self.inputs[pair]

    def latest(self, key: dg.AssetKey) -> dict[str, dg.EventLogRecord]:
        """The latest materialization of each partition of an asset; of one that isn't made, the latest observation.

        An asset without partitions has one, whose name is empty.
        """
        node = self.graph.get(key)
        if not node.is_partitioned:
            return dict(zip([""], self._fetch(dg.AssetRecordsFilter(asset_key=key), 1), strict=False))
        made = node.is_materializable
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION if made else dg.DagsterEventType.ASSET_OBSERVATION
        ids = self.instance.event_log_storage.get_latest_storage_id_by_partition(key, kind)
        unread = [number for number in ids.values() if number not in self._read]
        if unread:
            chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=unread)
            self._read |= {record.storage_id: record for record in self._fetch(chosen, len(unread))}
        return {partition: self._read[number] for partition, number in ids.items()}

    def before(self, pair: Pair, storage_id: int) -> dg.EventLogRecord | None:
        """The last event of a partition up to one with a storage id."""
        assert pair.partition_key is not None  # noqa: S101 - others are compared by their version
        chosen = dg.AssetRecordsFilter(
            asset_key=pair.key, asset_partitions=[pair.partition_key], before_storage_id=storage_id + 1
        )
        return next(iter(self._fetch(chosen, 1)), None)

    def _fetch(self, chosen: dg.AssetRecordsFilter, limit: int) -> Iterable[dg.EventLogRecord]:
        made = self.graph.get(chosen.asset_key).is_materializable
        fetch = self.instance.fetch_materializations if made else self.instance.fetch_observations
        return fetch(chosen, limit=limit).records

    def failed_checks(self) -> dict[tuple[str, str | None], list[str]]:
        """Names of the blocking checks that failed when they ran last, by asset and partition."""
        failed: dict[tuple[str, str | None], list[str]] = defaultdict(list)
        for check, partition in failed_checks(self.instance):
            if check in self.graph.asset_check_keys and self.graph.get(check).blocking:
                failed[check.asset_key.to_user_string(), partition].append(check.name)
        return failed


def stale_pairs(world: World, log: EventLog, pairs: Iterable[Pair], *, explain: bool = True) -> list[StalePair]:
    """Those of the pairs that are stale, missing, or failed a blocking check, in their order.

    Args:
        world: whose pairs.
        log: what is known of them; what other processes or runs have written since is read.
        pairs: to look at.
        explain: whether to say why, which takes a while for stale pairs.
    """
    pairs = list(pairs)
    finder = _Finder(world, log, cut_off(log.instance, pairs), explain=explain)
    return [found for pair in pairs if (found := finder.stale(pair)) is not None]


class _Cause(NamedTuple):
    """Why a pair is stale: an input that changed, another cause in words, or, with neither, its code and settings."""

    changed: Pair | None = None
    reason: str = ""


class _Finder:
    """Looks at pairs one by one; what it saw is kept, so a new one is needed after each run."""

    def __init__(self, world: World, log: EventLog, cut_off: Mapping[Pair, Note], *, explain: bool) -> None:
        self._world, self._log, self._cut_off, self._explain = world, log, cut_off, explain
        self._latest_of: dict[str, dict[str, dg.EventLogRecord]] = {}
        self._explainer = Explainer(world, log.graph, log.instance)

    @cached_property
    def _failed_checks(self) -> dict[tuple[str, str | None], list[str]]:
        return self._log.failed_checks()

    def stale(self, pair: Pair) -> StalePair | None:
        made = self._latest(pair)
        if made is None:
            return StalePair(*pair, "MISSING", ("never made",))
        causes = list(self._causes(pair, made))
        if causes:
            said = dict.fromkeys(text for cause in causes for text in self._in_words(pair, cause))
            return StalePair(*pair, "STALE", tuple(said), self._inputs(pair, causes))
        note = self._cut_off.get(pair)
        if note is not None and note.run_id != made.run_id:
            return StalePair(*pair, "STALE", (note.cause(pair),))
        gone = missing(self._world, pair, _version(made))
        if gone:
            return StalePair(*pair, "MISSING", tuple(gone))
        failed = self._failed_checks.get((pair.asset, pair.partition_key), [])
        return StalePair(*pair, "FAILED", tuple(f"blocking check {name} failed" for name in failed)) if failed else None

    def _causes(self, pair: Pair, made: dg.EventLogRecord) -> Iterator[_Cause]:
        """What differs between what a pair was made from, as Dagster's tags have it, and what is there."""
        node = self._log.graph.get(pair.key)
        origin = dg.DataProvenance.from_tags(_tags(made))
        if origin is None:  # reported by hand
            yield _Cause()
            return
        if origin.code_version != node.code_version:
            yield _Cause()
        for key in sorted(origin.input_data_versions.keys() - node.parent_keys):
            yield _Cause(reason=f"removed dependency on {key.to_user_string()}")
        for source in self._log.parents(pair):
            if not origin.has_input_asset(source.key):
                yield _Cause(reason=f"has a new dependency on {source.asset}")
            elif self._differs(source, origin):
                yield _Cause(source)

    def _differs(self, source: Pair, origin: dg.DataProvenance) -> bool:
        """Whether an input has another content than when a pair was made from it.

        Of an asset's partitions, Dagster keeps the latest event of them all.
        """
        latest, pointer = self._latest(source), origin.input_storage_ids[source.key]
        if source.partition_key is None:
            return latest is not None and _version(latest) != origin.input_data_versions[source.key].value
        if latest is None or pointer is None or latest.storage_id <= pointer:
            return False
        before = self._log.before(source, pointer)
        return before is None or _version(before) != _version(latest)

    def _inputs(self, pair: Pair, causes: list[_Cause]) -> tuple[str, ...]:
        """The assets whose new content makes a pair stale; none if something else is wrong with it, too."""
        named = dict.fromkeys(cause.changed.asset for cause in causes if cause.changed)
        failed = self._failed_checks.get((pair.asset, pair.partition_key))
        alone = all(cause.changed for cause in causes) and pair not in self._cut_off and not failed
        return tuple(named) if alone else ()

    def _latest(self, pair: Pair) -> dg.EventLogRecord | None:
        """The latest event of a partition, as of the first question about its asset."""
        if pair.asset not in self._latest_of:
            self._latest_of[pair.asset] = self._log.latest(pair.key)
        return self._latest_of[pair.asset].get(pair.partition_key or "")

    def _in_words(self, pair: Pair, cause: _Cause) -> list[str]:
        if not self._explain:
            return []
        if cause.changed is not None:
            return [self._explainer.input(pair, cause.changed)]
        return [cause.reason] if cause.reason else self._explainer.code(pair)


def _tags(record: dg.EventLogRecord) -> Mapping[str, str]:
    event = record.asset_materialization or record.event_log_entry.asset_observation
    return (event and event.tags) or {}


def _version(record: dg.EventLogRecord) -> str:
    return _tags(record).get(VERSION_TAG, _UNKNOWN)


ARROW = " ← "
_CODE = "dagster/code_version"
_MOST_EVENTS = 20


class _Event(NamedTuple):
    """What a materialization or observation of a pair recorded."""

    storage_id: int
    tags: Mapping[str, str]
    changes: str
    settings: Mapping[str, Any]

    def pointer(self, asset: str) -> int:
        """Storage id of the event of an input that this one was made from."""
        value = self.tags.get(INPUT_POINTER_TAG + asset, "")
        return int(value) if value.isdigit() else 0

    def same_input(self, other: "_Event", asset: str) -> bool:
        return self.tags.get(INPUT_VERSION_TAG + asset) == other.tags.get(INPUT_VERSION_TAG + asset)


class Explainer:
    """Reads the event log for causes."""

    def __init__(self, world: World, graph: AssetGraph, instance: dg.DagsterInstance) -> None:
        self._world, self._graph, self._instance = world, graph, instance

    def code(self, pair: Pair) -> list[str]:
        """Which settings or code differ from those that the pair was made with."""
        made = self._last(pair)
        settings = self._world.settings
        now = code_version(pair.asset, settings)
        return _differences(made, now, stage_settings(pair.asset, settings)) if made else ["never made"]

    def input(self, pair: Pair, source: Pair) -> str:
        """How an input changed since the pair was made, and why, in one line back to the root."""
        made = self._last(pair)
        return self._chain(source, after=made.pointer(source.asset) if made else 0)

    def _chain(self, pair: Pair, after: int, until: int | None = None) -> str:
        events = [event for event in self._events(pair, after, until) if event.changes]
        said = "; ".join(dict.fromkeys(event.changes for event in events))
        text = f"{pair} changed" + (f": {said}" if said else "")
        origin = self._origin(pair, events[0]) if events else ""
        return text + (ARROW + origin if origin else "")

    def _origin(self, pair: Pair, event: _Event) -> str:
        """Why an event of a pair differs from the one before: settings or code, else the first input that changed."""
        before = next(iter(self._events(pair, 0, event.storage_id, newest_first=True)), None)
        if before is None:
            return ""
        if before.tags.get(_CODE) != event.tags.get(_CODE):
            return "; ".join(_differences(before, event.tags.get(_CODE, ""), event.settings))
        for parent in parents(self._graph, pair):
            after, until = before.pointer(parent.asset), event.pointer(parent.asset) + 1
            if self._differs(before, event, parent) and self._events(parent, after, until):
                return self._chain(parent, after, until)
        return ""

    def _differs(self, before: _Event, event: _Event, parent: Pair) -> bool:
        """Whether an input had another version; of observed years Dagster records when they were seen, not what."""
        return not self._graph.get(parent.key).is_materializable or not event.same_input(before, parent.asset)

    def _last(self, pair: Pair) -> _Event | None:
        return next(iter(self._events(pair, 0, None, newest_first=True)), None)

    def _events(self, pair: Pair, after: int, until: int | None, *, newest_first: bool = False) -> list[_Event]:
        """Events with a storage id in (after, until), oldest first unless asked otherwise."""
        chosen = dg.AssetRecordsFilter(
            asset_key=pair.key,
            asset_partitions=None if pair.partition_key is None else [pair.partition_key],
            after_storage_id=after or None,
            before_storage_id=until,
        )
        limit = 1 if newest_first else _MOST_EVENTS
        materializable = self._graph.get(pair.key).is_materializable
        fetch = self._instance.fetch_materializations if materializable else self._instance.fetch_observations
        found = fetch(chosen, limit=limit, ascending=not newest_first).records
        return [_event(record) for record in found]


def _event(record: dg.EventLogRecord) -> _Event:
    said = record.asset_materialization or record.event_log_entry.asset_observation
    assert said is not None  # noqa: S101 - only such events were asked for
    changes, settings = said.metadata.get(CHANGES), said.metadata.get(SETTINGS)
    return _Event(
        record.storage_id,
        said.tags or {},
        str(changes.value) if changes else "",
        settings.value if settings else {},  # type: ignore[arg-type]
    )


def _differences(before: _Event, version: str, settings: Mapping[str, Any]) -> list[str]:
    """Settings and code that differ; `version` is `<stage version>-<settings>`."""
    was, now = before.tags.get(_CODE, "").partition("-")[0], version.partition("-")[0]
    said = [f"settings changed: {change}" for change in changed_settings(before.settings, settings)]
    return [*([f"code changed: version {was} → {now}"] if was != now else []), *said] or ["code version changed"]
