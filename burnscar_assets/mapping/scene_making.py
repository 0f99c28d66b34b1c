"""Reading fire scenes: the images of each frame, once, and its truth, put in place as one whole window.

A frame whose scenes and place are as they were is not read again; where only perimeters or burns changed, its truth is
drawn anew beside the images that are there. A kill leaves each window as it was, or whole.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd

from burnscar_assets.classes import BURNT, UNLABELLED
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.dataset.config import before_layer, close_files, open_dataset
from burnscar_assets.dataset.layout import LABEL_BAND, LABEL_RASTER_LAYER
from burnscar_assets.dataset.tile_identity import TileIdentity, still_valid
from burnscar_assets.mapping.fire_scenes import (
    NO_NUMBER,
    SOURCE_BANDS,
    raster_path,
    source_layer,
    write_scenes_config,
)
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.mosaic import NO_SCENE, Validity, read_mosaics
from burnscar_assets.mapping.scene_frames import FIRE, NO_FIRE, PlannedFrame, draw_truth
from burnscar_assets.mapping.scene_searches import (
    AFTER,
    BEFORE,
    DATASET,
    forget_other_searches,
    remove_fetched,
    search_name,
)
from burnscar_assets.mapping.scenes import Archive, Found, Scene, find_before, find_scenes, identity_of, open_archive
from burnscar_assets.progress import Progress, silent
from burnscar_assets.regions.load import working_region
from burnscar_assets.settings import Settings
from burnscar_assets.storage.atomic import atomic_folder, read_json, storage_errors, write_json
from burnscar_assets.storage.contracts import FIRE_SCENES
from burnscar_assets.storage.paths import DataRoot

if TYPE_CHECKING:
    from rslearn.dataset import Dataset, Window

Pixels = npt.NDArray[np.uint16]
_HASH_LENGTH: Final = 16


@dataclass(frozen=True)
class FireSceneSummary:
    """What reading a fire year's scenes came to.

    Frames of fires, and without fire, that have an image after, and frames without one; of those with one, those read
    now, and of the others those whose truth was redrawn.
    """

    fires: int
    without_fire: int
    without_image: int
    read: int
    redrawn: int


class _Image(NamedTuple):
    """An image of a frame: (bands, height, width) digital numbers, and (`SOURCE_BANDS`, height, width)."""

    pixels: Pixels
    source: Pixels


class _Done(NamedTuple):
    """What came of a frame: its row, and whether its images were read and its truth drawn."""

    row: dict[str, Any]
    read: bool = False
    drawn: bool = False


def make_fire_scenes(
    planned: Sequence[PlannedFrame],
    burns: gpd.GeoDataFrame,
    fire_year: int,
    settings: Settings,
    root: DataRoot,
    *,
    code: str = "",
    progress: Progress = silent,
) -> tuple[gpd.GeoDataFrame, FireSceneSummary]:
    """Sync the windows of a year's frames with archive, perimeters and burns.

    What code of another version read is read again. Returns the table `fire_scenes` of the year.

    Raises:
        SourceUnavailableError: the archive does not answer.
        InputError: a scene can't be read.
        StorageError: no space, or no permission; every window is then as it was, or whole.
    """
    write_scenes_config(root, settings.imagery.layer, settings.sensor.names)
    done: list[_Done] = []
    searched: set[str] = set()
    with _archive(settings, root, fire_year) as archive:
        for number, frame in enumerate(planned):
            progress("reading fire scenes", number, len(planned))
            done.append(_Work(frame, settings, root, code).sync(archive, burns, searched))
    progress("reading fire scenes", len(planned), len(planned))
    forget_other_searches(root, fire_year, settings.imagery.layer, searched)
    _remove_others(root, fire_year, {found.row["frame_id"] for found in done if found.row["complete"]})
    rows = gpd.GeoDataFrame(
        [found.row for found in done] or None,
        geometry=[frame.frame.footprint for frame in planned],
        crs=GEOGRAPHIC_CRS,
    )
    table = FIRE_SCENES.conform(rows) if done else FIRE_SCENES.empty()
    complete, fires = table["complete"].astype(bool), table["role"] == FIRE
    summary = FireSceneSummary(
        fires=int((complete & fires).sum()),
        without_fire=int((complete & ~fires).sum()),
        without_image=int((~complete).sum()),
        read=sum(found.read for found in done),
        redrawn=sum(found.drawn and not found.read for found in done),
    )
    return table, summary


class _Work:
    """The work on one frame."""

    def __init__(self, planned: PlannedFrame, settings: Settings, root: DataRoot, code: str) -> None:
        self._planned, self._settings, self._code = planned, settings, code
        self._frame, self._layer, self._bands = planned.frame, settings.imagery.layer, settings.sensor.names
        self._box = planned.frame.box.grown(settings.windows.size_px)
        self._year = int(planned.task.fire_year or working_region().fire_year(planned.task.start))
        self._root, self._folder = root, root.fire_scene_windows(self._year) / planned.name

    def sync(self, archive: Archive, burns: gpd.GeoDataFrame, searched: set[str]) -> _Done:
        """Sync the frame's window; what is searched after the fire is added to `searched`."""
        after, before = self._find(archive)
        searched.update(after.blocks)
        if not after.scenes:
            return _Done(self._row("too_cloudy" if after.reasons.get("too_cloudy") else "no_scene"))
        scenes = (after.scenes, () if before is None else before.scenes)
        identity, there = self._identity(archive, scenes), self._there()
        kept = still_valid(there, identity)
        images = None if kept else [None if found is None else self._read(found) for found in (after, before)]
        known = there if images is None else self._known(images, scenes[1])
        if known["clear_fraction"] is None:
            return _Done(self._row("no_data"))
        since = None if known["before_since"] is None else datetime.fromisoformat(known["before_since"])
        truth = draw_truth(self._planned, burns, self._settings, since)
        window = self._window(known | identity.as_entry() | {"label_hash": _hash(truth)} | _shares(truth))
        done = _Done(self._row("", scenes, window.options), not kept, there.get("label_hash") != _hash(truth))
        noted = json.loads(json.dumps(window.get_metadata()))
        if not kept or noted != read_json(self._folder / "metadata.json"):  # the truth, the split or the days differ
            self._write(window, truth, images, scenes)
        return done

    def _find(self, archive: Archive) -> tuple[Found, Found | None]:
        """Scenes after the fire, and those before it if there are any."""
        task, imagery, name = self._planned.task, self._settings.imagery, self._planned.name
        boxes = self._blocks()
        after = find_scenes(archive, self._frame, boxes, task.after, imagery, search_name(AFTER, name))
        if task.before is None or not after.scenes:
            return after, None
        before = find_before(archive, self._frame, boxes, task.before, task.after, imagery, search_name(BEFORE, name))
        return after, before if before.scenes else None

    def _blocks(self) -> list[Box]:
        around = Frame(self._frame.epsg, self._frame.resolution_m, self._box)
        return around.blocks(self._settings.mapping.block_px)

    def _identity(self, archive: Archive, scenes: Sequence[Sequence[Scene]]) -> TileIdentity:
        """What the images are known by; scenes whose files are gone since don't have them read again."""
        place = [self._frame.epsg, self._frame.resolution_m, self._box.bounds, self._frame.box.bounds]
        return identity_of(archive, [self._code, self._layer, self._settings.sensor.digest(), place], scenes)

    def _there(self) -> dict[str, Any]:
        """What is known of the window that is there; empty if there is none, or a file of it is gone."""
        options = read_json(self._folder / "metadata.json").get("options", {})
        layers = [layer for layer, _ in self._layers(with_before=bool(options.get("before")))]
        whole = all((self._folder / "layers" / layer / "completed").is_file() for layer in layers)
        return options if whole else {}

    def _layers(self, *, with_before: bool) -> list[tuple[str, tuple[str, ...]]]:
        """The layers of the window with their bands: image and source of each image, then the truth."""
        images = [self._layer, *([before_layer(self._layer)] if with_before else [])]
        pairs = [pair for name in images for pair in ((name, self._bands), (source_layer(name), SOURCE_BANDS))]
        return [*pairs, (LABEL_RASTER_LAYER, (LABEL_BAND,))]

    def _read(self, found: Found) -> _Image:
        """An image over the frame and what windows at its edge reach."""
        shape = (self._box.height, self._box.width)
        pixels = np.zeros((len(self._bands), *shape), np.uint16)
        source = np.stack([np.full(shape, NO_NUMBER, np.uint16), np.full(shape, Validity.NO_DATA, np.uint16)])
        for mosaic in read_mosaics(found, self._frame, self._blocks(), self._bands, self._settings.imagery):
            rows, columns = mosaic.box.slices_in(self._box)
            pixels[:, rows, columns] = mosaic.pixels
            source[0, rows, columns] = np.where(mosaic.scene == NO_SCENE, NO_NUMBER, mosaic.scene)
            source[1, rows, columns] = mosaic.validity
        return _Image(pixels, source)

    def _known(self, images: Sequence[_Image | None], scenes_before: Sequence[Scene]) -> dict[str, Any]:
        """What is to be known of images without reading them."""
        after, before = images
        rows, columns = self._frame.box.slices_in(self._box)
        validity = [None if image is None else image.source[1, rows, columns] for image in (after, before)]
        clear = [None if found is None else float((found == Validity.VALID).mean()) for found in validity]
        nothing = [found is None or bool((found == Validity.NO_DATA).all()) for found in validity]
        return {
            "before": not nothing[1],
            "clear_fraction": None if nothing[0] else clear[0],
            "before_clear_fraction": None if nothing[1] else clear[1],
            "before_since": self._since(before, scenes_before),
            "image_hash": _hash(*(part for image in images if image is not None for part in image)),
        }

    def _since(self, before: _Image | None, scenes: Sequence[Scene]) -> str | None:
        """When the first scene was taken that is in the image before, if that was before the days asked for first."""
        used: list[int] = [] if before is None else np.unique(before.source[0]).tolist()
        taken = [scenes[number].acquired for number in used if number != NO_NUMBER]
        start = self._planned.task.before_start
        return min(taken).isoformat() if start and taken and min(taken) < start else None

    def _window(self, known: dict[str, Any]) -> "Window":
        """The frame's window, with its tags and what is known of it."""
        from rslearn.dataset import Window
        from rslearn.utils.geometry import Projection

        frame, task, planned = self._frame, self._planned.task, self._planned
        tags = {"split": planned.split, "cluster_id": planned.cluster_id, "fire_id": task.fire_id or ""}
        return Window(
            open_dataset(self._root.fire_scenes).storage, str(self._year), planned.name,
            Projection(frame.crs, frame.resolution_m, -frame.resolution_m), self._box.bounds, (task.start, task.end),
            known | tags | {"frame": list(frame.box.bounds)},
        )  # fmt: skip

    def _write(
        self,
        window: "Window",
        truth: npt.NDArray[np.uint8],
        images: Sequence[_Image | None] | None,
        scenes: Sequence[Sequence[Scene]],
    ) -> None:
        """Put the window in place whole; without images, those that are there stay."""
        dataset, with_before = open_dataset(self._root.fire_scenes), window.options["before"]
        label = np.full((1, self._box.height, self._box.width), UNLABELLED, np.uint8)
        label[0][self._frame.box.slices_in(self._box)] = truth
        rasters: list[npt.NDArray[Any]] = [label]
        if images is not None:
            rasters = [part for image in images[: 1 + with_before] if image is not None for part in image]
            rasters.append(label)
        layers = self._layers(with_before=with_before)
        with atomic_folder(self._folder) as new:
            write_json(new / "metadata.json", window.get_metadata())
            write_json(new / "items.json", _items([self._layer, before_layer(self._layer)], scenes))
            if images is None:
                for layer, _ in layers[:-1]:
                    kept = Path("layers", layer)
                    shutil.copytree(self._folder / kept, new / kept, copy_function=os.link)
            for (layer, bands), raster in zip(layers[-len(rasters) :], rasters, strict=True):
                _write_raster(dataset, new, layer, bands, window, raster)

    def _row(
        self, reason: str, scenes: Sequence[Sequence[Scene]] = ((), ()), known: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The frame's row, without its geometry."""
        planned, frame, known = self._planned, self._frame, known or {}
        after, before = scenes[0], scenes[1] if known.get("before") else ()
        return {
            "frame_id": planned.name,
            "fire_id": planned.task.fire_id or "",
            "fire_year": self._year,
            "role": NO_FIRE if planned.task.fire_id is None else FIRE,
            "split": planned.split,
            "cluster_id": planned.cluster_id,
            "utm_epsg": frame.epsg,
            "min_col": frame.box.left,
            "min_row": frame.box.top,
            "width_px": frame.box.width,
            "height_px": frame.box.height,
            "resolution_m": frame.resolution_m,
            "layer": self._layer,
            "bands": list(self._bands),
            "complete": not reason,
            "reason": reason,
            "after_items": [scene.item.name for scene in after],
            "after_times": [scene.acquired.isoformat() for scene in after],
            "before_items": [scene.item.name for scene in before],
            "before_times": [scene.acquired.isoformat() for scene in before],
            "before_since": pd.to_datetime(known.get("before_since")),
            **{name: known.get(name) for name in _FIGURES},
            "image_hash": known.get("image_hash", ""),
            "label_hash": known.get("label_hash", ""),
            "simulated": self._settings.simulated_imagery or planned.task.simulated_perimeter,
        }


_FIGURES: Final = ("clear_fraction", "before_clear_fraction", "burnt_share", "unlabelled_share")


@contextmanager
def _archive(settings: Settings, root: DataRoot, fire_year: int) -> Iterator[Archive]:
    """The archive; what was fetched of one that has to be is gone at the end."""
    work = root.fire_scene_work(fire_year) / DATASET
    archive = open_archive(root, work, settings.imagery.layer, settings.mapping.mosaics)
    try:
        yield archive
    finally:
        close_files(archive.source)
    if archive.config.data_source is not None and archive.config.data_source.ingest:
        remove_fetched(work)


def _remove_others(root: DataRoot, fire_year: int, names: set[str]) -> None:
    """Remove windows of frames that there are no more."""
    folder = root.fire_scene_windows(fire_year)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name not in names and not path.name.startswith("."):
                shutil.rmtree(path)


def _write_raster(
    dataset: "Dataset", folder: Path, layer: str, bands: Sequence[str], window: "Window", raster: npt.NDArray[Any]
) -> None:
    """Write a layer of a window as rslearn does, with its marker."""
    from rslearn.utils.raster_array import RasterArray, RasterMetadata
    from upath import UPath

    band_set = dataset.layers[layer].band_sets[0]
    metadata = RasterMetadata(nodata_value=band_set.nodata_value)
    array = RasterArray(chw_array=raster, metadata=metadata)
    target = raster_path(folder, layer, bands).parent
    target.mkdir(parents=True)
    band_set.instantiate_raster_format().encode_raster(UPath(target), window.projection, window.bounds, array)
    (folder / "layers" / layer / "completed").touch()


def _items(layers: Sequence[str], scenes: Sequence[Sequence[Scene]]) -> list[dict[str, Any]]:
    """The scenes of a window's layers, as rslearn notes them: one group, of which each pixel is the first clear one."""
    from rslearn.dataset.window import WindowLayerData

    return [
        WindowLayerData(layer, [[scene.item.serialize() for scene in some]], materialized=True).serialize()
        for layer, some in zip(layers, scenes, strict=True)
        if some
    ]


def _shares(truth: npt.NDArray[np.uint8]) -> dict[str, float]:
    return {
        "burnt_share": float((truth == BURNT).mean()),
        "unlabelled_share": float((truth == UNLABELLED).mean()),
    }


def _hash(*arrays: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:_HASH_LENGTH]
