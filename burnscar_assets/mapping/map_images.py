"""The images that a map is made from: those of a fire scene, or of scenes that are searched in the archive."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import repeat
from typing import Final, NamedTuple, Protocol

from burnscar_assets.dataset.config import close_files
from burnscar_assets.mapping.averaging import Lattice
from burnscar_assets.mapping.fire_scenes import FireScene
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.mosaic import Mosaic, read_mosaics
from burnscar_assets.mapping.scenes import (
    Archive,
    Found,
    SceneFacts,
    find_before,
    find_scenes,
    identity_of,
    open_archive,
)
from burnscar_assets.mapping.spec import MapSpec, MapTask
from burnscar_assets.progress import Progress
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.storage.hashing import hash_json

DATASET: Final = "dataset"


class MapImages(Protocol):
    """Images of a map's blocks, read when they are asked for."""

    @property
    def facts(self) -> "ImageFacts":
        """What is known of them before they are read."""

    def after(self, boxes: Sequence[Box]) -> Iterable[Mosaic]:
        """Images after the fire of some boxes of the map's grid, in the sensor's bands."""

    def before(self, boxes: Sequence[Box], bands: Sequence[str]) -> Iterable[Mosaic | None]:
        """The same before the fire, in some bands; None for each box if there is no such image."""


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


class _OfFireScene:
    """Images that were read once for all that are judged on them."""

    def __init__(self, scene: FireScene, sensor: Sensor) -> None:
        self._scene, self._sensor = scene, sensor

    @property
    def facts(self) -> ImageFacts:
        scene = self._scene
        return ImageFacts(scene.scenes_after, scene.scenes_before, scene.reason, scene.image_hash, scene.since)

    def after(self, boxes: Sequence[Box]) -> Iterator[Mosaic]:
        return (self._scene.after(box).of_bands(self._scene.bands, self._sensor.names) for box in boxes)

    def before(self, boxes: Sequence[Box], bands: Sequence[str]) -> Iterator[Mosaic | None]:
        for box in boxes:
            image = self._scene.before(box)
            yield None if image is None else image.of_bands(self._scene.bands, bands)


class _OfArchive:
    """Images put together from scenes that were found for this map."""

    def __init__(
        self, spec: MapSpec, frame: Frame, found: tuple[Found, Found | None], first_day: datetime | None
    ) -> None:
        self._spec, self._frame, self._first_day = spec, frame, first_day
        self._after, self._before = found

    @property
    def facts(self) -> ImageFacts:
        reason = "too_cloudy" if self._after.reasons.get("too_cloudy") else "no_scene"
        before = () if self._before is None else self._before.scenes
        after, earlier = (tuple(scene.facts for scene in some) for some in (self._after.scenes, before))
        identity = identity_of(self._after.archive, [], (self._after.scenes, before))
        taken = [scene.acquired for scene in earlier]
        since = min(taken) if taken and self._first_day and min(taken) < self._first_day else None
        return ImageFacts(after, earlier, "" if after else reason, hash_json(identity.as_entry()), since)

    def after(self, boxes: Sequence[Box]) -> Iterator[Mosaic]:
        return read_mosaics(self._after, self._frame, boxes, self._spec.sensor.names, self._spec.imagery)

    def before(self, boxes: Sequence[Box], bands: Sequence[str]) -> Iterable[Mosaic | None]:
        if self._before is None:
            return repeat(None, len(boxes))
        return read_mosaics(self._before, self._frame, boxes, bands, self._spec.imagery)


@contextmanager
def open_images(
    task: MapTask,
    spec: MapSpec,
    frame: Frame,
    boxes: Sequence[Box],
    lattice: Lattice,
    scene: FireScene | None,
    progress: Progress,
) -> Iterator[MapImages]:
    """The images of a map, and nothing left open after them.

    Args:
        task: the map.
        spec: how it is made.
        frame: its pixels.
        boxes: blocks of it.
        lattice: of the windows that see beyond them.
        scene: the fire's scene; without one, scenes are searched in the archive.
        progress: told of searches.

    Raises:
        InputError: a scene can't be read, or the fire's is of another layer than the map's.
        SourceUnavailableError: the archive does not answer.
    """
    if scene is not None:
        scene.check_layer(spec.imagery.layer)
        yield _OfFireScene(scene, spec.sensor)
        return
    archive = open_archive(spec.data_root, task.work / DATASET, spec.imagery.layer, spec.settings.mosaics)
    try:
        found = _find(task, spec, archive, frame, boxes, lattice, progress)
        yield _OfArchive(spec, frame, found, task.before_start)
    finally:
        close_files(archive.source)
    if archive.config.data_source is not None and archive.config.data_source.ingest:
        shutil.rmtree(task.work / DATASET, ignore_errors=True)


def _find(
    task: MapTask,
    spec: MapSpec,
    archive: Archive,
    frame: Frame,
    boxes: Sequence[Box],
    lattice: Lattice,
    progress: Progress,
) -> tuple[Found, Found | None]:
    """Scenes after the fire, and those before it if they are wanted and there are any."""
    reach = [lattice.reach(box) for box in boxes]
    after = find_scenes(archive, frame, reach, task.after, spec.imagery, "after", progress)
    if task.before is None or not after.scenes:
        return after, None
    season = None if task.fire_id is None else task.after
    before = find_before(archive, frame, boxes, task.before, season, spec.imagery, "before", progress)
    return after, before if before.scenes else None
