"""Places where model and official perimeter disagree, for a person to look at, as a page shows them.

Some are errors of the model, some of the perimeter, and some are islands that a perimeter leaves out. What is found
and in which order, `agreement.py` says; it looks at the map at the size of its picture.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from rasterio.transform import Affine
from shapely.geometry.base import BaseGeometry

from burnscar_assets.mapping.agreement import compare, rank_disagreements
from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.mapping.pages.outlines import path_of, to_pixels
from burnscar_assets.mapping.pages.records import Grid

MOST: Final = 12


class Disagreement(BaseModel):
    """One place.

    Attributes:
        kind: `omission` or `commission`, as in `agreement.py`.
        area_ha: its area, hectares.
        confidence: of the map against the perimeter, 0–1.
        depth_m: how far it reaches from the perimeter's outline, metres.
        lon, lat: of a point in it.
        box: left, top, right, bottom in pixels of the grid.
        outline: SVG path in pixels of the grid.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    area_ha: float
    confidence: float
    depth_m: float | None
    lon: float
    lat: float
    box: tuple[float, float, float, float]
    outline: str


def find_disagreements(
    burned: npt.NDArray[np.uint8], probability: npt.NDArray[np.float32], perimeter: BaseGeometry, grid: Grid
) -> tuple[Disagreement, ...]:
    """What a person should look at, the largest and surest first.

    Args:
        burned: shape (rows, columns), of the whole grid at any size: 1 burnt, 0 unburnt, 255 no answer.
        probability: of the same shape, 0–1.
        perimeter: official perimeter in the grid's CRS.
        grid: the map's grid.
    """
    rows, columns = burned.shape
    transform = grid.transform @ Affine.scale(grid.width / columns, grid.height / rows)
    known = burned != NO_ANSWER
    found = compare(burned, known, perimeter, transform, grid.crs, probability=probability)
    ranked = rank_disagreements({"map": found}, MOST)
    places = [to_pixels(place, grid) for place in ranked.geometry.to_crs(grid.crs)]
    return tuple(_place(row, place, grid) for row, place in zip(ranked.to_dict("records"), places, strict=True))


def _place(row: dict[Any, Any], place: BaseGeometry, grid: Grid) -> Disagreement:
    left, top, right, bottom = (round(side, 1) for side in place.bounds)
    return Disagreement(
        kind=row["kind"],
        area_ha=round(row["area_ha"], 2),
        confidence=round(row["confidence"], 3),
        depth_m=round(row["depth_m"]) if np.isfinite(row["depth_m"]) else None,
        lon=round(row["lon"], 5),
        lat=round(row["lat"], 5),
        box=(left, top, right, bottom),
        outline=path_of(place, grid),
    )
