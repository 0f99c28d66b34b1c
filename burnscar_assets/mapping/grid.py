"""Grids in metres, north up, on which hectares can be measured."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from burnscar_assets.errors import InputError

HA_M2: Final = 10_000
MIN_AREA_HA: Final = 0.5
MIN_HOLE_HA: Final = 0.1
"""Smallest burned patch and smallest unburned island that outlines show, where no setting says otherwise."""

NO_ANSWER: Final = 255
"""In a raster of burned ground: 0 is unburnt, 1 burnt, and this is not known (cloud, no data)."""


@dataclass(frozen=True)
class Grid:
    """A north-up raster grid in a projected CRS.

    `transform` leads from columns, eastwards, and rows, southwards, to coordinates of the CRS.
    """

    transform: Affine
    crs: CRS

    @property
    def metres_per_unit(self) -> float:
        """Length of the CRS's unit in metres."""
        return float(self.crs.axis_info[0].unit_conversion_factor)

    @property
    def width_m(self) -> float:
        """Width of a pixel in metres."""
        return float(self.transform.a) * self.metres_per_unit

    @property
    def height_m(self) -> float:
        """Height of a pixel in metres."""
        return -float(self.transform.e) * self.metres_per_unit

    @property
    def pixel_ha(self) -> float:
        """Area of a pixel in hectares, in the plane of the CRS."""
        return self.width_m * self.height_m / HA_M2

    @property
    def half_diagonal(self) -> float:
        """Half the diagonal of a pixel, in units of the CRS."""
        return float(np.hypot(self.transform.a, self.transform.e)) / 2

    def to_map(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, 2) columns and rows, in pixels from the upper left corner, as (n, 2) coordinates of the CRS."""
        scale = np.array([self.transform.a, self.transform.e])
        return np.asarray(points, dtype=np.float64) * scale + np.array([self.transform.c, self.transform.f])


def grid_of(transform: Affine, crs: object) -> Grid:
    """The grid of a raster.

    Raises:
        InputError: the CRS is not projected, distorts areas (Web Mercator), or the grid is not north up.
    """
    known = CRS.from_user_input(crs)
    if not measures_ground(known):
        raise InputError(
            f"hectares can't be measured on a grid in {known.name}: warp it to a projected CRS first, such as the "
            "area's UTM zone (gdalwarp -t_srs EPSG:326ZZ, ZZ the zone, or 327ZZ in the south)"
        )
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise InputError("the raster's grid is turned or upside down: warp it to north up first (gdalwarp)")
    return Grid(transform, known)


def measures_ground(crs: CRS) -> bool:
    """Whether lengths and areas in the plane of a CRS are those on the ground, nearly: projected, and not Mercator."""
    operation = crs.coordinate_operation
    method = "" if operation is None else operation.method_name
    return crs.is_projected and ("Mercator" not in method or "Transverse" in method)


def check_raster(burned: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The raster as uint8, if it is (height, width) of 0, 1 and NO_ANSWER.

    Raises:
        InputError: another shape, or another value.
    """
    if burned.ndim != 2:
        raise InputError(f"a raster of burned ground has height and width, but this one has shape {burned.shape}")
    if not np.isin(np.unique(burned), (0, 1, NO_ANSWER)).all():
        raise InputError(f"a raster of burned ground holds 0, 1 and {NO_ANSWER} only")
    return burned.astype(np.uint8, copy=False)
