"""What the simulated world is made of, as plain values: granules, burns, scenes. Nothing is drawn here."""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

import numpy as np
from pyproj import Transformer
from shapely import Polygon, box, segmentize
from shapely.geometry.base import BaseGeometry
from shapely.ops import transform

from burnscar_assets.demo.noise import Frame
from burnscar_assets.storage.tables import table_crs

PIXEL_M = 10
COARSEST_M = 60
NODE_PX = 4
"""Smooth fields are evaluated at every fourth pixel edge, 40 m apart."""

SIDE_STEP_PX = 12
"""Sides are multiples of 120 m, so that 10, 20, 40 and 60 m grids all fit."""

OFFSET_FROM = date(2022, 1, 25)
"""First day of processing baseline 04.00, which adds BASELINE_OFFSET_DN."""

_BANDS_OF_LATITUDE = "CDEFGHJKLMNPQRSTUVWX"
_COLUMN_LETTERS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROW_LETTERS = "ABCDEFGHJKLMNPQRSTUV"


@dataclass(frozen=True)
class Granule:
    """A square piece of ground that scenes are made of.

    Granules of one `region` share land, weather and days of acquisition. Edges are multiples of 60 m of the UTM zone,
    the side one of 12 pixels of 10 m.
    """

    granule_id: str
    region: str
    biome: str
    epsg: int
    west_m: int
    north_m: int
    side_px: int

    @classmethod
    def around(
        cls, granule_id: str, region: str, biome: str, epsg: int, x_m: float, y_m: float, side_m: float
    ) -> "Granule":
        """The granule of at least `side_m` around a point in the region's CRS, on the zone's 60 m grid."""
        side_px = int(np.ceil(side_m / PIXEL_M / SIDE_STEP_PX)) * SIDE_STEP_PX
        east, north = Transformer.from_crs(table_crs(), epsg, always_xy=True).transform(x_m, y_m)
        half_m = side_px * PIXEL_M / 2
        west_m, north_m = (round(edge / COARSEST_M) * COARSEST_M for edge in (east - half_m, north + half_m))
        return cls(granule_id, region, biome, epsg, west_m, north_m, side_px)

    @property
    def side_m(self) -> int:
        """Side in metres."""
        return self.side_px * PIXEL_M

    @property
    def utm_box(self) -> Polygon:
        """Extent in the granule's zone."""
        return box(self.west_m, self.north_m - self.side_m, self.west_m + self.side_m, self.north_m)

    @cached_property
    def ground(self) -> BaseGeometry:
        """Extent in the region's CRS."""
        return project(self.utm_box, self.epsg, table_crs())

    @cached_property
    def centre_lonlat(self) -> tuple[float, float]:
        """Longitude and latitude of the centre, degrees."""
        half = self.side_m / 2
        to_degrees = Transformer.from_crs(self.epsg, "EPSG:4326", always_xy=True)
        return to_degrees.transform(self.west_m + half, self.north_m - half)

    @cached_property
    def frame(self) -> Frame:
        """Nodes on every fourth pixel edge, first row in the north."""
        steps = np.arange(self.side_px // NODE_PX + 1) * float(NODE_PX * PIXEL_M)
        east, north = np.meshgrid(self.west_m + steps, self.north_m - steps)
        x_m, y_m = Transformer.from_crs(self.epsg, table_crs(), always_xy=True).transform(east, north)
        return Frame(np.asarray(x_m), np.asarray(y_m))

    @property
    def mgrs_tile(self) -> str:
        """The 100 km square of the Military Grid Reference System that the centre lies in, like 10SGH."""
        zone = self.epsg % 100
        half = self.side_m / 2
        column = int((self.west_m + half) // 100_000)
        row = int((self.north_m - half) // 100_000)
        letter = _BANDS_OF_LATITUDE[int((self.centre_lonlat[1] + 80) // 8)]
        shift = 0 if zone % 2 else 5
        return f"{zone}{letter}{_COLUMN_LETTERS[(zone - 1) % 3][column - 1]}{_ROW_LETTERS[(row + shift) % 20]}"


@dataclass(frozen=True)
class Burn:
    """Ground that burned, as the scenes show it.

    The perimeter is in the region's CRS; severity is the typical share of vegetation lost, 0–1.
    """

    burn_id: str
    geometry: BaseGeometry
    start: date
    end: date
    severity: float


@dataclass(frozen=True)
class ScenePlan:
    """One acquisition of one granule.

    `cloud_target` is the share to be covered by cloud, `swath_edge` that of the granule's width outside the swath,
    negative on the left.
    """

    granule: Granule
    acquired: datetime
    cloud_target: float
    swath_edge: float = 0.0

    @property
    def platform(self) -> str:
        """Sentinel-2A or, from its routine operation in 2017-07 on, every second time 2B."""
        has_second = self.acquired.date() >= date(2017, 7, 1)
        return "sentinel-2b" if has_second and self.acquired.toordinal() // 5 % 2 else "sentinel-2a"

    @property
    def scene_id(self) -> str:
        """Identity, in the manner of the public archives, with SIM before it."""
        satellite = self.platform[-2:].upper()
        return f"SIM_S{satellite}_{self.granule.mgrs_tile}_{self.acquired:%Y%m%d}_{self.granule.granule_id}_L2A"

    @property
    def has_offset(self) -> bool:
        """Whether the digital numbers carry BASELINE_OFFSET_DN."""
        return self.acquired.date() >= OFFSET_FROM

    @property
    def baseline(self) -> str:
        """Processing baseline of that day (the archive before 2022 is taken as never reprocessed)."""
        starts = ((date(2022, 12, 6), "05.09"), (OFFSET_FROM, "04.00"), (date(2021, 3, 30), "03.01"))
        return next((name for start, name in starts if self.acquired.date() >= start), "02.14")


@dataclass(frozen=True)
class WorldPlan:
    """Everything that imagery is made from."""

    seed: int
    granules: tuple[Granule, ...]
    burns: tuple[Burn, ...]
    scenes: tuple[ScenePlan, ...]

    def burns_seen_by(self, granule: Granule) -> tuple[Burn, ...]:
        """Burns that touch the granule, oldest first."""
        touching = (burn for burn in self.burns if burn.geometry.intersects(granule.ground))
        return tuple(sorted(touching, key=lambda burn: (burn.end, burn.burn_id)))


def project(shape: BaseGeometry, source: int | str, target: int | str) -> BaseGeometry:
    """A shape in another reference system; long edges get vertices every 500 m first, so that they bend."""
    mover = Transformer.from_crs(source, target, always_xy=True)
    return transform(mover.transform, segmentize(shape, 500.0))
