"""What both layouts of a dataset write of a window, and what they say they did."""

from dataclasses import dataclass
from typing import Final

LABEL_LAYER: Final = "label"
LABEL_RASTER_LAYER: Final = "label_raster"
LABEL_BAND: Final = "label"
TAGS: Final = ("split", "category", "stratum", "fire_id", "cluster_id")
"""Columns of table `windows` that become tags (`options`) of the rslearn window."""


@dataclass(frozen=True)
class WindowChanges:
    """What happened to the windows of the groups that were written.

    Attributes:
        kept: windows that were there already, untouched.
        made: new windows.
        replaced: windows that were there with other tags, or damaged; imagery of a sound window is kept.
        removed: windows that nobody wants any more, deleted with their imagery.
    """

    kept: int
    made: int
    replaced: int
    removed: int
