"""What coordinates that are no longitude and latitude look like; one place for areas and points that people give."""

import numpy as np
import numpy.typing as npt


def likely_meaning(xy: npt.NDArray[np.float64]) -> str:
    """What was likely meant by coordinates, not all of which are degrees, as the end of a sentence; or nothing.

    Args:
        xy: (n, 2) as given, longitude before latitude; what is not finite is passed over.
    """
    known = xy[np.isfinite(xy).all(axis=1)]
    if not len(known):
        return ""
    (west, south), (east, north) = known.min(axis=0), known.max(axis=0)
    if max(abs(west), abs(east)) <= 90 < max(abs(south), abs(north)) <= 180:
        return "; are longitude and latitude swapped?"
    if max(abs(south), abs(north)) <= 90 and 180 < east <= 360 and west >= -180:
        return "; does it cross the antimeridian? cut it at 180°" if west <= 180 else "; take 360 from its longitudes"
    if max(np.abs(known).max(axis=0)) > 1_000:
        return "; they look like metres or feet of a projection"
    return ""
