"""Sums over the maps of a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from burnscar_assets.mapping.pages.records import Area, ReadMap
from burnscar_assets.mapping.pages.texts import hectares, known


@dataclass(frozen=True)
class Totals:
    """Key figures of a folder.

    Attributes:
        maps: maps that can be shown.
        broken: maps that can't.
        area_ha: estimated burned area of all of them; as mapped where there is no estimate.
        low_ha, high_ha: its interval, the maps' errors taken as independent; None if a map has no interval.
        median_iou: over the maps with an official perimeter.
    """

    maps: int
    broken: int
    area_ha: float
    low_ha: float | None
    high_ha: float | None
    median_iou: float | None

    @property
    def interval(self) -> str:
        """The interval in words, or nothing."""
        if self.low_ha is None or self.high_ha is None:
            return ""
        return f"interval {hectares(self.low_ha)} to {hectares(self.high_ha)} ha"


def totals(maps: Sequence[ReadMap], broken: int) -> Totals:
    """Sums over maps; half-widths of intervals add in quadrature."""
    areas = [a_map.record.area_ha for a_map in maps]
    middle = sum(_middle(area) for area in areas)
    low, high = (_half_width(areas, side) for side in ("low", "high"))
    ious = [
        a_map.record.agreement.iou
        for a_map in maps
        if a_map.record.agreement is not None and a_map.record.agreement.iou is not None
    ]
    return Totals(
        maps=len(maps),
        broken=broken,
        area_ha=middle,
        low_ha=None if low is None else max(0.0, middle - low),
        high_ha=None if high is None else middle + high,
        median_iou=median(ious) if ious else None,
    )


def _middle(area: Area) -> float:
    return next((float(value) for value in (area.estimate, area.mapped) if value is not None and known(value)), 0.0)


def _half_width(areas: Sequence[Area], side: str) -> float | None:
    if not areas:
        return None
    widths = []
    for area in areas:
        bound = getattr(area, side)
        if not known(bound):
            return None
        widths.append(abs(_middle(area) - bound))
    return sqrt(sum(width**2 for width in widths))
