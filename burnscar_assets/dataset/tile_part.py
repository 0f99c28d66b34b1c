"""The tiles of some windows of a layer: which are to be made, making them, and what came of each."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnscar_assets.catalog.items import (
    SerializedItem,
    acquisition_time,
    is_of_fallback,
    processing_baseline,
    set_aside,
)
from burnscar_assets.dataset.config import open_dataset
from burnscar_assets.dataset.giving_way import GivingWay
from burnscar_assets.dataset.ledger import Entry, Ledger
from burnscar_assets.dataset.materialize_batch import TileOutcome, TileShard, make_tiles
from burnscar_assets.dataset.parallel import run_shards
from burnscar_assets.dataset.scene_neighbours import SceneNeighbours
from burnscar_assets.dataset.scene_radiometry import known_decision, remember_decisions
from burnscar_assets.dataset.shelf import Shelf
from burnscar_assets.dataset.tile_identity import TileIdentities, still_valid
from burnscar_assets.dataset.tiles import TileContent, measure_tiles
from burnscar_assets.errors import BurnscarError, SourceUnavailableError
from burnscar_assets.settings import ImagerySettings

if TYPE_CHECKING:
    from rslearn.dataset import Window

    from burnscar_assets.reader.request import Failure

SHARD_WINDOWS = (256, 2048)
"""Windows of a shard: fewer scenes' windows go together, more of one scene are parted."""

NO_SCENE = "no_scene"
NODATA = "nodata"
UNREADABLE = "unreadable"
IN_DOUBT = "in_doubt"
CLEAR = "clear_fraction"
UNCLEAR = "unclear"
INSTEAD, REJECTED, PASSED_OVER, CHOICE = "instead", "rejected", "passed_over", "choice"

Groups = list[list[SerializedItem]]


class TilePart:
    """Some windows of a layer, the scenes they are made from, and what came of them."""

    def __init__(
        self,
        shelf: Shelf,
        windows: "dict[str, Window]",
        groups: dict[str, Groups],
        there: set[str],
        settings: ImagerySettings,
        neighbours: SceneNeighbours,
    ) -> None:
        """Know what is wanted; nothing is read or written yet.

        Args:
            shelf: the layer's tiles.
            windows: windows by id.
            groups: groups of scenes of each; empty for one without a scene.
            there: windows that have a tile.
            settings: limits, workers, retries.
            neighbours: of the layer's scenes.
        """
        self.shelf = shelf
        self.layer = shelf.layer
        self._path = Path(shelf.dataset.path)
        self.windows = windows
        self.groups = groups
        self.settings = settings
        self._neighbours = neighbours
        self.matched = {name: window for name, window in windows.items() if groups[name]}
        self.used = dict(groups)
        self.giving_way = GivingWay(shelf.dataset, shelf.layer, settings)
        self._identities = TileIdentities(shelf.config)
        self.identities = {name: self._identities.of(w, groups[name]) for name, w in self.matched.items()}
        self.there = there & windows.keys()
        self.outcomes: dict[str, TileOutcome] = {}
        self._before: dict[str, Entry] = {}

    def make(self, ledgers: dict[str, Ledger], told: Callable[[int], None]) -> None:
        """Make what is missing or changed, measure the rest, and leave out what lacks data.

        Windows whose scenes can't be read are as before, but for the ledger's entry.

        Args:
            ledgers: of the tiles and of what was found out of their scenes, by group.
            told: hears how many of the windows are done.

        Raises:
            SourceUnavailableError: the archive does not answer.
            StorageError: the dataset can't be written.
        """
        self._before = {name: ledgers[window.group].get(name) for name, window in self.matched.items()}
        self._take_known_rejections(self._before)
        pending = {name for name in self.matched.keys() - self.outcomes.keys() if self._is_stale(name)}
        pending |= self._measure(self.matched.keys() - self.outcomes.keys() - pending, self._before)
        for group, names in by_group(self.windows[name] for name in pending).items():
            ledgers[group].forget(names)
        for name in pending:
            self.used[name] = self.groups[name]
            self.giving_way.passed_over.pop(name, None)
        told(len(self.outcomes))
        again = self._attempt(pending, ledgers, told)
        while again:
            again = self._attempt(again, ledgers, told)
        self._leave_out()

    def _attempt(self, pending: set[str], ledgers: dict[str, Ledger], told: Callable[[int], None]) -> set[str]:
        """Make tiles; returns windows that are to be made of other scenes. Each time, one scene less is left."""
        again = set()
        self._ingest(pending)
        shards = self._shards(pending, ledgers)
        for outcomes in run_shards(make_tiles, shards, self.settings.workers, self.settings.ray_address):
            for outcome in outcomes:
                group = self.windows[outcome.window_id].group
                remember_decisions(ledgers[group], outcome.radiometry, self._states(outcome.window_id))
                if self._gives_way(outcome):
                    again.add(outcome.window_id)
                elif (final := self.outcomes[outcome.window_id]).content is not None:
                    self._remember(final, final.content, ledgers)
            told(len(self.outcomes) - len(again))
        return again

    def _gives_way(self, outcome: TileOutcome) -> bool:
        """Whether a window is to be made of other scenes; if none is left, what came of the first ones counts."""
        name = outcome.window_id
        lacks_data = outcome.content is not None and self._lacks_data(outcome.content)
        first = self.outcomes.setdefault(name, outcome)
        groups = self.giving_way.next(self.windows[name], self.used[name], outcome, lacks_data=lacks_data)
        if groups:
            self.used[name] = groups
            return True
        is_good = outcome.content is not None and not lacks_data
        may_pass = outcome.failure is not None and not outcome.failure.lasting
        if is_good or may_pass:
            self.outcomes[name] = outcome
        else:
            self.outcomes[name], self.used[name] = first, self.groups[name]
        return False

    def failed(self) -> "dict[str, Failure]":
        """Windows whose scenes can't be read, and why."""
        return {name: outcome.failure for name, outcome in self.outcomes.items() if outcome.failure is not None}

    def restore(self, ledgers: dict[str, Ledger]) -> None:
        """Know again the tiles of windows whose scenes can't be read: they are as they were."""
        for name in self.failed():
            if self._before[name]:
                ledgers[self.windows[name].group].remember(name, self._before[name])

    def hrefs(self) -> set[str]:
        """Files of the scenes that can't be read now and may be later, or are in a group with one."""
        passing = [name for name, failure in self.failed().items() if not failure.lasting]
        items = (item for name in passing for group in self.used[name] for item in group)
        return {href for item in items for href in item.get("asset_urls", {}).values()}

    def whole(self) -> set[str]:
        """Windows that have a tile with enough data."""
        return {name for name, o in self.outcomes.items() if o.content and not self._lacks_data(o.content)}

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the `tiles` table, one a window."""
        return [self._row(name) for name in self.windows]

    def _is_stale(self, name: str) -> bool:
        entry = self._before[name]
        if name not in self.there or not still_valid(entry, self.identities[name]):
            return True
        if UNCLEAR not in entry and entry.get(CLEAR, 1.0) < 1:  # made before anybody asked where
            return True
        return INSTEAD in entry and not (self._is_same_choice(name) and self._is_still_made_of(name, entry[INSTEAD]))

    def _is_same_choice(self, name: str) -> bool:
        """Whether the same scenes are there to take each other's place as when a window was made or left out."""
        return self._before[name].get(CHOICE) == self.giving_way.choice(self.windows[name])

    def _is_still_made_of(self, name: str, instead: Entry) -> bool:
        """Whether the other scenes that a tile was made of are as they were; if so, the tile is known to be theirs."""
        window = self.windows[name]
        groups = self.giving_way.groups_of(window, instead["scenes"])
        if not groups or not still_valid(instead, self._identities.of(window, groups)):
            return False
        self.used[name] = groups
        self.giving_way.passed_over[name] = instead[PASSED_OVER]
        return True

    def _lacks_data(self, content: TileContent) -> bool:
        return content.nodata_fraction > self.settings.max_nodata_fraction

    def _take_known_rejections(self, before: dict[str, Entry]) -> None:
        """Don't make again what was made before and would be left out again for want of data."""
        for name, entry in before.items():
            if REJECTED in entry and still_valid(entry, self.identities[name]):
                content = TileContent(**entry[REJECTED])
                if self._lacks_data(content) and self._is_same_choice(name):
                    self.outcomes[name] = _kept(name, content, entry)
                    self.giving_way.passed_over[name] = entry[PASSED_OVER]

    def _ingest(self, pending: set[str]) -> None:
        from rslearn.dataset.manage import ingest_dataset_windows

        if not pending or self.shelf.config.data_source is None or not self.shelf.config.data_source.ingest:
            return
        dataset = open_dataset(self._path, (self.layer,))
        windows = [self.windows[name] for name in sorted(pending)]
        wait = timedelta(seconds=self.settings.retry_backoff_s)
        try:
            ingest_dataset_windows(dataset, windows, self.settings.retries, wait)
        except BurnscarError:
            raise
        except Exception as error:
            raise SourceUnavailableError(
                f"fetching scenes of {self.layer} failed ({error}): run the same again later; what was fetched is kept"
            ) from error

    def _measure(self, names: Iterable[str], before: dict[str, Entry]) -> set[str]:
        """Measure tiles that need not be made; returns those that are damaged."""
        damaged = set()
        for group, mine in by_group(self.windows[name] for name in names).items():
            for count in {len(self.used[name]) for name in mine}:
                alike = sorted(name for name in mine if len(self.used[name]) == count)
                for name, content in zip(alike, measure_tiles(self.shelf, group, alike, count), strict=True):
                    if content is None:
                        damaged.add(name)
                    else:
                        self.outcomes[name] = _kept(name, content, before[name])
        return damaged

    def _states(self, name: str) -> dict[str, str]:
        """What a decision on each of a window's scenes is made for."""
        items = (item for group in self.used[name] for item in group)
        return {item["name"]: self._identities.state(item) for item in items}

    def _shards(self, names: Iterable[str], ledgers: dict[str, Ledger]) -> list[TileShard]:
        """Windows of the same scenes go together, so that few shards open a scene."""
        fewest, most = SHARD_WINDOWS
        shards: list[TileShard] = []
        for group, mine in by_group(self.windows[name] for name in names).items():
            by_scenes: dict[tuple[str, ...], list[str]] = {}
            for name in sorted(mine):
                scenes = tuple(item["name"] for groups in self.used[name] for item in groups)
                by_scenes.setdefault(scenes, []).append(name)
            for fallback in (False, True):
                shard: list[str] = []
                for scenes in sorted(by_scenes):
                    shard += [name for name in by_scenes[scenes] if is_of_fallback(self.used[name]) == fallback]
                    while len(shard) >= fewest:
                        shards.append(self._shard(group, shard[:most], ledgers[group], fallback))
                        shard = shard[most:]
                shards += [self._shard(group, shard, ledgers[group], fallback)] if shard else []
        return shards

    def _shard(self, group: str, names: list[str], ledger: Ledger, fallback: bool) -> TileShard:
        instead = {name: self.used[name] for name in names if self.used[name] is not self.groups[name]}
        states = {scene: state for name in names for scene, state in self._states(name).items()}
        known = (known_decision(ledger, scene, state) for scene, state in states.items())
        decisions = tuple(decision for decision in known if decision is not None)
        neighbours = self._neighbours.of(group, states.keys() - {decision.scene for decision in decisions})
        return TileShard(
            self._path, self.layer, group, tuple(names), self.settings, instead, decisions, fallback, neighbours
        )

    def _remember(self, outcome: TileOutcome, content: TileContent, ledgers: dict[str, Ledger]) -> None:
        """Remember what a tile was made for, or that its window was left out for want of data."""
        name = outcome.window_id
        window, passed_over = self.windows[name], self.giving_way.passed_over.get(name, {})
        entry: Entry = {}
        if outcome.clear_fraction is not None:
            entry |= {CLEAR: outcome.clear_fraction, UNCLEAR: outcome.unclear}
        if self._lacks_data(content):
            entry |= {REJECTED: asdict(content), CHOICE: self.giving_way.choice(window), PASSED_OVER: passed_over}
        elif self.used[name] is not self.groups[name]:
            scenes = [[item["name"] for item in group] for group in self.used[name]]
            identity = self._identities.of(window, self.used[name]).as_entry()
            instead = {"scenes": scenes, PASSED_OVER: passed_over, **identity}
            entry |= {INSTEAD: instead, CHOICE: self.giving_way.choice(window)}
        ledgers[window.group].remember(name, self.identities[name].as_entry() | entry)

    def _leave_out(self) -> None:
        """Have rslearn leave out windows whose tile lacks data, and take away what they or unmatched ones had."""
        lacking = {name for name, o in self.outcomes.items() if o.content and self._lacks_data(o.content)}
        without = lacking | (self.windows.keys() - self.matched.keys())
        for group, names in by_group(self.windows[name] for name in without).items():
            with self.shelf.transaction(group):
                for name in sorted(lacking & names):
                    set_aside(self.windows[name], self.layer)
                self.shelf.remove(group, sorted(names & self.there))

    def _row(self, name: str) -> dict[str, Any]:
        outcome = self.outcomes.get(name)
        items = [item for group in self.used[name] for item in group]
        content = outcome.content if outcome else None
        passed = self.giving_way.passed_over.get(name, {})
        if outcome is None:
            reason = NO_SCENE
        elif outcome.failure is not None:
            reason = IN_DOUBT if outcome.failure.kind == "in doubt" else UNREADABLE
        else:
            reason = NODATA if content is not None and self._lacks_data(content) else ""
        return {
            "window_id": name,
            "fire_year": int(self.windows[name].group),
            "layer": self.layer,
            "complete": not reason,
            "reason": reason,
            "item_ids": [item["name"] for item in items],
            "passed_over": [f"{scene}: {why}" for scene, why in sorted(passed.items())],
            "acquired": acquisition_time(items[0]) if items else None,
            "processing_baseline": processing_baseline(items[0]) if items else "",
            "clear_fraction": outcome.clear_fraction if outcome else None,
            "unclear": f"{outcome.unclear} {content.lacking}".strip() if outcome and content else "",
            "nodata_fraction": content.nodata_fraction if content else None,
            "content_hash": content.content_hash if content else "",
        }


def _kept(name: str, content: TileContent, entry: Entry) -> TileOutcome:
    """What came of a window whose tile, or want of data, is as it was."""
    return TileOutcome(name, False, content, clear_fraction=entry.get(CLEAR), unclear=entry.get(UNCLEAR, ""))


def by_group(windows: "Iterable[Window]") -> dict[str, set[str]]:
    """Names of windows by group."""
    names: dict[str, set[str]] = {}
    for window in windows:
        names.setdefault(window.group, set()).add(window.name)
    return dict(sorted(names.items()))
