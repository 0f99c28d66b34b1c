"""The tiles of one raster layer: which are to be made, making them, and settling what came of each."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnscar_assets.errors import BurnscarError, InputError, SourceUnavailableError
from burnscar_assets.imagery.dataset import close_files, data_source, open_dataset
from burnscar_assets.imagery.hrefs import is_remote
from burnscar_assets.imagery.items import SerializedItem, acquisition_time, set_aside
from burnscar_assets.imagery.ledger import Entry, Ledger, open_ledgers
from burnscar_assets.imagery.materialize_batch import TileBatch, TileOutcome, make_tiles
from burnscar_assets.imagery.parallel import run_batches
from burnscar_assets.imagery.tile_identity import SceneFiles, identify, still_valid
from burnscar_assets.imagery.tiles import TileContent, discard_retired, remove_tile, restore_retired
from burnscar_assets.progress import Progress
from burnscar_assets.settings import ImagerySettings

if TYPE_CHECKING:
    from rslearn.dataset import Dataset, Window

BATCH = 32
BLOCK_PX = 512
NO_SCENE = "no_scene"
NODATA = "nodata"
UNREADABLE = "unreadable"
NAMED_IN_ERRORS = 5

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
        self.dataset_path = Path(dataset.path)
        self.windows = windows
        self.groups = groups
        self.settings = settings
        self.matched = {name: window for name, window in windows.items() if groups[name]}
        files = SceneFiles()
        self.identities = {name: identify(w, self.config, groups[name], files) for name, w in self.matched.items()}
        self.outcomes: dict[str, TileOutcome] = {}
        self._there: set[str] = set()
        self._gone = 0

    def make(self, progress: Progress) -> None:
        """Make what is missing or changed, measure the rest, and leave out what can't be used.

        Raises:
            InputError: too many windows have scenes that can't be read; tiles that were there are as before.
            SourceUnavailableError: the same for scenes on the network.
            StorageError: the dataset folder can't be written.
        """
        self._there = {name for name, window in self.windows.items() if window.is_layer_completed(self.layer)}
        groups = [window.group for window in self.windows.values()]
        with open_ledgers(self.dataset_path, "tiles", self.layer, groups) as ledgers:
            self._forget_gone(ledgers)
            before = {name: ledgers[window.group].get(name) for name, window in self.matched.items()}
            self._take_known_rejections(before)
            pending = {name for name in self.matched if name not in self.outcomes and self._is_stale(name, before)}
            for group, ledger in ledgers.items():
                ledger.forget(name for name in pending if self.windows[name].group == group)
            try:
                self._ingest(pending)
                self._run(pending, ledgers, progress)
                self._check_readable()
            except BaseException:
                self._restore(pending, before, ledgers)
                raise
            finally:
                close_files(self.source)
        for name in self._failed():
            set_aside(self.windows[name], self.layer)
        for name in [*self._failed(), *(self.windows.keys() - self.matched.keys())]:
            remove_tile(self._root(name), self.layer)
            discard_retired(self._root(name), self.layer)

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

    def _forget_gone(self, ledgers: dict[str, Ledger]) -> None:
        """Forget windows that are no longer in the dataset; their tiles went with them."""
        for group, ledger in ledgers.items():
            folder = self.dataset_path / "windows" / group
            gone = [name for name in ledger.entries if name not in self.windows and not (folder / name).exists()]
            self._gone += sum("rejected" not in ledger.get(name) for name in gone)
            ledger.forget(gone)

    def _root(self, name: str) -> Path:
        return Path(self.windows[name].window_root)

    def _take_known_rejections(self, before: dict[str, Entry]) -> None:
        """Don't make again what was made before and would be left out again for want of data."""
        for name, entry in before.items():
            if "rejected" in entry and still_valid(entry, self.identities[name]):
                content = TileContent(**entry["rejected"])
                if self._lacks_data(content):
                    self.outcomes[name] = TileOutcome(name, False, content)

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

    def _run(self, pending: set[str], ledgers: dict[str, Ledger], progress: Progress) -> None:
        names = [name for name in self.matched if name not in self.outcomes]
        progress("materializing tiles", len(self.outcomes), len(self.matched))
        for results in run_batches(make_tiles, self._batches(names, pending), self.settings.workers if pending else 0):
            for outcome in results:
                self.outcomes[outcome.window_id] = outcome
                if outcome.content is not None:
                    self._settle(outcome.window_id, outcome.content, outcome.made, ledgers)
            progress("materializing tiles", len(self.outcomes), len(self.matched))

    def _batches(self, names: Iterable[str], pending: set[str]) -> list[TileBatch]:
        """Batches ordered by scene and place, so that open files and decoded blocks serve many windows."""

        def place(name: str) -> tuple[str, str, int, int]:
            window = self.windows[name]
            return window.group, self.groups[name][0][0]["name"], window.bounds[1] // BLOCK_PX, window.bounds[0]

        ordered = sorted(names, key=place)
        batches = []
        for group in dict.fromkeys(self.windows[name].group for name in ordered):
            mine = [name for name in ordered if self.windows[name].group == group]
            for chosen in (tuple(mine[i : i + BATCH]) for i in range(0, len(mine), BATCH)):
                to_make = frozenset(pending & set(chosen))
                batches.append(TileBatch(self.dataset_path, self.layer, group, chosen, to_make, self.settings))
        return batches

    def _settle(self, name: str, content: TileContent, made: bool, ledgers: dict[str, Ledger]) -> None:
        """Leave out a tile that lacks data; remember what a tile was made for."""
        rejected = self._lacks_data(content)
        if rejected:
            set_aside(self.windows[name], self.layer)
            remove_tile(self._root(name), self.layer)
        if made or rejected:
            discard_retired(self._root(name), self.layer)
            entry = self.identities[name].as_entry() | ({"rejected": asdict(content)} if rejected else {})
            ledgers[self.windows[name].group].remember(name, entry)

    def _failed(self) -> list[str]:
        return [name for name, outcome in self.outcomes.items() if outcome.content is None]

    def _restore(self, pending: set[str], before: dict[str, Entry], ledgers: dict[str, Ledger]) -> None:
        for name in pending | set(self._failed()):
            if restore_retired(self._root(name), self.layer) and before[name]:
                ledgers[self.windows[name].group].remember(name, before[name])

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
            "nodata_fraction": content.nodata_fraction if content else None,
            "content_hash": content.content_hash if content else "",
        }


def _listed(details: Sequence[str]) -> str:
    more = f" (and {len(details) - NAMED_IN_ERRORS} more)" if len(details) > NAMED_IN_ERRORS else ""
    return "; ".join(details[:NAMED_IN_ERRORS]) + more
