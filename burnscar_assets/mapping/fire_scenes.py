"""Fire scenes: whole frames of judged fires, with images after and before and the truth of each pixel.

They are read once, by stage `fire_scenes`, and kept as windows of an rslearn dataset of their own (`DataRoot.
fire_scenes`, group = fire year), so that every set-up, baseline and map answers on the same pixels::

    for scene in read_fire_scenes(root, 2021, [Split.VAL]):
        images = scene.images(model.layers, seen_box(model, lattice, scene.frame.box))
        probability = None if images is None else predict_block(model, images, scene.frame.box, lattice, …)
        truth = scene.truth()

A frame lies at random about its fire, and some frames have no fire. Nothing is read before it is asked for.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window as Part

from burnscar_assets.catalog.items import acquisition_time, processing_baseline
from burnscar_assets.classes import BURNT, UNBURNT, UNLABELLED, Split
from burnscar_assets.dataset.config import before_layer, put_config
from burnscar_assets.dataset.layout import LABEL_BAND, LABEL_RASTER_LAYER
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.mosaic import NO_SCENE, LayerImage, Mosaic, Validity
from burnscar_assets.mapping.scenes import SceneFacts
from burnscar_assets.storage.atomic import read_json
from burnscar_assets.storage.contracts import FIRE_SCENES
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table

TRUTH_BURNT: Final = 1
TRUTH_UNBURNT: Final = 0
TRUTH_UNKNOWN: Final = 255
"""Codes of `FireScene.truth`."""

SOURCE_BANDS: Final = ("scene", "validity")
NO_NUMBER: Final = 65535
"""A pixel's scene where it has no data, in the layers of `SOURCE_BANDS`."""

_GEOTIFF: Final = {
    "class_path": "rslearn.utils.raster_format.GeotiffRasterFormat",
    "init_args": {"geotiff_options": {"compress": "deflate", "zlevel": 1, "predictor": 2}},
}


@dataclass(frozen=True)
class FireScene:
    """One frame with its images and its truth, which are read when they are asked for.

    Attributes:
        name: of its window in the dataset.
        fire_id: the fire; None in a frame without fire.
        fire_year: its year.
        split: val or test, or its fold.
        cluster_id: the fire's cluster; in a frame without fire, its block of ground.
        frame: pixels that are judged.
        moments: when each scene after the fire was acquired, by its number in the image.
        moments_before: the same of the image before; empty without one.
        since: when the image before was taken, where it is of an earlier season: what burned since shows as fresh.
        layer: of the image after in the dataset.
        bands: of the images, in the sensor's order.
        reason: why there is no image after; empty if there is.
        image_hash: of the pixels of its images.
        folder: of the window.
    """

    name: str
    fire_id: str | None
    fire_year: int
    split: str
    cluster_id: str
    frame: Frame
    moments: tuple[datetime, ...]
    moments_before: tuple[datetime, ...]
    since: datetime | None
    layer: str
    bands: tuple[str, ...]
    reason: str
    image_hash: str
    folder: Path

    def check_layer(self, layer: str) -> None:
        """Check that the images are of the layer that a model reads: those of another have other radiometry or days.

        Raises:
            InputError: they are of another.
        """
        if layer != self.layer:
            raise InputError(
                f"fire scenes are of layer {self.layer} (the world's imagery.layer), and the set-up reads {layer}: "
                "choose a set-up without a layer of its own"
            )

    def after(self, box: Box | None = None) -> Mosaic:
        """The image after the fire, of all bands.

        Args:
            box: pixels wanted; without it, all there are: the frame and a window's side around it, which is as far as
                windows at its edge reach, whatever their stride.

        Raises:
            MissingDataError: it is gone, or the box reaches beyond it.
        """
        return self._mosaic(self.layer, box)

    def before(self, box: Box | None = None) -> Mosaic | None:
        """The image before the fire, as `after`; None if there is none."""
        return self._mosaic(before_layer(self.layer), box) if self.moments_before else None

    def clear(self, box: Box | None = None) -> npt.NDArray[np.bool_]:
        """(height, width) where the image after shows the ground; box and errors as in `after`."""
        return self._clear(self.layer, box)

    def clear_before(self, box: Box | None = None) -> npt.NDArray[np.bool_] | None:
        """The same of the image before; None if there is none."""
        return self._clear(before_layer(self.layer), box) if self.moments_before else None

    def images(self, layers: Mapping[str, Sequence[str]], box: Box) -> dict[str, LayerImage] | None:
        """What a model reads of the images after and before, each with its bands; None if there is no image before.

        Raises:
            MissingDataError: see `after`.
        """
        times = {self.layer: self.moments, before_layer(self.layer): self.moments_before}
        if not all(times[layer] for layer in layers):
            return None
        return {
            layer: LayerImage(self._mosaic(layer, box).of_bands(self.bands, bands), times[layer])
            for layer, bands in layers.items()
        }

    @property
    def scenes_after(self) -> tuple[SceneFacts, ...]:
        """The scenes of the image after, by their numbers in it."""
        return self._scenes(self.layer)

    @property
    def scenes_before(self) -> tuple[SceneFacts, ...]:
        """The same of the image before; none without one."""
        return self._scenes(before_layer(self.layer)) if self.moments_before else ()

    def _scenes(self, layer: str) -> tuple[SceneFacts, ...]:
        """What the window's own note of its items says."""
        if self.reason:
            return ()
        path = self.folder / "items.json"
        with self._remedy(path):
            noted = json.loads(path.read_text(encoding="utf-8"))
        groups = [group for entry in noted if entry["layer_name"] == layer for group in entry["serialized_item_groups"]]
        items = [(item, acquisition_time(item)) for group in groups for item in group]
        return tuple(
            SceneFacts(item["name"], acquired.astimezone(UTC), processing_baseline(item))
            for item, acquired in items
            if acquired is not None
        )

    def truth(self) -> npt.NDArray[np.uint8]:
        """(height, width) of the frame: 1 inside the fire's perimeter, 0 outside, 255 where nothing is judged.

        Nothing is judged where another fire burned between the images or in the same season, nor on ground of another
        split: validation is judged on its own ground alone, test on all but that of validation. Clouds are judged
        here: see the validity of the image. No margin about the outline is left out.
        """
        codes = self._read(LABEL_RASTER_LAYER, (LABEL_BAND,), self.frame.box)[1][0]
        truth = np.full(codes.shape, TRUTH_UNKNOWN, np.uint8)
        truth[codes == BURNT], truth[codes == UNBURNT] = TRUTH_BURNT, TRUTH_UNBURNT
        return truth

    def _clear(self, layer: str, box: Box | None) -> npt.NDArray[np.bool_]:
        _, (_, validity) = self._read(source_layer(layer), SOURCE_BANDS, box)
        return np.asarray(validity == Validity.VALID)

    def _mosaic(self, layer: str, box: Box | None) -> Mosaic:
        there, pixels = self._read(layer, self.bands, box)
        _, (number, validity) = self._read(source_layer(layer), SOURCE_BANDS, box)
        scene = np.where(number == NO_NUMBER, NO_SCENE, number).astype(np.int16)
        return Mosaic(there, pixels, scene, validity.astype(np.uint8))

    def _read(self, layer: str, bands: Iterable[str], box: Box | None) -> tuple[Box, npt.NDArray[Any]]:
        """A raster of the window, or a part of it, at its own grid."""
        path = raster_path(self.folder, layer, bands)
        with self._remedy(path), rasterio.open(path) as source:
            left, top = (
                round(source.transform.c / source.transform.a),
                round(source.transform.f / source.transform.e),
            )
            there = Box(left, top, left + source.width, top + source.height)
            wanted = there if box is None else box
            if not there.contains(wanted):
                raise MissingDataError(f"{path} doesn't reach as far as {wanted.bounds}, only {there.bounds}")
            part = Part(wanted.left - left, wanted.top - top, wanted.width, wanted.height)
            pixels = source.read(window=part)
        return wanted, pixels

    @contextmanager
    def _remedy(self, path: Path) -> Iterator[None]:
        """Say what to do where a file of the window is gone or damaged, or the window is of another run than the row.

        A run that ended half-way leaves windows that are newer than the table.
        """
        remedy = f"run burnscar refresh --years {self.fire_year}"
        known = read_json(self.folder / "metadata.json").get("options", {})
        if known.get("image_hash", self.image_hash) != self.image_hash:
            raise MissingDataError(f"{self.folder} has other images than table {FIRE_SCENES.name} says: {remedy}")
        try:
            yield
        except (OSError, ValueError, RasterioError) as error:
            raise MissingDataError(f"{path} can't be read ({error}): {remedy}") from error


def read_fire_scenes(root: DataRoot, fire_year: int, splits: Iterable[Split | str]) -> list[FireScene]:
    """The frames of a fire year and of some splits that have an image after, by name; pixels are not read yet.

    Raises:
        MissingDataError: the year has no fire scenes.
    """
    return [scene for scene in read_frames(root, fire_year, splits) if not scene.reason]


def read_frames(root: DataRoot, fire_year: int, splits: Iterable[Split | str]) -> list[FireScene]:
    """The same with those that have no image after, for a `reason`."""
    wanted = {str(split) for split in splits}
    rows = read_table(root, FIRE_SCENES, fire_year, columns=[c for c in FIRE_SCENES.column_names if c != "geometry"])
    chosen = rows[rows["split"].isin(wanted)].sort_values("frame_id")
    return [_scene(root, row) for row in chosen.itertuples(index=False)]


def source_layer(layer: str) -> str:
    """Name of the layer that says of each pixel of an image which scene it is of, and its `Validity`."""
    return f"{layer}_source"


def raster_path(folder: Path, layer: str, bands: Iterable[str]) -> Path:
    """The GeoTIFF of a layer in a window's folder."""
    from rslearn.utils.raster_format import GeotiffRasterFormat, get_bandset_dirname

    return folder / "layers" / layer / get_bandset_dirname(list(bands)) / GeotiffRasterFormat.fname


def write_scenes_config(root: DataRoot, layer: str, bands: tuple[str, ...]) -> None:
    """Put the dataset's configuration in place, if it isn't already."""
    put_config(root.fire_scenes, {"layers": _layers(layer, bands)})


def _layers(layer: str, bands: tuple[str, ...]) -> dict[str, Any]:
    images = dict.fromkeys((layer, before_layer(layer)), ("uint16", bands, 0))
    sources = {source_layer(name): ("uint16", SOURCE_BANDS, None) for name in images}
    truth = {LABEL_RASTER_LAYER: ("uint8", (LABEL_BAND,), UNLABELLED)}
    return {
        name: {
            "type": "raster",
            "band_sets": [
                {"dtype": dtype, "bands": list(stored), "format": _GEOTIFF}
                | ({} if nodata is None else {"nodata_value": nodata})
            ],
        }
        for name, (dtype, stored, nodata) in (images | sources | truth).items()
    }


def _scene(root: DataRoot, row: Any) -> FireScene:
    left, top = int(row.min_col), int(row.min_row)
    box = Box(left, top, left + int(row.width_px), top + int(row.height_px))
    return FireScene(
        name=row.frame_id,
        fire_id=None if pd.isna(row.fire_id) or not row.fire_id else row.fire_id,
        fire_year=int(row.fire_year),
        split=str(row.split),
        cluster_id=row.cluster_id,
        frame=Frame(int(row.utm_epsg), float(row.resolution_m), box),
        moments=tuple(map(datetime.fromisoformat, row.after_times)),
        moments_before=tuple(map(datetime.fromisoformat, row.before_times)),
        since=None if pd.isna(row.before_since) else row.before_since.to_pydatetime(),
        layer=row.layer,
        bands=tuple(row.bands),
        reason=row.reason,
        image_hash=row.image_hash,
        folder=root.fire_scene_windows(int(row.fire_year)) / row.frame_id,
    )
