"""An archive of a person's own images: a folder of GeoTIFFs, held against a sensor and listed in a STAC index.

Nothing is copied or converted: the index names the files, and `CogArchive` reads them. Numbers become reflectance as
the sensor's file says, so what says otherwise is refused here, by name, before any work starts.
"""

import math
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from burnscar_assets.catalog.band_assets import OwnImage, find_images
from burnscar_assets.catalog.footprints import parted
from burnscar_assets.catalog.items import baseline_of
from burnscar_assets.catalog.own_days import Days, days_of_file, read_days
from burnscar_assets.catalog.stac_index import StacDict, write_index
from burnscar_assets.days import why_no_image
from burnscar_assets.errors import InputError
from burnscar_assets.gdal_drivers import open_raster
from burnscar_assets.progress import Progress, silent
from burnscar_assets.reader.pixels import PixelFacts, Radiometry, data_pixels, stated_radiometry
from burnscar_assets.reader.radiometry import OFFSET_APPLIED, conversion_of_range, decide_fixed
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings.windows import METRES_PER_DEGREE
from burnscar_assets.text import some_of

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

ENDINGS: Final = (".tif", ".tiff")
INDEX_ENDINGS: Final = (".parquet", ".geoparquet", ".pq")
LOOKED_AT_PX: Final = 1024
"""Side of what a file is thinned to when the bounds of its data are sought."""

OVERPASS_H: Final = 10.5
"""Local solar time that a scene of which only the day is known is taken for: Sentinel-2 and Landsat pass then."""

_EDGE_PARTS: Final = 8
_MEDIA_TYPE: Final = "image/tiff; application=geotiff"

Problems = defaultdict[str, list[str]]
"""Names of files by what is wrong with them and what to do."""


@dataclass(frozen=True)
class OwnFile:
    """What a GeoTIFF says of itself.

    Attributes:
        name: path below the folder.
        descriptions: of its bands; empty where one has none.
        dtype, nodata: type of its numbers, and the number without data; None where it names none.
        stated: scale and offset that it gives its numbers; None if it gives none.
        has_crs, has_alpha: whether it says where it lies, and whether a band is marked as transparency.
        metres: side of a pixel; 0 where it doesn't say where it lies.
        tags: its own and those of GDAL's domain IMAGERY.
    """

    name: str
    descriptions: tuple[str, ...]
    dtype: str
    nodata: float | None
    stated: Radiometry | None
    has_crs: bool
    has_alpha: bool
    metres: float
    tags: Mapping[str, str]


@dataclass(frozen=True)
class IndexSummary:
    """What an index was made of: images, files, their first and last day.

    `by_order` are files whose bands no description names, taken in the sensor's order; `left_out` those that are no
    images of the sensor, by the reason.
    """

    images: int
    files: int
    days: Days
    by_order: list[str]
    left_out: dict[str, list[str]]


def index_images(
    folder: Path,
    sensor: Sensor,
    out: Path,
    days: Path | None = None,
    offset: int | None = None,
    progress: Progress = silent,
    without: Collection[str] = (),
) -> IndexSummary:
    """Write the index of a folder's images, whole or not at all.

    An image is a GeoTIFF with all bands of the sensor, or several files of one band each whose names differ in the
    band's name at the end. What lacks bands is left out.

    Args:
        folder: is looked through with what is below it.
        sensor: whose images they are.
        out: the index; it names the files relative to itself.
        days: table of days, see `read_days`; it counts more than names and tags.
        offset: what each number carries beside reflectance, 0 or 1000, for a sensor whose baselines add an offset.
        progress: told of each file.
        without: files that are left out, by their path below the folder.

    Raises:
        InputError: there are no images; or files can't be read, are no numbers of the sensor's, don't say where they
            lie or of which day they are; each named with what to do.
        StorageError: the index can't be written.
    """
    if out.suffix.lower() not in INDEX_ENDINGS:
        raise InputError(f"{out} must end with {INDEX_ENDINGS[0]}: an index is a stac-geoparquet")
    problems: Problems = defaultdict(list)
    files = read_headers(folder, problems, progress)
    listed = {name: file.descriptions for name, file in files.items() if name not in without}
    images, left_out = find_images(listed, sensor)
    given = read_days(days, files) if days is not None else {}
    dated = _checked(images, files, given, sensor, offset, problems)
    items = []
    for done, image in enumerate(images):
        progress("images looked at", done, len(images))
        shape = footprint(folder, image, sensor, problems)
        if shape is None:
            left_out.setdefault("hold no data", []).extend(image.files)
        else:
            items.append(_item(folder, out, image, dated[image.name], shape, offset))
    progress("images looked at", len(images), len(images))
    refuse(problems)
    if not items:
        why = "; ".join(f"{len(names)} {reason}" for reason, names in left_out.items())
        raise InputError(
            f"no file in {folder} is an image of {sensor.title}{f' ({why})' if why else ''}: {_form(sensor)}"
        )
    write_index(items, out)
    firsts, lasts = zip(*(dated[item["id"]] for item in items), strict=True)
    used = {name for image in images for name in image.files} - {n for names in left_out.values() for n in names}
    by_order = sorted(name for name in used if len(files[name].descriptions) > 1 and not any(files[name].descriptions))
    return IndexSummary(len(items), len(used), (min(firsts), max(lasts)), by_order, left_out)


def _checked(
    images: Sequence[OwnImage],
    files: Mapping[str, OwnFile],
    given: Mapping[str, Days],
    sensor: Sensor,
    offset: int | None,
    problems: Problems,
) -> dict[str, Days]:
    """First and last day by image, all of whose files agree with the sensor.

    Raises:
        InputError: one doesn't, has no day, or is called as another one.
    """
    dated: dict[str, Days] = {}
    for image in images:
        of_image = [files[name] for name in image.files]
        _check_numbers(image, of_image, sensor, offset, problems)
        when = _days_of(image, of_image, given, sensor, problems)
        if image.name in dated:
            problems["are called as another image but for the ending: rename them"].append(image.files[0])
        dated |= {image.name: when} if when else {}
    refuse(problems)
    return dated


def _form(sensor: Sensor) -> str:
    return (
        f"it takes GeoTIFFs whose bands are described as {', '.join(sensor.names)}, or as many without descriptions in "
        "this order, or a file a band whose name ends with the band's"
    )


def read_headers(folder: Path, problems: Problems, progress: Progress = silent) -> dict[str, OwnFile]:
    """What the GeoTIFFs of a folder say of themselves, by their paths below it; what can't be read joins the problems.

    Raises:
        InputError: there is no such folder, or no GeoTIFF in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: give that of the GeoTIFFs")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not paths:
        raise InputError(f"{folder} holds no GeoTIFF ({', '.join(ENDINGS)}): give the folder of the images")
    found = {}
    for done, path in enumerate(paths):
        progress("files read", done, len(paths))
        name = path.relative_to(folder).as_posix()
        try:
            with open_raster(path) as source:
                found[name] = _header(name, source)
        except (OSError, InputError) as error:
            problems["can't be read: write them anew as GeoTIFF (gdal_translate), or take them away"].append(
                f"{name} ({error})"
            )
    progress("files read", len(paths), len(paths))
    return found


def _header(name: str, source: "DatasetReader") -> OwnFile:
    from rasterio.enums import ColorInterp

    return OwnFile(
        name,
        tuple((text or "").strip() for text in source.descriptions),
        source.dtypes[0],  # a GeoTIFF has one for all bands
        source.nodata,
        stated_radiometry(source, 1),
        source.crs is not None,
        ColorInterp.alpha in source.colorinterp,
        _pixel_side_m(source),
        source.tags() | source.tags(ns="IMAGERY"),
    )


def _pixel_side_m(source: "DatasetReader") -> float:
    """Side of a file's pixel from north to south, metres."""
    if source.crs is None:
        return 0.0
    factor = METRES_PER_DEGREE if source.crs.is_geographic else source.crs.linear_units_factor[1]
    return float(np.hypot(source.transform.b, source.transform.e) * factor)


def refuse(problems: Problems) -> None:
    """Name files that can't be indexed, and what to do about each, in an InputError if there are some."""
    if problems:
        told = [f"{len(names)} {what}: {some_of(names)}" for what, names in problems.items()]
        raise InputError(f"files that can't be indexed: {'; '.join(told)}")


def _check_numbers(
    image: OwnImage, files: Sequence[OwnFile], sensor: Sensor, offset: int | None, problems: Problems
) -> None:
    """Hold the numbers of an image's files against what the sensor says of them."""
    measured = [file for file in files if file.name not in image.quality]
    for file in files:
        if not file.has_crs:
            problems["don't say where they lie: give them their CRS (gdal_edit.py -a_srs)"].append(file.name)
        if file.has_alpha:
            problems["have a band that is marked as transparency: write them without (gdal_translate -b …)"].append(
                file.name
            )
    for file in measured:
        for wrong in _wrong_numbers(file, sensor):
            problems[f"{wrong}: correct them, or the sensor's file"].append(file.name)
    is_told = offset is not None or baseline_of(image.name, {})
    if sensor.radiometry.rule == "sentinel2-baseline" and not is_told:
        problems[
            "don't say whether their numbers carry the offset of baselines from 04.00: give --offset 0 or --offset 1000"
        ].append(image.files[0])


def _wrong_numbers(file: OwnFile, sensor: Sensor) -> Iterable[str]:
    if sensor.radiometry.rule == "fixed":
        typed = [] if file.stated is not None and file.stated.scale != 1 else [file.dtype]
        decision = decide_fixed(file.name, sensor, typed, [file.stated] if file.stated else [])
        yield from (f"don't agree with the sensor ({each})" for each in decision.evidence_against[1:])
    elif file.stated is None and "float" not in file.dtype and conversion_of_range(file.dtype, []) is None:
        yield f"hold numbers of type {file.dtype}, of which nothing tells the scale"
    if file.nodata is not None and sensor.nodata is not None and not _alike(file.nodata, sensor.nodata):
        yield f"have no data where they are {file.nodata:g}, but {sensor.title} where it is {sensor.nodata:g}"


def _alike(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _days_of(
    image: OwnImage, files: Sequence[OwnFile], given: Mapping[str, Days], sensor: Sensor, problems: Problems
) -> Days | None:
    """First and last day of an image, by the table, else by names and tags; None if there is a problem."""
    is_composite = sensor.kind == "composites"
    told = {given[file.name] for file in files if file.name in given}
    if not told:
        told = {days for file in files if (days := told_days(file, sensor)) is not None}
    if not told:
        what, which = ("first and last day", "both") if is_composite else ("day", "it")
        remedy = f"put {which} into their names as YYYYMMDD, or give --days FILE with columns file, start, end"
        problems[f"have no {what}: {remedy}"].append(image.files[0])
        return None
    first, last = min(told)
    if len(told) > 1 or (first != last and not is_composite):
        remedy = "correct names, tags or --days, or give the sensor kind: composites"
        problems[f"are of several days: {remedy}"].append(image.files[0])
        return None
    for day in (first, last):
        reason = why_no_image(datetime(day.year, day.month, day.day, tzinfo=UTC), sensor)
        if reason:
            problems[f"have a day that {reason}: correct names, tags or --days"].append(f"{image.files[0]} ({day})")
            return None
    return first, last


def told_days(file: OwnFile, sensor: Sensor) -> Days | None:
    """First and last day of a file by its name and tags; of composites both are needed."""
    days = days_of_file(Path(file.name).stem, file.tags)
    last = 1 if sensor.kind == "composites" else 0
    return (days[0], days[last]) if len(days) > last else None


def footprint(folder: Path, image: OwnImage, sensor: Sensor, problems: Problems) -> shapely.Geometry | None:
    """The bounds of an image's data on the globe, degrees; None without data or where that joins the problems."""
    from rasterio.errors import RasterioError

    shapes = []
    for name in image.files:
        if name in image.quality:
            continue
        try:
            with open_raster(folder / name) as source:
                shapes.append(_data_bounds(source, sorted(image.numbers.values()) or [1], sensor))
        except (RasterioError, ValueError) as error:
            problems["can't be read to the end, or lie where their CRS can't: write them anew"].append(
                f"{name} ({error})"
            )
    known = [shape for shape in shapes if shape is not None]
    return parted(shapely.union_all(known)) if known else None


def _data_bounds(source: "DatasetReader", numbers: list[int], sensor: Sensor) -> shapely.Geometry | None:
    """The bounds of a file's data, found on a thinned image and grown by its pixel."""
    from rasterio.warp import transform

    size = np.array([source.height, source.width])
    thinned = tuple(int(side) for side in np.minimum(size, LOOKED_AT_PX))
    pixels = source.read(numbers, out_shape=(len(numbers), *thinned))
    masks = source.read_masks(numbers, out_shape=(len(numbers), *thinned))
    named = [source.nodatavals[number - 1] for number in numbers]
    facts = PixelFacts(tuple(sensor.nodata if value is None else value for value in named))
    data = (data_pixels(pixels, facts) & (masks > 0)).any(axis=0)
    if not data.any():
        return None
    places = np.argwhere(data)
    step = size / thinned
    grown = np.where(step > 1, 1, 0)
    top, left = np.maximum((places.min(axis=0) - grown) * step, 0)
    bottom, right = np.minimum((places.max(axis=0) + 1 + grown) * step, size)
    outline = shapely.segmentize(shapely.box(left, top, right, bottom), max(bottom - top, right - left) / _EDGE_PARTS)
    columns, rows = shapely.get_coordinates(outline).T
    xs, ys = source.transform * (columns, rows)
    lon, lat = transform(source.crs, "EPSG:4326", xs, ys)
    if not np.isfinite([lon, lat]).all():
        raise ValueError(f"its corners lie nowhere on the globe in {source.crs}")
    return shapely.make_valid(shapely.Polygon(np.column_stack([lon, lat])))


def _item(
    folder: Path, out: Path, image: OwnImage, days: Days, shape: shapely.Geometry, offset: int | None
) -> StacDict:
    first, last = days
    if first == last:
        moment = _overpass(first, shape)
        times: dict[str, Any] = {"datetime": moment.isoformat()}
    else:
        end = datetime(last.year, last.month, last.day, 23, 59, 59, tzinfo=UTC)
        start = datetime(first.year, first.month, first.day, tzinfo=UTC)
        times = {name: start.isoformat() for name in ("datetime", "start_datetime")} | {"end_datetime": end.isoformat()}
    assets: dict[str, StacDict] = {}
    for key, name in image.assets.items():
        href = Path(os.path.relpath(folder / name, out.parent)).as_posix()
        assets[key] = {"href": href if href.startswith("../") else f"./{href}", "roles": ["data"], "type": _MEDIA_TYPE}
        if image.numbers:
            names = {number: band for band, number in image.numbers.items()}
            assets[key]["bands"] = [{"name": names.get(n, f"#{n}")} for n in range(1, max(names) + 1)]
    carried = {} if offset is None else {OFFSET_APPLIED: offset == 0}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": image.name,
        "geometry": shapely.geometry.mapping(shape),
        "properties": times | carried,
        "links": [],
        "assets": assets,
    }


def _overpass(day: date, shape: shapely.Geometry) -> datetime:
    hours = (OVERPASS_H - float(shape.centroid.x) / 15) % 24
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=round(hours * 60) % (24 * 60))
