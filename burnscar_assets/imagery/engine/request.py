"""What the engine is asked for, and what it gives."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rslearn.data_sources import Item
    from rslearn.utils.geometry import PixelBounds, Projection
    from rslearn.utils.raster_array import RasterArray


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


@dataclass(frozen=True)
class WindowImage:
    """What rslearn's `materialize` would write of a window.

    Attributes:
        name: of the window.
        rasters: item groups × band sets, each (bands, 1, height, width); empty where `error` is set.
        error: which file could not be read and why; empty if the image is whole.
    """

    name: str
    rasters: "list[list[RasterArray]]"
    error: str = ""


@dataclass(frozen=True)
class ReadOptions:
    """How much is read at a time, and how hard a read is tried.

    Attributes:
        memory_bytes: decoded pixels and unfinished windows that are held at a time, about.
        connections: files on the network that are read at a time.
        threads: local files that are read at a time; 0: one for each core.
        retries: how often a failed read is tried again.
        retry_backoff_s: wait before the first retry, in seconds; it doubles with each.
    """

    memory_bytes: int = 64 << 20
    connections: int = 32
    threads: int = 0
    retries: int = 3
    retry_backoff_s: float = 2
