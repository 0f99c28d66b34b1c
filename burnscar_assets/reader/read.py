"""Reading windows: scene after scene, all files of a scene side by side, in bounded memory."""

import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from burnscar_assets.catalog.hrefs import is_remote
from burnscar_assets.progress import Progress, silent
from burnscar_assets.reader.files import UNREADABLE, Patience, Pool, bulk_options, failure_of
from burnscar_assets.reader.judging import Judges
from burnscar_assets.reader.origin import Bands, DirectOrigin, IngestedOrigin, Origin, nodata_of, wanted_bands
from burnscar_assets.reader.pixels import equals_nodata
from burnscar_assets.reader.request import Failure, ReadOptions, WindowImage, WindowRequest
from burnscar_assets.reader.resample import Share, composite, empty_raster
from burnscar_assets.reader.scene import Batch, Scene
from burnscar_assets.sensors.load import sensor_of_layer

if TYPE_CHECKING:
    from rslearn.config import BandSetConfig, LayerConfig
    from rslearn.data_sources import DataSource, Item
    from rslearn.tile_stores import TileStoreWithLayer
    from rslearn.utils.geometry import PixelBounds, Projection
    from rslearn.utils.raster_array import RasterArray

    from burnscar_assets.reader.radiometry import RadiometryDecision

OPENED_AHEAD = 3
"""Scenes whose files are opened while others are read."""

Task = Future[Any]

POLL_S = 0.02
"""How often windows are looked for that became whole while files are opened."""

BATCHES_IN_MEMORY = 4
"""Batches that the memory is shared between."""


def read_windows(
    requests: Sequence[WindowRequest],
    layer_config: "LayerConfig",
    source: "DataSource",
    tile_store: "TileStoreWithLayer",
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
    progress: Progress = silent,
    decisions: "dict[str, RadiometryDecision] | None" = None,
    neighbours: "Mapping[str, Item] | None" = None,
) -> Iterator[WindowImage]:
    """Make the images of windows that rslearn's `materialize` would make.

    Closing the iterator, or an error in the caller, ends all reading.

    Args:
        requests: windows and their scenes.
        layer_config: configuration of a layer that `supports` accepts.
        source: its data source.
        tile_store: where its scenes are, if it is ingested.
        options: memory, connections, retries.
        progress: told of windows that are whole.
        decisions: what was found out of scenes in earlier calls, by name; what is found out now is added.
        neighbours: by name of a scene, the one that its numbers are compared with if they prove nothing.

    Yields:
        One image for each window, as it becomes whole; the order follows the scenes.

    Raises:
        SourceUnavailableError: the archive does not answer.
        InputError: a scene's offset is unknown.
    """
    ingested = layer_config.data_source is not None and layer_config.data_source.ingest
    origin: Origin = (
        IngestedOrigin(tile_store) if ingested else DirectOrigin(source, tile_store.layer_name, options.allowed_hosts)
    )
    threads = options.connections if _remote(requests, tile_store if ingested else None) else options.threads
    pool = Pool(threads or os.cpu_count() or 1, bulk_options())
    try:
        patience = Patience(options, pool.stopped)
        known = {} if decisions is None else decisions
        judges = Judges(origin, pool, patience, known, neighbours or {})
        reading = _Reading(requests, layer_config, origin, options, pool, patience, judges)
        for done, image in enumerate(reading.images(), start=1):
            progress("windows read", done, len(requests))
            yield image
    finally:
        pool.stop()


def _remote(requests: Sequence[WindowRequest], tile_store: "TileStoreWithLayer | None") -> bool:
    """Whether files are on the network, where waiting takes longer than decoding."""
    if tile_store is not None:
        return is_remote(str(tile_store.tile_store.path))
    items = (item for request in requests for group in request.groups for item in group)
    addresses = getattr(next(items, None), "asset_urls", None) or {"": "://"}
    return any(map(is_remote, addresses.values()))


@dataclass
class _Unfinished:
    """A window whose scenes are not all read."""

    waiting: int = 0
    shares: dict[tuple[int, int], list[tuple[int, Share]]] = field(default_factory=dict)
    failure: Failure | None = None


class _Reading:
    """One call of `read_windows`."""

    def __init__(
        self,
        requests: Sequence[WindowRequest],
        config: "LayerConfig",
        origin: Origin,
        options: ReadOptions,
        pool: Pool,
        patience: Patience,
        judges: Judges,
    ) -> None:
        self._requests = requests
        self._band_sets: list[BandSetConfig] = config.band_sets
        self._sensor = sensor_of_layer(config)
        self._resampling = config.resampling_method.get_rasterio_resampling()
        self._origin = origin
        self._options = options
        self._pool = pool
        self._patience = patience
        self._judges = judges
        self._windows = [_Unfinished() for _ in requests]
        self._wanted: dict[tuple[str, int], list[Bands] | OSError] = {}
        self._nodata: dict[tuple[str, int], float | None] = {}
        self._projections: dict[tuple[str, float, float], Projection] = {}
        self._names_of_crs: dict[int, str] = {}
        self._decisions = judges.decisions

    def images(self) -> Iterator[WindowImage]:
        """The windows' images, as they become whole."""
        scenes = self._scenes()
        yield from (self._finish(number) for number, state in enumerate(self._windows) if not state.waiting)
        pending: deque[tuple[Batch, list[Task]]] = deque()
        held = 0
        for scene, tasks in self._opened(_in_order(scenes, [state.waiting for state in self._windows])):
            while unopened := [task for task in tasks if not task.done()]:
                if pending and _all_done(pending[0]):
                    held -= pending[0][0].freed_bytes
                    yield from self._settle(*pending.popleft())
                else:
                    wait(unopened[:1], POLL_S)
            scene.files = [task.result() for task in tasks]
            self._judges.judge(scene)
            last: list[Task | None] = [None] * len(tasks)
            for batch in scene.batches(self._options.memory_bytes // BATCHES_IN_MEMORY):
                while pending and (held + batch.new_bytes > self._options.memory_bytes or _all_done(pending[0])):
                    held -= pending[0][0].freed_bytes
                    yield from self._settle(*pending.popleft())
                reads = [
                    self._pool.submit(partial(_read_after, before, scene, batch, number))
                    for number, before in enumerate(last)
                ]
                pending.append((batch, reads))
                last = [*reads]
                held += batch.new_bytes
        while pending:
            yield from self._settle(*pending.popleft())

    def _opened(self, scenes: Sequence[Scene]) -> Iterator[tuple[Scene, list[Task]]]:
        """Scenes with the tasks that open their files, some ahead of time."""
        ahead: deque[tuple[Scene, list[Task]]] = deque()
        for scene in scenes:
            scene.sort()
            known = scene.item.name in self._decisions
            wanted = self._bands_of(scene.item, self._band_sets.index(scene.band_set))
            opening = [partial(scene.open, self._origin, bands, self._patience, known) for bands in wanted]
            ahead.append((scene, [*map(self._pool.submit, opening)]))
            if len(ahead) > OPENED_AHEAD:
                yield ahead.popleft()
        yield from ahead

    def _scenes(self) -> list[Scene]:
        """What is to be read of each scene, and how many scenes each window waits for."""
        scenes: dict[tuple[object, ...], Scene] = {}
        for number, request in enumerate(self._requests):
            projection = self._one_projection(request.projection)
            for group_number, group in enumerate(request.groups):
                for set_number, band_set in enumerate(self._band_sets):
                    grid, bounds = _final_grid(band_set, projection, request.bounds)
                    grid = self._one_projection(grid)
                    try:
                        self._add(scenes, (number, group_number, set_number), group, grid, bounds)
                    except UNREADABLE as error:
                        self._windows[number].failure = failure_of(group[0].name if group else "", error)
        return list(scenes.values())

    def _add(
        self,
        scenes: dict[tuple[object, ...], Scene],
        place: tuple[int, int, int],
        group: "list[Item]",
        projection: "Projection",
        bounds: "PixelBounds",
    ) -> None:
        """Have the scenes of a group read for a window."""
        number, group_number, set_number = place
        band_set = self._band_sets[set_number]
        nodata = self._nodata_of(group, set_number)
        for order, item in enumerate(group):
            if not self._bands_of(item, set_number):
                continue
            key = (item.name, set_number, id(projection), nodata)
            if key not in scenes:
                scenes[key] = Scene(item, band_set, projection, nodata, self._resampling, self._sensor)
            scenes[key].add((number, group_number, set_number, order), bounds)
            self._windows[number].waiting += 1

    def _bands_of(self, item: "Item", set_number: int) -> list[Bands]:
        """Files of a scene; raises each time what it raised the first time."""
        key = (item.name, set_number)
        if key not in self._wanted:
            bands = self._band_sets[set_number].bands
            missing = self._origin.missing(item, bands)
            self._wanted[key] = OSError(missing) if missing else wanted_bands(self._origin, item, bands)
        found = self._wanted[key]
        if isinstance(found, OSError):
            raise found
        return found

    def _nodata_of(self, group: "list[Item]", set_number: int) -> float | None:
        """Value without data of a group's rasters, as rslearn finds it."""
        band_set = self._band_sets[set_number]
        if band_set.nodata_value is not None:
            return band_set.nodata_value
        item = next((item for item in group if self._bands_of(item, set_number)), None)
        if item is None:
            return None
        key = (item.name, set_number)
        if key not in self._nodata:
            self._nodata[key] = self._patience.attempt(lambda: nodata_of(self._origin, item, band_set.bands))
        return self._nodata[key]

    def _one_projection(self, projection: "Projection") -> "Projection":
        """The one object that stands for all equal projections: comparing CRSs takes long."""
        crs = projection.crs
        if id(crs) not in self._names_of_crs:
            self._names_of_crs[id(crs)] = crs.to_wkt()
        key = (self._names_of_crs[id(crs)], projection.x_resolution, projection.y_resolution)
        return self._projections.setdefault(key, projection)

    def _settle(self, batch: Batch, tasks: list[Task]) -> Iterator[WindowImage]:
        """Images of the windows that a batch was the last for."""
        for task in tasks:
            task.result()
        for (number, group, band_set, order), share, why in batch.shares():
            state = self._windows[number]
            state.waiting -= 1
            state.failure = why if state.failure is None or (why and why.lasting) else state.failure
            if share is not None:
                kept = Share(share.pixels.copy(), share.regions) if state.waiting else share
                state.shares.setdefault((group, band_set), []).append((order, kept))
            if not state.waiting:
                yield self._finish(number)
        if batch.last:
            batch.scene.forget()

    def _finish(self, number: int) -> WindowImage:
        request, state = self._requests[number], self._windows[number]
        self._windows[number] = _Unfinished()
        scenes = {item.name: None for group in request.groups for item in group}
        decisions = tuple(self._decisions[name] for name in scenes if name in self._decisions)
        if state.failure:
            return WindowImage(request.name, [], state.failure, decisions)
        empty = tuple(name for name in scenes if name in self._without_data(request, state))
        rasters = [
            [self._raster(request, state, group, band_set) for band_set in range(len(self._band_sets))]
            for group in range(len(request.groups))
        ]
        return WindowImage(request.name, rasters, None, decisions, empty)

    def _without_data(self, request: WindowRequest, state: _Unfinished) -> set[str]:
        """Scenes of a window that have no pixel with data in any band; asked before they are laid over each other."""
        found: set[str] = set()
        given: set[str] = set()
        for (group, set_number), shares in state.shares.items():
            nodata = self._nodata_of(request.groups[group], set_number)
            for order, share in shares:
                empty = not share.regions or equals_nodata(share.pixels, nodata or 0).all()
                (found if empty else given).add(request.groups[group][order].name)
        return found - given

    def _raster(self, request: WindowRequest, state: _Unfinished, group: int, set_number: int) -> "RasterArray":
        nodata = self._nodata_of(request.groups[group], set_number)
        shares = sorted(state.shares.get((group, set_number), []), key=lambda pair: pair[0])
        if shares:
            return composite([share for _, share in shares], nodata)
        band_set = self._band_sets[set_number]
        _, (left, top, right, bottom) = _final_grid(band_set, request.projection, request.bounds)
        return empty_raster(len(band_set.bands), bottom - top, right - left, band_set.dtype.get_numpy_dtype(), nodata)


def _final_grid(
    band_set: "BandSetConfig", projection: "Projection", bounds: "PixelBounds"
) -> "tuple[Projection, PixelBounds]":
    """A band set's own grid for a window."""
    if band_set.spatial_size is None and band_set.zoom_offset == 0:
        return projection, bounds
    return band_set.get_final_projection_and_bounds(projection, bounds)


def _read_after(before: Task | None, scene: Scene, batch: Batch, number: int) -> None:
    """Read a file for a batch once it was read for the batch before."""
    if before is not None:
        before.exception()
    scene.read(batch, number)


def _all_done(pending: tuple[Batch, list[Task]]) -> bool:
    return all(task.done() for task in pending[1])


def _in_order(scenes: list[Scene], waiting: list[int]) -> list[Scene]:
    """Scenes in an order that leaves few windows half read: next to those read before, wherever windows share both."""
    left = list(waiting)
    of_window: dict[int, list[int]] = {}
    for place, scene in enumerate(scenes):
        for key in scene.keys:
            of_window.setdefault(key[0], []).append(place)
    score: Counter[int] = Counter()
    open_places = dict.fromkeys(range(len(scenes)))
    result = []
    while open_places:
        best = max(score, key=lambda place: (score[place], -place)) if score else next(iter(open_places))
        del open_places[best]
        score.pop(best, None)
        result.append(scenes[best])
        for key in scenes[best].keys:
            left[key[0]] -= 1
            if left[key[0]]:
                for place in of_window[key[0]]:
                    if place in open_places:
                        score[place] += 1
    return result
