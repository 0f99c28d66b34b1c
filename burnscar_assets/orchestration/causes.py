"""Why a pair is stale, back to the root: from what each materialization recorded of its inputs and settings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import dagster as dg

from burnscar_assets.orchestration.dagster_private import AssetGraph
from burnscar_assets.orchestration.lineage import parents
from burnscar_assets.orchestration.pairs import INPUT_POINTER_TAG, INPUT_VERSION_TAG, Pair
from burnscar_assets.orchestration.partitions import World
from burnscar_assets.orchestration.stage import CHANGES, SETTINGS
from burnscar_assets.orchestration.versions import changed_settings, code_version, stage_settings

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
