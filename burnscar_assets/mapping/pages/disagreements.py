"""Places where model and official perimeter disagree, largest first, for a person to look at.

Some are errors of the model, some of the perimeter, and some are islands that a perimeter doesn't tell.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from rasterio.features import rasterize
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry

from burnscar_assets.mapping.pages.records import Grid

OUTSIDE: Final = "outside"
"""Mapped as burnt, outside the perimeter."""

INSIDE: Final = "inside"
"""Mapped as unburnt, inside the perimeter."""

MOST: Final = 12
LEAST_HA: Final = 0.5
NARROW_PX: Final = 3
"""What is narrower is the boundary's own doubt, not a place to look at."""


class Disagreement(BaseModel):
    """One place; its box is left, top, right, bottom in pixels of the grid."""

    model_config = ConfigDict(frozen=True)

    kind: str
    area_ha: float
    probability: float
    box: tuple[float, float, float, float]


def find_disagreements(
    burned: npt.NDArray[np.uint8], probability: npt.NDArray[np.float32], perimeter: BaseGeometry, grid: Grid
) -> tuple[Disagreement, ...]:
    """The largest places where they disagree, slivers along the boundary left out.

    Args:
        burned: shape (rows, columns), of the whole grid at any size: 1 burnt, 0 unburnt, 255 no answer.
        probability: of the same shape, 0–1.
        perimeter: official perimeter in pixels of the grid.
        grid: the map's grid.
    """
    rows, columns = burned.shape
    to_grid = Affine.scale(grid.width / columns, grid.height / rows)
    official = rasterize([perimeter], burned.shape, transform=to_grid).astype(bool)
    pixel_ha = grid.pixel_m**2 * to_grid.a * to_grid.e / 1e4
    found = [
        *_places(OUTSIDE, (burned == 1) & ~official, probability, pixel_ha, to_grid),
        *_places(INSIDE, (burned == 0) & official, probability, pixel_ha, to_grid),
    ]
    return tuple(sorted(found, key=lambda place: (-place.area_ha, place.box))[:MOST])


def _places(
    kind: str, mask: npt.NDArray[np.bool_], probability: npt.NDArray[np.float32], pixel_ha: float, to_grid: Affine
) -> list[Disagreement]:
    from scipy.ndimage import binary_opening, find_objects, label

    labels, _ = label(binary_opening(mask, np.ones((NARROW_PX, NARROW_PX))))
    places = []
    for number, (down, across) in enumerate(find_objects(labels), start=1):
        there = labels[down, across] == number
        area_ha = float(there.sum() * pixel_ha)
        if area_ha < LEAST_HA:
            continue
        sure = float(probability[down, across][there].mean())
        box = (across.start * to_grid.a, down.start * to_grid.e, across.stop * to_grid.a, down.stop * to_grid.e)
        places.append(Disagreement(kind=kind, area_ha=round(area_ha, 2), probability=round(sure, 3), box=box))
    return places
