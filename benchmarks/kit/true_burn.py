"""What simulated fires truly burned, as a judge of maps: no stage reads it, and perimeters are drawn beside it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.demo.truth import TRUTH_FILE
from burnscar_assets.mapping.frame import Frame
from burnscar_assets.storage.contracts import FIRE_PERIMETERS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_years
from kit.burn_tellers import iou

Mask = npt.NDArray[np.bool_]


class TrueScore(NamedTuple):
    """IoU of two predictions of one fire with what truly burned, on the same pixels."""

    fire_id: str
    model: float
    beside: float

    @property
    def gain(self) -> float:
        """Of the first over the second."""
        return self.model - self.beside


def has_true_burns(root: DataRoot) -> bool:
    """Whether a world is simulated and kept what truly burned."""
    return (root.simulated / TRUTH_FILE).exists()


def true_burns(root: DataRoot, fire_years: Sequence[int]) -> Mapping[str, shapely.Geometry]:
    """What each fire of some years truly burned, EPSG:4326, by fire.

    It is the burn of the fire's year that shares most ground with its perimeter; a fire that shares none has none.

    Raises:
        FileNotFoundError: the world isn't simulated, or was made without it.
    """
    burns = gpd.read_parquet(root.simulated / TRUTH_FILE)
    fires = read_years(root, FIRE_PERIMETERS, fire_years)
    found = {}
    for fire_id, year, perimeter in zip(fires["fire_id"], fires["fire_year"], fires.geometry, strict=True):
        shared = burns.geometry[burns["fire_year"] == year].intersection(perimeter).area
        if shared.max() > 0:
            found[str(fire_id)] = burns.geometry[shared.idxmax()]
    geographic = gpd.GeoSeries(list(found.values()), crs=burns.crs).to_crs(GEOGRAPHIC_CRS)
    return dict(zip(found, geographic, strict=True))


def score_against(
    burn: shapely.Geometry, frame: Frame, judged: Mask, model: Mask, beside: Mask, fire_id: str = ""
) -> TrueScore:
    """Score two predictions of a frame.

    Args:
        burn: what truly burned, EPSG:4326.
        frame: the pixels.
        judged: (height, width) those that count, for both.
        model: (height, width) what the first calls burnt.
        beside: the same of the second.
        fire_id: whose frame it is.
    """
    truly = frame.covers(burn, frame.box)
    return TrueScore(fire_id, iou(model, truly, judged), iou(beside, truly, judged))
