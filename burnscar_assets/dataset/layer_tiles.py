"""The tiles of one raster layer, part by part, so that memory does not grow with the windows."""

import ctypes
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from burnscar_assets.catalog.hrefs import is_remote
from burnscar_assets.catalog.items import read_all_groups, set_aside
from burnscar_assets.dataset.config import load_windows
from burnscar_assets.dataset.ledger import TILES_MADE, Ledger, open_ledgers
from burnscar_assets.dataset.scene_neighbours import SceneNeighbours
from burnscar_assets.dataset.shelf import open_shelf
from burnscar_assets.dataset.tile_part import Groups, TilePart, by_group
from burnscar_assets.errors import BurnscarError, InputError, MissingDataError, SourceUnavailableError
from burnscar_assets.progress import Progress
from burnscar_assets.settings import ImagerySettings

if TYPE_CHECKING:
    from rslearn.dataset import Dataset, Window

    from burnscar_assets.reader.request import Failure

PART_WINDOWS = 2048
"""Windows that are known at a time, for each worker."""

RAY_WORKERS = 16
"""Workers that a Ray cluster is taken to have, when work is parted for it."""

NAMED_IN_ERRORS = 5


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
    """One layer of a fire year's windows."""

    def __init__(self, dataset: "Dataset", layer: str, matches: pd.DataFrame, settings: ImagerySettings) -> None:
        """Know what is wanted; nothing is read or written yet.

        Args:
            dataset: the rslearn dataset.
            layer: name of the layer.
            matches: rows of the `scene_matches` table.
            settings: limits, workers, retries.
        """
        self.layer = layer
        self.settings = settings
        self.shelf = open_shelf(dataset, layer)
        self._dataset = dataset
        self._scenes = _scenes(matches[matches["layer"] == layer])
        self._neighbours = SceneNeighbours(dataset, layer, matches[matches["layer"] == layer])
        self._rows: list[dict[str, Any]] = []
        self._failures: dict[str, Failure] = {}
        self._remote = False
        self._counts: Counter[str] = Counter()

    def make(self, windows: pd.DataFrame, progress: Progress) -> list[dict[str, Any]]:
        """Make what is missing or changed, measure the rest, and leave out what can't be used.

        Args:
            windows: rows of the windows table.
            progress: told of windows that are done.

        Returns:
            Rows of the `tiles` table.

        Raises:
            InputError: too many windows have scenes that can't be read; these windows' tiles are as before.
            SourceUnavailableError: the same for scenes on the network.
            MissingDataError: a window or its matches are missing or out of date.
            StorageError: the dataset folder can't be written.
        """
        groups = {str(year): set(rows) for year, rows in windows.groupby("fire_year")["window_id"]}
        there = {name for group, names in groups.items() for name in self.shelf.completed(group) & names}
        total = sum(bool(self._scenes.get(name)) for name in windows["window_id"])
        parts: list[TilePart] = []

        def tell(before: int, done: int) -> None:
            progress("materializing tiles", before + done, total)

        with open_ledgers(Path(self._dataset.path), TILES_MADE, self.layer, groups) as ledgers:
            self._forget_gone(ledgers, groups)
            try:
                for rows in self._parts(windows):
                    part = self._part(rows, there)
                    parts = [*(p for p in parts if p.failed()), part]
                    part.make(ledgers, partial(tell, self._counts["done"]))
                    self._take(part)
                    _give_back_memory()
                self._check_readable(total)
            except BaseException:
                for part in parts:
                    part.restore(ledgers)
                raise
        for part in parts:
            self._leave_out_failed(part)
        return self._rows

    def changes(self) -> TileChanges:
        """What happened to the tiles, once they are made."""
        return TileChanges(**{name: self._counts[name] for name in ("kept", "made", "replaced", "removed")})

    def _forget_gone(self, ledgers: dict[str, Ledger], groups: dict[str, set[str]]) -> None:
        """Forget windows that are no longer in the dataset; their tiles went with them."""
        for group, ledger in ledgers.items():
            unknown = [name for name in ledger.entries if name not in groups[group]]
            if unknown:
                there = {window.name for window in self._dataset.load_windows(groups=[group], names=unknown)}
                gone = [name for name in unknown if name not in there]
                self._counts["removed"] += sum("rejected" not in ledger.get(name) for name in gone)
                ledger.forget(gone)

    def _parts(self, windows: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """The windows in parts; those of one scene follow each other."""
        workers = RAY_WORKERS if self.settings.ray_address else self.settings.workers
        size = PART_WINDOWS * max(workers, 1)
        keys = [[str(self._scenes.get(name)), name] for name in windows["window_id"]]
        order = sorted(range(len(windows)), key=keys.__getitem__)
        for start in range(0, len(order), size):
            yield windows.iloc[order[start : start + size]]

    def _part(self, rows: pd.DataFrame, there: set[str]) -> TilePart:
        windows = load_windows(self._dataset, rows)
        return TilePart(self.shelf, windows, self._groups(windows), there, self.settings, self._neighbours)

    def _groups(self, windows: "dict[str, Window]") -> dict[str, Groups]:
        """Groups of scenes of each window, which must be those of the table of matches."""
        found = read_all_groups(windows.values(), self.layer)
        for name, scenes in found.items():
            if self._scenes.get(name) != tuple(tuple(item["name"] for item in group) for group in scenes):
                raise MissingDataError(
                    f"the scene matches of window {name} are missing or out of date: "
                    f"run burnscar refresh --years {windows[name].group}"
                )
        return found

    def _take(self, part: TilePart) -> None:
        """Count what came of a part, and keep its rows."""
        whole = part.whole()
        fresh = {name for name in whole if part.outcomes[name].made}
        self._counts.update(
            done=len(part.matched),
            kept=len(whole - fresh),
            made=len(fresh - part.there),
            replaced=len(fresh & part.there),
            removed=len(part.there - whole),
        )
        self._rows += part.rows()
        self._failures |= part.failed()
        self._remote |= any(map(is_remote, part.hrefs()))

    def _check_readable(self, total: int) -> None:
        failed = len(self._failures)
        if not failed or (failed / total <= self.settings.max_unreadable_fraction and failed < total):
            return
        reasons = _listed(sorted({failure.reason for failure in self._failures.values()}))
        if self._remote:
            kind: type[BurnscarError] = SourceUnavailableError
            cure = "Run the same again later"
        else:
            kind = InputError
            cure = "Fetch these files again, or name scenes that can't be mended in imagery.exclude, then run the same"
        raise kind(
            f"{failed} of {total} windows have scenes that can't be read or used, and no other, more than "
            f"imagery.max_unreadable_fraction allows. {reasons}. {cure}; tiles that were there are as before"
        )

    def _leave_out_failed(self, part: TilePart) -> None:
        """Have rslearn leave out windows whose scenes can't be read, and take away what they had."""
        for group, names in by_group(part.windows[name] for name in part.failed()).items():
            with self.shelf.transaction(group):
                for name in sorted(names):
                    set_aside(part.windows[name], self.layer)
                self.shelf.remove(group, sorted(names))


def _give_back_memory() -> None:
    """Have glibc return freed memory: pixels come and go in large pieces, in many threads, and leave holes."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def _scenes(matches: pd.DataFrame) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Names of the scenes of each window: those of its groups, in order; equal ones are one object."""
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    known: dict[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]] = {}
    rows = matches.sort_values(["window_id", "group_index"])
    for name, items in zip(rows["window_id"], rows["item_ids"], strict=True):
        groups = (*found.get(name, ()), tuple(items)) if len(items) else found.get(name, ())
        found[name] = known.setdefault(groups, groups)
    return found


def _listed(details: Sequence[str]) -> str:
    more = f" (and {len(details) - NAMED_IN_ERRORS} more)" if len(details) > NAMED_IN_ERRORS else ""
    return "; ".join(details[:NAMED_IN_ERRORS]) + more
