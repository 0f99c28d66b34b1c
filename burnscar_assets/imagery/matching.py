"""Which scenes each window gets: rslearn's `prepare`, and a reason for each window that finds none."""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import geopandas as gpd
import pandas as pd

from burnscar_assets.errors import BurnscarError, InputError, SourceUnavailableError
from burnscar_assets.imagery.dataset import data_source, image_layers, load_windows, open_dataset, quiet_rslearn
from burnscar_assets.imagery.hrefs import is_remote
from burnscar_assets.imagery.items import (
    SerializedItem,
    acquisition_time,
    cloud_cover,
    read_groups,
    read_layer,
    take_back,
)
from burnscar_assets.imagery.ledger import open_ledgers
from burnscar_assets.imagery.parallel import run_batches
from burnscar_assets.imagery.searches import MATCHED, is_due, search_times
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.contracts import SCENE_MATCHES
from burnscar_assets.storage.hashing import hash_json

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.data_sources import DataSource
    from rslearn.dataset import Dataset, Window

BATCH = 32
CLOUD_QUERY = "eo:cloud_cover"
NO_SCENE = "no_scene_in_time_range"
TOO_CLOUDY = "too_cloudy"

Result = TypeVar("Result")


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


@dataclass(frozen=True)
class _Batch:
    """Windows of one group and layer that are matched in one go."""

    dataset_path: Path
    layer: str
    group: str
    window_ids: tuple[str, ...]
    settings: ImagerySettings


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
        settings: cloud limit, workers, retries.
        progress: told of each batch.
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
            reasons, count = _match_layer(dataset, layer, found, settings, progress, now)
            searched += count
            rows += [row for name, window in found.items() for row in _rows(window, layer, reasons[name])]
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
) -> tuple[dict[str, str], int]:
    """Match one layer; returns the reason of each window (empty for a matched one), and how many were searched."""
    source = data_source(dataset, layer)
    config, where = dataset.layers[layer], _source_state(source, settings)
    requests = {name: _request(window, config, where, settings) for name, window in windows.items()}
    with open_ledgers(Path(dataset.path), MATCHED, layer, [w.group for w in windows.values()]) as ledgers:
        pending = [
            name
            for name, window in windows.items()
            if (entry := ledgers[window.group].get(name)).get("request") != requests[name]
            or is_due(entry, settings.late_days, now)
            or read_layer(window, layer) is None
        ]
        for group, ledger in ledgers.items():
            ledger.forget(name for name in pending if windows[name].group == group)
        done = len(windows) - len(pending)
        progress("matching scenes", done, len(windows))
        for reasons in run_batches(
            _match_batch, _batches(dataset, layer, windows, pending, settings), settings.workers
        ):
            for name, reason in reasons.items():
                entry = {"request": requests[name], "reason": reason} | search_times(now, _until(windows[name], config))
                ledgers[windows[name].group].remember(name, entry)
            done += len(reasons)
            progress("matching scenes", done, len(windows))
        return {name: ledgers[window.group].get(name)["reason"] for name, window in windows.items()}, len(pending)


def _batches(
    dataset: "Dataset", layer: str, windows: "dict[str, Window]", names: list[str], settings: ImagerySettings
) -> list[_Batch]:
    batches = []
    for group in sorted({windows[name].group for name in names}):
        mine = [name for name in names if windows[name].group == group]
        chunks = (tuple(mine[i : i + BATCH]) for i in range(0, len(mine), BATCH))
        batches += [_Batch(Path(dataset.path), layer, group, chunk, settings) for chunk in chunks]
    return batches


def _source_state(source: "DataSource", settings: ImagerySettings) -> str:
    """What the source holds, where that can be known before it is searched: an archive's index."""
    from burnscar_assets.imagery.archive import CogArchive

    if not isinstance(source, CogArchive):
        return ""
    client = source.client
    _retrying(client.scenes, source, settings)
    return hash_json([client.endpoint, client.fingerprint()])


def _request(window: "Window", config: "LayerConfig", where: str, settings: ImagerySettings) -> str:
    times = [time.isoformat() for time in window.time_range] if window.time_range else None
    place = [window.projection.serialize(), list(window.bounds), times]
    return hash_json([place, config.model_dump(mode="json"), where, settings.max_cloud_cover])


def _until(window: "Window", config: "LayerConfig") -> datetime | None:
    """Last moment that the layer's imagery of a window may be from."""
    source = config.data_source
    times = source.get_request_time_range(window.time_range) if source else None
    return times[1] if times else None


def _match_batch(batch: _Batch) -> dict[str, str]:
    """Prepare a batch of windows with rslearn; returns the reason of each, empty for a matched one."""
    from rslearn.dataset.manage import prepare_dataset_windows

    dataset = open_dataset(batch.dataset_path, (batch.layer,))
    windows = dataset.load_windows(groups=[batch.group], names=list(batch.window_ids))
    source = data_source(dataset, batch.layer)
    with quiet_rslearn():
        take_back(windows, batch.layer, drop=True)
        _retrying(lambda: prepare_dataset_windows(dataset, windows, force=True), source, batch.settings)
        cloudy = {w.name for w in windows if _drop_cloudy(w, batch.layer, batch.settings.max_cloud_cover)}
        unmatched = [w for w in windows if not read_groups(w, batch.layer)]
        cloudy |= _cloudy_only([w for w in unmatched if w.name not in cloudy], dataset, batch, source)
    reasons = {w.name: TOO_CLOUDY if w.name in cloudy else NO_SCENE for w in unmatched}
    return {name: reasons.get(name, "") for name in batch.window_ids}


def _drop_cloudy(window: "Window", layer: str, max_cloud_cover: float) -> bool:
    """Take scenes above the limit out of a window's groups, for sources that can't leave them out themselves."""
    layers = window.load_layer_datas()
    matched = layers[layer]
    times = matched.group_time_ranges or [None] * len(matched.serialized_item_groups)
    clear = [
        ([item for item in group if (cloud_cover(item) or 0) <= max_cloud_cover], time)
        for group, time in zip(matched.serialized_item_groups, times, strict=True)
    ]
    kept = [(group, time) for group, time in clear if group]
    found = any(matched.serialized_item_groups)
    if [group for group, _ in kept] == matched.serialized_item_groups:
        return False
    matched.serialized_item_groups = [group for group, _ in kept]
    matched.group_time_ranges = [time for _, time in kept]
    window.save_layer_datas(layers)
    return found and not kept


def _cloudy_only(windows: "list[Window]", dataset: "Dataset", batch: _Batch, source: "DataSource") -> set[str]:
    """Names of the windows that would have a scene if clouds did not matter."""
    relaxed = _without_cloud_limit(source)
    config = dataset.layers[batch.layer].data_source
    if relaxed is None or config is None or not windows:
        return set()
    geometries = [window.get_geometry() for window in windows]
    for geometry in geometries:
        geometry.time_range = config.get_request_time_range(geometry.time_range)
    groups = _retrying(lambda: relaxed.get_items(geometries, config.query_config), source, batch.settings)
    return {window.name for window, found in zip(windows, groups, strict=True) if found}


def _without_cloud_limit(source: "DataSource") -> "DataSource | None":
    from burnscar_assets.imagery.archive import CogArchive

    if isinstance(source, CogArchive):
        return source.without_cloud_limit()
    query = getattr(source, "query", None) or {}
    if CLOUD_QUERY not in query:
        return None
    relaxed = copy.copy(source)
    relaxed.query = {key: value for key, value in query.items() if key != CLOUD_QUERY}
    return relaxed


def _retrying(search: Callable[[], Result], source: "DataSource", settings: ImagerySettings) -> Result:
    """Search, again after a wait where another try may help: with a source on the network."""
    from rslearn.dataset.manage import retry

    def guarded() -> Result | BurnscarError:
        try:
            return search()
        except SourceUnavailableError:
            raise
        except BurnscarError as error:
            return error

    local = hasattr(source, "client") and not is_remote(source.client.endpoint)
    try:
        result = retry(guarded, 0 if local else settings.retries, timedelta(seconds=settings.retry_backoff_s))
    except BurnscarError:
        raise
    except Exception as error:
        raise SourceUnavailableError(
            f"searching {type(source).__name__} for scenes failed ({error}): run the same again later; "
            "what was matched is kept"
        ) from error
    if isinstance(result, BurnscarError):
        raise result
    return result


def _rows(window: "Window", layer: str, reason: str) -> list[dict[str, Any]]:
    common = {"window_id": window.name, "fire_year": int(window.group), "layer": layer}
    groups: list[list[SerializedItem]] = read_groups(window, layer)
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
                "matched": first is not None,
                "reason": "" if first else reason,
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
