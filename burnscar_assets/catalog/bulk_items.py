"""The scenes that a data source has for many windows, with few searches.

`get_items` of rslearn's STAC sources searches once per window. Here windows near each other in place and time
share one search, and are matched with its scenes locally; each gets what `get_items` gives it. Sources that don't
search an API, or that search in a way of their own, are asked through their own `get_items`.

Loaded only by functions that need rslearn.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import starmap
from typing import Any, Final

import numpy as np
import rasterio.warp
import shapely
from rslearn.config import QueryConfig  # noqa: TID253
from rslearn.data_sources import DataSource  # noqa: TID253
from rslearn.data_sources.planetary_computer import PlanetaryComputerStacClient  # noqa: TID253
from rslearn.data_sources.stac import AxisAlignedStacDataSource, SourceItem, StacDataSource  # noqa: TID253
from rslearn.data_sources.utils import MatchedItemGroup  # noqa: TID253
from rslearn.utils.geometry import WGS84_PROJECTION, STGeometry  # noqa: TID253
from rslearn.utils.stac import StacItem  # noqa: TID253

from burnscar_assets.catalog.api_client import ApiClient, PatientSession
from burnscar_assets.catalog.archive import sensor_of
from burnscar_assets.catalog.hrefs import hosts_among
from burnscar_assets.catalog.index_client import IndexClient
from burnscar_assets.catalog.items import CLOUD_COVER, TimeRange, percent
from burnscar_assets.catalog.local_match import match_and_rank
from burnscar_assets.catalog.search_options import Request, SearchOptions, group_requests, retrying, split_group
from burnscar_assets.network.addresses import host_of

BATCH: Final = 128
"""Windows that a source is asked for at once through its own `get_items`."""

AT_ONCE: Final = 4
"""Searches under way at the same time."""

MOST_LISTED: Final = 1000
"""A search that lists so many scenes is split: catalogues order longer lists in ways of their own."""

MARGIN_DEGREES: Final = 1e-4
WIDEST_WINDOW_DEGREES: Final = 6.0

Groups = list[MatchedItemGroup[Any]]


@dataclass(frozen=True)
class MatchedPart:
    """Some of the windows that were asked for, by their positions, and the groups of scenes of each.

    `ranked` are scenes that each may have instead, those of its groups included, the preferred first; none where the
    source doesn't list them.
    """

    positions: list[int]
    groups: list[Groups]
    ranked: list[list[Any]]


def get_items_in_bulk(
    source: DataSource,
    geometries: Sequence[STGeometry],
    query_config: QueryConfig,
    options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
) -> list[Groups]:
    """What `source.get_items(geometries, query_config)` gives, with few searches.

    Scenes that are equal by the order asked for stand in the order in which the catalogue lists them.

    Raises:
        SourceUnavailableError: a search failed after all tries.
        InputError: the catalogue refuses a search, or a scene is unusable.
    """
    results: list[Groups] = [[] for _ in geometries]
    for part in search_in_parts(source, geometries, query_config, options):
        for position, groups in zip(part.positions, part.groups, strict=True):
            results[position] = groups
    return results


def search_in_parts(
    source: DataSource,
    geometries: Sequence[STGeometry],
    query_config: QueryConfig,
    options: SearchOptions = SearchOptions(),  # noqa: B008 - frozen
) -> Iterator[MatchedPart]:
    """The same in parts, as they are ready, so that no more than some searches' scenes are held at a time."""
    if not geometries:
        return
    if _searches_as_rslearn_does(source):
        yield from _StacSearch(source, geometries, query_config, options).parts()
        return
    if _lists_folders(source):
        from burnscar_assets.catalog.gcp_scenes import match_by_granule

        yield from starmap(MatchedPart, match_by_granule(source, geometries, query_config, options))
        return
    for first in range(0, len(geometries), BATCH):
        batch = list(range(len(geometries))[first : first + BATCH])
        some = [geometries[i] for i in batch]
        groups = retrying(partial(source.get_items, some, query_config), source, options)
        yield MatchedPart(batch, groups, [[] for _ in batch])


def _searches_as_rslearn_does(source: DataSource) -> bool:
    """Whether a source is one of rslearn's STAC sources, with nothing of its own in how it searches and matches."""
    shapes = (StacDataSource._get_search_intersects_shape, AxisAlignedStacDataSource._get_search_intersects_shape)
    return (
        isinstance(source, StacDataSource)
        and type(source).get_items is StacDataSource.get_items
        and type(source)._get_search_intersects_shape in shapes
    )


def _lists_folders(source: DataSource) -> bool:
    """Whether a source is rslearn's for Google Cloud Storage, finding scenes by folders, not by BigQuery or R-tree."""
    if type(source).__module__ != "rslearn.data_sources.gcp_public_data":
        return False
    options = vars(source)
    by_folder = options.get("rtree_index") is None and not options.get("use_bigquery", True)
    return by_folder and options.get("sort_by") in (None, "cloud_cover")


class _StacSearch:
    """Searches of one STAC source for many windows."""

    def __init__(
        self,
        source: StacDataSource,
        geometries: Sequence[STGeometry],
        query_config: QueryConfig,
        options: SearchOptions,
    ) -> None:
        self._source = source
        self._sensor = sensor_of(source)
        self._geometries = geometries
        self._query = query_config
        self._options = options
        self._checks = options.checks(source)
        self._api = self._connect()
        self._shapes = _on_the_globe(geometries)
        self._times = [self._search_times(i) for i in range(len(geometries))]

    def _connect(self) -> ApiClient | None:
        """A client of the API that is searched; None where an index is."""
        client = self._source.client
        if isinstance(client, IndexClient):
            client.use(self._checks)
            return None
        own, others = [host_of(client.endpoint)], hosts_among(self._options.allowed_hosts)
        client.session = PatientSession(
            self._options.retries, self._options.retry_backoff_s, named_hosts=own, redirect_hosts=others
        )
        by_id = isinstance(client, PlanetaryComputerStacClient)
        return ApiClient(client, client.session, by_id=by_id, next_hosts=others)

    def parts(self) -> Iterator[MatchedPart]:
        """Windows of one search after the other, matched."""
        groups = self._groups()
        pool = ThreadPoolExecutor(1 if self._api is None else AT_ONCE)
        try:
            ahead = [pool.submit(self._search, group) for group in groups[:AT_ONCE]]
            for number in range(len(groups)):
                found = ahead.pop(0).result()
                if number + AT_ONCE < len(groups):
                    ahead.append(pool.submit(self._search, groups[number + AT_ONCE]))
                for positions, scenes in found:
                    for alike in self._matched_alike(positions):
                        yield self._match(alike, scenes)
        finally:
            if isinstance(self._source.client.session, PatientSession):
                self._source.client.session.stop()  # nobody waits for searches that nobody wants any more
            pool.shutdown(wait=False, cancel_futures=True)

    def _groups(self) -> list[list[int]]:
        """Windows that share a search; one whose shape is wide, or across the antimeridian, is on its own."""
        bounds = shapely.bounds(self._shapes)
        wide = (bounds[:, 2:] - bounds[:, :2] > WIDEST_WINDOW_DEGREES).any(axis=1) | ~np.isfinite(bounds).all(axis=1)
        narrow = np.flatnonzero(~wide).tolist()
        groups = group_requests([self._request(i) for i in narrow], self._source.limit, self._sensor)
        return [[narrow[i] for i in group] for group in groups] + [[i] for i in np.flatnonzero(wide).tolist()]

    def _request(self, position: int) -> Request:
        west, south, east, north = self._shapes[position].bounds
        return Request((west, south, east, north), self._times[position])

    def _search_times(self, position: int) -> TimeRange | None:
        geometry = STGeometry(WGS84_PROJECTION, self._shapes[position], self._geometries[position].time_range)
        times = self._source._get_search_time_range(geometry)
        return (times, times) if isinstance(times, datetime) else times

    def _search(self, group: list[int]) -> list[tuple[list[int], list[StacItem]]]:
        """Scenes for windows that share a search, or for parts of them where there are too many scenes for one."""
        found = self._list_scenes(group)
        halves = (
            split_group([self._request(i) for i in group], range(len(group))) if self._is_long(found, group) else None
        )
        if halves is None:
            return [(group, found)]
        return [part for half in halves for part in self._search([group[i] for i in half])]

    def _is_long(self, found: list[StacItem], group: list[int]) -> bool:
        return self._api is not None and len(found) >= MOST_LISTED and len(group) > 1

    def _list_scenes(self, group: list[int]) -> list[StacItem]:
        wanted = [self._times[i] for i in group]
        limits = [t for t in wanted if t is not None]
        shape = self._shapes[group[0]]
        if len(group) > 1 or shape.geom_type == "Polygon":
            hull = shapely.convex_hull(shapely.GeometryCollection(list(self._shapes[group])))
            shape = shapely.buffer(hull, MARGIN_DEGREES, join_style="mitre", mitre_limit=2)
        times = (min(t[0] for t in limits), max(t[1] for t in limits)) if len(limits) == len(wanted) else None
        shape = self._source._get_search_intersects_shape(shape)
        return retrying(partial(self._search_client, shape, times), self._source, self._options)

    def _search_client(self, shape: shapely.Geometry, times: TimeRange | None) -> list[StacItem]:
        source = self._source
        if self._api is None:
            found: list[StacItem] = source.client.search(intersects=shapely.geometry.mapping(shape), date_time=times)
            return found
        items = self._api.search(source.collection_names, shape, times, source.query, source.limit)
        needed = source.required_assets or []
        scenes = (self._checks.scene(item, needed, times, shape) for item in items)
        return [scene for scene in scenes if scene is not None]

    def _matched_alike(self, positions: list[int]) -> list[list[int]]:
        """Windows that are matched with the same scenes: of composites, those of one time range.

        Matching goes by overlap in time, so composites must be those of each window before.
        """
        if self._sensor.kind == "scenes":
            return [positions]
        by_times: dict[TimeRange | None, list[int]] = {}
        for i in positions:
            by_times.setdefault(self._times[i], []).append(i)
        return list(by_times.values())

    def _match(self, positions: list[int], scenes: list[StacItem]) -> MatchedPart:
        geometries = [self._geometries[i] for i in positions]
        items = retrying(lambda: self._prefer(self._relevant(positions, scenes)), self._source, self._options)
        return MatchedPart(positions, *match_and_rank(geometries, items, self._query, self._options.candidates))

    def _relevant(self, positions: list[int], scenes: list[StacItem]) -> list[StacItem]:
        """Scenes that a search for one of the windows alone would list."""
        tree = shapely.STRtree(self._shapes[positions])
        shapes = np.array([shapely.geometry.shape(scene.geometry) for scene in scenes], dtype=object)
        touched = set(tree.query(shapes, predicate="intersects")[0].tolist()) if scenes else set()
        times = {self._times[i] for i in positions}
        return [scene for i, scene in enumerate(scenes) if i in touched and any(self._is_of(scene, t) for t in times)]

    def _is_of(self, scene: StacItem, times: TimeRange | None) -> bool:
        """Whether a search for a time range lists a scene."""
        return times is None or scene.time_range is None or self._sensor.is_of(scene.time_range, times)

    def _prefer(self, scenes: list[StacItem]) -> list[SourceItem]:
        """Scenes as items, those that rslearn would leave out or that are too cloudy left out, in rslearn's order."""
        required = self._source.required_assets or []
        good = [scene for scene in scenes if all(key in (scene.assets or {}) for key in required)]
        good = _in_order([scene for scene in good if self._is_clear(scene)], self._source)
        items = [self._source._stac_item_to_item(scene) for scene in good]
        return [item for item in items if self._source._should_include_item(item)]

    def _is_clear(self, scene: StacItem) -> bool:
        cloud_cover, most = percent(scene.properties.get(CLOUD_COVER)), self._options.max_cloud_cover
        return most is None or (self._options.unknown_clouds if cloud_cover is None else cloud_cover <= most)


def _in_order(scenes: list[StacItem], source: StacDataSource) -> list[StacItem]:
    """Scenes in a source's order of preference; those that don't say what it goes by come last."""
    if source.sort_by is None:
        return scenes
    values = [_rank(scene.properties.get(source.sort_by), source.sort_by) for scene in scenes]
    told = [(value, scene) for value, scene in zip(values, scenes, strict=True) if value is not None]
    told.sort(key=lambda pair: pair[0], reverse=not source.sort_ascending)
    return [scene for _, scene in told] + [s for value, s in zip(values, scenes, strict=True) if value is None]


def _rank(value: Any, sort_by: str) -> tuple[bool, Any] | None:
    """What a property is sorted by, numbers before text; None for anything that says nothing."""
    number = percent(value) if sort_by == CLOUD_COVER else value
    if isinstance(number, str):
        return None if sort_by == CLOUD_COVER else (True, number)
    is_number = isinstance(number, int | float) and math.isfinite(number)
    return (False, number) if is_number else None


def _on_the_globe(geometries: Sequence[STGeometry]) -> Any:
    """Shapes in degrees, as rslearn's `to_wgs84`, all of a projection at once."""
    shapes = np.empty(len(geometries), dtype=object)
    by_projection: dict[str, list[int]] = {}
    for position, geometry in enumerate(geometries):
        by_projection.setdefault(str(geometry.projection), []).append(position)
    for members in by_projection.values():
        projection = geometries[members[0]].projection
        scale = [projection.x_resolution, projection.y_resolution]

        def forward(xy: Any, scale: Any = scale, crs: Any = projection.crs) -> Any:
            ground = xy * scale
            return np.column_stack(rasterio.warp.transform(crs, WGS84_PROJECTION.crs, ground[:, 0], ground[:, 1]))

        mine = np.array([geometries[i].shp for i in members], dtype=object)
        shapes[members] = shapely.transform(mine, forward)
        bounds = shapely.bounds(shapes[members])
        for i, wide in zip(members, bounds[:, 2] - bounds[:, 0] > 90, strict=True):
            if wide or not shapes[i].is_valid:
                shapes[i] = geometries[i].to_wgs84().shp
    return shapes
