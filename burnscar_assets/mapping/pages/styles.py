"""Colours of the maps: the one place for pages and QGIS projects.

Both outlines can be told apart by people who don't see red from green, and by their dashes.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

MODEL_COLOUR: Final = "#ffd23f"
PERIMETER_COLOUR: Final = "#4fc3f7"

SEVERITY: Final = (
    ("unburned", "Unburned", "#2c7c5b"),
    ("low", "Low", "#f5e06e"),
    ("moderate_low", "Moderate, low", "#f2a541"),
    ("moderate_high", "Moderate, high", "#d9622b"),
    ("high", "High", "#7a1f1f"),
)
"""Class name, label and colour, in the order of the ids from 0."""

VALIDITY: Final = ((1, "Cloud or shadow", "#e8e8e8"), (2, "No data", "#4a4a4a"))


def severity_palette() -> npt.NDArray[np.uint8]:
    """Red, green, blue and opacity of all 256 class ids; transparent for what is no class."""
    palette = np.zeros((256, 4), np.uint8)
    for value, (_, _, colour) in enumerate(SEVERITY):
        palette[value] = (*bytes.fromhex(colour[1:]), 255)
    return palette
