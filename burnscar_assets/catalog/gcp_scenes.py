"""Scenes of rslearn's `gcp_public_data.Sentinel2` for many windows, each granule and year of the bucket read once.

The source lists the scenes of a granule and year by reading folders and a metadata file per scene, and keeps
them in its `index_cache_dir`; here several are read at once, and each is taken from there once for all windows. A
list that was made before its year's last scenes can have come is made anew, once a day at most.

Loaded only by functions that need rslearn.
"""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rslearn.config import QueryConfig  # noqa: TID253
from rslearn.data_sources.copernicus import get_sentinel2_tiles  # noqa: TID253
from rslearn.data_sources.gcp_public_data import Sentinel2, Sentinel2Item  # noqa: TID253
from rslearn.data_sources.utils import MatchedItemGroup  # noqa: TID253
from rslearn.utils.fsspec import open_atomic  # noqa: TID253
from rslearn.utils.geometry import STGeometry  # noqa: TID253

from burnscar_assets.catalog.items import is_excluded
from burnscar_assets.catalog.local_match import match_and_rank
from burnscar_assets.catalog.search_options import SearchOptions, retrying
from burnscar_assets.catalog.searches import PAUSE
from burnscar_assets.clock import is_future, is_within
from burnscar_assets.errors import InputError

READ_AT_ONCE: Final = 8
"""Lists of granules that are read from the bucket at the same time."""

CLOUD_ORDER: Final = "cloud_cover"
CellYear = tuple[str, int]


@dataclass(frozen=True)
class _Wanted:
    """Windows that lie in the same granules, and the years that any of them asks for."""

    cells: tuple[str, ...]
    years: tuple[int, ...]
    positions: list[int]


def match_by_granule(
    source: Sentinel2, geometries: Sequence[STGeometry], query_config: QueryConfig, options: SearchOptions
) -> Iterator[tuple[list[int], list[list[MatchedItemGroup[Sentinel2Item]]], list[list[Sentinel2Item]]]]:
    """Match windows, those of the same granules together; lists of scenes are made where missing or incomplete.

    Yields:
        Positions of windows, the groups of each (what `source.get_items` gives, scenes that are equally cloudy in
        the order of granule, year and folder), and the scenes that it may have instead.

    Raises:
        InputError: a window has no time range.
        SourceUnavailableError: the bucket could not be read after all tries.
    """
    everywhere = [geometry.to_wgs84() for geometry in geometries]
    wanted = retrying(lambda: _by_granules(source, everywhere), source, options)
    lists = sorted({(cell, year) for part in wanted for cell in part.cells for year in part.years})
    retrying(lambda: _make_lists(source, lists, options.late_days), source, options)
    read: dict[CellYear, list[Sentinel2Item]] = {}
    for part in wanted:
        needed = [(cell, year) for cell in part.cells for year in part.years]
        read = {key: read[key] if key in read else _read_list(source, key) for key in needed}
        items = [item for key in needed for item in read[key] if not is_excluded(item.name, options.exclude)]
        if source.sort_by == CLOUD_ORDER:
            items.sort(key=lambda item: item.cloud_cover)
        windows = [everywhere[i] for i in part.positions]
        yield part.positions, *match_and_rank(windows, items, query_config, options.candidates)


def _by_granules(source: Sentinel2, geometries: Sequence[STGeometry]) -> list[_Wanted]:
    positions: dict[tuple[str, ...], list[int]] = {}
    for position, geometry in enumerate(geometries):
        if geometry.time_range is None:
            raise InputError("windows without a time range can't be matched with Sentinel-2 on Google Cloud Storage")
        cells = tuple(sorted(get_sentinel2_tiles(geometry, source.index_cache_dir)))
        positions.setdefault(cells, []).append(position)
    return [
        _Wanted(cells, _years([geometries[i] for i in members]), members)
        for cells, members in sorted(positions.items())
    ]


def _years(geometries: Sequence[STGeometry]) -> tuple[int, ...]:
    ranges = [geometry.time_range for geometry in geometries if geometry.time_range is not None]
    return tuple(sorted({year for begin, end in ranges for year in range(begin.year, end.year + 1)}))


def _make_lists(source: Sentinel2, lists: Sequence[CellYear], late_days: int) -> None:
    """Have a list of scenes for each granule and year in the cache."""
    lacking = [key for key in lists if not _is_usable(source, key, late_days)]
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        try:
            for _ in pool.map(lambda key: _make_list(source, key), lacking):
                pass
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _make_list(source: Sentinel2, key: CellYear) -> None:
    items = source._read_products_for_cell_year(*key)
    with open_atomic(_list_path(source, key), "w") as file:
        json.dump([item.serialize() for item in items], file)


def _read_list(source: Sentinel2, key: CellYear) -> list[Sentinel2Item]:
    content = json.loads(_list_path(source, key).read_text())
    return [Sentinel2Item.deserialize(item) for item in content]


def _is_usable(source: Sentinel2, key: CellYear, late_days: int) -> bool:
    """Whether there is a list that was made once its year was complete, or lately."""
    path = _list_path(source, key)
    if not path.exists():
        return False
    made, now = path.stat().st_mtime, time.time()
    complete = datetime(key[1] + 1, 1, 1, tzinfo=UTC) + timedelta(days=late_days)
    whole = made >= complete.timestamp() and not is_future(made, now)
    return whole or is_within(made, now, PAUSE.total_seconds())


def _list_path(source: Sentinel2, key: CellYear) -> Any:
    """Where the source itself keeps it."""
    return source.index_cache_dir / f"{key[0]}_{key[1]}.json"
