"""Where the unburnt points of each stratum may be.

A stratum offers boxes to draw from and says which of the drawn windows are its own. That a window keeps
off every burn and on ground of the fire's split is for all strata alike (`negatives.py`).
"""

from dataclasses import dataclass, fields
from typing import Protocol, Self

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from burnscar_assets.sampling.ground import Pieces, Shapes
from burnscar_assets.sampling.randomness import Hashes, key_of, mix, uniform
from burnscar_assets.settings import SamplingSettings

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_ON_LAND = 0.99
_IN_CONFUSER = 0.5
_PLACES_A_SHAPE = 16
_M_PER_KM = 1000.0


@dataclass(frozen=True)
class Drawn:
    """Windows drawn for fires: fire number, number of the box, centre and footprint, metres of the region's CRS."""

    fire: Ints
    box: Ints
    x_m: Floats
    y_m: Floats
    footprint: Shapes

    def take(self, which: Bools) -> Self:
        """The windows where a mask is true."""
        return type(self)(*(getattr(self, column.name)[which] for column in fields(self)))


class StratumSource(Protocol):
    """What a stratum has to offer."""

    boxes: Floats
    """Boxes to draw from, shape (m, 4), metres of the region's CRS."""

    clear_of: Pieces
    """Burns that its windows keep off."""

    def box_of(self, fire: Ints, chance: Hashes) -> Ints:
        """Number of the box that each draw is from."""

    def own(self, drawn: Drawn) -> Bools:
        """Which of the drawn windows are the stratum's."""


class AroundFire:
    """Windows whose centre is so far from their fire's perimeter: ring, and same granule."""

    def __init__(
        self,
        fires: gpd.GeoDataFrame,
        nearest_m: float,
        farthest_m: float,
        clear_of: Pieces,
        land: Pieces | None = None,
    ) -> None:
        self.clear_of = clear_of
        self._land = land
        self.boxes = fires.bounds.to_numpy() + np.array([-1, -1, 1, 1]) * farthest_m
        self._shapes = fires.geometry.to_numpy()
        self._nearest_m, self._farthest_m = nearest_m, farthest_m
        shapely.prepare(self._shapes)

    def box_of(self, fire: Ints, chance: Hashes) -> Ints:
        """The fire's own box."""
        return fire

    def own(self, drawn: Drawn) -> Bools:
        """Whether the centre is neither too near to the fire nor too far from it, and the window on land."""
        centres, shapes = shapely.points(drawn.x_m, drawn.y_m), self._shapes[drawn.fire]
        own = shapely.dwithin(shapes, centres, self._farthest_m) & ~shapely.dwithin(shapes, centres, self._nearest_m)
        return own if self._land is None else own & _on_land(drawn.footprint, self._land)


class OnLand:
    """Windows anywhere on land, each place as likely as any other.

    Windows are drawn in the boxes of the land's parts, by their areas: in one box about parts that lie far apart hardly
    any draw would meet land.
    """

    def __init__(self, land: Pieces, clear_of: Pieces) -> None:
        self.clear_of = clear_of
        self._land = land
        parts = shapely.get_parts(land.whole)
        self._parts = parts[np.lexsort(shapely.bounds(parts).T)]
        shapely.prepare(self._parts)
        self.boxes = shapely.bounds(self._parts)
        self._up_to = np.cumsum(shapely.area(shapely.box(*self.boxes.T)))

    def box_of(self, fire: Ints, chance: Hashes) -> Ints:
        """The box of one of the parts, large ones more often."""
        return np.searchsorted(self._up_to, uniform(chance) * self._up_to[-1], side="right")

    def own(self, drawn: Drawn) -> Bools:
        """Whether the window lies on land, and its centre in the part that it was drawn for."""
        inside = shapely.contains_xy(self._parts[drawn.box], drawn.x_m, drawn.y_m)
        return np.asarray(inside) & _on_land(drawn.footprint, self._land)


class InShapes:
    """Windows in the shapes of a layer: hard negatives, and old scars.

    Each shape has places on a circle of hashes, and a draw goes to the next place: a shape that is added or edited
    takes few draws from the others, and leaves the rest as they are. Names tell shapes apart, whatever the order of
    rows; `least_share` of a window lies inside its shape, 0–1.
    """

    def __init__(self, shapes: Shapes, names: list[str], least_share: float, clear_of: Pieces) -> None:
        self.clear_of = clear_of
        self.boxes = shapely.bounds(shapes)
        self._pieces = Pieces(shapes)
        self._least_share = least_share
        keys = np.array([key_of("shape", name) for name in names], dtype=np.uint64)
        places = mix(np.repeat(keys, _PLACES_A_SHAPE), np.tile(np.arange(_PLACES_A_SHAPE), len(keys)))
        order = np.argsort(places, kind="stable")
        self._places, self._shape_at = places[order], order // _PLACES_A_SHAPE

    def box_of(self, fire: Ints, chance: Hashes) -> Ints:
        """The shape whose place comes next on the circle."""
        return self._shape_at[np.searchsorted(self._places, chance) % len(self._places)]

    def own(self, drawn: Drawn) -> Bools:
        """Whether enough of the window lies in the shape that it was drawn for."""
        return self._pieces.covered_share(drawn.footprint, drawn.box) >= self._least_share


def ring(fires: gpd.GeoDataFrame, settings: SamplingSettings, burns: Pieces, land: Pieces | None = None) -> AroundFire:
    """The ring: windows outside the gap, centres within gap and width of the perimeter."""
    return AroundFire(fires, settings.ring_gap_m, settings.ring_gap_m + settings.ring_width_m, burns, land)


def granule(fires: gpd.GeoDataFrame, settings: SamplingSettings, burns: Pieces, land: Pieces) -> AroundFire:
    """Land that is likely to be in the fire's own granules.

    It is held to the land layer, because outside the state nobody has told us of its fires.
    """
    nearest_km, farthest_km = settings.granule_km
    return AroundFire(fires, nearest_km * _M_PER_KM, farthest_km * _M_PER_KM, burns, land)


def hard(confusers: gpd.GeoDataFrame, burns: Pieces) -> InShapes:
    """Confusers; windows that are at least half filled with one."""
    shapes = shapely.get_parts(confusers.geometry.to_numpy())
    named = {_name(shape): shape for shape in shapes if shape.area > 0}
    names = sorted(named)
    return InShapes(np.array([named[name] for name in names], dtype=object), names, _IN_CONFUSER, burns)


def old_scars(
    history: gpd.GeoDataFrame, perimeters: gpd.GeoDataFrame, fire_year: int, settings: SamplingSettings
) -> InShapes:
    """Scars of fires of earlier years; they keep off burns of this year, and of an unknown one."""
    age_years = fire_year - history["burn_year"].astype("Float64")
    old = (age_years >= 1).fillna(False).to_numpy(dtype=bool) & (history["kind"] == "fire").to_numpy(dtype=bool)
    recent = ~(age_years >= 1).fillna(False).to_numpy(dtype=bool)
    fresh = pd.concat([history.geometry[recent], perimeters.geometry]).to_numpy()
    scars = history[old].sort_values("burn_id", kind="stable")
    names = scars["burn_id"].astype(str).tolist()
    return InShapes(scars.geometry.to_numpy(), names, settings.min_burnt_share, Pieces(fresh))


def _on_land(footprints: Shapes, land: Pieces) -> Bools:
    return land.covered_share(footprints) >= _ON_LAND


def _name(shape: shapely.Geometry) -> str:
    """What tells shapes of a layer apart, whatever their order and the start of their rings: bounds and area."""
    return ",".join(f"{value:.0f}" for value in (*shape.bounds, shape.area))
