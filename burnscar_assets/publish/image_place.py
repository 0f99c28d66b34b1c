"""Where the pixels of an image lie, and how they come onto a grid that can be measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.transform import GCPTransformer
from rasterio.warp import reproject

from burnscar_assets.crs import GEOGRAPHIC_CRS, usable_crs
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.grid import Grid, grid_of, measures_ground
from burnscar_assets.publish.aoi import UTM_LATITUDES
from burnscar_assets.sampling.lattice import utm_epsg_of
from burnscar_assets.sensors.indices import FloatArray

SAY_CRS: Final = "give a GeoTIFF that says its coordinate system"
EDGE_PARTS: Final = 50
"""Parts of an image's longer side that are straight in any CRS."""

AREA_ERROR: Final = 0.01
"""Share by which areas in the plane of a CRS may differ from those on the ground."""


@dataclass(frozen=True)
class Place:
    """Where the pixels of an image lie.

    The transform may be turned or mirrored; a file that has ground control points has them instead.
    """

    crs: CRS
    shape: tuple[int, int]
    transform: Affine
    gcps: tuple[GroundControlPoint, ...] = ()

    @property
    def upright(self) -> Affine | None:
        """The transform once rows go southwards and columns eastwards; None if the grid is turned."""
        a, b, c, d, e, f = self.transform[:6]
        if b or d or self.gcps:
            return None
        height, width = self.shape
        return Affine(abs(a), 0, min(c, c + width * a), 0, -abs(e), max(f, f + height * e))

    @property
    def mirroring(self) -> tuple[slice, slice]:
        """The order of rows and columns in which a grid that is not turned is upright."""
        return slice(None, None, -1 if self.transform.e > 0 else 1), slice(
            None, None, -1 if self.transform.a < 0 else 1
        )

    def edge(self, crs: CRS) -> shapely.Polygon:
        """The image's edge in a CRS, x before y."""
        height, width = self.shape
        ring = shapely.segmentize(shapely.box(0, 0, width, height).exterior, max(height, width) / EDGE_PARTS)
        return shapely.Polygon(self._points(shapely.get_coordinates(ring), crs))

    def diagonal(self, crs: CRS) -> float:
        """Distance from corner to opposite corner in a CRS, the mean of both."""
        height, width = self.shape
        first, second, third, fourth = self._points(np.array([[0, 0], [width, height], [width, 0], [0, height]]), crs)
        return float(np.hypot(*(first - second)) + np.hypot(*(third - fourth))) / 2

    def _points(self, pixels: NDArray[np.floating], crs: CRS) -> NDArray[np.float64]:
        """(n, 2) columns and rows as (n, 2) coordinates of a CRS."""
        columns, rows = pixels.T
        if self.gcps:
            with GCPTransformer(list(self.gcps)) as transformer:
                x, y = transformer.xy(rows, columns, offset="ul")
        else:
            x, y = self.transform @ (columns, rows)
        return np.column_stack(Transformer.from_crs(self.crs, crs, always_xy=True).transform(x, y))

    @property
    def pixel_m(self) -> float:
        """Side of a pixel on the ground, metres, about."""
        area_m2, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(self.edge(CRS.from_user_input(GEOGRAPHIC_CRS)))
        return float(np.sqrt(abs(area_m2) / (self.shape[0] * self.shape[1])))


def place_of(source: DatasetReader, path: Path) -> Place:
    """Where an open file says that its pixels lie.

    Raises:
        InputError: it does not say so, or not in a way that can be used.
    """
    points, crs = source.gcps
    unplaced = source.transform == Affine.identity()
    if unplaced and points:
        return Place(usable_crs(crs, str(path), SAY_CRS), source.shape, source.transform, tuple(points))
    if unplaced and source.rpcs is not None:
        raise InputError(f"{path} was not orthorectified, it has RPCs only: do so first (gdalwarp -rpc)")
    known = usable_crs(source.crs, str(path), SAY_CRS)
    if unplaced or not source.transform.determinant:
        raise InputError(f"{path} has a CRS, but does not say where in it its pixels lie: give a GeoTIFF that does")
    return Place(known, source.shape, source.transform)


def common_place(places: Sequence[Place], paths: Sequence[Path]) -> Place:
    """The one place of all files of an image.

    Raises:
        InputError: they lie on different grids.
    """
    first = places[0]
    for place, path in zip(places, paths, strict=True):
        same = (place.crs, place.shape) == (first.crs, first.shape)
        if not (same and place.transform.almost_equals(first.transform)):
            raise InputError(f"{path} lies on another grid than {paths[0]}: give both bands at one resolution")
    return first


def target_grid(place: Place, label: str) -> tuple[Grid, tuple[int, int], bool]:
    """A grid that can be measured on, its shape, and whether the image has to be warped to it.

    It is the image's own, north up; or that of its UTM zone, with pixels of about the same size.

    Raises:
        InputError: the image lies where there is no UTM zone.
    """
    own = place.upright
    middle = place.edge(CRS.from_user_input(GEOGRAPHIC_CRS)).centroid
    if own is not None and measures_ground(place.crs) and _keeps_areas(place.crs, middle):
        return grid_of(own, place.crs), place.shape, False
    if not UTM_LATITUDES[0] <= middle.y <= UTM_LATITUDES[1]:
        raise InputError(
            f"{label} lies at a latitude of {middle.y:.1f}°, where no UTM zone is: warp it to a projected CRS first "
            "(gdalwarp)"
        )
    crs = CRS.from_epsg(int(utm_epsg_of(middle.x, middle.y)))
    west, south, east, north = place.edge(crs).bounds
    size = place.diagonal(crs) / float(np.hypot(*place.shape))
    shape = (int(np.ceil((north - south) / size)), int(np.ceil((east - west) / size)))
    return grid_of(Affine(size, 0, west, 0, -size, north), crs), shape, True


def on_grid(planes: FloatArray, place: Place, grid: Grid, shape: tuple[int, int]) -> FloatArray:
    """(bands, height, width) planes on a grid, by nearest pixel; as they are if they lie on it already.

    Without data they are NaN; `shape` is that of the grid.
    """
    own = place.upright
    if own is not None and place.shape == shape and place.crs == grid.crs and own.almost_equals(grid.transform):
        return planes[:, *place.mirroring]
    target = np.full((len(planes), *shape), np.nan, dtype=np.float32)
    where: dict[str, Any] = {"gcps": list(place.gcps)} if place.gcps else {"src_transform": place.transform}
    reproject(
        planes,
        target,
        src_crs=place.crs.to_wkt(),
        dst_crs=grid.crs.to_wkt(),
        dst_transform=grid.transform,
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=Resampling.nearest,
        **where,
    )
    return target


def _keeps_areas(crs: CRS, middle: shapely.Geometry) -> bool:
    """Whether areas in the plane of a projected CRS are those on the ground, about, at a point in degrees."""
    try:
        scale = pyproj.Proj(crs).get_factors(middle.x, middle.y).areal_scale
    except ProjError:
        return False
    return bool(abs(scale - 1) <= AREA_ERROR)
