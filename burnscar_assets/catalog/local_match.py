"""Matching windows with scenes that were listed before, as rslearn would for each window alone.

rslearn cuts and projects the footprint of every scene for every window. What it makes of them depends on
footprints alone as far as they lie across the window: a scene that covers a window whole counts as a box
around it would. So for each scene and coordinate system, the windows that are sure to be covered whole or not
touched at all are told apart from those near the footprint's edge, by more than the edge can move between one
projection and another. Windows covered by the same scenes in the same time range share one answer of rslearn's
own function, and windows near an edge get their own.

Loaded only by functions that need rslearn.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import rasterio.warp
import shapely
from rasterio.crs import CRS
from rslearn.config import QueryConfig, SpaceMode  # noqa: TID253
from rslearn.data_sources import Item  # noqa: TID253
from rslearn.data_sources.utils import MatchedItemGroup, match_candidate_items_to_window  # noqa: TID253
from rslearn.utils.geometry import WGS84_PROJECTION, Projection, STGeometry  # noqa: TID253

WIDEST_FOOTPRINT_DEGREES: Final = 6.0
NORTHERNMOST_DEGREES: Final = 80.0
WIDEST_WINDOW_M: Final = 20_000.0
"""Beyond these, footprints or windows are left to rslearn alone."""

SLACK_M: Final = 50.0
"""Added to how far a footprint's edge can move: edges of windows move too, by less than this."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ALWAYS: Final = (np.iinfo(np.int64).min, np.iinfo(np.int64).max)

ItemType = TypeVar("ItemType", bound=Item)
Shapes = npt.NDArray[np.object_]
Positions = npt.NDArray[np.intp]
Answer = list[tuple[list[int], tuple[datetime, datetime] | None]]


def match_and_rank(
    geometries: Sequence[STGeometry], items: Sequence[ItemType], query_config: QueryConfig, count: int
) -> tuple[list[list[MatchedItemGroup[ItemType]]], list[list[ItemType]]]:
    """Match windows with scenes, and list those that each window may have instead.

    Args:
        geometries: what each window asks for: its shape in its own projection, and a time range.
        items: scenes in the order of preference, those that a search for all the windows lists.
        query_config: how scenes are put into groups.
        count: scenes that are listed for a window at most; 0: none.

    Returns:
        For each window what rslearn's `match_candidate_items_to_window` makes of the scenes that a search for it alone
        would list, in the same order; and those that touch it within its time range, in the order of preference.
    """
    matched: list[list[MatchedItemGroup[ItemType]]] = [[] for _ in geometries]
    ranked: list[list[ItemType]] = [[] for _ in geometries]
    by_projection: dict[str, list[int]] = {}
    for position, geometry in enumerate(geometries):
        by_projection.setdefault(str(geometry.projection), []).append(position)
    for members in by_projection.values():
        matcher = _Matcher([geometries[i] for i in members], items)
        for position, groups in zip(members, matcher.match(query_config), strict=True):
            matched[position] = groups
        if count:
            for position, groups in zip(members, matcher.match(_each_alone(query_config, count)), strict=True):
                ranked[position] = [item for group in groups for item in group.items]
    return matched, ranked


def _each_alone(query_config: QueryConfig, count: int) -> QueryConfig:
    alone = {"space_mode": SpaceMode.INTERSECTS, "max_matches": count, "min_matches": 0, "period_duration": None}
    return query_config.model_copy(update=alone)


class _Matcher:
    """Matches windows of one projection."""

    def __init__(self, geometries: list[STGeometry], items: Sequence[Item]) -> None:
        self._geometries = geometries
        self._items = list(items)
        self._projection = geometries[0].projection
        none = [np.empty(0, dtype=np.intp)] * len(geometries)
        self._sorted = self._sort_out() if self._items else (none, none)

    def match(self, query_config: QueryConfig) -> list[list[MatchedItemGroup]]:
        """Groups of scenes of each window."""
        answers: dict[tuple[bytes, object], Answer] = {}
        results = []
        for geometry, covering, near in zip(self._geometries, *self._sorted, strict=True):
            key = covering.tobytes(), geometry.time_range
            answer = None if len(near) else answers.get(key)
            if answer is None:
                answer = self._ask(geometry, covering, near, query_config)
            if not len(near):
                answers[key] = answer
            results.append([MatchedItemGroup([self._items[i] for i in chosen], times) for chosen, times in answer])
        return results

    def _ask(self, geometry: STGeometry, covering: Positions, near: Positions, query_config: QueryConfig) -> Answer:
        """What rslearn makes of some scenes; those that cover the window stand there as a box around it."""
        west, south, east, north = geometry.shp.bounds
        box = shapely.box(west - 1, south - 1, east + 1, north + 1)
        whole = set(covering.tolist())
        candidates = []
        for position in sorted(whole | set(near.tolist())):
            item = self._items[position]
            shape = STGeometry(geometry.projection, box, item.geometry.time_range) if position in whole else None
            candidates.append(_Candidate(position, item, shape or item.geometry))
        groups = match_candidate_items_to_window(geometry, candidates, query_config)
        return [([c.position for c in group.items], group.request_time_range) for group in groups]

    def _sort_out(self) -> tuple[list[Positions], list[Positions]]:
        """For each window, the scenes of its time that surely cover it, and those that may touch it otherwise."""
        shapes = np.array([geometry.shp for geometry in self._geometries], dtype=object)
        window_times, windows_plain = _times([geometry.time_range for geometry in self._geometries])
        item_times, items_plain = _times([item.geometry.time_range for item in self._items])
        ground, inner, outer, measurable = _footprints(self._items, shapes, self._projection)
        plain_items = measurable & items_plain
        plain_windows = windows_plain & _are_small_polygons(ground, self._projection)

        tree = shapely.STRtree(ground)
        chosen = np.flatnonzero(plain_items)
        covers = _pairs(tree, inner, chosen, "covers")
        touches = _pairs(tree, outer, chosen, "intersects")
        unknown = np.stack(np.nonzero(~plain_items[:, None] | ~plain_windows[None, :]))

        covers = covers[:, plain_windows[covers[1]]]
        touches = _without(touches[:, plain_windows[touches[1]]], covers, len(ground))
        near = np.concatenate([touches, unknown], axis=1)
        return (
            _by_window(_in_time(covers, item_times, window_times), len(ground)),
            _by_window(_in_time(near, item_times, window_times), len(ground)),
        )


class _Candidate(Item):
    """A scene under the name by which it is known here: its position."""

    def __init__(self, position: int, item: Item, geometry: STGeometry) -> None:
        super().__init__(item.name, geometry)
        self.position = position


def _times(ranges: Sequence[tuple[datetime, datetime] | None]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Time ranges in microseconds, and which of them can be compared at all: those that know their zone."""
    known = [_has_zone(times) for times in ranges]
    micros = [
        (_micros(times[0]), _micros(times[1])) if times is not None and has_zone else _ALWAYS
        for times, has_zone in zip(ranges, known, strict=True)
    ]
    return np.array(micros, dtype=np.int64).reshape(-1, 2), np.array(known, dtype=bool)


def _has_zone(times: tuple[datetime, datetime] | None) -> bool:
    return times is None or all(moment.tzinfo is not None for moment in times)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _in_time(
    pairs: npt.NDArray[np.intp], items: npt.NDArray[np.int64], windows: npt.NDArray[np.int64]
) -> npt.NDArray[np.intp]:
    """Pairs of scene and window whose times overlap, by rslearn's rule."""
    item, window = items[pairs[0]], windows[pairs[1]]
    apart = (window[:, 1] <= item[:, 0]) | (item[:, 1] <= window[:, 0])
    unlimited = (items[pairs[0], 0] == _ALWAYS[0]) | (windows[pairs[1], 0] == _ALWAYS[0])
    return pairs[:, ~apart | unlimited]


def _pairs(tree: shapely.STRtree, footprints: Shapes, chosen: Positions, predicate: str) -> npt.NDArray[np.intp]:
    found = tree.query(footprints[chosen], predicate=predicate)
    return np.stack([chosen[found[0]], found[1]])


def _without(pairs: npt.NDArray[np.intp], gone: npt.NDArray[np.intp], windows: int) -> npt.NDArray[np.intp]:
    keep = ~np.isin(pairs[0] * windows + pairs[1], gone[0] * windows + gone[1])
    return pairs[:, keep]


def _by_window(pairs: npt.NDArray[np.intp], windows: int) -> list[Positions]:
    """Scenes of each window, ascending."""
    ordered = pairs[:, np.lexsort(pairs)]
    return np.split(ordered[0], np.searchsorted(ordered[1], np.arange(1, windows)))


def _are_small_polygons(ground: Shapes, projection: Projection) -> npt.NDArray[np.bool_]:
    bounds = shapely.bounds(ground)
    widest = np.inf if projection.crs == WGS84_PROJECTION.crs else WIDEST_WINDOW_M
    small = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]) <= widest
    return np.asarray(
        small & (shapely.get_type_id(ground) == 3) & shapely.is_valid(ground) & (shapely.area(ground) > 0)
    )


def _footprints(
    items: Sequence[Item], windows: Shapes, projection: Projection
) -> tuple[Shapes, Shapes, Shapes, npt.NDArray[np.bool_]]:
    """Windows on the ground, and footprints there, each made smaller and larger by how far its edge can move.

    In units of the coordinate system; the last array says which footprints can be judged so at all.
    """
    ground = np.array(
        shapely.transform(windows, lambda xy: xy * [projection.x_resolution, projection.y_resolution]), dtype=object
    )
    shapes = np.array([item.geometry.shp for item in items], dtype=object)
    measurable = np.array([item.geometry.projection == WGS84_PROJECTION for item in items], dtype=bool)
    if projection.crs == WGS84_PROJECTION.crs:
        return ground, shapes, shapes, measurable & _are_polygons(shapes)
    if not (projection.crs.is_projected and projection.crs.linear_units_factor[1] == 1.0):
        return ground, shapes, shapes, np.zeros(len(items), dtype=bool)
    measurable &= _are_polygons(shapes) & _are_ordinary(shapes)
    inner, outer = shapes.copy(), shapes.copy()
    chosen = np.flatnonzero(measurable)
    if len(chosen):
        projected, moves = _project(shapes[chosen], projection.crs)
        usable = np.isfinite(moves) & shapely.is_valid(projected)
        measurable[chosen[~usable]] = False
        margins = np.where(usable, 2 * moves + SLACK_M, 0.0)
        inner[chosen] = shapely.buffer(projected, -margins)
        outer[chosen] = shapely.buffer(projected, margins)
    return ground, inner, outer, measurable


def _are_polygons(shapes: Shapes) -> npt.NDArray[np.bool_]:
    kinds = shapely.get_type_id(shapes)
    return np.asarray(((kinds == 3) | (kinds == 6)) & shapely.is_valid(shapes) & ~shapely.is_empty(shapes))


def _are_ordinary(shapes: Shapes) -> npt.NDArray[np.bool_]:
    """Neither so wide nor so far north that projecting them whole could go wrong."""
    west, south, east, north = shapely.bounds(shapes).T
    narrow = (east - west <= WIDEST_FOOTPRINT_DEGREES) & (north - south <= WIDEST_FOOTPRINT_DEGREES)
    return np.asarray(narrow & (np.maximum(np.abs(south), np.abs(north)) <= NORTHERNMOST_DEGREES))


def _project(shapes: Shapes, crs: CRS) -> tuple[Shapes, npt.NDArray[np.float64]]:
    """Shapes in a coordinate system, and how far the middle of a straight edge lies from the edge's image.

    That is where rslearn's own edges can lie elsewhere: it cuts footprints before it projects their corners.
    """

    def forward(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(rasterio.warp.transform(WGS84_PROJECTION.crs, crs, xy[:, 0], xy[:, 1]))

    corners, owner = shapely.get_coordinates(shapes, return_index=True)
    projected = forward(corners)
    same = owner[1:] == owner[:-1]
    middles = forward((corners[1:] + corners[:-1])[same] / 2)
    moves = np.hypot(*(middles - (projected[1:] + projected[:-1])[same] / 2).T)
    most = np.zeros(len(shapes))
    np.maximum.at(most, owner[1:][same], moves)
    return np.array(shapely.set_coordinates(shapes.copy(), projected), dtype=object), most
