"""The tiles of some windows of a layer: which are to be made, making them, and what came of each."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnscar_assets.errors import BurnscarError, SourceUnavailableError
from burnscar_assets.imagery.dataset import open_dataset
from burnscar_assets.imagery.items import (
    SerializedItem,
    acquisition_time,
    is_of_fallback,
    processing_baseline,
    set_aside,
)
from burnscar_assets.imagery.ledger import Entry, Ledger
from burnscar_assets.imagery.materialize_batch import TileOutcome, TileShard, make_tiles
from burnscar_assets.imagery.parallel import run_shards
from burnscar_assets.imagery.shelf import Shelf
from burnscar_assets.imagery.tile_identity import TileIdentities, still_valid
from burnscar_assets.imagery.tiles import TileContent, measure_tiles
from burnscar_assets.settings import ImagerySettings

if TYPE_CHECKING:
    from rslearn.dataset import Window

SHARD_WINDOWS = (256, 2048)
"""Windows of a shard: fewer scenes' windows go together, more of one scene are parted."""

NO_SCENE = "no_scene"
NODATA = "nodata"
UNREADABLE = "unreadable"
CLEAR = "clear_fraction"

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
    ) -> None:
        """Know what is wanted; nothing is read or written yet.

        Args:
            shelf: the layer's tiles.
            windows: windows by id.
            groups: groups of scenes of each; empty for one without a scene.
            there: windows that have a tile.
            settings: limits, workers, retries.
        """
        self.shelf = shelf
        self.layer = shelf.layer
        self._path = Path(shelf.dataset.path)
        self.windows = windows
        self.groups = groups
        self.settings = settings
        self.matched = {name: window for name, window in windows.items() if groups[name]}
        identities = TileIdentities(shelf.config)
        self.identities = {name: identities.of(w, groups[name]) for name, w in self.matched.items()}
        self.there = there & windows.keys()
        self.outcomes: dict[str, TileOutcome] = {}
        self._before: dict[str, Entry] = {}

    def make(self, ledgers: dict[str, Ledger], told: Callable[[int], None]) -> None:
        """Make what is missing or changed, measure the rest, and leave out what lacks data.

        Windows whose scenes can't be read are as before, but for the ledger's entry.

        Args:
            ledgers: of the tiles, by group.
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
        self._ingest(pending)
        told(len(self.outcomes))
        for outcomes in run_shards(make_tiles, self._shards(pending), self.settings.workers, self.settings.ray_address):
            for outcome in outcomes:
                self.outcomes[outcome.window_id] = outcome
                if outcome.content is not None:
                    self._remember(outcome, outcome.content, ledgers)
            told(len(self.outcomes))
        self._leave_out()

    def failed(self) -> dict[str, str]:
        """Windows whose scenes can't be read, and why."""
        return {name: outcome.error for name, outcome in self.outcomes.items() if outcome.content is None}

    def restore(self, ledgers: dict[str, Ledger]) -> None:
        """Know again the tiles of windows whose scenes can't be read: they are as they were."""
        for name in self.failed():
            if self._before[name]:
                ledgers[self.windows[name].group].remember(name, self._before[name])

    def hrefs(self) -> set[str]:
        """Files of the scenes that can't be read, or are in a group with one."""
        items = (item for name in self.failed() for group in self.groups[name] for item in group)
        return {href for item in items for href in item.get("asset_urls", {}).values()}

    def whole(self) -> set[str]:
        """Windows that have a tile with enough data."""
        return {name for name, o in self.outcomes.items() if o.content and not self._lacks_data(o.content)}

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the `tiles` table, one a window."""
        return [self._row(name) for name in self.windows]

    def _is_stale(self, name: str) -> bool:
        return name not in self.there or not still_valid(self._before[name], self.identities[name])

    def _lacks_data(self, content: TileContent) -> bool:
        return content.nodata_fraction > self.settings.max_nodata_fraction

    def _take_known_rejections(self, before: dict[str, Entry]) -> None:
        """Don't make again what was made before and would be left out again for want of data."""
        for name, entry in before.items():
            if "rejected" in entry and still_valid(entry, self.identities[name]):
                content = TileContent(**entry["rejected"])
                if self._lacks_data(content):
                    self.outcomes[name] = TileOutcome(name, False, content, clear_fraction=entry.get(CLEAR))

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
            for count in {len(self.groups[name]) for name in mine}:
                alike = sorted(name for name in mine if len(self.groups[name]) == count)
                for name, content in zip(alike, measure_tiles(self.shelf, group, alike, count), strict=True):
                    if content is None:
                        damaged.add(name)
                    else:
                        self.outcomes[name] = TileOutcome(name, False, content, clear_fraction=before[name].get(CLEAR))
        return damaged

    def _shards(self, names: Iterable[str]) -> list[TileShard]:
        """Windows of the same scenes go together, so that few shards open a scene."""
        fewest, most = SHARD_WINDOWS
        shards: list[TileShard] = []
        for group, mine in by_group(self.windows[name] for name in names).items():
            by_scenes: dict[tuple[str, ...], list[str]] = {}
            for name in sorted(mine):
                scenes = tuple(item["name"] for groups in self.groups[name] for item in groups)
                by_scenes.setdefault(scenes, []).append(name)
            for fallback in (False, True):
                shard: list[str] = []
                for scenes in sorted(by_scenes):
                    shard += [name for name in by_scenes[scenes] if is_of_fallback(self.groups[name]) == fallback]
                    while len(shard) >= fewest:
                        shards.append(self._shard(group, shard[:most], fallback))
                        shard = shard[most:]
                shards += [self._shard(group, shard, fallback)] if shard else []
        return shards

    def _shard(self, group: str, names: list[str], fallback: bool) -> TileShard:
        return TileShard(self._path, self.layer, group, tuple(names), self.settings, fallback)

    def _remember(self, outcome: TileOutcome, content: TileContent, ledgers: dict[str, Ledger]) -> None:
        """Remember what a tile was made for, or that its window was left out for want of data."""
        name = outcome.window_id
        known = {CLEAR: outcome.clear_fraction} if outcome.clear_fraction is not None else {}
        rejected = {"rejected": asdict(content)} if self._lacks_data(content) else {}
        ledgers[self.windows[name].group].remember(name, self.identities[name].as_entry() | known | rejected)

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
        items = [item for group in self.groups[name] for item in group]
        content = outcome.content if outcome else None
        if outcome is None:
            reason = NO_SCENE
        elif content is None:
            reason = UNREADABLE
        else:
            reason = NODATA if self._lacks_data(content) else ""
        return {
            "window_id": name,
            "fire_year": int(self.windows[name].group),
            "layer": self.layer,
            "complete": not reason,
            "reason": reason,
            "item_ids": [item["name"] for item in items],
            "acquired": acquisition_time(items[0]) if items else None,
            "processing_baseline": processing_baseline(items[0]) if items else "",
            "clear_fraction": outcome.clear_fraction if outcome else None,
            "nodata_fraction": content.nodata_fraction if content else None,
            "content_hash": content.content_hash if content else "",
        }


def by_group(windows: "Iterable[Window]") -> dict[str, set[str]]:
    """Names of windows by group."""
    names: dict[str, set[str]] = {}
    for window in windows:
        names.setdefault(window.group, set()).add(window.name)
    return dict(sorted(names.items()))
