"""What the engine is asked for, what it gives, and for which layers it promises rslearn's own pixels."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.data_sources import DataSource, Item
    from rslearn.tile_stores import TileStoreWithLayer
    from rslearn.utils.geometry import PixelBounds, Projection
    from rslearn.utils.raster_array import RasterArray

    from burnscar_assets.catalog.search_options import SearchOptions
    from burnscar_assets.reader.radiometry import RadiometryDecision
    from burnscar_assets.settings import ImagerySettings


@dataclass(frozen=True)
class WindowRequest:
    """A window and the scenes that it was matched with.

    Attributes:
        name: of the window, unique in one call.
        projection: CRS and resolution of the window.
        bounds: pixel bounds in it: left, top, right, bottom.
        groups: groups of scenes, first choice first, as the data source deserializes them.
    """

    name: str
    projection: "Projection"
    bounds: "PixelBounds"
    groups: "list[list[Item]]"


class FailureKind(StrEnum):
    """How a scene fails.

    PASSING: a file could not be read now, and may be later. GONE: a file is gone, kept from us, or no image: the next
    try would end alike. IN_DOUBT: what the scene's numbers are worth is in doubt.
    """

    PASSING = "passing"
    GONE = "gone"
    IN_DOUBT = "in doubt"


@dataclass(frozen=True)
class Failure:
    """Why a scene gives nothing to a window.

    Attributes:
        scene: name of the scene.
        reason: which file could not be read and why, or why the scene is set aside.
        kind: whether another try may end otherwise.
    """

    scene: str
    reason: str
    kind: FailureKind = FailureKind.PASSING

    @property
    def lasting(self) -> bool:
        """Whether another try would end alike."""
        return self.kind != FailureKind.PASSING


@dataclass(frozen=True)
class WindowImage:
    """What rslearn's `materialize` would write of a window.

    Attributes:
        name: of the window.
        rasters: item groups × band sets, each (bands, 1, height, width); empty where there is a failure.
        failure: of the first scene that failed; None if the image is complete.
        radiometry: what was found out of the window's scenes, where that was called for.
        empty: names of its scenes that have no data there, whatever their footprints say.
    """

    name: str
    rasters: "list[list[RasterArray]]"
    failure: Failure | None = None
    radiometry: "tuple[RadiometryDecision, ...]" = ()
    empty: tuple[str, ...] = ()

    @property
    def error(self) -> str:
        """Why there is no image; empty if it is complete."""
        return self.failure.reason if self.failure else ""


@dataclass(frozen=True)
class ReadOptions:
    """How much is read at a time, and how hard a read is tried.

    Attributes:
        memory_bytes: decoded pixels and unfinished windows that are held at a time, about.
        connections: files on the network that are read at a time.
        threads: local files that are read at a time; 0: one for each core.
        retries: how often a failed read is tried again.
        retry_backoff_s: wait before the first retry, in seconds; it doubles with each.
        allowed_hosts: hosts that may be asked, beside the catalogue's own and the public archives'.
    """

    memory_bytes: int = 64 << 20
    connections: int = 32
    threads: int = 0
    retries: int = 3
    retry_backoff_s: float = 2
    allowed_hosts: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: "ImagerySettings | SearchOptions") -> "ReadOptions":
        """Those that say how a read is tried, as settings have them."""
        return cls(
            retries=settings.retries, retry_backoff_s=settings.retry_backoff_s, allowed_hosts=settings.allowed_hosts
        )


READABLE = ("", "file", "local", "s3", "s3a", "gs", "gcs", "http", "https")
"""Protocols of a tile store whose files GDAL opens by address."""


def supports(layer_config: "LayerConfig", source: "DataSource", tile_store: "TileStoreWithLayer") -> str:
    """Nothing if `read_windows` gives what rslearn would write, else why rslearn's own `materialize` is to be used."""
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
