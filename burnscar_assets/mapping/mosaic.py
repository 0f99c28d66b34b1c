"""One image of each block, put together from scenes pixel by pixel: the first scene that shows the ground there."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from burnscar_assets.catalog.hrefs import is_remote
from burnscar_assets.crs import GEOGRAPHIC_CRS
from burnscar_assets.errors import InputError, SourceUnavailableError
from burnscar_assets.mapping.frame import Box, Frame, project
from burnscar_assets.mapping.scenes import Found, Scene
from burnscar_assets.reader.clearness import Classes, Clearness, at_pixels
from burnscar_assets.settings import ImagerySettings

if TYPE_CHECKING:
    from rslearn.config import LayerConfig

    from burnscar_assets.reader.radiometry import RadiometryDecision
    from burnscar_assets.reader.request import Failure

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint16]

NO_SCENE: Final = -1
BLOCKS_AT_ONCE: Final = 4
"""Blocks that are read together, so that what they share of a file is decoded once; and as many are read ahead."""


class Validity(IntEnum):
    """What is known of a pixel."""

    VALID = 0
    UNCLEAR = 1
    NO_DATA = 2


@dataclass(frozen=True)
class Mosaic:
    """A block's image.

    Attributes:
        box: its pixels.
        pixels: (bands, height, width) digital numbers, 0 without data.
        scene: (height, width) number of each pixel's scene among those found, `NO_SCENE` without data.
        validity: (height, width) a `Validity` each: unclear is cloud, cirrus or a cloud's shadow.
    """

    box: Box
    pixels: Pixels
    scene: npt.NDArray[np.int16]
    validity: npt.NDArray[np.uint8]

    def of_bands(self, bands: Sequence[str], wanted: Sequence[str]) -> "Mosaic":
        """The image with some of its bands, in the order wanted."""
        if tuple(bands) == tuple(wanted):
            return self
        return replace(self, pixels=self.pixels[[bands.index(band) for band in wanted]])

    def part(self, box: Box) -> "Mosaic":
        """The image of a box within."""
        rows, columns = box.slices_in(self.box)
        return Mosaic(box, self.pixels[:, rows, columns], self.scene[rows, columns], self.validity[rows, columns])


class LayerImage(NamedTuple):
    """An image of a raster layer that a model reads.

    `moments` are when each scene was acquired, by its number in the image.
    """

    mosaic: Mosaic
    moments: Sequence[datetime]


def read_mosaics(
    found: Found, frame: Frame, boxes: Sequence[Box], bands: Sequence[str], settings: ImagerySettings
) -> Iterator[Mosaic]:
    """The images of blocks, in their order; some are read ahead.

    Boxes may reach beyond the frame, and overlap each other.

    Raises:
        SourceUnavailableError: the archive does not answer, or a file of it on the network can't be read.
        InputError: a scene's offset is unknown.
    """
    parts = [boxes[first : first + BLOCKS_AT_ONCE] for first in range(0, len(boxes), BLOCKS_AT_ONCE)]
    reader = _Reader(found, frame, bands, settings)
    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(reader.read, part) for part in parts[:1]]
        for number in range(len(parts)):
            mosaics = ahead.pop().result()
            if number + 1 < len(parts):
                ahead.append(pool.submit(reader.read, parts[number + 1]))
            yield from mosaics


def choose(clear: npt.NDArray[np.bool_], there: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int16], Classes]:
    """Which scene each pixel is of, and what is known of it.

    Both are (scenes, height, width): whether each scene shows the ground, and whether each has data.

    Returns:
        Numbers of scenes, `NO_SCENE` without data: the first that is clear, else the first that has data; and the
        `Validity` of each pixel.
    """
    if not len(there):
        empty = np.full(there.shape[1:], NO_SCENE, np.int16)
        return empty, np.full(there.shape[1:], Validity.NO_DATA, np.uint8)
    any_clear, any_there = clear.any(axis=0), there.any(axis=0)
    chosen = np.where(any_clear, clear.argmax(axis=0), np.where(any_there, there.argmax(axis=0), NO_SCENE))
    validity = np.where(any_clear, Validity.VALID, np.where(any_there, Validity.UNCLEAR, Validity.NO_DATA))
    return chosen.astype(np.int16), validity.astype(np.uint8)


class _Reader:
    def __init__(self, found: Found, frame: Frame, bands: Sequence[str], settings: ImagerySettings) -> None:
        from rslearn.utils.geometry import Projection

        from burnscar_assets.reader.request import ReadOptions

        self._projection = Projection(frame.crs, frame.resolution_m, -frame.resolution_m)
        self._found, self._frame, self._bands = found, frame, list(bands)
        self._config = _layer_of(found, bands)
        self._order = [band for band_set in self._config.band_sets for band in band_set.bands]
        self._options = ReadOptions.of(settings)
        self._decisions: dict[str, RadiometryDecision] = {}
        self._useless: set[str] = set()

    def read(self, boxes: Sequence[Box]) -> list[Mosaic]:
        """Images of blocks that are read together."""
        mosaics = self._try(boxes)
        while mosaics is None:  # a scene less is left each time
            mosaics = self._try(boxes)
        return mosaics

    def _try(self, boxes: Sequence[Box]) -> list[Mosaic] | None:
        """The images; None if a scene turned out to be of no use."""
        candidates = [self._over(box) for box in boxes]
        looks = [(b, number) for b, numbers in enumerate(candidates) for number in numbers]
        seen = self._seen(boxes, looks)
        needed = [self._needed(numbers, b, seen) for b, numbers in enumerate(candidates)]
        pixels = self._pixels(boxes, needed)
        if pixels is None:
            return None
        return [
            self._mosaic(box, {n: pixels[b, n] for n in needed[b]}, {n: seen.get((b, n)) for n in needed[b]})
            for b, box in enumerate(boxes)
        ]

    def _over(self, box: Box) -> list[int]:
        """Numbers of the scenes over a block."""
        place = project(self._frame.metres(box), f"EPSG:{self._frame.epsg}", GEOGRAPHIC_CRS)
        return [
            number
            for number, scene in enumerate(self._found.scenes)
            if scene.outline.intersects(place) and scene.item.name not in self._useless
        ]

    def _seen(self, boxes: Sequence[Box], looks: list[tuple[int, int]]) -> dict[tuple[int, int], Classes]:
        """What scenes show of blocks, a `Clearness` a pixel, by block and scene; where quality files can be read."""
        from burnscar_assets.progress import silent
        from burnscar_assets.reader.views import Look, classified, ground_grid, ground_of, tells_ground

        source = self._found.archive.source
        ground = ground_of(source)
        if ground is None:
            return {}
        offered = [(b, n) for b, n in looks if tells_ground(source, self._scene(n).item)]
        asked = [Look(self._projection, boxes[b].bounds, self._scene(n).item) for b, n in offered]
        seen = {}
        for number, classes in classified(asked, source, self._options, silent):
            b, n = offered[number]
            _, (left, top, *_) = ground_grid(asked[number], ground)
            seen[b, n] = at_pixels(classes, left, top, boxes[b].bounds, self._frame.resolution_m / ground.metres)
        return seen

    def _needed(self, numbers: list[int], b: int, seen: dict[tuple[int, int], Classes]) -> list[int]:
        """Scenes that some pixel of a block is of, as far as the quality files tell."""
        if any((b, n) not in seen for n in numbers) or not numbers:
            return numbers
        classes = np.stack([seen[b, n] for n in numbers])
        chosen, _ = choose(classes == Clearness.CLEAR, classes != Clearness.NO_DATA)
        return [numbers[place] for place in np.unique(chosen) if place != NO_SCENE]

    def _pixels(self, boxes: Sequence[Box], needed: Sequence[Sequence[int]]) -> dict[tuple[int, int], Pixels] | None:
        """Bands of scenes over blocks; None if the numbers of one are in doubt: the map goes on without it."""
        from burnscar_assets.reader.read import read_windows
        from burnscar_assets.reader.request import WindowRequest

        archive = self._found.archive
        requests = [
            WindowRequest(str(b), self._projection, box.bounds, [[self._scene(n).item] for n in needed[b]])
            for b, box in enumerate(boxes)
            if needed[b]
        ]
        chosen = [self._order.index(band) for band in self._bands]
        read = {}
        for image in read_windows(
            requests, self._config, archive.source, archive.tile_store, self._options, decisions=self._decisions
        ):
            b = int(image.name)
            if image.failure and image.failure.kind == "in doubt":
                logger.warning("map goes on without scene %s: %s", image.failure.scene, image.failure.reason)
                self._useless.add(image.failure.scene)
                return None
            if image.failure:
                raise self._unreadable(image.failure, needed[b])
            for n, rasters in zip(needed[b], image.rasters, strict=True):
                planes = [raster.get_chw_array() for raster in rasters]
                read[b, n] = (planes[0] if len(planes) == 1 else np.concatenate(planes))[chosen]
        return read

    def _mosaic(self, box: Box, pixels: dict[int, Pixels], seen: "dict[int, Classes | None]") -> Mosaic:
        shape = (box.height, box.width)
        there = {n: (image != 0).all(axis=0) for n, image in pixels.items()}
        clear = {n: there[n] if (known := seen[n]) is None else there[n] & (known == Clearness.CLEAR) for n in pixels}
        empty = np.zeros((0, *shape), bool)
        chosen, validity = choose(
            np.stack([*clear.values()]) if pixels else empty, np.stack([*there.values()]) if pixels else empty
        )
        image = np.zeros((len(self._bands), *shape), np.uint16)
        scene = np.full(shape, NO_SCENE, np.int16)
        for place, (n, planes) in enumerate(pixels.items()):
            mine = chosen == place
            np.copyto(image, planes, where=mine)
            scene[mine] = n
        return Mosaic(box, image, scene, validity)

    def _unreadable(self, failure: "Failure", numbers: Sequence[int]) -> Exception:
        hrefs = [h for n in numbers for h in (getattr(self._scene(n).item, "asset_urls", None) or {}).values()]
        may_pass = any(map(is_remote, hrefs)) and not failure.lasting
        cure = (
            "run the same again later"
            if may_pass
            else "fetch it again or name it in imagery.exclude, then run the same"
        )
        kind = SourceUnavailableError if may_pass else InputError
        return kind(f"scene {failure.scene} of the map can't be read ({failure.reason}): {cure}; blocks are kept")

    def _scene(self, number: int) -> Scene:
        return self._found.scenes[number]


def _layer_of(found: Found, bands: Sequence[str]) -> "LayerConfig":
    """The layer with the bands wanted only, where files are read directly and hold a band each."""
    config = found.archive.config
    if config.data_source is None or config.data_source.ingest:
        return config
    kept = [(band_set, [band for band in band_set.bands if band in bands]) for band_set in config.band_sets]
    return config.model_copy(
        update={"band_sets": [band_set.model_copy(update={"bands": mine}) for band_set, mine in kept if mine]}
    )
