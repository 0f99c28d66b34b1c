"""The index over a folder's maps, and the one over all folders: tables, sums over maps, and a locator map."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup
from pyproj import Transformer
from shapely import box

from burnscar_assets.publish.area import Area, add_up
from burnscar_assets.publish.pages.drawing import FOLDER, THUMBNAIL, Drawing
from burnscar_assets.publish.pages.records import (
    PAGE_FILE,
    Agreement,
    BrokenMap,
    ReadMap,
    Reliability,
    ReliabilityBin,
    Unmapped,
)
from burnscar_assets.publish.pages.templating import NOTHING, hectares, known, period, ratio, render, render_svg, share
from burnscar_assets.regions.load import working_region
from burnscar_assets.storage.atomic import read_json, write_json
from burnscar_assets.storage.tables import table_crs

MARGIN: Final = 0.04
LEAST_RADIUS, MOST_RADIUS = 0.006, 0.03
HIT_RADIUS: Final = 0.022
"""Radii as shares of the picture's longer side; the last is what a finger hits."""

TO_REVIEW: Final = 4
STANDINGS_FILE: Final = "standings.json"
YEAR_PREFIX: Final = "fire_year="
SEASON_PREFIX: Final = "in_season="
_REASONS: Final = {
    "no_scene": "no scene of these days in the archive",
    "too_cloudy": "every scene of these days is too cloudy",
    "no_data": "the scenes of these days have no data there",
    "no_image_before": "the set-up reads an image from before the fire, and there is none",
}
_COLUMNS = (
    ("name", "Fire", False),
    ("date", "Imagery", False),
    ("area", "Area, ha", True),
    ("iou", "IoU", True),
    ("omission", "Omission", True),
    ("commission", "Commission", True),
    ("disagreement", "In doubt, ha", True),
)
_YEAR_COLUMNS = (("year", "Fire year", False), ("maps", "Maps", True), ("area", "Area, ha", True),
                 ("iou", "Median IoU", True))  # fmt: skip


@dataclass(frozen=True)
class Totals:
    """Key figures of a folder.

    The area is as mapped where there is no estimate; the median is over the `judged` maps that show something of an
    official perimeter.
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


def reliability_rows(found: Sequence[Reliability]) -> list[dict[str, str]]:
    """A row for each bin of probability that any ground is in; each map weighs the same."""
    before, after = (_by_bin(bins) for bins in ([one.before for one in found], [one.after for one in found]))
    return [
        {"bin": name, **_reliability_cells("before", before.get(name)), **_reliability_cells("after", after.get(name))}
        for name in sorted(before.keys() | after.keys())
    ]


def _by_bin(maps: Iterable[Sequence[ReliabilityBin]]) -> dict[str, tuple[float, float]]:
    """Mean probability and burnt share of each bin."""
    sums: dict[str, list[float]] = {}
    for bins in maps:
        for one in bins:
            total = sums.setdefault(one.bin, [0.0, 0.0, 0.0])
            for number, value in enumerate((1.0, one.mean_probability, one.burnt_share)):
                total[number] += one.share * value
    return {name: (said / ground, burnt / ground) for name, (ground, said, burnt) in sums.items() if ground > 0}


def _reliability_cells(name: str, value: tuple[float, float] | None) -> dict[str, str]:
    said, burnt = (NOTHING, NOTHING) if value is None else map(share, value)
    return {f"{name}_said": said, f"{name}_burnt": burnt}


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
    ordered = sorted(marks, key=lambda mark: (-mark.area_ha, mark.name, mark.href))
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
        marks=[_circle(mark, left, top, side, ordered[0].area_ha) for mark in ordered],
    )  # fmt: skip


def _circle(mark: Mark, left: float, top: float, side: float, largest_ha: float) -> dict[str, Any]:
    grown = (mark.area_ha / largest_ha) ** 0.5 if largest_ha > 0 else 0.0
    radius = side * (LEAST_RADIUS + (MOST_RADIUS - LEAST_RADIUS) * grown)
    return {
        "name": mark.name, "href": mark.href, "x": round(mark.x - left), "y": round(top - mark.y),
        "r": round(radius), "hit": round(max(radius, side * HIT_RADIUS)),
    }  # fmt: skip


@dataclass(frozen=True)
class Standings:
    """A comparison of set-ups, in words.

    Sentences, and a table whose first column names the set-up.
    """

    said: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, said: Sequence[str], headings: Sequence[str], rows: Sequence[Sequence[str]]) -> "Standings":
        """Standings of lists."""
        return cls(tuple(said), tuple(headings), tuple(map(tuple, rows)))


def read_standings(folder: Path) -> Standings:
    """What was left in a folder over all maps; empty if there is nothing that can be read."""
    found = read_json(folder / STANDINGS_FILE)
    try:
        return Standings.of(found["said"], found["headings"], found["rows"])
    except (KeyError, TypeError):
        return Standings()


def keep_standings(folder: Path, standings: Standings) -> None:
    """Leave standings in a folder over all maps, unless they are there already."""
    if read_standings(folder) != standings:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / STANDINGS_FILE, asdict(standings))


@dataclass(frozen=True)
class ShownMap:
    """A map and what was drawn of it."""

    read: ReadMap
    drawing: Drawing


@dataclass(frozen=True)
class MapFolder:
    """A folder of maps as the index over all folders shows it."""

    path: Path
    totals: Totals
    maps: tuple[ReadMap, ...]
    simulated: bool

    @property
    def label(self) -> str:
        """Its fire year, or what it is."""
        return folder_label(self.path)


def folder_label(path: Path) -> str:
    """How a folder of maps is called in links."""
    if path.name.startswith(SEASON_PREFIX):
        return f"{path.name.removeprefix(SEASON_PREFIX)}, in season"
    return path.name.removeprefix(YEAR_PREFIX) if is_fire_year(path) else "Areas of interest"


def is_fire_year(path: Path) -> bool:
    """Whether a folder of maps is that of a fire year, whose maps don't overlap."""
    return path.name.startswith(YEAR_PREFIX)


def year_page(
    shown: Sequence[ShownMap],
    broken: Sequence[BrokenMap],
    unmapped: Sequence[Unmapped],
    *,
    title: str,
    simulated: bool,
    summed: bool,
) -> str:
    """The index of a folder as HTML, where model and perimeter disagree most first.

    Areas are `summed` where they add up to something; areas of interest may overlap.
    """
    ordered = sorted(shown, key=lambda item: (_iou(item.read), item.read.record.name, item.read.folder.name))
    rows = [_row(item) for item in ordered]
    sums = totals([item.read for item in shown], len(broken), len(unmapped))
    return render(
        "year",
        script="table",
        title=title,
        simulated=simulated or any(item.read.record.simulated for item in shown),
        lead=_lead(sums),
        numbers=_numbers(sums, summed),
        review=[row for row in rows if row["iou"]["sort"] != ""][:TO_REVIEW],
        rows=rows,
        columns=[
            {"key": key, "label": label, "number": number, "sorted": key == "iou"} for key, label, number in _COLUMNS
        ],
        reliability=reliability_rows([found for item in shown if (found := item.read.record.reliability) is not None]),
        unmapped=[{"name": fire.name, "reason": _REASONS.get(fire.reason, fire.reason)} for fire in unmapped],
        broken=[{"name": item.folder.name, "reason": item.reason} for item in broken],
        locator=locator([mark_of(item.read, _href(item.read)) for item in shown]) if shown else "",
    )


def years_page(folders: Sequence[MapFolder], standings: Standings, doubts: str) -> str:
    """The index over all folders as HTML, the latest first, how set-ups map, and a link to doubtful perimeters."""
    marks = [mark_of(a_map, f"{quote(folder.path.name)}/{_href(a_map)}") for folder in folders for a_map in folder.maps]
    return render(
        "years",
        script="table",
        title="Burned-area maps",
        simulated=any(folder.simulated for folder in folders),
        columns=[{"key": key, "label": label, "number": number} for key, label, number in _YEAR_COLUMNS],
        rows=[
            {
                "label": folder.label,
                "href": f"{quote(folder.path.name)}/{PAGE_FILE}",
                "cells": [
                    _cell(float(folder.totals.maps), str(folder.totals.maps), folder.totals.missing),
                    _area(folder),
                    _cell(folder.totals.median_iou, ratio(folder.totals.median_iou), _of_fires(folder)),
                ],
            }
            for folder in sorted(folders, key=lambda folder: folder.path.name, reverse=True)
        ],
        locator=locator(marks) if marks else "",
        standings=standings,
        doubts=doubts,
    )


def _of_fires(folder: MapFolder) -> str:
    return "" if folder.totals.median_iou is None else folder.totals.of_fires


def _area(folder: MapFolder) -> dict[str, str]:
    if not is_fire_year(folder.path):
        return _cell(None, NOTHING)
    area_ha = folder.totals.area.best
    return _cell(area_ha, hectares(area_ha), folder.totals.interval)


def _row(item: ShownMap) -> dict[str, Any]:
    record = item.read.record
    area, found = record.area_ha, record.agreement or Agreement()
    interval = f"{hectares(area.low)} to {hectares(area.high)}" if known(area.low) and known(area.high) else ""
    doubt = sum(place.area_ha for place in item.drawing.disagreements) if record.agreement else None
    return {
        "name": record.name,
        "href": _href(item.read),
        "thumbnail": f"{quote(item.read.folder.name)}/{FOLDER}/{THUMBNAIL}",
        "source": record.source,
        "period": period(record.start, record.end),
        "end": record.end,
        "area": _cell(area.best, hectares(area.best), interval),
        "iou": _cell(found.iou, ratio(found.iou)),
        "omission": _cell(found.omission, share(found.omission)),
        "commission": _cell(found.commission, share(found.commission)),
        "disagreement": _cell(doubt, hectares(doubt)),
    }


def _cell(value: float | None, text: str, note: str = "") -> dict[str, str]:
    return {"sort": f"{value:.6g}" if value is not None and known(value) else "", "text": text, "note": note}


def _href(a_map: ReadMap) -> str:
    return f"{quote(a_map.folder.name)}/{PAGE_FILE}"


def _iou(a_map: ReadMap) -> float:
    found = a_map.record.agreement
    return found.iou if found is not None and found.iou is not None and known(found.iou) else inf


def _lead(sums: Totals) -> str:
    maps = "1 map" if sums.maps == 1 else f"{sums.maps} maps"
    return f"{maps} of burned ground from satellite images, each beside its official perimeter where there is one"


def _numbers(sums: Totals, summed: bool) -> list[dict[str, str]]:
    numbers = []
    if summed:
        label = "Burned, mapped" if sums.area.estimate is None else "Burned, estimated"
        numbers.append({"label": label, "value": hectares(sums.area.best), "unit": "ha", "note": sums.interval})
    if sums.median_iou is not None:
        note = ", ".join(filter(None, ["with the official perimeter", sums.of_fires]))
        numbers.append({"label": "Median IoU", "value": ratio(sums.median_iou), "unit": "", "note": note})
    numbers.append({"label": "Maps", "value": str(sums.maps), "unit": "", "note": sums.missing})
    return numbers
