"""Maps of the demo against both what its perimeters say and what truly burned, and dNBR on the same pixels."""

from typing import NamedTuple

import numpy as np
import rasterio
import shapely

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.mapping.old_scars import LEAST_BURNED_DNBR
from burnscar_assets.publish.pages.records import ReadMap, read_maps
from burnscar_assets.publish.rasters import BURNED, DNBR
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from kit.burn_tellers import iou
from kit.true_burn import Mask, TrueScore, has_true_burns, score_against, true_burns


class MapScore(NamedTuple):
    """IoU of one map's burnt pixels with the fire's perimeter and with what truly burned, where the map has answers.

    `over_dnbr` has map and dNBR > 0.1 beside what truly burned, where both images show the ground; None without an
    image before.
    """

    fire_id: str
    perimeter: float
    burned: float
    over_dnbr: TrueScore | None


def score_maps(root: DataRoot) -> list[MapScore]:
    """Scores of all held-out fires of a demo that have a map."""
    scores: list[MapScore] = []
    if not has_true_burns(root):
        return scores
    for folder in sorted(root.maps(0).parent.glob("fire_year=*")):
        fire_year = int(folder.name.partition("=")[2])
        perimeters = read_table(root, FIRE_PERIMETERS, fire_year).set_index("fire_id").to_crs(GEOGRAPHIC_CRS).geometry
        burns = true_burns(root, [fire_year])
        shown = [each for each in read_maps(folder) if isinstance(each, ReadMap) and each.record.fire_id in burns]
        scores += [_score(each, perimeters[each.record.fire_id], burns[str(each.record.fire_id)]) for each in shown]
    return scores


def _score(shown: ReadMap, perimeter: shapely.Geometry, burn: shapely.Geometry) -> MapScore:
    frame, said = _read(shown)
    answered, mapped = said != NO_ANSWER, said == 1
    within, truly = (frame.covers(geometry, frame.box) for geometry in (perimeter, burn))
    over_dnbr, by_dnbr = None, shown.folder / DNBR.file
    if by_dnbr.exists():
        with rasterio.open(by_dnbr) as raster:
            change = raster.read(1)
        both: Mask = answered & (change != DNBR.nodata)
        over_dnbr = score_against(burn, frame, both, mapped, change > LEAST_BURNED_DNBR, str(shown.record.fire_id))
    return MapScore(str(shown.record.fire_id), iou(mapped, within, answered), iou(mapped, truly, answered), over_dnbr)


def _read(shown: ReadMap) -> tuple[Frame, np.ndarray]:
    """A map's grid as a frame, and its classes."""
    with rasterio.open(shown.folder / BURNED.file) as raster:
        said, grid, epsg = raster.read(1), raster.transform, raster.crs.to_epsg()
    left, top = round(grid.c / grid.a), round(grid.f / grid.e)
    return Frame(epsg, grid.a, Box(left, top, left + said.shape[1], top + said.shape[0])), said
