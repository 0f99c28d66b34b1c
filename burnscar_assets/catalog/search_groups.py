"""Which requests share one search of a catalogue: those near each other in place and time.

Every search costs the same for asking, and something for each scene that it lists in vain. Requests join while
that costs less than asking again would. Lists of scenes are estimated by the sensor's density; where an archive is
denser or sparser, searches are fewer or more than they need be, and their answers the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from burnscar_assets.sensors.sensor import Sensor

MOST_SCENES: int = 500
"""A search that would list more is not widened, so that its answer stays small."""

_KM_PER_DEGREE = 111.2

TimeRange = tuple[datetime, datetime]


@dataclass(frozen=True)
class Request:
    """What one window asks a catalogue for: a box in degrees (west, south, east, north) and a time range, if any."""

    box: tuple[float, float, float, float]
    times: TimeRange | None


def group_requests(requests: Sequence[Request], page: int, sensor: Sensor) -> list[list[int]]:
    """Put requests into groups that share one search each.

    Args:
        requests: what is asked for; no box across the antimeridian.
        page: scenes that the catalogue lists in one answer: what asking once more is worth.
        sensor: whose scenes are listed.

    Returns:
        Positions of the requests of each group, each request in one group, in the order of time and place.
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
    return np.array([_KM_PER_DEGREE * max(shrink, 0.05), _KM_PER_DEGREE, 1.0])
