"""The index over a folder's maps, and the one over all folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from burnscar_assets.mapping.pages.drawing import FOLDER, THUMBNAIL, Drawing
from burnscar_assets.mapping.pages.locator import locator, mark_of
from burnscar_assets.mapping.pages.records import PAGE_FILE, Agreement, BrokenMap, ReadMap, Unmapped
from burnscar_assets.mapping.pages.reliability import reliability_rows
from burnscar_assets.mapping.pages.standings import Standings
from burnscar_assets.mapping.pages.templating import render
from burnscar_assets.mapping.pages.texts import NOTHING, hectares, known, period, ratio, share
from burnscar_assets.mapping.pages.totals import Totals, totals

TO_REVIEW: Final = 4
NO_STANDINGS: Final = Standings()
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
    unmapped: Sequence[Unmapped] = (),
    *,
    title: str,
    simulated: bool,
    summed: bool,
) -> str:
    """The index of a folder as HTML, where model and perimeter disagree most first.

    Args:
        shown: its maps.
        broken: maps that can't be shown.
        unmapped: fires without a map.
        title: its heading.
        simulated: whether the whole folder is simulated.
        summed: whether the areas add up to something; areas of interest may overlap.
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


def years_page(folders: Sequence[MapFolder], standings: Standings = NO_STANDINGS, doubts: str = "") -> str:
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
