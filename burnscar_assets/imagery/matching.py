"""Which scenes each window gets, as rslearn's `prepare` would say, and a reason for each window that finds none."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import pandas as pd

from burnscar_assets.errors import InputError
from burnscar_assets.imagery.dataset import data_source, image_layers, load_windows, open_dataset, quiet_rslearn
from burnscar_assets.imagery.items import SerializedItem, acquisition_time, cloud_cover
from burnscar_assets.imagery.layer_search import LayerSearch, has_layer, stored_groups
from burnscar_assets.imagery.ledger import Entry, open_ledgers
from burnscar_assets.imagery.searches import MATCHED, is_due, search_times
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.contracts import SCENE_MATCHES
from burnscar_assets.storage.hashing import hash_json

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.data_sources import DataSource
    from rslearn.dataset import Dataset, Window

    from burnscar_assets.imagery.search_options import SearchOptions
    from burnscar_assets.imagery.selection import SelectionRule


@dataclass(frozen=True)
class MatchSummary:
    """What matching a fire year's windows came to."""

    windows: int
    matched: int
    unmatched: int
    reasons: dict[str, int] = field(default_factory=dict)
    scenes: int = 0
    searched: int = 0
    kept: int = 0


def match_scenes(
    windows: gpd.GeoDataFrame,
    dataset_path: Path,
    settings: ImagerySettings,
    progress: Progress = silent,
    now: datetime | None = None,
) -> tuple[pd.DataFrame, MatchSummary]:
    """Match windows with scenes.

    A window that was matched before for the same request (window, layer configuration, cloud limit, index) is
    not searched again, unless imagery of its time range may have come since (see `searches.is_due`).

    Args:
        windows: rows of the windows table.
        dataset_path: the rslearn dataset that holds them.
        settings: cloud limit, retries.
        progress: told of each search.
        now: the time, with its zone; by default, that of the clock.

    Returns:
        Rows of the `scene_matches` table, and what it came to.

    Raises:
        InputError: the archive lacks a band that a layer has, or can't be read.
        MissingDataError: the dataset or a window is missing.
        SourceUnavailableError: a search failed after all tries.
    """
    _forget_indexes()
    dataset = open_dataset(dataset_path)
    found = load_windows(dataset, windows)
    layers = image_layers(dataset)
    if not layers:
        raise InputError(f"{dataset_path / 'config.json'} has no raster layer with a data source: nothing to match")
    now = now or datetime.now(UTC)
    rows: list[dict[str, Any]] = []
    searched = 0
    with quiet_rslearn():
        for layer in layers:
            entries, count = _match_layer(dataset, layer, found, settings, progress, now)
            searched += count
            for window, groups in stored_groups(found.values(), layer):
                rows += _rows(window, layer, groups, entries[window.name])
    table = SCENE_MATCHES.conform(pd.DataFrame(rows, columns=SCENE_MATCHES.column_names))
    return table, _summary(table, searched, len(found) * len(layers))


def _forget_indexes() -> None:
    from burnscar_assets.imagery.index_client import forget_indexes

    forget_indexes()


def _match_layer(
    dataset: "Dataset",
    layer: str,
    windows: "dict[str, Window]",
    settings: ImagerySettings,
    progress: Progress,
    now: datetime,
) -> tuple[dict[str, Entry], int]:
    """Match one layer; returns what is remembered of each window, and how many were searched."""
    from burnscar_assets.imagery.search_options import SearchOptions

    source = data_source(dataset, layer)
    options = SearchOptions(settings.retries, settings.retry_backoff_s, settings.late_days, settings.candidates)
    config, where = dataset.layers[layer], _source_state(source, options)
    alike = [config.model_dump(mode="json"), where, settings.max_cloud_cover]
    alike += [settings.candidates, *([settings.min_clear_fraction] if settings.selection == "window" else [])]
    requests = {name: hash_json([_place(window), *alike]) for name, window in windows.items()}
    with open_ledgers(Path(dataset.path), MATCHED, layer, [w.group for w in windows.values()]) as ledgers:
        there = has_layer(windows.values(), layer)
        pending = [
            name
            for name, window in windows.items()
            if (entry := ledgers[window.group].get(name)).get("request") != requests[name]
            or is_due(entry, settings.late_days, now)
            or name not in there
        ]
        for group, ledger in ledgers.items():
            ledger.forget(name for name in pending if windows[name].group == group)
        done = len(windows) - len(pending)
        progress("matching scenes", done, len(windows))
        search = LayerSearch(source, config, layer, settings.max_cloud_cover, options, _rule(settings))
        for reasons in search.match([windows[name] for name in pending]):
            for name, reason in reasons.items():
                done_for: Entry = {"request": requests[name], "reason": reason}
                done_for |= search_times(now, _until(windows[name], config))
                if name in search.clear_fractions:
                    done_for["clear_fractions"] = search.clear_fractions.pop(name)
                ledgers[windows[name].group].remember(name, done_for)
            done += len(reasons)
            progress("matching scenes", done, len(windows))
        return {name: ledgers[window.group].get(name) for name, window in windows.items()}, len(pending)


def _rule(settings: ImagerySettings) -> "SelectionRule | None":
    from burnscar_assets.imagery.selection import SelectionRule

    if settings.selection == "granule":
        return None
    return SelectionRule(settings.min_clear_fraction, settings.candidates, settings.max_cloud_cover)


def _source_state(source: "DataSource", options: "SearchOptions") -> str:
    """What the source holds, where that can be known before it is searched: an archive's index."""
    from burnscar_assets.imagery.archive import CogArchive
    from burnscar_assets.imagery.search_options import retrying

    if not isinstance(source, CogArchive):
        return ""
    client = source.client
    retrying(client.check, source, options)
    return hash_json([client.endpoint, client.fingerprint()])


def _place(window: "Window") -> list[Any]:
    times = [time.isoformat() for time in window.time_range] if window.time_range else None
    return [window.projection.serialize(), list(window.bounds), times]


def _until(window: "Window", config: "LayerConfig") -> datetime | None:
    """Last moment that the layer's imagery of a window may be from."""
    source = config.data_source
    times = source.get_request_time_range(window.time_range) if source else None
    return times[1] if times else None


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
            }
        )
    return rows


def _summary(table: pd.DataFrame, searched: int, total: int) -> MatchSummary:
    by_window = table.groupby("window_id")["matched"].all()
    unmatched = table[~table["matched"]].drop_duplicates("window_id")
    return MatchSummary(
        windows=len(by_window),
        matched=int(by_window.sum()),
        unmatched=int((~by_window).sum()),
        reasons=dict(sorted(Counter(unmatched["reason"]).items())),
        scenes=len({item for items in table["item_ids"] for item in items}),
        searched=searched,
        kept=total - searched,
    )
