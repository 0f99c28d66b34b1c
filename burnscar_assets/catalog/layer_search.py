"""Searching the scenes of one layer's windows, and writing them down as rslearn's `prepare` does."""

import copy
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from burnscar_assets.catalog.items import (
    CLOUD_COVER,
    FALLBACK_SCENE,
    SerializedItem,
    TimeRange,
    cloud_cover,
    is_excluded,
)
from burnscar_assets.dataset.matched import CANDIDATES, SET_ASIDE, load_all_matched, save_matched
from burnscar_assets.errors import SourceUnavailableError

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.data_sources import DataSource
    from rslearn.dataset import Window
    from rslearn.utils.geometry import STGeometry

    from burnscar_assets.catalog.before import DaysBefore
    from burnscar_assets.catalog.bulk_items import Groups, MatchedPart
    from burnscar_assets.catalog.search_options import SearchOptions
    from burnscar_assets.catalog.selection import SelectionRule

ANY_CLOUDS: Final = 100.0
NO_SCENE: Final = "no_scene_in_time_range"
TOO_CLOUDY: Final = "too_cloudy"
COMMIT: Final = 256
"""Windows that are written down at once: as many as a run that is killed may lose."""

LOOKED_AT: Final = 2048
"""Windows that candidates are found for, and looked at, in one go."""

PLACE_M: Final = 50_000
"""Windows within a square of this side are looked at one after the other, for they have scenes in common."""

logger = logging.getLogger(__name__)

Chosen = list[tuple[list[SerializedItem], TimeRange | None]]


def has_layer(windows: "Iterable[Window]", layer: str) -> set[str]:
    """Names of the windows that were matched before, whatever came of it."""
    return {window.name for window, found in load_all_matched(windows) if {layer, SET_ASIDE + layer} & found.keys()}


class LayerSearch:
    """One layer's data source, and what is asked of it."""

    def __init__(
        self,
        source: "DataSource",
        config: "LayerConfig",
        layer: str,
        max_cloud_cover: float,
        options: "SearchOptions",
        rule: "SelectionRule | None" = None,
        *,
        before: "Mapping[str, TimeRange | None] | None" = None,
        fallback: bool = False,
    ) -> None:
        """Know what is wanted; nothing is searched yet.

        Args:
            source: the layer's data source.
            config: the layer, which has a data source.
            layer: its name.
            max_cloud_cover: scenes above it are no match, in percent, for sources that can't leave them out too.
            options: how searches are made.
            rule: how scenes are chosen by what they show of each window; without one, as the layer says.
            before: for a layer of images before the fire: the days before the alarm, by window, None where that isn't
                known; see `before.select_before`. It wants a rule.
            fallback: whether the source is the dataset's fallback; its scenes are marked.
        """
        self.source = source
        self._config = config
        self._layer = layer
        self._max_cloud_cover = max_cloud_cover
        self.options = options
        self._rule = rule
        self._before = before
        self.is_fallback = fallback
        self.clear_fractions: dict[str, list[float | None]] = {}
        """Of windows matched so far: each group's share of the window that is clear, if it was chosen by that."""

    def match(self, windows: "Sequence[Window]") -> Iterator[dict[str, str]]:
        """Match windows and write their scenes down.

        Yields:
            As they are done, windows and the reason of each: empty for a matched one.

        Raises:
            SourceUnavailableError: a search failed after all tries.
            InputError: a search is refused, or a scene is unusable.
        """
        unmatched: list[Window] = []
        found = (
            self._select(windows)
            if self._rule
            else self._search(self.source, [self._wanted(window) for window in windows], self._strict())
        )
        for part in found:
            for first in range(0, len(part.positions), COMMIT):
                chosen = [windows[i] for i in part.positions[first : first + COMMIT]]
                groups, ranked = part.groups[first : first + COMMIT], part.ranked[first : first + COMMIT]
                reasons = self._write(chosen, groups, ranked)
                unmatched += [window for window in chosen if window.name not in reasons]
                yield reasons
        if unmatched:
            cloudy = self._found_without_cloud_limit(unmatched)
            yield {window.name: TOO_CLOUDY if window.name in cloudy else NO_SCENE for window in unmatched}

    def _strict(self) -> "SearchOptions":
        """Options by which scenes that don't say how cloudy they are count as too cloudy, where clouds matter."""
        matters = _without_cloud_limit(self.source) is not None and self._max_cloud_cover < ANY_CLOUDS
        return replace(self.options, max_cloud_cover=self._max_cloud_cover if matters else None)

    def _search(
        self, source: "DataSource", geometries: "Sequence[STGeometry]", options: "SearchOptions"
    ) -> "Iterator[MatchedPart]":
        from burnscar_assets.catalog.bulk_items import search_in_parts

        assert self._config.data_source is not None  # noqa: S101 - only layers that have one are matched
        return search_in_parts(source, geometries, self._config.data_source.query_config, options)

    def _select(self, windows: "Sequence[Window]") -> "Iterator[MatchedPart]":
        """Scenes chosen by what they show of each window, part after part."""
        from burnscar_assets.catalog.before import select_before
        from burnscar_assets.catalog.bulk_items import MatchedPart, get_items_in_bulk
        from burnscar_assets.catalog.selection import select_scenes
        from burnscar_assets.reader.request import ReadOptions

        assert self._config.data_source is not None  # noqa: S101 - only layers that have one are matched
        assert self._rule is not None  # noqa: S101 - the caller's condition
        options = ReadOptions.of(self.options)
        source = _without_cloud_limit(self.source) or self.source
        clouds = replace(self.options, max_cloud_cover=self._max_cloud_cover, unknown_clouds=True)

        def search(geometries: "list[STGeometry]", query: Any) -> "list[Groups]":
            return get_items_in_bulk(source, geometries, query, clouds)

        ordered = sorted(range(len(windows)), key=lambda i: _place(windows[i]))
        for first in range(0, len(ordered), LOOKED_AT):
            positions = ordered[first : first + LOOKED_AT]
            chosen = [windows[i] for i in positions]
            starts = [window.time_range[0] if window.time_range else None for window in chosen]
            geometries, query = [self._wanted(window) for window in chosen], self._config.data_source.query_config
            if self._before is not None:
                whens = [self._when(window) for window in chosen]
                groups = select_before(geometries, whens, self.source, query, search, self._rule, options)
            else:
                groups = select_scenes(geometries, starts, self.source, query, search, self._rule, options, self._layer)
            yield MatchedPart(positions, groups, [_looked_at(found) for found in groups])

    def _when(self, window: "Window") -> "DaysBefore":
        """When the image before the fire of a window may be from."""
        from burnscar_assets.catalog.before import DaysBefore

        return DaysBefore((self._before or {}).get(window.name), self._wanted(window).time_range)

    def _wanted(self, window: "Window") -> "STGeometry":
        geometry = window.get_geometry()
        geometry.time_range = self._config.data_source.get_request_time_range(geometry.time_range)
        return geometry

    def _write(
        self, windows: "Sequence[Window]", groups: "Sequence[Groups]", ranked: Sequence[list[Any]]
    ) -> dict[str, str]:
        """Write the scenes of windows down; reasons of those whose reason is known by now."""
        reasons: dict[str, str] = {}
        scenes: dict[int, SerializedItem] = {}
        by_group: dict[str, dict[Window, dict[str, Chosen]]] = {}
        for window, found, further in zip(windows, groups, ranked, strict=True):
            whole = [([self._serialized(item, scenes) for item in g.items], g.request_time_range) for g in found]
            clear = self._leave_out(whole)
            every = {item.name: item for item in [*further, *(item for group in found for item in group.items)]}
            candidates = self._leave_out([([self._serialized(item, scenes) for item in every.values()], None)])
            if self._rule:
                self.clear_fractions[window.name] = [getattr(group, "clear_fraction", None) for group in found]
            said = {self._layer: clear, CANDIDATES + self._layer: candidates}
            by_group.setdefault(window.group, {})[window] = said
            if any(group for group, _ in clear):
                reasons[window.name] = ""
            elif any(group for group, _ in whole):
                reasons[window.name] = TOO_CLOUDY
        for members in by_group.values():
            self._save(members)
        return reasons

    def _leave_out(self, groups: Chosen) -> Chosen:
        """Groups without scenes above the limit or excluded ones, of sources that can't leave them out themselves."""
        kept = [([item for item in group if self._is_wanted(item)], time) for group, time in groups]
        return groups if kept == groups else [(group, time) for group, time in kept if group]

    def _is_wanted(self, item: SerializedItem) -> bool:
        excluded = is_excluded(item["name"], self.options.exclude)
        return not excluded and (cloud_cover(item) or 0) <= self._max_cloud_cover

    def _serialized(self, item: Any, known: dict[int, SerializedItem]) -> SerializedItem:
        """A scene as it is written down, made once for all the windows that have it."""
        if id(item) not in known:
            known[id(item)] = item.serialize() | ({FALLBACK_SCENE: True} if self.is_fallback else {})
        return known[id(item)]

    def _save(self, chosen: "dict[Window, dict[str, Chosen]]") -> None:
        """Write down what windows of one group are matched with, in the place of what was said of the layer."""
        from rslearn.dataset.window import WindowLayerData

        whole: dict[Window, dict[str, WindowLayerData]] = {}
        for window, layers in load_all_matched(chosen):
            layers.pop(SET_ASIDE + self._layer, None)
            for name, found in chosen[window].items():
                groups, times = [group for group, _ in found], [time for _, time in found]
                layers |= {name: WindowLayerData(name, groups, group_time_ranges=times)}
            whole[window] = layers
        save_matched(whole)

    def _found_without_cloud_limit(self, windows: "Sequence[Window]") -> set[str]:
        """Names of the windows that would have a scene if clouds did not matter."""
        relaxed = _without_cloud_limit(self.source)
        if relaxed is None:
            return set()
        asked = [(window.name, geometry) for window in windows for geometry in self._every(window)]
        return {
            asked[i][0]
            for part in self._search(relaxed, [geometry for _, geometry in asked], self.options)
            for i, groups in zip(part.positions, part.groups, strict=True)
            if groups
        }

    def _every(self, window: "Window") -> "list[STGeometry]":
        """All that is asked of a window, one time range after the other."""
        wanted = self._wanted(window)
        if self._before is None:
            return [wanted]
        return [type(wanted)(wanted.projection, wanted.shp, span) for span in self._when(window).spans]


def search_in_turn(
    searches: "Sequence[LayerSearch]", windows: "Sequence[Window]"
) -> "Iterator[tuple[LayerSearch, dict[str, str]]]":
    """Match windows by the first of some searches, those that it has no scene for by the next.

    A search that gets no answer is passed over, but if another finds nothing for a window either, it could have.
    Yields searches, with windows that they decide and the reason of each, as `LayerSearch.match`.

    Raises:
        SourceUnavailableError: a search got no answer, and windows are left that no other has a scene for.
    """
    waiting = list(windows)
    lacking: dict[str, str] = {}
    failure: SourceUnavailableError | None = None
    for search in searches:
        matched: set[str] = set()
        try:
            for reasons in search.match(waiting):
                good: dict[str, str] = {name: reason for name, reason in reasons.items() if not reason}
                lacking |= {name: r for name, r in reasons.items() if r and lacking.get(name) != TOO_CLOUDY}
                matched |= good.keys()
                yield search, good
        except SourceUnavailableError as error:
            failure = error
            logger.warning("%s", error)
        waiting = [window for window in waiting if window.name not in matched]
        if not waiting:
            return
    if failure is not None:
        raise failure
    yield searches[-1], {window.name: lacking[window.name] for window in waiting}


def _place(window: "Window") -> tuple[str, int, int]:
    side = PLACE_M / abs(window.projection.x_resolution)
    return str(window.projection.crs), int(window.bounds[0] // side), int(window.bounds[1] // side)


def _looked_at(groups: "Groups") -> list[Any]:
    return [item for group in groups for item in getattr(group, "ranked", [])]


def _without_cloud_limit(source: "DataSource") -> "DataSource | None":
    from burnscar_assets.catalog.archive import CogArchive

    if isinstance(source, CogArchive):
        return source.without_cloud_limit()
    query = getattr(source, "query", None) or {}
    if CLOUD_COVER not in query:
        return None
    relaxed = copy.copy(source)
    relaxed.query = {key: value for key, value in query.items() if key != CLOUD_COVER}
    return relaxed
