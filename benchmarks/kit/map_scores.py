"""Maps of the demo against both what its perimeters say and what truly burned."""

from typing import NamedTuple

import geopandas as gpd
import rasterio
from rasterio.features import rasterize

from burnscar_assets.demo.truth import TRUTH_FILE
from burnscar_assets.mapping.grid import NO_ANSWER
from burnscar_assets.mapping.pages.records import ReadMap, read_maps
from burnscar_assets.mapping.rasters import BURNED
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table
from kit.burn_tellers import iou


class MapScore(NamedTuple):
    """IoU of one map's burnt pixels with the fire's perimeter and with what truly burned, where the map has answers."""

    fire_id: str
    perimeter: float
    burned: float


def score_maps(root: DataRoot) -> list[MapScore]:
    """Scores of all held-out fires of a demo that have a map."""
    truth_file = root.simulated / TRUTH_FILE
    if not truth_file.exists():
        return []
    truth = gpd.read_parquet(truth_file)
    scores = []
    for folder in sorted(root.maps(0).parent.glob("fire_year=*")):
        fire_year = int(folder.name.partition("=")[2])
        perimeters = read_table(root, FIRE_PERIMETERS, fire_year).set_index("fire_id")
        of_year = truth[truth["fire_year"] == fire_year]
        shown = [each for each in read_maps(folder) if isinstance(each, ReadMap)]
        labelled = [each for each in shown if each.record.fire_id in perimeters.index]
        scores += [_score(each, perimeters.loc[[each.record.fire_id]], of_year) for each in labelled]
    return scores


def _score(shown: ReadMap, perimeter: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> MapScore:
    """Score one map; its true burn is the one of the year that shares most ground with the perimeter."""
    outline = perimeter.geometry.iloc[0]
    shared = truth.geometry.intersection(outline).area
    burned = truth.loc[[shared.idxmax()]]
    with rasterio.open(shown.folder / BURNED.file) as raster:
        said, grid = raster.read(1), raster.transform
    within, truly = (
        rasterize(rows.to_crs(shown.grid.crs).geometry, said.shape, transform=grid).astype(bool)
        for rows in (perimeter, burned)
    )
    answered = said != NO_ANSWER
    return MapScore(str(shown.record.fire_id), *(iou(said == 1, wanted, answered) for wanted in (within, truly)))
