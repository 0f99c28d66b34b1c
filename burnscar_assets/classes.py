"""Class ids, names and colours, splits and strata: the one place for each of these facts."""

from enum import StrEnum
from typing import Final

LABEL_PROPERTY: Final = "category"
"""Name of the property of the label layer that holds the class name."""

CLASS_NAMES: Final = ("burnt", "unburnt")
"""Class names in the order of their ids: 0 = burnt, 1 = unburnt, as in the published configuration."""

BURNT: Final = 0
UNBURNT: Final = 1

UNLABELLED: Final = 255
"""In a label raster: what a pixel shows isn't known, and no model is trained or scored on it."""

CLASS_COLORS: Final = {"burnt": "#c1440e", "unburnt": "#3a7d44"}
SPLIT_COLORS: Final = {"train": "#4c72b0", "val": "#dd8452", "test": "#8172b3"}


class Split(StrEnum):
    """What a fire, and the ground that it stands on, is used for."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Stratum(StrEnum):
    """Where a sampled point comes from."""

    BURNT = "burnt"
    RING = "ring"
    GRANULE = "granule"
    LAND = "land"
    HARD = "hard"
    OLD_SCAR = "old_scar"


BANDS: Final = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09")
"""Sentinel-2 L2A bands in the order that OlmoEarth was pretrained on."""
