"""How searches are made: which requests share one, and when one that failed is tried again.

Every search costs the same for asking, and something for each scene that it lists in vain. Requests near each other in
place and time join while that costs less than asking again would. Lists of scenes are estimated by the sensor's
density; where an archive is denser or sparser, searches are fewer or more than they need be, and their answers the
same.

Loaded only by functions that need rslearn.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import requests
import shapely
from rslearn.data_sources import DataSource  # noqa: TID253
from rslearn.data_sources.stac import StacDataSource  # noqa: TID253

from burnscar_assets.catalog.api_client import PatientSession
from burnscar_assets.catalog.footprints import KM_PER_DEGREE
from burnscar_assets.catalog.hrefs import AddressRule, is_remote
from burnscar_assets.catalog.index_client import IndexClient
from burnscar_assets.catalog.item_checks import ItemChecks, SetAside
from burnscar_assets.catalog.items import TimeRange
from burnscar_assets.errors import BurnscarError, InputError, SourceUnavailableError
from burnscar_assets.network.addresses import mask_address
from burnscar_assets.network.retries import Retries
from burnscar_assets.sensors.sensor import Sensor

Result = TypeVar("Result")


@dataclass(frozen=True)
class SearchOptions:
    """How searches are made.

    Attributes:
        retries: further tries of one that failed.
        retry_backoff_s: base of the wait between tries, in seconds.
        late_days: days after a time range for which imagery of it may still come.
        candidates: scenes that are listed for each window at most, as further choices.
        max_cloud_cover: scenes above it are left out, in percent; None: those that the source itself leaves out.
        unknown_clouds: whether scenes that don't say how cloudy they are stay, as the last.
        exclude: ids, or patterns of ids, of scenes that are left out.
        allowed_hosts: hosts, buckets and folders that a catalogue may name, beside its own and the public archives'.
        set_aside: takes the reason and detail of each item that is no scene, by id.
        mended: takes what was changed about a scene's footprint, by id.
    """

    retries: int = 3
    retry_backoff_s: float = 2.0
    late_days: int = 10
    candidates: int = 0
    max_cloud_cover: float | None = None
    unknown_clouds: bool = False
    exclude: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    set_aside: SetAside | None = None
    mended: dict[str, str] | None = None

    def checks(self, source: StacDataSource) -> ItemChecks:
        """What the items of a source must be."""
        collections = tuple(source.collection_names)
        own = source.client.sensor.tiling == "mgrs" if isinstance(source.client, IndexClient) else False
        granules = own or any("sentinel-2" in name for name in collections)
        rule = AddressRule(source.client.endpoint, self.allowed_hosts)
        checks = ItemChecks(rule, self.exclude, collections, granules)
        if self.set_aside is not None and self.mended is not None:
            checks.set_aside, checks.mended = self.set_aside, self.mended
        return checks


def retrying(search: Callable[[], Result], source: DataSource, options: SearchOptions) -> Result:
    """Search, again after a wait where another try may help.

    Raises:
        SourceUnavailableError: the search failed after all tries.
        BurnscarError: it failed in a way that another try does not mend.
    """
    client = getattr(source, "client", None)
    patient = isinstance(getattr(client, "session", None), PatientSession)
    local = isinstance(client, IndexClient) and not is_remote(client.endpoint)
    name = f"{type(source).__module__}.{type(source).__name__}"

    def passes(error: Exception) -> bool:
        if isinstance(error, BurnscarError):
            return isinstance(error, SourceUnavailableError) and not patient
        return not _stays(error)

    try:
        return Retries(0 if local else options.retries, options.retry_backoff_s).call(search, passes=passes)
    except BurnscarError:
        raise
    except Exception as error:
        said = mask_address(str(error))
        if _stays(error):
            raise InputError(
                f"what {name} answers can't be understood ({type(error).__name__}: {said}): it would be the same "
                "again; check the layer's data source in config.json, or take another catalogue"
            ) from error
        raise SourceUnavailableError(
            f"searching {name} for scenes failed ({said}): run the same again later; what was matched is kept"
        ) from error


def _stays(error: Exception) -> bool:
    """Whether an error is of what was answered, or of a program, and not of how it was transported."""
    if isinstance(error, OSError):  # those of requests, too
        return isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema)
    kinds = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError, NotImplementedError)
    return isinstance(error, (*kinds, ImportError, pa.ArrowException, shapely.errors.ShapelyError))


MOST_SCENES: int = 500
"""A search that would list more is not widened, so that its answer stays small."""


@dataclass(frozen=True)
class Request:
    """What one window asks a catalogue for: a box in degrees (west, south, east, north) and a time range, if any."""

    box: tuple[float, float, float, float]
    times: TimeRange | None


def group_requests(requests: Sequence[Request], page: int, sensor: Sensor) -> list[list[int]]:
    """Put requests into groups that share one search each; gives the positions of each group, by time and place.

    Args:
        requests: what is asked for; no box across the antimeridian.
        page: scenes that the catalogue lists in one answer: what asking once more is worth.
        sensor: whose scenes are listed.
    """
    unlimited = [i for i, request in enumerate(requests) if request.times is None]
    limited = [i for i, request in enumerate(requests) if request.times is not None]
    return _join(requests, limited, page, sensor) + _join(requests, unlimited, page, sensor)


def split_group(requests: Sequence[Request], group: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """Two halves of a group whose search listed too much; None where all its requests are the same."""
    extents = np.array([_extent(requests[i]) for i in group])
    middles = (extents[:, ::2] + extents[:, 1::2]) / 2
    spread = np.ptp(middles, axis=0) * _weights(extents)
    if not spread.any():
        return None
    along = middles[:, int(spread.argmax())]
    lower = along <= (along.min() + along.max()) / 2
    first = [i for i, low in zip(group, lower, strict=True) if low]
    return first, [i for i, low in zip(group, lower, strict=True) if not low]


def _join(requests: Sequence[Request], chosen: list[int], page: int, sensor: Sensor) -> list[list[int]]:
    """Put each request, by time and place, where it adds least to what is listed; alone where that is too much."""
    if not chosen:
        return []
    wanted = np.array([_extent(requests[i]) for i in chosen])
    order = np.lexsort((wanted[:, 0], wanted[:, 2], wanted[:, 5], wanted[:, 4]))
    extents = np.empty_like(wanted)
    groups: list[list[int]] = []
    for position in order:
        extent = wanted[position]
        count = len(groups)
        grown = _unite(extents[:count], extent)
        listed, alone = _scenes(grown, sensor), float(_scenes(extent[None], sensor)[0])
        wasted = listed - _scenes(extents[:count], sensor) - alone
        wasted[listed > max(MOST_SCENES, page)] = np.inf
        if count and (best := int(wasted.argmin())) is not None and wasted[best] <= page:
            groups[best].append(chosen[position])
            extents[best] = grown[best]
        else:
            extents[count] = extent
            groups.append([chosen[position]])
    return groups


def _extent(request: Request) -> tuple[float, ...]:
    """West, east, south and north in degrees, begin and end in days."""
    west, south, east, north = request.box
    begin, end = (moment.timestamp() / 86_400 for moment in request.times) if request.times else (0.0, 0.0)
    return west, east, south, north, begin, end


def _unite(extents: npt.NDArray[np.float64], extent: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    grown = extents.copy()
    grown[:, ::2] = np.minimum(extents[:, ::2], extent[::2])
    grown[:, 1::2] = np.maximum(extents[:, 1::2], extent[1::2])
    return grown


def _scenes(extents: npt.NDArray[np.float64], sensor: Sensor) -> npt.NDArray[np.float64]:
    """How many scenes a search of each extent may list."""
    spans = (extents[:, 1::2] - extents[:, ::2]) * _weights(extents)
    granules = (1 + spans[:, 0] / sensor.scene_km) * (1 + spans[:, 1] / sensor.scene_km)
    return np.asarray(granules * (1 + spans[:, 2] * sensor.scenes_per_day))


def _weights(extents: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Kilometres in a degree of longitude and of latitude, and days in a day."""
    shrink = math.cos(math.radians(float(np.abs(extents[:, 2:4]).mean()))) if len(extents) else 1.0
    return np.array([KM_PER_DEGREE * max(shrink, 0.05), KM_PER_DEGREE, 1.0])
