"""Which scenes each window gets, as rslearn's `prepare` would say, and a reason for each window that finds none."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import pandas as pd

from burnscar_assets.catalog.items import SerializedItem, TimeRange, acquisition_time, cloud_cover, groups_of
from burnscar_assets.catalog.layer_search import LayerSearch, has_layer, search_in_turn
from burnscar_assets.catalog.searches import MATCHED, is_due, search_times
from burnscar_assets.dataset.config import (
    data_source,
    decisive_config,
    fallback_layer,
    image_layers,
    load_windows,
    open_dataset,
    quiet_rslearn,
    selection_of,
)
from burnscar_assets.dataset.ledger import Entry, open_ledgers
from burnscar_assets.dataset.matched import load_all_matched
from burnscar_assets.errors import InputError
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.contracts import SCENE_MATCHES
from burnscar_assets.storage.hashing import hash_json

if TYPE_CHECKING:
    from rslearn.dataset import Dataset, Window

    from burnscar_assets.catalog.item_checks import SetAside
    from burnscar_assets.catalog.selection import SelectionRule

logger = logging.getLogger(__name__)

NAMED = 10
"""Items of a catalogue that are named in the log at most."""


@dataclass(frozen=True)
class MatchSummary:
    """What matching a fire year's windows came to.

    Attributes:
        windows, matched, unmatched: windows.
        reasons: windows without a scene, by reason.
        scenes: scenes that windows were matched with.
        searched, kept: windows and layers that were searched now, and before.
        set_aside: items that the searches listed and that are no scenes, by reason.
        footprints_cut: items whose footprint reached beyond what they can show.
    """

    windows: int
    matched: int
    unmatched: int
    reasons: dict[str, int] = field(default_factory=dict)
    scenes: int = 0
    searched: int = 0
    kept: int = 0
    set_aside: dict[str, int] = field(default_factory=dict)
    footprints_cut: int = 0


def match_scenes(
    windows: gpd.GeoDataFrame,
    dataset_path: Path,
    settings: ImagerySettings,
    progress: Progress = silent,
    now: datetime | None = None,
    layers: Sequence[str] | None = None,
    *,
    anew: bool = True,
) -> tuple[pd.DataFrame, MatchSummary]:
    """Match windows with scenes.

    The layer of images before the fire (`dataset.before_layer`) gets the last clear scene before the alarm, else one of
    the days that the layer itself says; the others get what the layer and `imagery.selection` say.

    A window that was matched before for the same request (window, layer configuration, cloud limit, index) is
    not searched again, unless imagery of its time range may have come since (see `searches.is_due`).

    Args:
        windows: rows of the windows table; `before_start` and `before_end` may be missing.
        dataset_path: the rslearn dataset that holds them.
        settings: cloud limit, retries.
        progress: told of each search.
        now: the time, with its zone; by default, that of the clock.
        layers: names of the layers that are matched; by default, all.
        anew: whether indexes that don't tell whether they changed (on the network, or of many files) are read again.

    Returns:
        Rows of the `scene_matches` table, and what it came to.

    Raises:
        InputError: the archive lacks a band that a layer has, or can't be read.
        MissingDataError: the dataset or a window is missing.
        SourceUnavailableError: a search failed after all tries.
    """
    if anew:
        from burnscar_assets.catalog.index_client import forget_indexes

        forget_indexes()
    dataset = open_dataset(dataset_path)
    found = load_windows(dataset, windows)
    layers = list(image_layers(dataset)) if layers is None else layers
    if not layers:
        raise InputError(f"{dataset_path / 'config.json'} has no raster layer with a data source: nothing to match")
    now, searched = now or datetime.now(UTC), 0
    rows: list[dict[str, Any]] = []
    set_aside: SetAside = {}
    mended: dict[str, str] = {}
    with quiet_rslearn():
        for layer in layers:
            before = _days_before(windows) if selection_of(layer, settings) == "before" else None
            matching = _LayerMatching(dataset, layer, found, settings, now, before)
            entries, count = matching.match(progress)
            searched += count
            set_aside |= matching.set_aside
            mended |= matching.mended
            for window, matched in load_all_matched(found.values()):
                rows += _rows(window, layer, groups_of(matched, layer), entries[window.name])
    table = SCENE_MATCHES.conform(pd.DataFrame(rows, columns=SCENE_MATCHES.column_names))
    _tell(set_aside, mended)
    kept = len(found) * len(layers) - searched
    return table, replace(_summary(table, set_aside), searched=searched, kept=kept, footprints_cut=len(mended))


def _tell(set_aside: "SetAside", mended: dict[str, str]) -> None:
    """Log the first of the items that are no scenes or not where they are said to be."""
    doubts = {name: f"set aside, {reason}: {detail}" for name, (reason, detail) in sorted(set_aside.items())}
    for name, why in [*(mended | doubts).items()][:NAMED]:
        logger.warning("catalogue item %s: %s", name, why)


class _LayerMatching:
    """Matches one layer, in its own data source and the one that stands behind it."""

    def __init__(
        self,
        dataset: "Dataset",
        layer: str,
        windows: "dict[str, Window]",
        settings: ImagerySettings,
        now: datetime,
        before: dict[str, TimeRange | None] | None,
    ) -> None:
        self._dataset = dataset
        self._layer = layer
        self._windows = windows
        self._settings = settings
        self._now = now
        self._before = before
        self._rule = _rule(settings, layer)
        self._config = dataset.layers[layer]
        self._second = fallback_layer(dataset, layer)
        self.set_aside: SetAside = {}
        self.mended: dict[str, str] = {}

    def match(self, progress: Progress) -> tuple[dict[str, Entry], int]:
        """Match what isn't yet; returns what is remembered of each window, and how many were searched."""
        settings, windows = self._settings, self._windows
        searches = [self._search(fallback=False), *([self._search(fallback=True)] if self._second else [])]
        alike = self._alike(searches)
        requests = {name: hash_json([*self._asked(window), *alike]) for name, window in windows.items()}
        with open_ledgers(
            Path(self._dataset.path), MATCHED, self._layer, [w.group for w in windows.values()]
        ) as ledgers:
            there = has_layer(windows.values(), self._layer)
            pending = [
                name
                for name, window in windows.items()
                if (entry := ledgers[window.group].get(name)).get("request") != requests[name]
                or is_due(entry, settings.late_days, self._now)
                or name not in there
            ]
            for group, ledger in ledgers.items():
                ledger.forget(name for name in pending if windows[name].group == group)
            done = len(windows) - len(pending)
            progress("matching scenes", done, len(windows))
            for search, reasons in search_in_turn(searches, [windows[name] for name in pending]):
                for name, reason in reasons.items():
                    entry = self._entry(search, name, reason) | {"request": requests[name]}
                    ledgers[windows[name].group].remember(name, entry)
                done += len(reasons)
                progress("matching scenes", done, len(windows))
            return {name: ledgers[window.group].get(name) for name, window in windows.items()}, len(pending)

    def _search(self, *, fallback: bool) -> LayerSearch:
        from burnscar_assets.catalog.search_options import SearchOptions

        settings = self._settings
        options = SearchOptions(
            settings.retries,
            settings.retry_backoff_s,
            settings.late_days,
            settings.candidates,
            exclude=settings.exclude,
            allowed_hosts=settings.allowed_hosts,
            set_aside=self.set_aside,
            mended=self.mended,
        )
        config = self._second if fallback and self._second is not None else self._config
        source = data_source(self._dataset, self._layer, fallback=fallback)
        limit = settings.max_cloud_cover
        return LayerSearch(
            source, config, self._layer, limit, options, self._rule, before=self._before, fallback=fallback
        )

    def _asked(self, window: "Window") -> list[Any]:
        """What is asked of the scenes of one window."""
        if self._before is None:
            return [_place(window)]
        days = self._before[window.name]
        return [_place(window), [time.isoformat() for time in days] if days else None]

    def _alike(self, searches: list[LayerSearch]) -> list[Any]:
        """What decides the matches of all windows."""
        settings = self._settings
        configs = [self._config, *([self._second] if self._second else [])]
        alike: list[Any] = [decisive_config(config) for config in configs]
        alike += [_source_state(search) for search in searches]
        alike += [settings.max_cloud_cover, settings.candidates, list(settings.exclude), list(settings.allowed_hosts)]
        return alike + ([] if self._rule is None else [settings.min_clear_fraction])

    def _until(self, window: "Window") -> datetime | None:
        """Last moment that the layer's imagery of a window may be from."""
        source = self._config.data_source
        times = source.get_request_time_range(window.time_range) if source else None
        spans = [span for span in ((self._before or {}).get(window.name), times) if span]
        return max((end for _, end in spans), default=None)

    def _entry(self, search: LayerSearch, name: str, reason: str) -> Entry:
        settings = self._settings
        source = settings.fallback if search.is_fallback else settings.dataset_config
        entry = {"reason": reason, "source": "" if reason else Path(str(source)).name}
        entry |= search_times(self._now, self._until(self._windows[name]))
        clear = search.clear_fractions.pop(name, None)
        return entry if clear is None else entry | {"clear_fractions": clear}


def _days_before(windows: pd.DataFrame) -> dict[str, TimeRange | None]:
    """The days before the alarm that imagery of each window may be from: first moment, and first moment after."""
    if "before_start" not in windows:
        return dict.fromkeys(windows["window_id"])
    spans = zip(windows["window_id"], windows["before_start"], windows["before_end"], strict=True)
    return {
        name: None if pd.isna(start) or pd.isna(end) else (start.to_pydatetime(), end.to_pydatetime())
        for name, start, end in spans
    }


def _rule(settings: ImagerySettings, layer: str) -> "SelectionRule | None":
    from burnscar_assets.catalog.selection import SelectionRule

    if selection_of(layer, settings) == "granule":
        return None
    return SelectionRule(settings.min_clear_fraction, settings.candidates, settings.max_cloud_cover)


def _source_state(search: LayerSearch) -> str:
    """What the source holds, where that can be known before it is searched: an archive's index."""
    from burnscar_assets.catalog.archive import CogArchive
    from burnscar_assets.catalog.search_options import retrying

    if not isinstance(search.source, CogArchive):
        return ""
    client = search.source.client
    retrying(client.check, search.source, search.options)
    return hash_json([client.endpoint, client.fingerprint()])


def _place(window: "Window") -> list[Any]:
    times = [time.isoformat() for time in window.time_range] if window.time_range else None
    return [window.projection.serialize(), list(window.bounds), times]


def _rows(window: "Window", layer: str, groups: list[list[SerializedItem]], entry: Entry) -> list[dict[str, Any]]:
    fractions = entry.get("clear_fractions", [])
    common = {"window_id": window.name, "fire_year": int(window.group), "layer": layer}
    rows: list[dict[str, Any]] = []
    for index, group in enumerate(groups or [[]]):
        first = group[0] if group else None
        rows.append(
            common
            | {
                "group_index": index,
                "item_ids": [item["name"] for item in group],
                "acquired": acquisition_time(first) if first else None,
                "cloud_cover": cloud_cover(first) if first else None,
                "clear_fraction": fractions[index] if index < len(fractions) else None,
                "matched": first is not None,
                "reason": "" if first else entry["reason"],
                "source": entry["source"] if first else "",
            }
        )
    return rows


def _summary(table: pd.DataFrame, set_aside: "SetAside") -> MatchSummary:
    by_window = table.groupby("window_id")["matched"].all()
    unmatched = table[~table["matched"]].drop_duplicates("window_id")
    return MatchSummary(
        windows=len(by_window),
        matched=int(by_window.sum()),
        unmatched=int((~by_window).sum()),
        reasons=dict(sorted(Counter(unmatched["reason"]).items())),
        scenes=len({item for items in table["item_ids"] for item in items}),
        set_aside=dict(sorted(Counter(str(reason) for reason, _ in set_aside.values()).items())),
    )
