"""Choosing scenes by what they show of the window itself, beside the tutorial's rule.

The tutorial takes the least cloudy granule of the whole time range. Here some candidates are looked at over each
window: one that is clear enough there is good enough, and of those the nearest in time to the start of the
window's time range wins; where none is, the clearest. The result has rslearn's own form, so that everything after
it is the same.

Loaded only by functions that need rslearn.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from rslearn.config import LayerConfig, QueryConfig, SpaceMode  # noqa: TID253
from rslearn.data_sources import DataSource, Item  # noqa: TID253
from rslearn.data_sources.utils import MatchedItemGroup, match_candidate_items_to_window  # noqa: TID253
from rslearn.dataset import Window  # noqa: TID253
from rslearn.utils.geometry import PixelBounds, STGeometry  # noqa: TID253

from burnscar_assets.catalog.items import CLOUD_COVER, SerializedItem, percent, read_candidates
from burnscar_assets.errors import InputError
from burnscar_assets.reader.request import ReadOptions
from burnscar_assets.reader.views import Look, View, ground_of, require_ground, tells_ground, view_windows

COVERED: Final = 0.99
"""A scene covers a window if it has data for this share of it, as with rslearn's mosaics."""

SAME_PASS: Final = timedelta(minutes=10)
"""Scenes closer in time are one overpass: neighbouring granules, or one granule processed twice."""

Groups = list[MatchedItemGroup[Any]]
Search = Callable[[list[STGeometry], QueryConfig], list[Groups]]


@dataclass(frozen=True)
class SelectionRule:
    """What makes a scene good enough for a window.

    Attributes:
        min_clear_fraction: share of the window that must be clear, 0–1.
        candidates: scenes looked at per window, in the order of the search.
        max_cloud_cover: scenes whose granule is cloudier are not looked at, in percent; those that don't tell are.
    """

    min_clear_fraction: float = 0.9
    candidates: int = 8
    max_cloud_cover: float = 100


@dataclass
class ChosenGroup(MatchedItemGroup[Any]):
    """A group of one scene that was chosen for what it shows.

    Attributes:
        clear_fraction: share of the window's area that is clear in it, 0–1; None if it wasn't looked at.
        ranked: all scenes that were looked at for the same time and cover the window, the best first.
    """

    clear_fraction: float | None = 0.0
    ranked: list[Item] = field(default_factory=list)


@dataclass(frozen=True)
class Candidate:
    """A scene that covers a window.

    Attributes:
        item: the scene.
        clear: share of the window that is clear in it, 0–1; of the whole granule, if it wasn't looked at.
        distance: from the moment that it should be near: the start of the window's time range, or the alarm.
    """

    item: Item
    clear: float
    distance: timedelta
    looked_at: bool = True


@dataclass
class _Slot:
    """A window in one period, or in the whole of its time range."""

    window: int
    geometry: STGeometry
    candidates: list[Item]
    groups: Groups


def select_scenes(
    geometries: Sequence[STGeometry],
    starts: Sequence[datetime | None],
    source: DataSource,
    query_config: QueryConfig,
    search: Search,
    rule: SelectionRule = SelectionRule(),
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
    layer: str = "",
) -> list[Groups]:
    """Choose scenes for windows.

    Args:
        geometries: what each window asks for: its box in pixels of its own projection, and the time range that its
            layer asks for.
        starts: start of each window's own time range.
        source: the data source; its order of preference says which scenes are looked at first.
        query_config: of the layer. `max_matches` scenes are chosen, in the order of time; with `period_duration`
            one for each period, in rslearn's order.
        search: finds groups of scenes for geometries, as `source.get_items`.
        rule: what is good enough.
        options: how quality files are read.
        layer: name of the layer, for messages.

    Returns:
        Groups of scenes of each window, in the form of `source.get_items`; a `ChosenGroup` where a scene was chosen,
        what `search` finds by the layer's own rule where no candidate covers the window.

    Raises:
        InputError: the scenes have no quality file, or the layer asks for composites of several scenes.
        SourceUnavailableError: the catalogue or the archive does not answer.
    """
    require_ground(source, layer)
    if query_config.space_mode == SpaceMode.SINGLE_COMPOSITE or query_config.mosaic_compositing_overlaps > 1:
        raise InputError(
            f"layer {layer!r} composites several scenes, and imagery.selection: window chooses single ones: set "
            "imagery.selection to granule, or the layer's query_config to MOSAIC without overlaps"
        )
    slots = [slot for i, geometry in enumerate(geometries) for slot in _slots(i, geometry, query_config)]
    wanted = 1 if query_config.period_duration else query_config.max_matches
    _find_candidates(slots, search, max(wanted, rule.candidates), rule.max_cloud_cover)
    asked = [(slot, item) for slot in slots for item in _telling(slot.candidates, source, layer)]
    views = look_at([(slot.geometry, item) for slot, item in asked], source, options)
    seen: dict[int, list[Candidate]] = {}
    for (slot, item), view in zip(asked, views, strict=True):
        if view is not None:
            seen.setdefault(id(slot), []).append(_candidate(item, view, starts[slot.window]))
    for slot in slots:
        mine = seen.get(id(slot), [])
        ranked = [candidate.item for candidate in rank(mine, rule.min_clear_fraction)]
        slot.groups = [
            ChosenGroup([chosen.item], slot.geometry.time_range, chosen.clear, ranked)
            for chosen in choose(mine, rule.min_clear_fraction, wanted)
        ]
    _fall_back([slot for slot in slots if not slot.groups], query_config, search)
    return _gather(slots, len(geometries), query_config)


def look_at(asked: Sequence[tuple[STGeometry, Item]], source: DataSource, options: ReadOptions) -> list[View | None]:
    """What scenes show of windows, as `view_windows`; None too where one doesn't cover the window."""
    looks = [Look(geometry.projection, _bounds(geometry), item) for geometry, item in asked]
    views = view_windows(looks, source, options)
    return [view if view is not None and 1 - view.nodata >= COVERED else None for view in views]


def rank(candidates: Sequence[Candidate], min_clear_fraction: float) -> list[Candidate]:
    """Candidates, the best first.

    Those that are clear enough come first, the nearest in time before the others; then the rest, the clearest first.
    Among equals, the earlier in the sequence is better.
    """

    def badness(candidate: Candidate) -> tuple[bool, float, float]:
        days = candidate.distance / timedelta(days=1)
        if candidate.clear >= min_clear_fraction:
            return False, days, -candidate.clear
        return True, -candidate.clear, days

    return sorted(candidates, key=badness)


def choose(candidates: Sequence[Candidate], min_clear_fraction: float, count: int) -> list[Candidate]:
    """The best candidates by `rank`, at most one of each overpass, in the order of time."""
    chosen: list[Candidate] = []
    for candidate in rank(candidates, min_clear_fraction):
        if len(chosen) < count and not any(_is_same_pass(candidate.item, other.item) for other in chosen):
            chosen.append(candidate)
    return sorted(chosen, key=lambda candidate: _moment(candidate.item))


def _slots(window: int, geometry: STGeometry, query_config: QueryConfig) -> list[_Slot]:
    """The periods of a window's time range, latest first as rslearn goes through them, or the whole of it."""
    duration = _period(query_config)
    if duration is None:
        return [_Slot(window, geometry, [], [])]
    if geometry.time_range is None:
        raise InputError("a layer with period_duration needs windows with a time range: run burnscar refresh")
    start, end = geometry.time_range
    slots = []
    while end - duration >= start:
        period = STGeometry(geometry.projection, geometry.shp, (end - duration, end))
        slots.append(_Slot(window, period, [], []))
        end -= duration
    return slots


def _period(query_config: QueryConfig) -> timedelta | None:
    if query_config.space_mode == SpaceMode.PER_PERIOD_MOSAIC:
        return query_config.period_duration or timedelta(days=30)
    return query_config.period_duration


def _find_candidates(slots: list[_Slot], search: Search, count: int, max_cloud_cover: float) -> None:
    """Scenes whose footprint holds the window, in the source's order of preference."""
    query = QueryConfig(space_mode=SpaceMode.CONTAINS, max_matches=count)
    for slot, groups in zip(slots, search([slot.geometry for slot in slots], query), strict=True):
        found = (item for group in groups for item in group.items)
        slot.candidates = [item for item in found if granule_cloud_cover(item) <= max_cloud_cover]


def _telling(items: list[Item], source: DataSource, layer: str) -> list[Item]:
    """The scenes that tell where they show the ground."""
    offered = [item for item in items if tells_ground(source, item)]
    if items and not offered:
        ground = ground_of(source)
        asset = ground.asset if ground else "quality file"
        raise InputError(
            f"layer {layer!r}: scene {items[0].name} has no {asset} in the archive, which imagery.selection: window "
            f"needs; add an asset {asset} to the index, name it as assets: {{{asset}: …}} in config.json, or set "
            "imagery.selection to granule"
        )
    return offered


def _candidate(item: Item, view: View, start: datetime | None) -> Candidate:
    moment = acquired(item)
    return Candidate(item, view.clear, abs(moment - start) if moment and start else timedelta())


def _fall_back(slots: list[_Slot], query_config: QueryConfig, search: Search) -> None:
    """Have the layer's own rule decide, with mosaics, where no single scene covers the window."""
    if not slots:
        return
    query = query_config.model_copy(update={"period_duration": None, "min_matches": 0})
    if _period(query_config) is not None:
        query = query.model_copy(update={"max_matches": 1})
    if query.space_mode == SpaceMode.PER_PERIOD_MOSAIC:
        query = query.model_copy(update={"space_mode": SpaceMode.MOSAIC})
    for slot, groups in zip(slots, search([slot.geometry for slot in slots], query), strict=True):
        slot.groups = groups


def _gather(slots: list[_Slot], windows: int, query_config: QueryConfig) -> list[Groups]:
    """The groups of each window, no more of them than wanted; none at all where they are too few."""
    results: list[Groups] = [[] for _ in range(windows)]
    for slot in slots:
        room = query_config.max_matches - len(results[slot.window])
        results[slot.window] += slot.groups[:room]
    if _period(query_config) is not None and not query_config.per_period_mosaic_reverse_time_order:
        for groups in results:
            groups.reverse()
    return [groups if len(groups) >= query_config.min_matches else [] for groups in results]


def granule_cloud_cover(item: Item) -> float:
    """Of a scene's granule, in percent; 0 where its source does not tell."""
    return percent(getattr(item, "properties", {}).get(CLOUD_COVER, getattr(item, "cloud_cover", None))) or 0.0


def _bounds(geometry: STGeometry) -> PixelBounds:
    left, top, right, bottom = (round(edge) for edge in geometry.shp.bounds)
    return left, top, right, bottom


def _is_same_pass(one: Item, other: Item) -> bool:
    times = acquired(one), acquired(other)
    return times[0] is not None and times[1] is not None and abs(times[0] - times[1]) < SAME_PASS


def _moment(item: Item) -> float:
    time = acquired(item)
    return time.timestamp() if time else 0.0


def acquired(item: Item) -> datetime | None:
    """When a scene was taken; None for one without a time."""
    return item.geometry.time_range[0] if item.geometry.time_range else None


def next_match(
    window: Window, layer: str, source: DataSource, config: LayerConfig, selection: str, excluding: Collection[str]
) -> list[list[SerializedItem]]:
    """Groups of scenes, as in `items.json`, that a window gets without some of its scenes; empty if none is left.

    Matching keeps the scenes that a window may have beside those that it chose, so what takes a scene's place is known
    without another search. To give way from scene to scene, call it again with one more name in `excluding` each time;
    there are no more than `imagery.candidates` scenes. Nothing is searched or written.

    Args:
        window: a window that was matched.
        layer: name of the raster layer.
        source: the layer's data source.
        config: the layer, which has a data source.
        selection: as `dataset.selection_of` the layer.
        excluding: names of scenes that can't be used.
    """
    assert config.data_source is not None  # noqa: S101 - only layers that have one are matched
    kept = {item["name"]: item for item in read_candidates(window, layer) if item["name"] not in excluding}
    items: list[Any] = [source.deserialize_item(item) for item in kept.values()]
    geometry = window.get_geometry()
    times = config.data_source.get_request_time_range(geometry.time_range)
    geometry.time_range = None if selection == "before" else times  # those may be of days before the alarm
    query = config.data_source.query_config
    if selection == "before":
        query = query.model_copy(update={"period_duration": None})
    whole = query.model_copy(update={"space_mode": SpaceMode.CONTAINS})
    groups = match_candidate_items_to_window(geometry, list(items), whole) if selection != "granule" else []
    groups = groups or match_candidate_items_to_window(geometry, list(items), query)
    return [[kept[item.name] for item in group.items] for group in groups if group.items]
