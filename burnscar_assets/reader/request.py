"""What the engine is asked for, and what it gives."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rslearn.data_sources import Item
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

    Members:
        PASSING: a file could not be read now, and may be later.
        GONE: a file is gone, kept from us, or no image: the next try would end alike.
        IN_DOUBT: what the scene's numbers are worth is in doubt.
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
