"""The image before a fire: the last clear one before its alarm, else one of the same season a year earlier.

The last one, since ground changes and clear is clear: what dried, was harvested or burned before that day is none of
the fire's. Scenes are looked at from the alarm backwards, some at a time, until one is clear; so what lies further back
is never read.

Loaded only by functions that need rslearn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from rslearn.config import QueryConfig, SpaceMode  # noqa: TID253
from rslearn.data_sources import DataSource, Item  # noqa: TID253
from rslearn.utils.geometry import STGeometry  # noqa: TID253

from burnscar_assets.catalog.items import TimeRange
from burnscar_assets.catalog.selection import (
    Candidate,
    ChosenGroup,
    Groups,
    Search,
    SelectionRule,
    acquired,
    choose,
    granule_cloud_cover,
    look_at,
    rank,
)
from burnscar_assets.reader.request import ReadOptions
from burnscar_assets.reader.views import tells_ground

MOST_LISTED = 1000
"""Scenes of a window that are listed at most."""


@dataclass(frozen=True)
class DaysBefore:
    """When the image before a fire may be from: first moment and first moment after.

    Attributes:
        days: before the alarm; None where that isn't known.
        season: the same season a year earlier, for where those have no clear image; None: there is no such choice.
    """

    days: TimeRange | None
    season: TimeRange | None = None

    @property
    def spans(self) -> list[TimeRange]:
        """Both, as far as there are any, in the order in which they are searched."""
        return [span for span in (self.days, self.season) if span is not None]


@dataclass
class _Window:
    """A window, the scenes of it that are still to be looked at, and what was seen."""

    geometry: STGeometry
    when: DaysBefore
    waiting: list[Item] = field(default_factory=list)
    seen: list[Candidate] = field(default_factory=list)

    def clear(self, least: float) -> int:
        return sum(candidate.clear >= least for candidate in self.seen)


def select_before(
    geometries: Sequence[STGeometry],
    whens: Sequence[DaysBefore],
    source: DataSource,
    query_config: QueryConfig,
    search: Search,
    rule: SelectionRule,
    options: ReadOptions,
) -> list[Groups]:
    """Choose scenes from before the fires for windows.

    A scene of which so much of the window is clear that the rule is content is clear; of these the last one before the
    alarm wins. Where the scene classification can't be read before scenes are fetched, the cloud cover of the granule
    stands for it. Where nothing is clear, the clearest scene wins; where no single scene covers the window, mosaics
    by the layer's own rule.

    Args:
        geometries: box of each window, in pixels of its own projection.
        whens: when each image may be from.
        source: the data source.
        query_config: of the layer; `max_matches` scenes are chosen, in the order of time.
        search: finds groups of scenes for geometries, as `source.get_items`.
        rule: what is clear, and how many scenes are looked at at a time.
        options: how the scene classification is read.

    Raises:
        SourceUnavailableError: the catalogue or the archive does not answer.
    """
    count = query_config.max_matches
    windows = [_Window(*pair) for pair in zip(geometries, whens, strict=True)]
    for number in range(2):
        asked = [w for w in windows if len(w.when.spans) > number and not w.clear(rule.min_clear_fraction)]
        _list_scenes(asked, number, search, rule)
        while looked := [w for w in asked if w.waiting and w.clear(rule.min_clear_fraction) < count]:
            _look(looked, source, rule, options)
    results: list[Groups] = []
    for window in windows:
        ranked = [candidate.item for candidate in rank(window.seen, rule.min_clear_fraction)]
        results.append(
            [
                ChosenGroup([chosen.item], None, chosen.clear if chosen.looked_at else None, ranked)
                for chosen in choose(window.seen, rule.min_clear_fraction, count)
            ]
        )
    return _with_mosaics(windows, results, query_config, search)


def _list_scenes(windows: list[_Window], number: int, search: Search, rule: SelectionRule) -> None:
    """Find the scenes of one of the spans, the last first."""
    query = QueryConfig(space_mode=SpaceMode.CONTAINS, max_matches=MOST_LISTED)
    for window, groups in zip(windows, search([_within(w, number) for w in windows], query), strict=True):
        found = [item for group in groups for item in group.items]
        clear = [item for item in found if granule_cloud_cover(item) <= rule.max_cloud_cover]
        window.waiting = sorted(clear, key=partial(_age, end=window.when.spans[number][1]))


def _look(windows: list[_Window], source: DataSource, rule: SelectionRule, options: ReadOptions) -> None:
    """Look at some more scenes of each window."""
    asked: list[tuple[_Window, Item]] = []
    for window in windows:
        asked += [(window, item) for item in window.waiting[: rule.candidates]]
        window.waiting = window.waiting[rule.candidates :]
    offered = [pair for pair in asked if tells_ground(source, pair[1])]
    views = look_at([(window.geometry, item) for window, item in offered], source, options)
    seen = {(id(window), item.name): view for (window, item), view in zip(offered, views, strict=True)}
    for window, item in asked:
        key, age = (id(window), item.name), _age(item, window.when.spans[0][1])
        if key not in seen:
            window.seen.append(Candidate(item, 1 - granule_cloud_cover(item) / 100, age, looked_at=False))
        elif view := seen[key]:
            window.seen.append(Candidate(item, view.clear, age))


def _within(window: _Window, number: int) -> STGeometry:
    return STGeometry(window.geometry.projection, window.geometry.shp, window.when.spans[number])


def _age(item: Item, end: datetime) -> timedelta:
    moment = acquired(item)
    return timedelta() if moment is None else abs(end - moment)


def _with_mosaics(
    windows: list[_Window], results: list[Groups], query_config: QueryConfig, search: Search
) -> list[Groups]:
    """The same with what the layer's own rule finds where there is nothing yet."""
    for number in range(2):
        lacking = [i for i, window in enumerate(windows) if not results[i] and len(window.when.spans) > number]
        found = search([_within(windows[i], number) for i in lacking], query_config) if lacking else []
        for i, groups in zip(lacking, found, strict=True):
            results[i] = groups
    return results
