"""One lattice of window-sized cells for each UTM zone: where windows can be.

A zone is one hemisphere's half of a UTM zone. The lattice starts at (0, 0) of its grid and its cell is one window. A
zone's cells lie wholly between the zone's meridians, on its side of the equator; those cut by either are not used. So
two different cells never overlap on the ground, also not at the border of two zones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.storage.tables import table_crs

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NORTHERN_EPSG: Final = 32600
SOUTHERN_EPSG: Final = 32700
"""EPSG codes of the UTM zones of a hemisphere are larger than this by the zone's number."""

_ZONE_DEGREES = 6
_LAST_ZONE = 60


@dataclass(frozen=True)
class Cells:
    """Cells of the lattices: EPSG code of the zone, column (eastwards) and row (northwards), shape (n,) each."""

    utm_epsg: Ints
    col: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.col)

    @classmethod
    def concatenate(cls, parts: Sequence["Cells"]) -> Self:
        """The cells of several parts, one after the other."""
        none = np.array([], dtype=np.int64)
        names = ("utm_epsg", "col", "row")
        return cls(*(np.concatenate([none, *(getattr(part, name) for part in parts)]) for name in names))

    def columns(self) -> Ints:
        """EPSG code, column and row of each cell, shape (n, 3)."""
        return np.column_stack([self.utm_epsg, self.col, self.row])

    def take(self, which: npt.NDArray[np.generic]) -> Self:
        """The cells at these positions, or where a mask is true."""
        return type(self)(self.utm_epsg[which], self.col[which], self.row[which])


@lru_cache(maxsize=128)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """Transformer between two coordinate systems, x before y."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def utm_zone_of(lon: npt.ArrayLike) -> Ints:
    """Numbers of the UTM zones, 1 to 60, at longitudes in degrees."""
    zone = np.floor((np.asarray(lon, dtype=float) + 180) / _ZONE_DEGREES).astype(np.int64) + 1
    return np.clip(zone, 1, _LAST_ZONE)


def utm_epsg_of(lon: npt.ArrayLike, lat: npt.ArrayLike) -> Ints:
    """EPSG codes of the UTM zones at places in degrees: 326zz from the equator northwards, 327zz south of it."""
    return np.where(np.asarray(lat, dtype=float) < 0, SOUTHERN_EPSG, NORTHERN_EPSG) + utm_zone_of(lon)


class Lattice:
    """The lattices of all zones for one size of window."""

    def __init__(self, side_m: float) -> None:
        self.side_m = side_m

    def cells_at(self, lon: npt.ArrayLike, lat: npt.ArrayLike) -> Cells:
        """The cells that points (degrees, EPSG:4326) lie in, in the zone of their place."""
        lons, lats = np.atleast_1d(np.asarray(lon, dtype=float)), np.atleast_1d(np.asarray(lat, dtype=float))
        zones = utm_epsg_of(lons, lats)
        col, row = np.zeros(len(lons), dtype=np.int64), np.zeros(len(lons), dtype=np.int64)
        for zone in np.unique(zones):
            here = zones == zone
            x_m, y_m = transformer(GEOGRAPHIC_CRS, f"EPSG:{zone}").transform(lons[here], lats[here])
            col[here], row[here] = np.floor(x_m / self.side_m), np.floor(y_m / self.side_m)
        return Cells(zones, col, row)

    def cells_at_albers(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> Cells:
        """The cells that points in metres of the region's CRS lie in."""
        return self.cells_at(*transformer(table_crs(), GEOGRAPHIC_CRS).transform(x_m, y_m))

    def cells_within(self, bounds: npt.ArrayLike) -> Cells:
        """All usable cells that meet a box, and some around it.

        Bounds are least x, least y, greatest x, greatest y, metres of the region's CRS.
        """
        corners = transformer(table_crs(), GEOGRAPHIC_CRS).transform_bounds(*np.asarray(bounds, dtype=float))
        found = []
        for zone in _zones_between(*corners):
            box = transformer(table_crs(), f"EPSG:{zone}").transform_bounds(*np.asarray(bounds, dtype=float))
            first_col, first_row, last_col, last_row = np.floor(np.array(box) / self.side_m).astype(np.int64)
            col, row = np.meshgrid(np.arange(first_col, last_col + 1), np.arange(first_row, last_row + 1))
            cells = Cells(np.full(col.size, zone, dtype=np.int64), col.ravel(), row.ravel())
            found.append(cells.take(self.within_zone(cells)))
        return Cells.concatenate(found)

    def centres(self, cells: Cells, crs: str | None = None) -> tuple[Floats, Floats]:
        """Coordinates x and y of the cells' centres in a coordinate system, by default that of tables."""
        return self._corners(cells, np.array([[0.5, 0.5]]), crs or table_crs())

    def footprints(self, cells: Cells) -> npt.NDArray[np.object_]:
        """Squares of the cells as polygons in the region's CRS."""
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float)
        x_m, y_m = self._corners(cells, corners, table_crs())
        return shapely.polygons(np.stack([x_m, y_m], axis=-1).reshape(len(cells), 4, 2))

    def within_zone(self, cells: Cells) -> npt.NDArray[np.bool_]:
        """Whether each cell lies wholly in its zone: the others are not used."""
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float)
        zones = utm_epsg_of(*self._corners(cells, corners, GEOGRAPHIC_CRS)).reshape(len(cells), 4)
        return np.asarray((zones == cells.utm_epsg[:, None]).all(axis=1))

    def _corners(self, cells: Cells, offsets: Floats, crs: str) -> tuple[Floats, Floats]:
        """Coordinates, in `crs`, of points of the cells (shares of the side), cell by cell, flat."""
        x_utm = ((cells.col[:, None] + offsets[None, :, 0]) * self.side_m).ravel()
        y_utm = ((cells.row[:, None] + offsets[None, :, 1]) * self.side_m).ravel()
        zones = np.repeat(cells.utm_epsg, len(offsets))
        x_out, y_out = np.zeros(len(zones)), np.zeros(len(zones))
        for zone in np.unique(zones):
            here = zones == zone
            x_out[here], y_out[here] = transformer(f"EPSG:{zone}", crs).transform(x_utm[here], y_utm[here])
        return x_out, y_out


def _zones_between(west: float, south: float, east: float, north: float) -> list[int]:
    """EPSG codes of the zones that a box in degrees meets, of each hemisphere from west to east."""
    sides = [side for side, is_met in ((NORTHERN_EPSG, north >= 0), (SOUTHERN_EPSG, south < 0)) if is_met]
    first, last = utm_zone_of([west, east]).tolist()
    return [side + zone for side in sides for zone in range(first, last + 1)]
