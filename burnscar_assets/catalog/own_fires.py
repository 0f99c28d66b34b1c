"""Which days a person's images are taken for where nothing but the fire that they show tells, and what they cover.

An image that is called post or after, in a name of a file or its folder, is of the days in which images after the fire
are looked for; one that is called pre or before, of those before its alarm. Which fire that is, is the one on its
ground; of several, the one that the path names.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from burnscar_assets.catalog.band_assets import OwnImage, find_images
from burnscar_assets.catalog.own_days import Days
from burnscar_assets.catalog.own_images import OwnFile, Problems, footprint, refuse, told_days
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import InputError
from burnscar_assets.labels.dates import surely_over
from burnscar_assets.progress import Progress, silent
from burnscar_assets.sampling.land import YEARS_COLUMN
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings.windows import WindowSettings
from burnscar_assets.storage.tables import table_crs

_AFTER: Final = re.compile(r"(?<![a-z])(?:post|after)(?![a-z])", re.IGNORECASE)
_BEFORE: Final = re.compile(r"(?<![a-z])(?:pre|before)(?![a-z])", re.IGNORECASE)


_Span = tuple["pd.Series[pd.Timestamp]", "pd.Series[pd.Timestamp]"]


@dataclass(frozen=True)
class ImagesOfFires:
    """The images of a folder, each with its days and ground.

    Attributes:
        days: first and last day of each file of an image, by its path below the folder.
        by_fire: files of them whose days follow from their fire, not from names, tags or a table.
        covered: ground of the images after fires: polygons (the region's CRS) with the fire years that they are of.
        without_image: fires that no image after them shows, of those asked about: their rows.
        left_out: files that are no images of the sensor, by the reason.
        without_before: if images before are needed, fires that an image after shows and none before: their rows.
        unpaired: files of images after that show such fires alone, and are of no other fire's days before.
    """

    days: dict[str, Days]
    by_fire: tuple[str, ...]
    covered: gpd.GeoDataFrame
    without_image: gpd.GeoDataFrame
    left_out: dict[str, list[str]]
    without_before: gpd.GeoDataFrame
    unpaired: tuple[str, ...] = ()


def match_fires(
    folder: Path,
    files: Mapping[str, OwnFile],
    sensor: Sensor,
    fires: gpd.GeoDataFrame,
    windows: WindowSettings,
    given: Mapping[str, Days],
    progress: Progress = silent,
    *,
    change: bool = False,
) -> ImagesOfFires:
    """Tell the days and the ground of the images of a folder.

    Args:
        folder: of the images.
        files: what each says of itself, by its path below the folder.
        sensor: whose images they are.
        fires: columns fire_name, fire_year, alarm_date, containment_date and end_precision_days; the region's CRS.
        windows: which days after and before a fire images may be of.
        given: days that a table gives, which count more than names and tags.
        progress: told of images.
        change: whether fires need an image before them too: images after fires that all lack one cover nothing.

    Raises:
        InputError: no image lies on a fire; or images are of no fire, or of several, or don't say whether they are of
            before or after it, though nothing else tells their days.
    """
    images, left_out = find_images({name: file.descriptions for name, file in files.items()}, sensor)
    problems: Problems = defaultdict(list)
    shapes: dict[str, shapely.Geometry] = {}
    for done, image in enumerate(images):
        progress("images looked at", done, len(images))
        shape = footprint(folder, image, sensor, problems)
        if shape is not None:
            shapes[image.name] = shape
    refuse(problems)
    progress("images looked at", len(images), len(images))
    grounds = (
        gpd.GeoSeries(shapes, crs=GEOGRAPHIC_CRS).to_crs(table_crs()) if shapes else gpd.GeoSeries(crs=table_crs())
    )
    if images and not grounds.intersects(shapely.union_all(fires.geometry.to_numpy())).any():
        raise InputError(_no_overlap(grounds, fires))
    days, by_fire = _days(images, files, sensor, grounds, fires, windows, given, problems)
    refuse(problems)
    after, before = (_shown(images, days, grounds, fires, spans) for spans in _spans(fires, windows))
    shown = after.any(axis=0)
    paired = shown & before.any(axis=0) if change else shown
    unpaired = np.flatnonzero(after.any(axis=1) & ~((after | before) & paired).any(axis=1))
    return ImagesOfFires(
        days,
        tuple(by_fire),
        _covered([image.name for image in images], after & paired, grounds, fires),
        fires[~shown],
        left_out,
        fires[shown & ~paired],
        tuple(name for place in unpaired for name in images[place].files),
    )


def _days(
    images: list[OwnImage],
    files: Mapping[str, OwnFile],
    sensor: Sensor,
    grounds: gpd.GeoSeries,
    fires: gpd.GeoDataFrame,
    windows: WindowSettings,
    given: Mapping[str, Days],
    problems: Problems,
) -> tuple[dict[str, Days], list[str]]:
    """Days by file, and the files whose days follow from their fire."""
    found: dict[str, Days] = {}
    by_fire: list[str] = []
    for image in images:
        named = (told_days(files[name], sensor) for name in image.files)
        told = next((given[name] for name in image.files if name in given), None) or next(filter(None, named), None)
        if told is None and image.name in grounds.index:
            told = _of_fire(image, grounds[image.name], fires, windows, problems)
            by_fire += image.files if told else ()
        if told is not None:
            found |= dict.fromkeys(image.files, told)
    return found, by_fire


def _of_fire(
    image: OwnImage, ground: shapely.Geometry, fires: gpd.GeoDataFrame, windows: WindowSettings, problems: Problems
) -> Days | None:
    """The days before or after its fire; None where it isn't clear which fire or which of the two."""
    path = image.files[0]
    stem, folders = Path(path).stem, Path(path).parent.as_posix()
    after, before = ((bool(p.search(stem)), bool(p.search(folders))) for p in (_AFTER, _BEFORE))
    is_after, is_before = (after[0] or (after[1] and not before[0])), (before[0] or (before[1] and not after[0]))
    remedy = "put their days into their names as YYYYMMDD, or give --days FILE with columns file, start, end"
    if is_after == is_before:
        problems[f"have no days, nor post or pre in their names, which would tell them by their fire: {remedy}"].append(
            path
        )
        return None
    on_it = fires[fires.intersects(ground)]
    if len(on_it) > 1:
        named = [_plain(str(name)) in _plain(path) for name in on_it["fire_name"].fillna("?")]
        on_it = on_it[np.array(named)]
    if len(on_it) != 1:
        problems[f"have no days, and show no fire or several of which their path names not one: {remedy}"].append(path)
        return None
    fire = on_it.iloc[0]
    (first, last), (near, far) = windows.days_after, windows.days_before
    if is_after:
        over = surely_over(fire["containment_date"], fire["end_precision_days"])
        return _day(over, first), _day(over, last)
    return _day(fire["alarm_date"], -far), _day(fire["alarm_date"], -near)


def _spans(fires: gpd.GeoDataFrame, windows: WindowSettings) -> tuple[_Span, _Span]:
    """First and last day of images after each fire, and before it."""
    over = surely_over(fires["containment_date"], fires["end_precision_days"])
    ends, alarms = (days.dt.tz_localize(None).dt.normalize() for days in (over, fires["alarm_date"]))
    (first, last), (near, far) = windows.days_after, windows.days_before
    after = ends + pd.Timedelta(days=first), ends + pd.Timedelta(days=last)
    return after, (alarms - pd.Timedelta(days=far), alarms - pd.Timedelta(days=near))


def _shown(
    images: list[OwnImage], days: Mapping[str, Days], grounds: gpd.GeoSeries, fires: gpd.GeoDataFrame, span: _Span
) -> npt.NDArray[np.bool_]:
    """(images, fires) whether an image shows some of a fire's ground, all its days within those of the fire."""
    shown = np.zeros((len(images), len(fires)), bool)
    for number, image in enumerate(images):
        if image.name in grounds.index and image.files[0] in days:
            first, last = map(pd.Timestamp, days[image.files[0]])
            shown[number] = fires.intersects(grounds[image.name]) & (span[0] <= first) & (last <= span[1])
    return shown


def _covered(
    names: list[str], after: npt.NDArray[np.bool_], grounds: gpd.GeoSeries, fires: gpd.GeoDataFrame
) -> gpd.GeoDataFrame:
    """Ground of images after fires, with the fire years of those that each shows."""
    years = fires["fire_year"].to_numpy(dtype=int)
    rows = [
        {YEARS_COLUMN: sorted(set(years[of_image].tolist())), "geometry": grounds[name]}
        for name, of_image in zip(names, after, strict=True)
        if of_image.any()
    ]
    return gpd.GeoDataFrame(rows, columns=[YEARS_COLUMN, "geometry"], geometry="geometry", crs=table_crs())


def _no_overlap(grounds: gpd.GeoSeries, fires: gpd.GeoDataFrame) -> str:
    boxes = [
        ", ".join(f"{value:.2f}" for value in shapes.to_crs(GEOGRAPHIC_CRS).total_bounds)
        for shapes in (grounds, fires.geometry)
    ]
    return (
        f"no image lies on a fire: images are within {boxes[0]} (west, south, east, north), perimeters within "
        f"{boxes[1]}: give images and perimeters of the same place, or correct the CRS of one of them"
    )


def _day(moment: pd.Timestamp, days: int) -> date:
    found: date = (moment + timedelta(days=days)).date()
    return found


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()
