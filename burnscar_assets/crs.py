"""Whether coordinates have a place on Earth; one answer, one message for all who ask.

A CRS can be missing, or be there and of no use: GeoPackage's undefined ones (srs_id -1 and 0), the local one of a
construction plan, that of another planet. To a person all of these are one thing: the file doesn't say where it lies.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from burnscar_assets.errors import InputError

GEOGRAPHIC_CRS: Final = "EPSG:4326"
SAVE_WITH_CRS: Final = "save it with one (a shapefile needs its .prj)"

_UNDEFINED: Final = ("undefined", "unretrievable")
"""How GDAL begins the names of a CRS, or an ellipsoid, that it only invents because the file names none."""


def usable_crs(crs: Any, origin: str, remedy: str = SAVE_WITH_CRS) -> CRS:
    """The CRS of something that was given, if its coordinates can be brought to any other.

    Args:
        crs: As pyproj takes it (its own, rasterio's, WKT, a code); None where there is none.
        origin: What has it; the message begins with it.
        remedy: What to do about a CRS that can't be used.

    Raises:
        InputError: it is missing or can't be used; both get the same message, the second its cause too.
    """
    if crs is None or crs == "":
        raise InputError(f"{origin} has no coordinate reference system: {remedy}")
    try:
        found = CRS.from_user_input(crs)
        cause = _why_unusable(found)
    except (CRSError, ProjError) as error:
        cause = f"it can't be transformed ({str(error).splitlines()[0]})"
    if cause:
        raise InputError(f"{origin} has no coordinate reference system that can be used, {cause}: {remedy}")
    return found


def _why_unusable(crs: CRS) -> str | None:
    ellipsoid = crs.ellipsoid.name if crs.ellipsoid else ""
    if any(name.lower().startswith(_UNDEFINED) for name in (crs.name, ellipsoid)):
        return f"it is {crs.name!r}"
    if not (crs.is_geographic or crs.is_projected):
        return f"{crs.name!r} is of the kind {crs.type_name}, which has no place on the map"
    Transformer.from_crs(crs, GEOGRAPHIC_CRS, always_xy=True)
    return None


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
