"""For which layers the engine promises rslearn's own pixels."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.data_sources import DataSource
    from rslearn.tile_stores import TileStoreWithLayer

READABLE = ("", "file", "local", "s3", "s3a", "gs", "gcs", "http", "https")
"""Protocols of a tile store whose files GDAL opens by address."""


def supports(layer_config: "LayerConfig", source: "DataSource", tile_store: "TileStoreWithLayer") -> str:
    """Whether `read_windows` gives what rslearn would write.

    Args:
        layer_config: configuration of the layer.
        source: its data source.
        tile_store: where its scenes are, if it is ingested.

    Returns:
        Nothing if so, else the reason, for which the caller uses rslearn's own `materialize`.
    """
    from rslearn.config import CompositingMethod, LayerType
    from rslearn.utils.raster_format import GeotiffRasterFormat

    if layer_config.type != LayerType.RASTER or layer_config.data_source is None:
        return "it is no raster layer with a data source"
    if layer_config.compositing_method != CompositingMethod.FIRST_VALID:
        return f"its compositing method is {layer_config.compositing_method}"
    for band_set in layer_config.band_sets:
        if band_set.remap:
            return "its values are remapped"
        if type(band_set.instantiate_raster_format()) is not GeotiffRasterFormat:
            return "its format is not GeoTIFF"
    return _ingested(tile_store) if layer_config.data_source.ingest else _direct(source)


def _direct(source: "DataSource") -> str:
    """Why files of a source that is read directly can't be read by address, or nothing."""
    from rslearn.data_sources.direct_materialize_data_source import DirectMaterializeDataSource

    from burnscar_assets.catalog.archive import CogArchive

    name = type(source).__qualname__
    if not isinstance(source, DirectMaterializeDataSource):
        return f"{name} can't be read without ingesting"
    for method in ("materialize", "read_raster", "_read_raster_from_url"):
        ours = getattr(type(source), method)
        if ours not in (getattr(DirectMaterializeDataSource, method), getattr(CogArchive, method)):
            return f"{name} has a {method} of its own"
    return ""


def _ingested(tile_store: "TileStoreWithLayer") -> str:
    """Why files of a tile store can't be read by address, or nothing."""
    from rslearn.tile_stores import DefaultTileStore

    store = tile_store.tile_store
    if type(store) is not DefaultTileStore:
        return f"its tile store is {type(store).__qualname__}"
    if store.path is None or store.path.protocol not in READABLE:
        return "its tile store is not where GDAL can read it"
    return ""
