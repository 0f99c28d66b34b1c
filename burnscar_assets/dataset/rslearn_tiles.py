"""rslearn's own `materialize` with its result in memory: for layers that our engine does not read."""

from types import TracebackType
from typing import TYPE_CHECKING, Any

# Loaded only where tiles are made, which takes rslearn in any case.
from rslearn.dataset.storage.file import FileWindowStorage  # noqa: TID253
from rslearn.dataset.window import Window  # noqa: TID253
from rslearn.dataset.window_data_storage.per_item_group import PerItemGroupStorage  # noqa: TID253
from rslearn.dataset.window_data_storage.storage import LayerWriter  # noqa: TID253

from burnscar_assets.network.retries import Retries

if TYPE_CHECKING:
    from rslearn.data_sources import DataSource
    from rslearn.dataset import Dataset
    from rslearn.utils.raster_array import RasterArray


def materialize_in_memory(
    window: Window, dataset: "Dataset", source: "DataSource", layer: str, retries: Retries
) -> "list[list[RasterArray]]":
    """What rslearn would write of a window that was matched.

    Args:
        window: a window of the dataset.
        dataset: the dataset.
        source: data source of the layer.
        layer: name of the layer.
        retries: of reads that fail, in whatever way.

    Returns:
        Item groups × band sets, each (bands, times, height, width).

    Raises:
        OSError: a scene can't be read, or was not ingested.
    """
    from rslearn.dataset.manage import is_window_ingested
    from rslearn.dataset.materialize import RasterMaterializer
    from rslearn.tile_stores import get_tile_store_with_layer

    config = dataset.layers[layer]
    matched = window.load_layer_datas()[layer]
    groups = [[source.deserialize_item(item) for item in group] for group in matched.serialized_item_groups]
    times = matched.group_time_ranges
    stand_in = _StandIn(window, dataset)
    if config.data_source is not None and config.data_source.ingest:
        if not is_window_ingested(dataset, window, check_layer_name=layer):
            raise OSError(f"its scenes were not ingested: {', '.join(item.name for group in groups for item in group)}")
        store = get_tile_store_with_layer(dataset.get_tile_store(), layer, config)

        def materialize() -> None:
            RasterMaterializer().materialize(store, stand_in, layer, config, groups, times)
    else:

        def materialize() -> None:
            source.materialize(stand_in, groups, layer, config, times)

    retries.call(materialize, passes=lambda error: True)
    return stand_in.writer.rasters([band_set.bands for band_set in config.band_sets], len(groups))


class _StandIn(Window):
    """A window like another whose rasters are kept instead of written, and whose layers are never marked."""

    def __init__(self, window: Window, dataset: "Dataset") -> None:
        storage = FileWindowStorage(dataset.path)
        super().__init__(
            storage, window.group, window.name, window.projection, window.bounds, window.time_range, window.options
        )
        self.writer = _Keeper()
        self._data = _KeptData(self)

    def mark_layer_completed(self, layer_name: str, group_idx: int = 0) -> None:
        """Nothing lies on disk that could be whole."""


class _KeptData(PerItemGroupStorage):
    """Hands out the writer that keeps."""

    window: _StandIn

    def open_layer_writer(self, layer_name: str) -> LayerWriter:
        """The window's keeper, emptied: a try before may have left rasters there."""
        self.window.writer.kept.clear()
        return self.window.writer


class _Keeper(LayerWriter):
    """Keeps the rasters of one window's layer."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, tuple[str, ...]], RasterArray] = {}

    def write_raster(
        self, bands: list[str], raster_format: Any, projection: Any, bounds: Any, raster: Any, group_idx: int = 0
    ) -> None:
        """Keep one raster."""
        self.kept[group_idx, tuple(bands)] = raster

    def write_vector(self, vector_format: Any, features: Any, group_idx: int = 0) -> None:
        """No part of a raster layer."""
        raise TypeError("a raster layer has no features")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Nothing to flush."""

    def rasters(self, band_sets: list[list[str]], groups: int) -> "list[list[RasterArray]]":
        """All that was kept: item groups × band sets."""
        return [[self.kept[index, tuple(bands)] for bands in band_sets] for index in range(groups)]
