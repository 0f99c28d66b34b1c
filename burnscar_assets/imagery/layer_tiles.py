"""The tiles of one raster layer: which are to be made, making them, and settling what came of each."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnscar_assets.errors import BurnscarError, InputError, SourceUnavailableError
from burnscar_assets.imagery.dataset import data_source, open_dataset
from burnscar_assets.imagery.hrefs import is_remote
from burnscar_assets.imagery.items import SerializedItem, acquisition_time, processing_baseline, set_aside
from burnscar_assets.imagery.ledger import Entry, Ledger, open_ledgers
from burnscar_assets.imagery.materialize_batch import TileOutcome, TileShard, make_tiles
from burnscar_assets.imagery.parallel import run_shards
from burnscar_assets.imagery.shelf import open_shelf
from burnscar_assets.imagery.tile_identity import TileIdentities, still_valid
from burnscar_assets.imagery.tiles import TileContent, measure_tiles
from burnscar_assets.progress import Progress
from burnscar_assets.settings import ImagerySettings

if TYPE_CHECKING:
    from rslearn.dataset import Dataset, Window

SHARD_WINDOWS = (256, 2048)
"""Windows of a shard: fewer scenes' windows go together, more of one scene are parted."""

NO_SCENE = "no_scene"
NODATA = "nodata"
UNREADABLE = "unreadable"
NAMED_IN_ERRORS = 5
CLEAR = "clear_fraction"

Groups = list[list[SerializedItem]]


@dataclass(frozen=True)
class TileChanges:
    """What happened to the tiles of a layer.

    Attributes:
        kept: tiles that were there already, untouched.
        made: new tiles.
        replaced: tiles that were there, made anew: of other scenes, of another configuration, or damaged.
        removed: tiles that are no more: their window is gone, or is left out now.
    """

    kept: int
    made: int
    replaced: int
    removed: int


class LayerTiles:
    """One layer's windows, the scenes they are made from, and what came of them."""

    def __init__(
        self,
        dataset: "Dataset",
        layer: str,
        windows: "dict[str, Window]",
        groups: dict[str, Groups],
        settings: ImagerySettings,
    ) -> None:
        """Know what is wanted; nothing is read or written yet.

        Args:
            dataset: the rslearn dataset.
            layer: name of the layer.
            windows: all windows by id.
            groups: groups of scenes of each window; empty for one without a scene.
            settings: limits, workers, retries.
        """
        self.layer = layer
        self.config = dataset.layers[layer]
        self.source = data_source(dataset, layer)
        self._dataset = dataset
        self.dataset_path = Path(dataset.path)
        self.windows = windows
        self.groups = groups
        self.settings = settings
        self.matched = {name: window for name, window in windows.items() if groups[name]}
        identities = TileIdentities(self.config)
        self.identities = {name: identities.of(w, groups[name]) for name, w in self.matched.items()}
        self.shelf = open_shelf(dataset, layer)
        self.outcomes: dict[str, TileOutcome] = {}
        self._there: set[str] = set()
        self._gone = 0

    def make(self, progress: Progress) -> None:
        """Make what is missing or changed, measure the rest, and leave out what can't be used.

        Raises:
            InputError: too many windows have scenes that can't be read; these windows' tiles are as before.
            SourceUnavailableError: the same for scenes on the network.
            StorageError: the dataset folder can't be written.
        """
        by_group = _by_group(self.windows.values())
        self._there = {name for group, names in by_group.items() for name in self.shelf.completed(group) & names}
        with open_ledgers(self.dataset_path, "tiles", self.layer, by_group) as ledgers:
            self._forget_gone(ledgers, by_group)
            before = {name: ledgers[window.group].get(name) for name, window in self.matched.items()}
            self._take_known_rejections(before)
            pending = {name for name in self.matched if name not in self.outcomes and self._is_stale(name, before)}
            pending |= self._measure(self.matched.keys() - self.outcomes.keys() - pending, before)
            for group, ledger in ledgers.items():
                ledger.forget(pending & by_group[group])
            try:
                self._ingest(pending)
                self._run(pending, ledgers, progress)
                self._check_readable()
            except BaseException:
                self._restore(before, ledgers)
                raise
        self._leave_out(by_group)

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the `tiles` table, one a window."""
        return [self._row(name) for name in self.windows]

    def changes(self) -> TileChanges:
        """What happened to the tiles, once they are made."""
        whole = {name for name, o in self.outcomes.items() if o.content and not self._lacks_data(o.content)}
        fresh = {name for name in whole if self.outcomes[name].made}
        return TileChanges(
            kept=len(whole - fresh),
            made=len(fresh - self._there),
            replaced=len(fresh & self._there),
            removed=len(self._there - whole) + self._gone,
        )

    def _forget_gone(self, ledgers: dict[str, Ledger], by_group: dict[str, set[str]]) -> None:
        """Forget windows that are no longer in the dataset; their tiles went with them."""
        for group, ledger in ledgers.items():
            unknown = [name for name in ledger.entries if name not in by_group[group]]
            if unknown:
                there = {window.name for window in self._dataset.load_windows(groups=[group], names=unknown)}
                gone = [name for name in unknown if name not in there]
                self._gone += sum("rejected" not in ledger.get(name) for name in gone)
                ledger.forget(gone)

    def _take_known_rejections(self, before: dict[str, Entry]) -> None:
        """Don't make again what was made before and would be left out again for want of data."""
        for name, entry in before.items():
            if "rejected" in entry and still_valid(entry, self.identities[name]):
                content = TileContent(**entry["rejected"])
                if self._lacks_data(content):
                    self.outcomes[name] = TileOutcome(name, False, content, clear_fraction=entry.get(CLEAR))

    def _lacks_data(self, content: TileContent) -> bool:
        return content.nodata_fraction > self.settings.max_nodata_fraction

    def _is_stale(self, name: str, before: dict[str, Entry]) -> bool:
        return name not in self._there or not still_valid(before[name], self.identities[name])

    def _ingest(self, pending: set[str]) -> None:
        from rslearn.dataset.manage import ingest_dataset_windows

        if not pending or self.config.data_source is None or not self.config.data_source.ingest:
            return
        dataset = open_dataset(self.dataset_path, (self.layer,))
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
        for group, mine in _by_group(self.windows[name] for name in names).items():
            for count in {len(self.groups[name]) for name in mine}:
                alike = sorted(name for name in mine if len(self.groups[name]) == count)
                for name, content in zip(alike, measure_tiles(self.shelf, group, alike, count), strict=True):
                    if content is None:
                        damaged.add(name)
                    else:
                        self.outcomes[name] = TileOutcome(name, False, content, clear_fraction=before[name].get(CLEAR))
        return damaged

    def _run(self, pending: set[str], ledgers: dict[str, Ledger], progress: Progress) -> None:
        progress("materializing tiles", len(self.outcomes), len(self.matched))
        settings = self.settings
        for outcomes in run_shards(make_tiles, self._shards(pending), settings.workers, settings.ray_address):
            for outcome in outcomes:
                self.outcomes[outcome.window_id] = outcome
                if outcome.content is not None:
                    self._remember(outcome, outcome.content, ledgers)
            progress("materializing tiles", len(self.outcomes), len(self.matched))

    def _shards(self, names: Iterable[str]) -> list[TileShard]:
        """Windows of the same scenes go together, so that few shards open a scene."""
        fewest, most = SHARD_WINDOWS
        shards: list[TileShard] = []
        for group, mine in _by_group(self.windows[name] for name in names).items():
            by_scenes: dict[tuple[str, ...], list[str]] = {}
            for name in sorted(mine):
                scenes = tuple(item["name"] for groups in self.groups[name] for item in groups)
                by_scenes.setdefault(scenes, []).append(name)
            shard: list[str] = []
            for scenes in sorted(by_scenes):
                shard += by_scenes[scenes]
                while len(shard) >= fewest:
                    shards.append(self._shard(group, shard[:most]))
                    shard = shard[most:]
            shards += [self._shard(group, shard)] if shard else []
        return shards

    def _shard(self, group: str, names: list[str]) -> TileShard:
        return TileShard(self.dataset_path, self.layer, group, tuple(names), self.settings)

    def _remember(self, outcome: TileOutcome, content: TileContent, ledgers: dict[str, Ledger]) -> None:
        """Remember what a tile was made for, or that its window was left out for want of data."""
        name = outcome.window_id
        known = {CLEAR: outcome.clear_fraction} if outcome.clear_fraction is not None else {}
        rejected = {"rejected": asdict(content)} if self._lacks_data(content) else {}
        ledgers[self.windows[name].group].remember(name, self.identities[name].as_entry() | known | rejected)

    def _failed(self) -> list[str]:
        return [name for name, outcome in self.outcomes.items() if outcome.content is None]

    def _restore(self, before: dict[str, Entry], ledgers: dict[str, Ledger]) -> None:
        """Know again the tiles of windows whose scenes can't be read: they are as they were."""
        for name in self._failed():
            if before[name]:
                ledgers[self.windows[name].group].remember(name, before[name])

    def _leave_out(self, by_group: dict[str, set[str]]) -> None:
        """Have rslearn leave out windows without a tile, and take away tiles that they had before."""
        lacking = {name for name, o in self.outcomes.items() if o.content is None or self._lacks_data(o.content)}
        without = lacking | (self.windows.keys() - self.matched.keys())
        for group, names in by_group.items():
            with self.shelf.transaction(group):
                for name in sorted(lacking & names):
                    set_aside(self.windows[name], self.layer)
                self.shelf.remove(group, sorted(without & names))

    def _check_readable(self) -> None:
        failed = self._failed()
        share = len(failed) / max(len(self.matched), 1)
        if not failed or (share <= self.settings.max_unreadable_fraction and len(failed) < len(self.matched)):
            return
        details = sorted({self.outcomes[name].error for name in failed})
        hrefs = [h for n in failed for group in self.groups[n] for i in group for h in i.get("asset_urls", {}).values()]
        kind = SourceUnavailableError if any(map(is_remote, hrefs)) else InputError
        raise kind(
            f"{len(failed)} of {len(self.matched)} windows have scenes that can't be read, more than "
            f"imagery.max_unreadable_fraction allows. {_listed(details)}. Fetch these files again, then run the same "
            "again; tiles that were there are as before"
        )

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


def _by_group(windows: "Iterable[Window]") -> dict[str, set[str]]:
    """Names of windows by group."""
    names: dict[str, set[str]] = {}
    for window in windows:
        names.setdefault(window.group, set()).add(window.name)
    return dict(sorted(names.items()))


def _listed(details: Sequence[str]) -> str:
    more = f" (and {len(details) - NAMED_IN_ERRORS} more)" if len(details) > NAMED_IN_ERRORS else ""
    return "; ".join(details[:NAMED_IN_ERRORS]) + more
