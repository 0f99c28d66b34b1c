"""A small map of where the maps lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup
from pyproj import Transformer
from shapely import box

from burnscar_assets.mapping.pages.records import ReadMap
from burnscar_assets.mapping.pages.templating import render_svg
from burnscar_assets.regions.load import working_region
from burnscar_assets.storage.tables import table_crs

MARGIN: Final = 0.04
LEAST_RADIUS, MOST_RADIUS = 0.006, 0.03
HIT_RADIUS: Final = 0.022
"""Radii as shares of the picture's longer side; the last is what a finger hits."""


@dataclass(frozen=True)
class Mark:
    """A map, or several of one folder: its middle in the CRS of tables, its area, and where its page is."""

    name: str
    href: str
    x: float
    y: float
    area_ha: float


def mark_of(a_map: ReadMap, href: str) -> Mark:
    """The mark of a map."""
    left, bottom, right, top = a_map.grid.bounds
    to_table = Transformer.from_crs(a_map.grid.crs, table_crs(), always_xy=True)
    x, y = to_table.transform((left + right) / 2, (bottom + top) / 2)
    return Mark(a_map.record.name, href, x, y, a_map.record.area_ha.mapped or 0.0)


def locator(marks: Sequence[Mark]) -> Markup:
    """Marks on the region, their area by burned area; without the region where none of them lies there."""
    around = box(
        min(mark.x for mark in marks), min(mark.y for mark in marks),
        max(mark.x for mark in marks), max(mark.y for mark in marks),
    ).buffer(20_000)  # fmt: skip
    region = working_region()
    land = region.drawn
    here = any(part.intersects(around) for part in land)
    shown = [around, *(land if here else [])]
    left, top = min(part.bounds[0] for part in shown), max(part.bounds[3] for part in shown)
    width, height = max(part.bounds[2] for part in shown) - left, top - min(part.bounds[1] for part in shown)
    side = max(width, height)
    margin = side * MARGIN
    return render_svg(
        "locator",
        view=f"{-margin:.0f} {-margin:.0f} {width + 2 * margin:.0f} {height + 2 * margin:.0f}",
        label=f"{region.title} with the maps marked" if here else "Where the maps lie to each other",
        land=["M" + "L".join(f"{x - left:.0f},{top - y:.0f}" for x, y in part.exterior.coords) + "Z"
              for part in (land if here else [])],
        marks=[_circle(mark, left, top, side, max(mark.area_ha for mark in marks)) for mark in _largest_first(marks)],
    )  # fmt: skip


def _largest_first(marks: Sequence[Mark]) -> list[Mark]:
    return sorted(marks, key=lambda mark: (-mark.area_ha, mark.name, mark.href))


def _circle(mark: Mark, left: float, top: float, side: float, largest_ha: float) -> dict[str, Any]:
    grown = (mark.area_ha / largest_ha) ** 0.5 if largest_ha > 0 else 0.0
    radius = side * (LEAST_RADIUS + (MOST_RADIUS - LEAST_RADIUS) * grown)
    return {
        "name": mark.name, "href": mark.href, "x": round(mark.x - left), "y": round(top - mark.y),
        "r": round(radius), "hit": round(max(radius, side * HIT_RADIUS)),
    }  # fmt: skip
