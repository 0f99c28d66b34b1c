"""Colours of the maps: the one place for pages and QGIS projects.

Both outlines can be told apart by people who don't see red from green, and by their dashes.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from burnscar_assets.mapping.severity import SEVERITY_CLASSES

MODEL_COLOUR: Final = "#ffd23f"
PERIMETER_COLOUR: Final = "#4fc3f7"
VALIDITY: Final = ((1, "Cloud or shadow", "#e8e8e8"), (2, "No data", "#4a4a4a"))


def severity_palette() -> npt.NDArray[np.uint8]:
    """Red, green, blue and opacity of all 256 codes of severity; transparent for what is no class."""
    palette = np.zeros((256, 4), np.uint8)
    for severity in SEVERITY_CLASSES:
        palette[severity.code] = (*bytes.fromhex(severity.colour.removeprefix("#")), 255)
    return palette
