"""What scenes show of windows, by the quality file that their sensor has, read through the imagery engine.

Loaded only by functions that need rslearn.
"""

import copy
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, time, timedelta
from typing import Any

import numpy as np
from rslearn.config import BandSetConfig, DataSourceConfig, DType, LayerConfig, LayerType  # noqa: TID253
from rslearn.data_sources import DataSource, Item  # noqa: TID253
from rslearn.data_sources.aws_sentinel2_element84 import Sentinel2 as Element84  # noqa: TID253
from rslearn.data_sources.direct_materialize_data_source import DirectMaterializeDataSource  # noqa: TID253
from rslearn.tile_stores import TileStoreWithLayer  # noqa: TID253
from rslearn.utils.geometry import WGS84_PROJECTION, PixelBounds, Projection  # noqa: TID253

from burnscar_assets.catalog.archive import CogArchive, sensor_of
from burnscar_assets.catalog.items import SUN_AZIMUTH, SUN_ELEVATION, SUN_ZENITH
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.progress import Progress, silent
from burnscar_assets.reader.clearness import (
    RULES,
    Classes,
    Clearness,
    Mask,
    Sun,
    at_pixels,
    classify,
    margin_towards,
    sun_at,
    weights,
)
from burnscar_assets.reader.read import read_windows
from burnscar_assets.reader.request import ReadOptions, WindowRequest
from burnscar_assets.sensors.sensor import ClearGround

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """A window (projection and pixel bounds in it) and a scene that may show it."""

    projection: Projection
    bounds: PixelBounds
    item: Item


@dataclass(frozen=True)
class View:
    """What a scene shows of a window: shares of its area, 0–1, where the ground is seen and where there are no data."""

    clear: float
    nodata: float


@dataclass(frozen=True)
class TileView(View):
    """What a tile shows of its window.

    Attributes:
        unclear: (height, width) pixels whose ground one of its images doesn't show.
    """

    unclear: Mask


def ground_of(source: DataSource) -> ClearGround | None:
    """What tells the clear ground of a source's scenes; None if nothing does."""
    return sensor_of(source).clear_ground


def tells_ground(source: DataSource, item: Item) -> bool:
    """Whether the quality file of a scene can be read."""
    key = _quality_key(source)
    if key is None:
        return False
    if isinstance(source, CogArchive):
        return source.offers(item, key)
    return key in getattr(item, "asset_urls", {})


def require_ground(source: DataSource, layer: str) -> None:
    """Check that a source can show the quality files of its scenes before they are fetched.

    Raises:
        InputError: it can't.
    """
    sensor = sensor_of(source)
    if sensor.clear_ground is None:
        raise InputError(
            f"layer {layer!r}: nothing tells clear ground in images of {sensor.title}, which imagery.selection: window "
            "needs; set imagery.selection to granule, or name a rule as clear_ground in the sensor's file"
        )
    if _quality_key(source) is None:
        kind = type(source)
        raise InputError(
            f"layer {layer!r}: {kind.__module__}.{kind.__name__} does not offer the scene classification (SCL) of "
            "single scenes, which imagery.selection: window needs; set imagery.selection to granule, or take the "
            "imagery from an archive with SCL files (burnscar_assets.catalog.archive.CogArchive, Planetary Computer, "
            "Element 84)"
        )


def view_windows(
    looks: Sequence[Look], source: DataSource, options: ReadOptions, progress: Progress = silent
) -> list[View | None]:
    """What scenes show of windows; None where the quality file can't be read.

    Args:
        looks: windows and scenes whose quality file is offered.
        source: the data source.
        options: of the engine.
        progress: told of each that is read.

    Raises:
        SourceUnavailableError: the archive does not answer.
    """
    views: list[View | None] = [None] * len(looks)
    ground = ground_of(source)
    if ground is None:
        return views
    for number, classes in classified(looks, source, options, progress):
        views[number] = _view(looks[number], ground, classes)
    return views


def tile_views(
    requests: Sequence[WindowRequest],
    source: DataSource,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
) -> dict[str, TileView | None]:
    """What of each window's area its tile shows, by the quality files of the tile's own scenes.

    A pixel of a mosaic is judged by the first scene of the group that has data there; several groups are averaged.
    Quality files are read from the source, whether its scenes are ingested or not. None where one is not to be had,
    its index neither, or there is no scene.

    Raises:
        SourceUnavailableError: the archive does not answer.
    """
    ground = ground_of(source)
    if ground is None:
        return dict.fromkeys(request.name for request in requests)
    looks: list[Look] = []
    places: dict[str, list[list[int]]] = {}
    for request in requests:
        groups = [group for group in request.groups if group]
        try:
            offered = bool(groups) and all(tells_ground(source, item) for group in groups for item in group)
        except (InputError, SourceUnavailableError):
            break  # an index that is gone since: tiles are made without it
        if not offered:
            continue
        places[request.name] = [
            list(range(start := len(looks) + sum(map(len, groups[:number])), start + len(group)))
            for number, group in enumerate(groups)
        ]
        looks += [Look(request.projection, request.bounds, item) for group in groups for item in group]
    classes = dict(classified(looks, source, options, silent))
    found: dict[str, TileView | None] = {request.name: None for request in requests}
    for name, groups in places.items():
        if all(number in classes for group in groups for number in group):
            look, images = looks[groups[0][0]], [_mosaic([classes[i] for i in group]) for group in groups]
            views = [_view(look, ground, image) for image in images]
            clear, nodata = (sum(shares) / len(views) for shares in zip(*map(astuple, views), strict=True))
            found[name] = TileView(clear, nodata, _unclear(look, ground, images))
    return found


def _unclear(look: Look, ground: ClearGround, images: Sequence[Classes]) -> Mask:
    """(height, width) pixels of a window whose ground one of its images doesn't show."""
    _, (left, top, *_) = ground_grid(look, ground)
    scale = look.projection.x_resolution / ground.metres
    shown = [at_pixels(image, left, top, look.bounds, scale) == Clearness.CLEAR for image in images]
    return ~np.logical_and.reduce(shown)


def classified(
    looks: Sequence[Look], source: DataSource, options: ReadOptions, progress: Progress
) -> Iterator[tuple[int, Classes]]:
    """`Clearness` of a window's pixels for each look whose quality file can be read, on `ground_grid`."""
    key, ground = _quality_key(source), ground_of(source)
    if key is None or ground is None or not looks:
        return
    reader: Any = copy.copy(source)
    reader.asset_bands = {key: [ground.asset]}
    suns = {item.name: _sun(item) for item in {look.item.name: look.item for look in looks}.values()}
    requests = []
    for number, look in enumerate(looks):
        projection, (left, top, right, bottom) = ground_grid(look, ground)
        margin = margin_towards(suns[look.item.name], ground.metres)
        bounds = (left - margin.left, top - margin.top, right + margin.right, bottom + margin.bottom)
        requests.append(WindowRequest(str(number), projection, bounds, [[look.item]]))
    for image in read_windows(
        requests, _quality_layer(ground), reader, TileStoreWithLayer(reader, ground.asset), options, progress
    ):
        if image.error:
            continue
        number = int(image.name)
        sun = suns[looks[number].item.name]
        numbers = image.rasters[0][0].array[0, 0]
        yield number, classify(numbers, ground, sun, margin_towards(sun, ground.metres))


def _quality_layer(ground: ClearGround) -> LayerConfig:
    rule = RULES[ground.rule]
    return LayerConfig(
        type=LayerType.RASTER,
        band_sets=[BandSetConfig(dtype=DType(rule.dtype), bands=[ground.asset], nodata_value=rule.nodata)],
        resampling_method="nearest",
        data_source=DataSourceConfig(class_path="burnscar_assets.catalog.archive.CogArchive", ingest=False),
    )


def _quality_key(source: DataSource) -> str | None:
    """The key of the quality file's asset, for a source whose files are read directly."""
    sensor, ground = sensor_of(source), ground_of(source)
    if ground is None or not isinstance(source, DirectMaterializeDataSource):
        return None
    if isinstance(source, CogArchive):
        return ground.asset
    if isinstance(source, Element84):
        return sensor.assets["earth-search"][ground.asset]
    every: dict[str, list[str]] = getattr(source, "BANDS", {})
    return next((key for key, bands in every.items() if bands == [ground.asset]), None)


def ground_grid(look: Look, ground: ClearGround) -> tuple[Projection, PixelBounds]:
    """The pixels of the quality file that a window touches."""
    (left, right), (top, bottom) = _edges(look, ground)
    projection = Projection(look.projection.crs, ground.metres, -ground.metres)
    return projection, (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))


def _edges(look: Look, ground: ClearGround) -> tuple[tuple[float, float], tuple[float, float]]:
    """Left and right, top and bottom of a window, in pixels of the quality file."""
    wide, tall = look.projection.x_resolution / ground.metres, look.projection.y_resolution / -ground.metres
    left, top, right, bottom = look.bounds
    return (left * wide, right * wide), (top * tall, bottom * tall)


def _view(look: Look, ground: ClearGround, classes: Classes) -> View:
    columns, rows = _edges(look, ground)
    _, (left, top, *_) = ground_grid(look, ground)
    area = np.outer(weights(*rows, top, classes.shape[0]), weights(*columns, left, classes.shape[1]))
    clear, nodata = (float(area[classes == kind].sum() / area.sum()) for kind in (Clearness.CLEAR, Clearness.NO_DATA))
    return View(clear, nodata)


def _mosaic(layers: list[Classes]) -> Classes:
    result = layers[0].copy()
    for layer in layers[1:]:
        empty = result == Clearness.NO_DATA
        result[empty] = layer[empty]
    return result


def _sun(item: Item) -> Sun | None:
    """As the scene records it, else computed from its time and place; None where it has no time of day either."""
    properties = getattr(item, "properties", {})
    azimuth = _within(properties, SUN_AZIMUTH, 360)
    elevation, zenith = _within(properties, SUN_ELEVATION, 90), _within(properties, SUN_ZENITH, 90)
    if elevation is None and zenith is not None:
        elevation = 90 - zenith
    if azimuth is not None and elevation is not None:
        return Sun(azimuth, elevation)
    if item.geometry.time_range is None or _is_days(*item.geometry.time_range):
        logger.warning("scene %s has no time of day: shadow is looked for all around its clouds", item.name)
        return None
    centre = item.geometry.to_projection(WGS84_PROJECTION).shp.centroid
    computed = sun_at(item.geometry.time_range[0], centre.x, centre.y)
    return Sun(computed.azimuth if azimuth is None else azimuth, computed.elevation if elevation is None else elevation)


def _is_days(start: datetime, end: datetime) -> bool:
    """Whether a scene's time is but a day, which indexes from file names have as its midnight, or several days."""
    return start.time() == time() or end - start >= timedelta(days=1)


def _within(properties: Mapping[str, Any], names: Sequence[str], most: float) -> float | None:
    """The first of some properties that is a number from 0 to the most that it may be, degrees."""
    values = (properties.get(name) for name in names)
    return next((float(v) for v in values if isinstance(v, int | float) and 0 <= v <= most), None)
