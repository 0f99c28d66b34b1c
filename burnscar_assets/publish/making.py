"""Making one map: scenes, blocks, rasters, outlines, figures; a folder that is put in place whole.

A killed mapper goes on at the block where it was, and a map whose inputs are the same is not made again.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.dataset.config import before_layer, close_files
from burnscar_assets.evaluation.rules import MapRules
from burnscar_assets.mapping.fire_scenes import TRUTH_UNKNOWN, FireScene
from burnscar_assets.mapping.frame import Box, Frame, frame_around, project
from burnscar_assets.mapping.ground import KnownGround
from burnscar_assets.mapping.inference import Lattice, predict_block, seen_box
from burnscar_assets.mapping.mosaic import LayerImage, Mosaic, Validity, read_mosaics
from burnscar_assets.mapping.scenes import (
    Found,
    ImageFacts,
    find_before,
    find_scenes,
    identity_of,
    open_archive,
)
from burnscar_assets.mapping.spec import MAP_FILE, MapSpec, MapTask
from burnscar_assets.models.manifest import CheckpointManifest
from burnscar_assets.models.predictor import Predictor
from burnscar_assets.progress import Progress, silent
from burnscar_assets.publish.folder import MapInputs, is_whole, write_map
from burnscar_assets.publish.rasters import BlockStore, MadeBlock
from burnscar_assets.publish.reference import Reference
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.hashing import hash_json

DATASET: Final = "dataset"
BLOCKS = "blocks"


class _SceneImages:
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


class _ArchiveImages:
    """Images put together from scenes that were found for this map."""

    def __init__(
        self, spec: MapSpec, frame: Frame, found: tuple[Found, Found | None], first_day: datetime | None
    ) -> None:
        self._spec, self._frame, self._first_day = spec, frame, first_day
        self._after, before = found
        self._before = before if before is not None and before.scenes else None

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


_MapImages = _SceneImages | _ArchiveImages
"""Images of a map's blocks, read when they are asked for; `before` gives None where there is no such image."""


@contextmanager
def open_images(
    task: MapTask,
    spec: MapSpec,
    frame: Frame,
    boxes: Sequence[Box],
    lattice: Lattice,
    scene: FireScene | None,
    progress: Progress,
) -> Iterator[_MapImages]:
    """The images of a map, and nothing left open after them.

    Without the fire's scene, scenes are searched in the archive.

    Raises:
        InputError: a scene can't be read, or the fire's is of another layer than the map's.
        SourceUnavailableError: the archive does not answer.
    """
    if scene is not None:
        scene.check_layer(spec.imagery.layer)
        yield _SceneImages(scene, spec.sensor)
        return
    archive = open_archive(spec.data_root, task.work / DATASET, spec.imagery.layer, spec.settings.mosaics)
    try:
        reach = [lattice.reach(box) for box in boxes]
        after, before = find_scenes(archive, frame, reach, task.after, spec.imagery, "after", progress), None
        if task.before is not None and after.scenes:
            season = None if task.fire_id is None else task.after
            before = find_before(archive, frame, boxes, task.before, season, spec.imagery, "before", progress)
        yield _ArchiveImages(spec, frame, (after, before), task.before_start)
    finally:
        close_files(archive.source)
    if archive.config.data_source is not None and archive.config.data_source.ingest:
        shutil.rmtree(task.work / DATASET, ignore_errors=True)


@dataclass(frozen=True)
class MapModel:
    """A model with all that its maps follow from.

    `ground` is what it has seen, None if that is not known; `reference` are points that a person drew on its maps.
    """

    model: Predictor
    manifest: CheckpointManifest
    rules: MapRules
    ground: KnownGround | None
    reference: Reference | None = None


@dataclass(frozen=True)
class MapOutcome:
    """What came of a task.

    Without a map there is no record but a reason: `no_scene`, `too_cloudy`, `no_data`, or `no_image_before` where the
    model reads one. A map that was there is not `made`.
    """

    task: MapTask
    frame: Frame
    record: dict[str, Any] | None
    reason: str = ""
    made: bool = True


def make_map(
    task: MapTask, spec: MapSpec, by: MapModel, progress: Progress = silent, scene: FireScene | None = None
) -> MapOutcome:
    """Make a map, or keep the one that is there.

    The fire's scene gives frame, images and the pixels that are judged; without one, images are searched in the
    archive.

    Raises:
        InputError: a scene can't be read, or the area is too wide for a map.
        SourceUnavailableError: the archive does not answer.
        StorageError: the map can't be written; the one that was there stays.
    """
    frame = map_frame(task, spec, scene)
    lattice = Lattice(spec.size_px, spec.settings.stride_of(spec.size_px))
    boxes = mapped_boxes(task, frame, spec.settings.block_px)
    with open_images(task, spec, frame, boxes, lattice, scene, progress) as images:
        reason = images.facts.reason
        if not reason and before_layer(spec.imagery.layer) in by.model.layers and not images.facts.before:
            reason = "no_image_before"
        if reason:
            return MapOutcome(task, frame, None, reason)
        ground = None if by.ground is None else by.ground.under(frame, task, images.facts.since)
        inputs = MapInputs(
            task, spec, frame, by.manifest, by.rules, images.facts, ground, tuple(boxes),
            None if by.reference is None else by.reference.on(frame, task),
            None if scene is None else scene.truth() != TRUTH_UNKNOWN,
        )  # fmt: skip
        if is_whole(task.folder, inputs.digest):
            return MapOutcome(task, frame, read_json(task.folder / MAP_FILE), made=False)
        store = BlockStore(task.work / BLOCKS, inputs.digest)
        _make_blocks(inputs, by.model, images, lattice, store, progress)
    record = write_map(inputs, store, task.work)
    store.remove()
    return MapOutcome(task, frame, record)


def map_frame(task: MapTask, spec: MapSpec, scene: FireScene | None) -> Frame:
    """The pixels of a map: those that its fire is judged on, else those about its area."""
    return frame_around(task.geometry, spec.resolution_m, task.buffer_m) if scene is None else scene.frame


def mapped_boxes(task: MapTask, frame: Frame, block_px: int) -> list[Box]:
    """The blocks of a map that have something to show: all for a fire, those that meet an area of interest."""
    boxes = frame.blocks(block_px)
    if task.fire_id is not None:
        return boxes
    area = project(task.geometry, GEOGRAPHIC_CRS, f"EPSG:{frame.epsg}")
    shapely.prepare(area)
    met = shapely.intersects(area, [frame.metres(box) for box in boxes])
    return [box for box, meets in zip(boxes, met, strict=True) if meets]


def _make_blocks(
    inputs: MapInputs,
    model: Predictor,
    images: _MapImages,
    lattice: Lattice,
    store: BlockStore,
    progress: Progress,
) -> None:
    """Make the blocks that are not finished yet."""
    task, spec = inputs.task, inputs.spec
    sensor, layer, earlier_layer = spec.sensor, spec.imagery.layer, before_layer(spec.imagery.layer)
    missing = [box for box in inputs.boxes if store.read(box) is None]
    done = len(inputs.boxes) - len(missing)
    moments, moments_before = ([s.acquired for s in some] for some in (inputs.images.after, inputs.images.before))
    seen = [seen_box(model, lattice, box) for box in missing]
    reads_before = earlier_layer in model.layers
    later = images.after(seen)
    bands = sensor.names if reads_before else tuple(dict.fromkeys(sensor.shown))
    earlier = images.before(seen if reads_before else missing, bands)
    progress(f"mapping {task.title}", done, len(inputs.boxes))
    for box, image, old in zip(missing, later, earlier, strict=True):
        read = {layer: LayerImage(image.of_bands(sensor.names, model.layers[layer]), moments)}
        before = old if old is None else old.of_bands(bands, sensor.shown).part(box)
        if old is not None and reads_before:
            read[earlier_layer] = LayerImage(old.of_bands(bands, model.layers[earlier_layer]), moments_before)
        probability = predict_block(
            model, read, box, lattice,
            min_clear_share=spec.settings.min_clear_share, batch_size=spec.settings.batch_size,
        )  # fmt: skip
        store.write(box, _made(box, image, before, probability, sensor))
        done += 1
        progress(f"mapping {task.title}", done, len(inputs.boxes))


def _made(
    box: Box, image: Mosaic, old: Mosaic | None, probability: npt.NDArray[np.float32], sensor: Sensor
) -> MadeBlock:
    rows, columns = box.slices_in(image.box)
    shown = [sensor.names.index(band) for band in sensor.shown]
    return MadeBlock(
        probability=probability,
        scene=image.scene[rows, columns],
        validity=image.validity[rows, columns],
        after=image.pixels[shown, rows, columns],
        before=np.zeros((len(shown), 0, 0), np.uint16) if old is None else old.pixels,
        before_clear=np.zeros((0, 0), bool) if old is None else old.validity == Validity.VALID,
    )
