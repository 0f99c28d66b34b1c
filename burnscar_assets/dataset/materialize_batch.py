"""Making the tiles of a shard of windows: what runs in the calling process, in a worker process or on Ray.

A tile is read and judged in memory, and only then put in place of the one that is there. So a shard needs nothing
but the dataset's storage, and a killed one leaves every tile as it was, or new and whole.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import rasterio
from rasterio.errors import RasterioError

from burnscar_assets.catalog.hrefs import is_remote
from burnscar_assets.catalog.items import SerializedItem, read_all_groups, take_back
from burnscar_assets.dataset.config import close_files, data_source, open_dataset, quiet_rslearn
from burnscar_assets.dataset.shelf import Shelf, open_shelf
from burnscar_assets.dataset.tiles import TileContent, measure
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.network.relay import relayed
from burnscar_assets.network.retries import Retries
from burnscar_assets.reader.clearness import runs_of
from burnscar_assets.reader.files import gdal_options, request_timeout_s
from burnscar_assets.settings import ImagerySettings

if TYPE_CHECKING:
    from rslearn.data_sources import DataSource, Item
    from rslearn.dataset import Dataset, Window
    from rslearn.utils.raster_array import RasterArray

    from burnscar_assets.reader.radiometry import RadiometryDecision
    from burnscar_assets.reader.request import Failure, WindowImage, WindowRequest
    from burnscar_assets.reader.views import TileView

AT_ONCE = 64
"""Tiles that are put in place in one write, and then reported."""

WEB = ("http://", "https://")

Groups = list[list[SerializedItem]]


@dataclass(frozen=True)
class TileShard:
    """Windows of one group whose tiles are to be made, as a rule all those of some scenes.

    Attributes:
        dataset_path: the rslearn dataset.
        layer: raster layer.
        group: of the windows.
        window_ids: the windows.
        settings: limits, retries.
        instead: scenes of windows that are to be made of others than they were matched with.
        decisions: what is known of scenes' radiometry.
        fallback: whether the scenes are of the dataset's fallback.
        neighbours: by name of a scene, the one nearest in time, for scenes whose own pixels prove nothing.
    """

    dataset_path: Path
    layer: str
    group: str
    window_ids: tuple[str, ...]
    settings: ImagerySettings
    instead: "Mapping[str, Groups]" = field(default_factory=dict)
    decisions: "tuple[RadiometryDecision, ...]" = ()
    fallback: bool = False
    neighbours: "Mapping[str, SerializedItem]" = field(default_factory=dict)


@dataclass(frozen=True)
class TileOutcome:
    """What came of one window.

    Attributes:
        window_id: the window.
        made: whether its tile was made now.
        content: what the tile holds; None if there is none.
        failure: why there is none.
        empty: scenes without data there.
        radiometry: what was found out of its scenes.
        clear_fraction: share of the window that is clear in its scenes, 0–1; None where no SCL is to be had.
        unclear: pixels that aren't, as `runs_of` gives them.
    """

    window_id: str
    made: bool
    content: TileContent | None
    failure: "Failure | None" = None
    clear_fraction: float | None = None
    empty: tuple[str, ...] = ()
    radiometry: "tuple[RadiometryDecision, ...]" = ()
    unclear: str = ""


def make_tiles(shard: TileShard) -> Iterator[list[TileOutcome]]:
    """Make tiles and put those in place that have enough data.

    A window whose scenes can't be read, or lack data, keeps what it had.

    Yields:
        Outcomes of tiles that are in place, some at a time.

    Raises:
        StorageError: the dataset can't be written.
        SourceUnavailableError: the archive does not answer.
        InputError: a scene's offset is unknown.
    """
    dataset = open_dataset(shard.dataset_path, (shard.layer,))
    source = data_source(dataset, shard.layer, fallback=shard.fallback)
    shelf = open_shelf(dataset, shard.layer)
    windows = {w.name: w for w in dataset.load_windows(groups=[shard.group], names=list(shard.window_ids))}
    with quiet_rslearn():
        with shelf.transaction(shard.group):
            take_back((window for window in windows.values() if window.name not in shard.instead), shard.layer)
        groups = read_all_groups(windows.values(), shard.layer) | dict(shard.instead)
        reader = _Reader(dataset, source, shard.layer, shard.settings)
        requests = reader.requests(windows, groups)
        try:
            views = reader.views(requests)
            images = reader.images(windows, groups, requests, shard)
            while chunk := list(islice(images, AT_ONCE)):
                outcomes = [_judge(shelf, image, views.get(image.name), shard.settings) for image in chunk]
                _settle(shelf, shard, windows, chunk, outcomes)
                yield outcomes
        finally:
            close_files(source)


class _Reader:
    """Reads what rslearn would materialize of windows: by our engine where it can, else by rslearn itself."""

    def __init__(self, dataset: "Dataset", source: "DataSource", layer: str, settings: ImagerySettings) -> None:
        from rslearn.tile_stores import get_tile_store_with_layer

        from burnscar_assets.reader.request import ReadOptions

        self._dataset = dataset
        self._source = source
        self._layer = layer
        self._config = dataset.layers[layer]
        self._settings = settings
        self._tile_store = get_tile_store_with_layer(dataset.get_tile_store(), layer, self._config)
        self._options = ReadOptions.of(settings)

    def requests(self, windows: "dict[str, Window]", groups: dict[str, Groups]) -> "list[WindowRequest]":
        """What is to be read; one object a scene, however many windows it has."""
        from burnscar_assets.reader.request import WindowRequest

        items: dict[str, Item] = {}
        for item in (item for name in windows for group in groups[name] for item in group):
            if item["name"] not in items:
                items[item["name"]] = self._source.deserialize_item(item)
        return [
            WindowRequest(
                name, window.projection, window.bounds, [[items[i["name"]] for i in group] for group in groups[name]]
            )
            for name, window in windows.items()
        ]

    def views(self, requests: "list[WindowRequest]") -> "dict[str, TileView | None]":
        """What of each window its scenes show by their quality files; None where there are none."""
        from burnscar_assets.reader.views import tile_views

        return tile_views(requests, self._source, self._options)

    def images(
        self,
        windows: "dict[str, Window]",
        groups: dict[str, Groups],
        requests: "list[WindowRequest]",
        shard: TileShard,
    ) -> "Iterator[WindowImage]":
        """Images of windows, as they become whole."""
        from burnscar_assets.reader.read import read_windows
        from burnscar_assets.reader.request import supports

        if supports(self._config, self._source, self._tile_store):
            reader = _RslearnReader(self._dataset, self._source, self._layer, self._settings)
            return reader.read(windows, groups)
        return read_windows(
            requests, self._config, self._source, self._tile_store, self._options,
            decisions={known.scene: known for known in shard.decisions},
            neighbours={name: self._source.deserialize_item(item) for name, item in shard.neighbours.items()},
        )  # fmt: skip


def _judge(shelf: Shelf, image: "WindowImage", view: "TileView | None", settings: ImagerySettings) -> TileOutcome:
    """What a window's image holds; pixels that the scene classification calls no data are none."""
    if image.failure:
        return TileOutcome(image.name, True, None, image.failure, radiometry=image.radiometry)
    content = measure(shelf.config, [raster.get_chw_array() for group in image.rasters for raster in group])
    if view is not None and view.nodata > max(settings.max_nodata_fraction, content.nodata_fraction):
        content = replace(content, nodata_fraction=view.nodata)
    clear, unclear = (view.clear, runs_of(view.unclear)) if view else (None, "")
    return TileOutcome(image.name, True, content, None, clear, image.empty, image.radiometry, unclear)


def _settle(
    shelf: Shelf,
    shard: TileShard,
    windows: "dict[str, Window]",
    images: "list[WindowImage]",
    outcomes: list[TileOutcome],
) -> None:
    """Put tiles in place that have enough data; what takes their place where they don't is not decided yet."""
    most = shard.settings.max_nodata_fraction
    good = [
        (windows[image.name], image.rasters)
        for image, content in zip(images, (outcome.content for outcome in outcomes), strict=True)
        if content is not None and content.nodata_fraction <= most
    ]
    shelf.put(shard.group, good)


class _RslearnReader:
    """Windows one by one through rslearn's own `materialize`; remembers the scenes that could not be read."""

    def __init__(self, dataset: "Dataset", source: "DataSource", layer: str, settings: ImagerySettings) -> None:
        self.dataset = dataset
        self.source = source
        self.layer = layer
        self.settings = settings
        self.broken: set[str] = set()

    def read(self, windows: "dict[str, Window]", groups: dict[str, Groups]) -> "Iterator[WindowImage]":
        from burnscar_assets.reader.files import failure_of
        from burnscar_assets.reader.request import Failure, FailureKind, WindowImage

        for name, window in windows.items():
            try:
                yield WindowImage(name, self._materialize(window, groups[name]))
            except (OSError, RasterioError) as error:
                yield WindowImage(name, [], failure_of(groups[name][0][0]["name"], error))
            except InputError as error:
                failure = Failure(groups[name][0][0]["name"], str(error), FailureKind.IN_DOUBT)
                yield WindowImage(name, [], failure)

    def _materialize(self, window: "Window", groups: Groups) -> "list[list[RasterArray]]":
        """Materialize one window; scenes on the network are tried again, unless they failed just before.

        An archive that kept us waiting in vain would do so for each window: that ends the work.
        """
        from burnscar_assets.dataset.rslearn_tiles import materialize_in_memory

        items = {item["name"] for group in groups for item in group}
        hrefs = [href for group in groups for item in group for href in item.get("asset_urls", {}).values()]
        worth_a_retry = not items & self.broken and (not hrefs or any(map(is_remote, hrefs)))
        retries = Retries(self.settings.retries if worth_a_retry else 0, self.settings.retry_backoff_s)
        began = time.monotonic()
        try:
            with rasterio.Env(**gdal_options()), self._through_relay(hrefs):
                return materialize_in_memory(window, self.dataset, self.source, self.layer, retries)
        except (OSError, RasterioError) as error:
            self.broken |= items
            if any(map(is_remote, hrefs)) and time.monotonic() - began >= request_timeout_s():
                raise SourceUnavailableError(
                    f"the archive does not answer ({error}): run the same again later; what was made is kept"
                ) from error
            raise

    @contextmanager
    def _through_relay(self, hrefs: list[str]) -> "Iterator[None]":
        """Have rslearn's reading connect as ours does; buckets are reached as ever."""
        from burnscar_assets.catalog.archive import hosts_of

        web = [href for href in hrefs if href.startswith(WEB)]
        if not web or any(is_remote(href) and not href.startswith(WEB) for href in hrefs):
            yield
            return
        with relayed(web[0], hosts_of(self.source, self.settings.allowed_hosts)):
            yield
