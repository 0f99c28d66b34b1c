"""Shapes of simulated fires, and where they find room in a region. Coordinates are metres of the region's CRS."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from shapely import Polygon, prepare
from shapely.affinity import rotate, scale, translate
from shapely.geometry.base import BaseGeometry

from burnscar_assets.demo.noise import generator
from burnscar_assets.demo.plan import Burn
from burnscar_assets.errors import BurnscarError

M2_PER_HA = 10_000.0
DARTS = 50
SHRINKS = 14
SHRINK_BY = 0.86
LEAST_OVERLAP = 0.1
ISLANDS_FROM_HA = 60.0


@dataclass(frozen=True)
class SimulatedFire:
    """A fire as it truly burned; what the release says of it may differ.

    `kind` is `fire`, `old` (before the demo's years) or `prescribed`; `geometry` is what it ran over, islands as holes;
    `perimeter` is what the release has of it; `defect` is what is wrong with its record, see `ignitions`.
    """

    key: str
    kind: str
    region: str
    fire_year: int
    alarm: date
    containment: date
    severity: float
    geometry: BaseGeometry
    perimeter: BaseGeometry
    part_of: str = ""
    defect: str = ""

    def burn(self) -> Burn:
        """The burn that scenes show."""
        return Burn(self.key, self.geometry, self.alarm, self.containment, self.severity)


def fire_shape(seed: int, key: str, area_ha: float) -> Polygon:
    """A perimeter around the origin: a wind-drawn blob with fingers and, if large, unburned islands as holes."""
    rng = generator(seed, "shape", key)
    outline = _blob(rng, roughness=0.30)
    outline = scale(outline, float(rng.uniform(1.25, 1.8)), 1.0)
    outline = rotate(outline, float(rng.uniform(0, 180)), origin=(0, 0))
    factor = float(np.sqrt(area_ha * M2_PER_HA / outline.area))
    outline = scale(outline, factor, factor, origin=(0, 0))
    if area_ha < ISLANDS_FROM_HA:
        return outline
    return _with_islands(rng, outline, wanted=int(rng.integers(1, 4)))


def find_room(
    shape: Polygon,
    ground: BaseGeometry,
    keep_off: Sequence[tuple[BaseGeometry, float]],
    name: tuple[str | int, ...],
    near: BaseGeometry | None = None,
) -> BaseGeometry:
    """The shape moved (and shrunk, if need be) to a place in `ground` that is far enough from others.

    The shape lies around the origin, `near` is a perimeter that it must overlap, and others are kept off by so many
    metres each.

    Raises:
        BurnscarError: there is no room left.
    """
    rng = generator(*name)
    prepare(ground)
    west, south, east, north = (near or ground).bounds
    for _ in range(SHRINKS):
        for _ in range(DARTS):
            placed = translate(shape, float(rng.uniform(west, east)), float(rng.uniform(south, north)))
            clear = all(placed.distance(other) >= gap_m for other, gap_m in keep_off)
            over = near is None or placed.intersection(near).area > LEAST_OVERLAP * min(placed.area, near.area)
            if clear and over and ground.contains(placed):
                return placed
        shape = scale(shape, SHRINK_BY**0.5, SHRINK_BY**0.5, origin=(0, 0))
    raise BurnscarError(
        f"no room for simulated fire {name[-1]}: lower demo.fires_per_year, or raise sampling.splits.block_km"
    )


def _blob(rng: np.random.Generator, roughness: float) -> Polygon:
    """A star-shaped outline about the origin, from harmonics that get weaker with their frequency."""
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    order = np.arange(1, 24)
    weight = rng.normal(0, 1, len(order)) * roughness / order**0.85
    phase = rng.uniform(0, 2 * np.pi, len(order))
    radius = np.exp((weight[:, None] * np.cos(order[:, None] * angle + phase[:, None])).sum(axis=0))
    return Polygon(np.column_stack((radius * np.cos(angle), radius * np.sin(angle))))


def _with_islands(rng: np.random.Generator, outline: Polygon, wanted: int) -> Polygon:
    holes: list[Polygon] = []
    inner = outline.buffer(-80.0)
    west, south, east, north = outline.bounds
    for _ in range(40):
        if len(holes) == wanted or inner.is_empty:
            break
        island = _blob(rng, roughness=0.22)
        factor = float(np.sqrt(outline.area * rng.uniform(0.012, 0.04) / island.area))
        island = scale(island, factor, factor, origin=(0, 0))
        island = translate(island, float(rng.uniform(west, east)), float(rng.uniform(south, north)))
        if inner.contains(island) and all(island.distance(other) > 60.0 for other in holes):
            holes.append(island)
    return Polygon(outline.exterior, [hole.exterior for hole in holes])
