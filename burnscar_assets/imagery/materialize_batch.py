"""Making the tiles of a shard of windows: what runs in the calling process, in a worker process or on Ray.

A tile is read and judged in memory, and only then put in place of the one that is there. So a shard needs nothing
but the dataset's storage, and a killed one leaves every tile as it was, or new and whole.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rasterio.errors import RasterioError

from burnscar_assets.errors import SourceUnavailableError
from burnscar_assets.imagery.dataset import close_files, data_source, open_dataset, quiet_rslearn
from burnscar_assets.imagery.gdal import request_timeout_s
from burnscar_assets.imagery.hrefs import is_remote
from burnscar_assets.imagery.items import SerializedItem, read_all_groups, set_aside, take_back
from burnscar_assets.imagery.shelf import Shelf, open_shelf
from burnscar_assets.imagery.tiles import TileContent, measure
from burnscar_assets.settings import ImagerySettings

if TYPE_CHECKING:
    from rslearn.data_sources import DataSource
    from rslearn.dataset import Dataset, Window
    from rslearn.utils.raster_array import RasterArray

    from burnscar_assets.imagery.engine import WindowImage

AT_ONCE = 64
"""Tiles that are put in place in one write, and then reported."""

Groups = list[list[SerializedItem]]


@dataclass(frozen=True)
class TileShard:
    """Windows of one group whose tiles are to be made, as a rule all those of some scenes."""

    dataset_path: Path
    layer: str
    group: str
    window_ids: tuple[str, ...]
    settings: ImagerySettings


@dataclass(frozen=True)
class TileOutcome:
    """What came of one window: its content, or why it has none; whether its tile was made now."""

    window_id: str
    made: bool
    content: TileContent | None
    error: str = ""


def make_tiles(shard: TileShard) -> Iterator[list[TileOutcome]]:
    """Make tiles and put those in place that have enough data; the others are left out, for rslearn too.

    A window whose scenes can't be read keeps what it had.

    Yields:
        Outcomes of tiles that are in place, some at a time.

    Raises:
        StorageError: the dataset can't be written.
        SourceUnavailableError: the archive does not answer.
        InputError: a scene's offset is unknown.
    """
    dataset = open_dataset(shard.dataset_path, (shard.layer,))
    source = data_source(dataset, shard.layer)
    shelf = open_shelf(dataset, shard.layer)
    windows = {w.name: w for w in dataset.load_windows(groups=[shard.group], names=list(shard.window_ids))}
    with quiet_rslearn():
        with shelf.transaction(shard.group):
            take_back(windows.values(), shard.layer)
        groups = read_all_groups(dataset, windows, shard.layer)
        images = read_images(dataset, source, shard.layer, windows, groups, shard.settings)
        try:
            while chunk := list(islice(images, AT_ONCE)):
                with shelf.transaction(shard.group):
                    outcomes = [_settle(shelf, windows[image.name], image, shard.settings) for image in chunk]
                yield outcomes
        finally:
            close_files(source)


def read_images(
    dataset: "Dataset",
    source: "DataSource",
    layer: str,
    windows: "dict[str, Window]",
    groups: dict[str, Groups],
    settings: ImagerySettings,
) -> "Iterator[WindowImage]":
    """What rslearn would materialize of windows: by our engine where it can, else by rslearn itself.

    Args:
        dataset: the rslearn dataset.
        source: data source of the layer.
        layer: name of the layer.
        windows: windows by name.
        groups: groups of scenes of each.
        settings: retries and waits.
    """
    from rslearn.tile_stores import get_tile_store_with_layer

    from burnscar_assets.imagery.engine import ReadOptions, WindowRequest, read_windows, supports

    config = dataset.layers[layer]
    tile_store = get_tile_store_with_layer(dataset.get_tile_store(), layer, config)
    if supports(config, source, tile_store):
        yield from _RslearnReader(dataset, source, layer, settings).read(windows, groups)
        return
    items = _Items(source)
    requests = [
        WindowRequest(name, window.projection, window.bounds, items.groups(groups[name]))
        for name, window in windows.items()
    ]
    options = ReadOptions(retries=settings.retries, retry_backoff_s=settings.retry_backoff_s)
    yield from read_windows(requests, config, source, tile_store, options)


class _Items:
    """Scenes as rslearn's objects, one of each however many windows it has."""

    def __init__(self, source: "DataSource") -> None:
        self._source = source
        self._known: dict[str, object] = {}

    def groups(self, groups: Groups) -> list[list[object]]:
        return [[self._item(item) for item in group] for group in groups]

    def _item(self, item: SerializedItem) -> object:
        if item["name"] not in self._known:
            self._known[item["name"]] = self._source.deserialize_item(item)
        return self._known[item["name"]]


def _settle(shelf: Shelf, window: "Window", image: "WindowImage", settings: ImagerySettings) -> TileOutcome:
    """Put a tile in place, or leave the window out for want of data."""
    if image.error:
        return TileOutcome(window.name, True, None, image.error)
    content = measure(shelf.config, [raster.get_chw_array() for group in image.rasters for raster in group])
    if content.nodata_fraction > settings.max_nodata_fraction:
        set_aside(window, shelf.layer)
        shelf.remove(window.group, [window.name])
    else:
        shelf.put(window, image.rasters)
    return TileOutcome(window.name, True, content)


class _RslearnReader:
    """Windows one by one through rslearn's own `materialize`; remembers the scenes that could not be read."""

    def __init__(self, dataset: "Dataset", source: "DataSource", layer: str, settings: ImagerySettings) -> None:
        self.dataset = dataset
        self.source = source
        self.layer = layer
        self.settings = settings
        self.broken: set[str] = set()

    def read(self, windows: "dict[str, Window]", groups: dict[str, Groups]) -> "Iterator[WindowImage]":
        from burnscar_assets.imagery.engine import WindowImage

        for name, window in windows.items():
            try:
                yield WindowImage(name, self._materialize(window, groups[name]), "")
            except (OSError, RasterioError) as error:
                yield WindowImage(name, [], str(error))

    def _materialize(self, window: "Window", groups: Groups) -> "list[list[RasterArray]]":
        """Materialize one window; scenes on the network are tried again, unless they failed just before.

        An archive that kept us waiting in vain would do so for each window: that ends the work.
        """
        from burnscar_assets.imagery.rslearn_tiles import materialize_in_memory

        items = {item["name"] for group in groups for item in group}
        hrefs = [href for group in groups for item in group for href in item.get("asset_urls", {}).values()]
        worth_a_retry = not items & self.broken and (not hrefs or any(map(is_remote, hrefs)))
        retries = self.settings.retries if worth_a_retry else 0
        wait = timedelta(seconds=self.settings.retry_backoff_s)
        began = time.monotonic()
        try:
            return materialize_in_memory(window, self.dataset, self.source, self.layer, retries, wait)
        except (OSError, RasterioError) as error:
            self.broken |= items
            if any(map(is_remote, hrefs)) and time.monotonic() - began >= request_timeout_s():
                raise SourceUnavailableError(
                    f"the archive does not answer ({error}): run the same again later; what was made is kept"
                ) from error
            raise
