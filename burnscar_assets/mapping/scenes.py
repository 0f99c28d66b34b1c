"""The scenes that a map is made from: found block by block as those of training windows are, then put in one order.

One order for the whole map, rather than one for each block, makes a pixel's scene a matter of the pixel alone: the
first one of the order that shows the ground there. So blocks leave no trace in a map.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pandas as pd
import shapely

from burnscar_assets.catalog.items import acquisition_time, cloud_cover, processing_baseline, read_all_groups
from burnscar_assets.catalog.matching import match_scenes
from burnscar_assets.dataset.config import (
    CONFIG_FILE,
    before_layer,
    config_elsewhere,
    data_source,
    load_windows,
    open_dataset,
    put_config,
    quiet_rslearn,
)
from burnscar_assets.dataset.tile_identity import TileIdentities, TileIdentity
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.progress import Progress, silent
from burnscar_assets.settings import ImagerySettings
from burnscar_assets.storage.paths import DataRoot

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.data_sources import DataSource, Item
    from rslearn.dataset import Dataset
    from rslearn.tile_stores import TileStoreWithLayer
    from shapely import Geometry

_SHIFTS: Final = ("time_offset", "duration")
_YEAR_EARLIER: Final = {"time_offset": "-365d"}


@dataclass(frozen=True)
class TimeSpan:
    """From when to when imagery may be: first moment, and first moment after."""

    start: datetime
    end: datetime

    @classmethod
    def of_days(cls, first: datetime, last: datetime) -> "TimeSpan":
        """Whole UTC days, the last one included."""
        start, end = (day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC) for day in (first, last))
        return cls(start, end + timedelta(days=1))


class SceneFacts(NamedTuple):
    """A scene, by name, with what a map's provenance says of it."""

    name: str
    acquired: datetime
    baseline: str


class ImageFacts(NamedTuple):
    """What is known of images before they are read.

    Attributes:
        after, before: scenes, by their numbers in the images; none if there is no image.
        reason: why there is none after the fire.
        pixels: hash of all pixels; where they aren't read yet, of how they are, and from what files.
        since: when the image before was taken, if that was in an earlier season than the days asked for.
    """

    after: tuple[SceneFacts, ...]
    before: tuple[SceneFacts, ...]
    reason: str = ""
    pixels: str = ""
    since: datetime | None = None


@dataclass(frozen=True)
class Scene:
    """A scene that can be read, and where it lies."""

    item: "Item"
    acquired: datetime
    baseline: str
    outline: "Geometry"

    @property
    def facts(self) -> SceneFacts:
        """What is remembered of it."""
        return SceneFacts(self.item.name, self.acquired, self.baseline)


@dataclass(frozen=True)
class Archive:
    """Where scenes are read from."""

    dataset: "Dataset"
    source: "DataSource"
    config: "LayerConfig"
    tile_store: "TileStoreWithLayer"

    @cached_property
    def identities(self) -> TileIdentities:
        """What pixels that are read from it are known by."""
        return TileIdentities(self.config)


@dataclass(frozen=True)
class Found:
    """The scenes of a map.

    Attributes:
        archive: where they are read from.
        scenes: all of them, first choice first.
        blocks: names of what was searched: a block and its days each.
        reasons: why blocks have none, and how many; such as `too_cloudy`.
    """

    archive: Archive
    scenes: tuple[Scene, ...]
    blocks: frozenset[str]
    reasons: dict[str, int]


def open_archive(root: DataRoot, folder: Path, layer: str, mosaics: int) -> Archive:
    """The archive of a world, seen through a dataset of a map's own: a layer after and a layer before the fire.

    An index on the network is read once for all that is looked for in it.

    The folder of the map's dataset is made if it isn't there; each block is covered with scenes `mosaics` times.

    Raises:
        InputError: the layer is not there, or is one whose scenes can't be told apart.
        MissingDataError: the world has no dataset yet.
        SettingsError: the configuration or its data source is malformed.
    """
    from rslearn.tile_stores import get_tile_store_with_layer

    from burnscar_assets.catalog.index_client import forget_indexes
    from burnscar_assets.reader.request import supports

    forget_indexes()
    put_config(folder, _config_of_map(root.dataset, folder, layer, mosaics))
    dataset = open_dataset(folder)
    source = data_source(dataset, layer)
    tiles = get_tile_store_with_layer(dataset.get_tile_store(), layer, dataset.layers[layer])
    reason = supports(dataset.layers[layer], source, tiles)
    if reason:
        raise InputError(f"maps can't be made from layer {layer} of {root.dataset / 'config.json'}: {reason}")
    return Archive(dataset, source, dataset.layers[layer], tiles)


def _config_of_map(dataset_path: Path, folder: Path, layer: str, mosaics: int) -> dict[str, Any]:
    """The world's configuration with the one layer, covered several times.

    The layer before the fire is the same a year earlier, or as much earlier as the world's own such layer says.
    """
    content = config_elsewhere(dataset_path, folder)
    layers = content["layers"]
    chosen, earlier = layers.get(layer), layers.get(before_layer(layer), {}).get("data_source", _YEAR_EARLIER)
    if not isinstance(chosen, dict) or "data_source" not in chosen:
        raise InputError(
            f"{dataset_path / CONFIG_FILE} has no layer {layer!r} with a data source: correct imagery.layer"
        )
    source = {name: value for name, value in chosen["data_source"].items() if name not in _SHIFTS}
    source["query_config"] = {"space_mode": "MOSAIC", "max_matches": mosaics}
    shifts = {name: earlier[name] for name in _SHIFTS if name in earlier}
    both = {layer: source, before_layer(layer): source | shifts}
    return content | {"layers": {name: chosen | {"data_source": found} for name, found in both.items()}}


def find_scenes(
    archive: Archive,
    frame: Frame,
    boxes: Sequence[Box],
    span: TimeSpan,
    settings: ImagerySettings,
    name: str,
    progress: Progress = silent,
) -> Found:
    """Find the scenes of a map, and fetch those of an archive that has to be.

    What was found before for the same boxes and days is not searched again, unless imagery may have come since. Boxes
    are what windows at the edges of the map's parts see; `name` is what is looked for, such as `after`.

    Raises:
        SourceUnavailableError: the archive does not answer.
        InputError: it can't be read.
    """
    rows = _save_windows(archive.dataset, frame, boxes, span, name)
    found, table = _match(archive, rows, settings, settings.layer, progress)
    return _found(archive, sorted(found.values(), key=_order), table)


def find_before(
    archive: Archive,
    frame: Frame,
    boxes: Sequence[Box],
    days: TimeSpan,
    after: TimeSpan | None,
    settings: ImagerySettings,
    name: str,
    progress: Progress = silent,
) -> Found:
    """Find the scenes of the image before a fire: the last clear ones first, as `imagery.before` chooses them.

    `days` are those before the alarm. Where they have no clear image, it is of the same season a year earlier than the
    image after may be from (`after`); without that, it is of these days or there is none.

    Raises:
        SourceUnavailableError: the archive does not answer.
        InputError: it can't be read.
    """
    from burnscar_assets.catalog.selection import Candidate, rank

    rows = _save_windows(archive.dataset, frame, boxes, after, name, days)
    found, table = _match(archive, rows, settings, before_layer(settings.layer), progress)
    items = {name: archive.source.deserialize_item(item) for name, item in found.items()}
    clear = _clear_shares(archive, frame, boxes, list(items.values()), settings, progress)
    candidates = []
    for item in sorted(found.values(), key=_order):
        name, acquired = item["name"], acquisition_time(item)
        share = clear.get(name, 1 - (cloud_cover(item) or 0) / 100)
        age = days.end - acquired if acquired else timedelta()
        candidates.append(Candidate(items[name], share, age))
    ordered = [found[candidate.item.name] for candidate in rank(candidates, settings.min_clear_fraction)]
    return _found(archive, ordered, table)


def identity_of(archive: Archive, about: Sequence[Any], images: Sequence[Sequence[Scene]]) -> TileIdentity:
    """What images of some scenes are known by, beside what is given as JSON: how they are read, and from what files."""
    return archive.identities.at(about, [[scene.item.serialize() for scene in some] for some in images])


def _clear_shares(
    archive: Archive,
    frame: Frame,
    boxes: Sequence[Box],
    items: "Sequence[Item]",
    settings: ImagerySettings,
    progress: Progress,
) -> dict[str, float]:
    """Share of the ground that each scene shows of the map's parts that is clear, 0–1; of those that tell, by name."""
    from rslearn.utils.geometry import Projection

    from burnscar_assets.reader.request import ReadOptions
    from burnscar_assets.reader.views import Look, tells_ground, view_windows

    projection = Projection(frame.crs, frame.resolution_m, -frame.resolution_m)
    tree = shapely.STRtree([shapely.box(*box.bounds) for box in boxes])
    looks = [
        Look(projection, boxes[place].bounds, item)
        for item in items
        if tells_ground(archive.source, item)
        for place in tree.query(item.geometry.to_projection(projection).shp, predicate="intersects").tolist()
    ]
    clear: dict[str, float] = defaultdict(float)
    shown: dict[str, float] = defaultdict(float)
    for look, view in zip(looks, view_windows(looks, archive.source, ReadOptions.of(settings), progress), strict=True):
        if view is not None:
            area = Box(*look.bounds).width * Box(*look.bounds).height
            clear[look.item.name] += view.clear * area
            shown[look.item.name] += (1 - view.nodata) * area
    return {name: clear[name] / area for name, area in shown.items() if area > 0}


def _match(
    archive: Archive, rows: pd.DataFrame, settings: ImagerySettings, layer: str, progress: Progress
) -> tuple[dict[str, dict[str, Any]], pd.DataFrame]:
    """Scenes of blocks by name, as they are written down, and the table of matches."""
    by_granule = settings.model_copy(update={"selection": "granule"})
    table, _ = match_scenes(rows, Path(archive.dataset.path), by_granule, progress, layers=[layer], anew=False)
    windows = load_windows(archive.dataset, rows)
    _fetch(archive, list(windows.values()), settings)
    groups = read_all_groups(windows.values(), layer).values()
    return {item["name"]: item for some in groups for group in some for item in group}, table


def _found(archive: Archive, ordered: Sequence[dict[str, Any]], table: pd.DataFrame) -> Found:
    scenes = tuple(scene for item in ordered if (scene := _scene(archive.source, item)) is not None)
    reasons = table.loc[~table["matched"], "reason"].value_counts().sort_index()
    return Found(
        archive, scenes, frozenset(table["window_id"]), {str(reason): int(count) for reason, count in reasons.items()}
    )


def _save_windows(
    dataset: "Dataset",
    frame: Frame,
    boxes: Sequence[Box],
    span: TimeSpan | None,
    name: str,
    days: TimeSpan | None = None,
) -> pd.DataFrame:
    """Write a map's blocks down as windows; windows that the storage has are left as they are.

    Returns:
        Rows of the windows table, as far as matching wants them; the days before the alarm are their own.
    """
    from rslearn.dataset import Window
    from rslearn.utils.geometry import Projection

    spans = [found for found in (span, days) if found is not None]
    group = str(spans[0].start.year)
    projection = Projection(frame.crs, frame.resolution_m, -frame.resolution_m)
    when = [f"{found:%Y%m%d}" for one in spans for found in (one.start, one.end)]
    names = ["_".join([name, *when, *map(str, box.bounds)]) for box in boxes]
    there = {window.name for window in dataset.load_windows(groups=[group], names=names)}
    times = None if span is None else (span.start, span.end)
    for box, window_name in zip(boxes, names, strict=True):
        if window_name not in there:
            Window(dataset.storage, group, window_name, projection, box.bounds, times, {}).save()
    before = (None, None) if days is None else (days.start, days.end)
    columns = dict(zip(("before_start", "before_end"), map(pd.Timestamp, before), strict=True))
    return pd.DataFrame({"window_id": names, "fire_year": int(group)} | columns)


def _fetch(archive: Archive, windows: Sequence[Any], settings: ImagerySettings) -> None:
    from rslearn.dataset.manage import ingest_dataset_windows

    if archive.config.data_source is None or not archive.config.data_source.ingest:
        return
    wait = timedelta(seconds=settings.retry_backoff_s)
    try:
        with quiet_rslearn():
            ingest_dataset_windows(archive.dataset, list(windows), settings.retries, wait)
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceUnavailableError(
            f"fetching scenes failed ({error}): run the same again later; what was fetched is kept"
        ) from error


def _order(item: dict[str, Any]) -> tuple[float, str, str]:
    """Least cloudy first, then earliest: what changed on the ground since the fire is least then."""
    acquired = acquisition_time(item)
    return cloud_cover(item) or 0.0, acquired.isoformat() if acquired else "", item["name"]


def _scene(source: "DataSource", serialized: dict[str, Any]) -> Scene | None:
    from rslearn.utils.geometry import WGS84_PROJECTION

    acquired = acquisition_time(serialized)
    if acquired is None:
        raise InputError(f"scene {serialized['name']} has no time, which the model wants: add datetime to the index")
    item = source.deserialize_item(serialized)
    outline = item.geometry.to_projection(WGS84_PROJECTION).shp
    return Scene(item, acquired.astimezone(UTC), processing_baseline(serialized), outline)
