"""Sums over the maps of a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from burnscar_assets.mapping.area import Area, add_up
from burnscar_assets.mapping.pages.records import ReadMap
from burnscar_assets.mapping.pages.texts import hectares


@dataclass(frozen=True)
class Totals:
    """Key figures of a folder.

    Attributes:
        maps: maps that can be shown.
        broken: maps that can't.
        area: burned area of all of them; as mapped where there is no estimate.
        median_iou: over the maps with an official perimeter.
    """

    maps: int
    broken: int
    area: Area
    median_iou: float | None

    @property
    def interval(self) -> str:
        """The interval in words; without one, what the sum is."""
        if self.area.low is not None and self.area.high is not None:
            return f"interval {hectares(self.area.low)} to {hectares(self.area.high)} ha"
        return "pixels counted, not all corrected" if self.area.estimate is not None else "pixels counted"


def totals(maps: Sequence[ReadMap], broken: int) -> Totals:
    """Sums over maps, whose errors are their own or shared as their records say."""
    ious = [
        a_map.record.agreement.iou
        for a_map in maps
        if a_map.record.agreement is not None and a_map.record.agreement.iou is not None
    ]
    return Totals(
        maps=len(maps),
        broken=broken,
        area=add_up([a_map.record.area_ha for a_map in maps]),
        median_iou=median(ious) if ious else None,
    )
