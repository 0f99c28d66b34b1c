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
        unmapped: fires without a map, for want of a usable image.
        area: burned area of all of them; as mapped where there is no estimate.
        median_iou: over the maps with an official perimeter of which they show something.
        judged: how many these are.
    """

    maps: int
    broken: int
    unmapped: int
    area: Area
    median_iou: float | None
    judged: int

    @property
    def missing(self) -> str:
        """What is not among the maps, in words; empty if that is nothing."""
        without = "1 fire without imagery" if self.unmapped == 1 else f"{self.unmapped} fires without imagery"
        return ", ".join([without] * bool(self.unmapped) + [f"{self.broken} broken"] * bool(self.broken))

    @property
    def of_fires(self) -> str:
        """How many fires the median is of, where it is not of all; else empty."""
        fires = self.maps + self.broken + self.unmapped
        return f"of {self.judged} of {fires} fires" if self.judged < fires else ""

    @property
    def interval(self) -> str:
        """The interval in words; without one, what the sum is."""
        if self.area.low is not None and self.area.high is not None:
            return f"interval {hectares(self.area.low)} to {hectares(self.area.high)} ha"
        return "pixels counted, not all corrected" if self.area.estimate is not None else "pixels counted"


def totals(maps: Sequence[ReadMap], broken: int, unmapped: int) -> Totals:
    """Sums over maps, whose errors are their own or shared as their records say."""
    ious = [
        a_map.record.agreement.iou
        for a_map in maps
        if a_map.record.agreement is not None and a_map.record.agreement.iou is not None
    ]
    return Totals(
        maps=len(maps),
        broken=broken,
        unmapped=unmapped,
        area=add_up([a_map.record.area_ha for a_map in maps]),
        median_iou=median(ious) if ious else None,
        judged=len(ious),
    )
