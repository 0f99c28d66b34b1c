"""Making one map: scenes, blocks, rasters, outlines, figures; a folder that is put in place whole.

A killed mapper goes on at the block where it was, and a map whose inputs are the same is not made again.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.evaluation.map_rules import MapRules
from burnscar_assets.imagery.dataset import close_files
from burnscar_assets.mapping.averaging import Lattice
from burnscar_assets.mapping.blocks import BlockStore, MadeBlock
from burnscar_assets.mapping.folder import MapInputs, is_whole, write_map
from burnscar_assets.mapping.frame import Box, Frame, frame_around, project
from burnscar_assets.mapping.ground import KnownGround
from burnscar_assets.mapping.inference import WindowModel, judge_block
from burnscar_assets.mapping.mosaic import Mosaic, Validity, read_mosaics
from burnscar_assets.mapping.reference import Reference
from burnscar_assets.mapping.scenes import Archive, Found, find_before, find_scenes, open_archive
from burnscar_assets.mapping.spec import MAP_FILE, MapSpec, MapTask
from burnscar_assets.progress import Progress, silent
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.training.manifest import CheckpointManifest

DATASET, BLOCKS = "dataset", "blocks"


@dataclass(frozen=True)
class Judge:
    """What judges the pixels of maps.

    Attributes:
        model: gives windows their probability.
        manifest: of its checkpoint.
        rules: calibration of its probabilities, the one above which a pixel is called burnt, and the errors of
            validation fires' maps.
        ground: what it has seen; None if that is not known.
        reference: points that a person drew on its maps; None if there are none.
    """

    model: WindowModel
    manifest: CheckpointManifest
    rules: MapRules
    ground: KnownGround | None
    reference: Reference | None = None


@dataclass(frozen=True)
class MapOutcome:
    """What came of a task.

    Attributes:
        task: the task.
        frame: the map's pixels.
        record: what `map.json` says; None if there is no map.
        reason: why there is none: `no_scene` or `too_cloudy`.
        made: whether it was made now; else it was there.
    """

    task: MapTask
    frame: Frame
    record: dict[str, Any] | None
    reason: str = ""
    made: bool = True


def make_map(task: MapTask, spec: MapSpec, judge: Judge, progress: Progress = silent) -> MapOutcome:
    """Make a map, or keep the one that is there.

    Args:
        task: what to map.
        spec: how.
        judge: by what.
        progress: told of blocks.

    Raises:
        InputError: a scene can't be read, or the area is too wide for a map.
        SourceUnavailableError: the archive does not answer.
        StorageError: the map can't be written; the one that was there stays.
    """
    frame = frame_around(task.geometry, spec.resolution_m, task.buffer_m)
    lattice = Lattice(spec.size_px, spec.settings.stride_of(spec.size_px))
    boxes = mapped_boxes(task, frame, spec.settings.block_px)
    archive = open_archive(spec.data_root, task.work / DATASET, spec.imagery.layer, spec.settings.mosaics)
    try:
        after, before = _find(task, spec, archive, frame, boxes, lattice, progress)
        if not after.scenes:
            return MapOutcome(task, frame, None, "too_cloudy" if after.reasons.get("too_cloudy") else "no_scene")
        ground = None if judge.ground is None else judge.ground.under(frame, task)
        inputs = MapInputs(
            task, spec, frame, judge.manifest, judge.rules, after.scenes,
            () if before is None else before.scenes, ground, tuple(boxes),
            None if judge.reference is None else judge.reference.on(frame, task),
        )  # fmt: skip
        if is_whole(task.folder, inputs.digest):
            return MapOutcome(task, frame, read_json(task.folder / MAP_FILE), made=False)
        store = BlockStore(task.work / BLOCKS, inputs.digest)
        _make_blocks(inputs, judge.model, (after, before), lattice, store, progress)
    finally:
        close_files(archive.source)
    record = write_map(inputs, store, task.work)
    store.remove()
    if archive.config.data_source is not None and archive.config.data_source.ingest:
        shutil.rmtree(task.work / DATASET, ignore_errors=True)
    return MapOutcome(task, frame, record)


def mapped_boxes(task: MapTask, frame: Frame, block_px: int) -> list[Box]:
    """The blocks of a map that have something to show: all for a fire, those that meet an area of interest."""
    boxes = frame.blocks(block_px)
    if task.fire_id is not None:
        return boxes
    area = project(task.geometry, GEOGRAPHIC_CRS, f"EPSG:{frame.epsg}")
    shapely.prepare(area)
    met = shapely.intersects(area, [frame.metres(box) for box in boxes])
    return [box for box, meets in zip(boxes, met, strict=True) if meets]


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


def _make_blocks(
    inputs: MapInputs,
    model: WindowModel,
    found: tuple[Found, Found | None],
    lattice: Lattice,
    store: BlockStore,
    progress: Progress,
) -> None:
    """Make the blocks that are not finished yet."""
    after, before = found
    task, spec, frame = inputs.task, inputs.spec, inputs.frame
    missing = [box for box in inputs.boxes if store.read(box) is None]
    done = len(inputs.boxes) - len(missing)
    moments = [scene.acquired for scene in after.scenes]
    images = read_mosaics(after, frame, [lattice.reach(box) for box in missing], spec.sensor.names, spec.imagery)
    earlier: Iterator[Mosaic | None] = (
        repeat(None, len(missing)) if before is None
        else iter(read_mosaics(before, frame, missing, spec.sensor.shown, spec.imagery))
    )  # fmt: skip
    progress(f"mapping {task.title}", done, len(inputs.boxes))
    for box, image, old in zip(missing, images, earlier, strict=True):
        probability = judge_block(
            model, image, box, moments, lattice,
            min_clear_share=spec.settings.min_clear_share, batch_size=spec.settings.batch_size,
        )  # fmt: skip
        store.write(box, _made(box, image, old, probability, spec.sensor))
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
