"""The rasters of a map: finished blocks, which a killed mapper finds when it goes on, and the folder's GeoTIFFs."""

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from burnscar_assets.errors import StorageError
from burnscar_assets.mapping.frame import Box, Frame
from burnscar_assets.mapping.inference import NO_ANSWER
from burnscar_assets.mapping.mosaic import NO_SCENE, Validity
from burnscar_assets.storage.atomic import atomic_file, storage_errors

TILE_PX: Final = 256
COG: Final = {"driver": "COG", "compress": "DEFLATE", "predictor": "YES", "blocksize": TILE_PX, "num_threads": 1}
SHOWN: Final = 3
"""Bands of the images that a map shows."""


@dataclass(frozen=True)
class Raster:
    """A raster of a map.

    `nodata` is None if every value means something.
    """

    name: str
    dtype: str
    nodata: float | None
    description: str
    bands: tuple[str, ...] = ("",)
    overview: str = "nearest"

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"{self.name}.tif"


PROBABILITY: Final = Raster("probability", "float32", -1, "Probability of burnt, 0–1", overview="average")
BURNED: Final = Raster("burned", "uint8", 255, "0 unburnt, 1 burnt, 255 no answer", overview="mode")
ACQUIRED: Final = Raster("acquired", "uint16", 0, "Days from 1970-01-01 to the pixel's image")
VALIDITY: Final = Raster("validity", "uint8", None, "0 valid, 1 cloud or its shadow, 2 no data", overview="mode")
AFTER: Final = Raster("after", "uint16", 0, "Digital numbers after the fire", ("swir2", "nir", "red"), "average")
BEFORE: Final = Raster("before", "uint16", 0, "Digital numbers before the fire", AFTER.bands, "average")
"""Their bands are named by what they show; in a file, as the sensor calls them."""
DNBR: Final = Raster("dnbr", "float32", -9999, "NBR before minus NBR after the fire", overview="average")
SEVERITY: Final = Raster("severity", "uint8", 0, "Class of burn severity by dNBR, 0 no data", overview="mode")
GROUND: Final = Raster(
    "ground",
    "uint8",
    None,
    "1 the model was trained on it, 2 another burn of the season, 3 an older scar, 4 an old scar by the image before "
    "that the model calls burnt, else 0",
)
ALL: Final = (PROBABILITY, BURNED, ACQUIRED, VALIDITY, AFTER, BEFORE, DNBR, SEVERITY, GROUND)


class RasterWriter:
    """Writes parts of rasters that are made at the same time.

    Plain GeoTIFFs lie in the folder while they are written; the tags are kept in each file.
    """

    def __init__(self, folder: Path, frame: Frame, tags: dict[str, str]) -> None:
        self._folder, self._frame, self._tags = folder, frame, tags
        self._open: dict[str, DatasetWriter] = {}
        self._rasters: dict[str, Raster] = {}

    @contextmanager
    def writing(self) -> Iterator["RasterWriter"]:
        """Files are open within the block."""
        with ExitStack() as stack, raster_errors(self._folder):
            stack.callback(self._close)
            yield self

    def write(self, raster: Raster, box: Box, pixels: npt.NDArray[Any]) -> None:
        """Write a box of a raster: (height, width), or (bands, height, width)."""
        sink = self._open.get(raster.name) or self._new(raster)
        planes = pixels if pixels.ndim == 3 else pixels[None]
        rows, columns = box.slices_in(self._frame.box)
        sink.write(planes.astype(raster.dtype, copy=False), window=Window.from_slices(rows, columns))

    def finish(self, target: Path) -> None:
        """Make the files cloud-optimized in a folder."""
        with raster_errors(target):
            for raster in self._rasters.values():
                plain = self._folder / raster.file
                rasterio.shutil.copy(plain, target / raster.file, **COG, overview_resampling=raster.overview)
                plain.unlink()

    def _new(self, raster: Raster) -> DatasetWriter:
        height, width = self._frame.shape
        sink = rasterio.open(
            self._folder / raster.file,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=len(raster.bands),
            dtype=raster.dtype,
            nodata=raster.nodata,
            crs=self._frame.crs,
            transform=self._frame.transform,
            tiled=True,
            blockxsize=TILE_PX,
            blockysize=TILE_PX,
            compress="DEFLATE",
            zlevel=1,
            bigtiff="IF_SAFER",
        )
        sink.update_tags(DESCRIPTION=raster.description, **self._tags)
        for number, name in enumerate(raster.bands, start=1):
            sink.set_band_description(number, name or raster.name)
        self._open[raster.name], self._rasters[raster.name] = sink, raster
        return sink

    def _close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


@contextmanager
def raster_errors(place: Path) -> Iterator[None]:
    """Turn GDAL's refusals to write into one clear error.

    Raises:
        StorageError: a raster could not be written.
    """
    try:
        yield
    except RasterioError as error:
        raise StorageError(
            f"rasters can't be written to {place} ({error}): free some space, then run the same"
        ) from error


def read_raster(folder: Path, raster: Raster) -> npt.NDArray[Any]:
    """(height, width) first band of a raster of a map."""
    with rasterio.open(folder / raster.file) as source:
        return np.asarray(source.read(1))


@dataclass(frozen=True)
class MadeBlock:
    """A block's pixels, (height, width) each.

    Attributes:
        probability: of burnt as the model has it, not calibrated, 0–1; -1 without an answer.
        scene: number of the scene after the fire; -1 without data.
        validity: a `mosaic.Validity` each.
        after: (bands, height, width) digital numbers of the bands shown.
        before: the same of the image before the fire; of height and width 0 if there is none.
        before_clear: whether the image before the fire shows the ground; as `before`.
    """

    probability: npt.NDArray[np.float32]
    scene: npt.NDArray[np.int16]
    validity: npt.NDArray[np.uint8]
    after: npt.NDArray[np.uint16]
    before: npt.NDArray[np.uint16]
    before_clear: npt.NDArray[np.bool_]


def empty_block(box: Box) -> MadeBlock:
    """A block that shows nothing."""
    shape = (box.height, box.width)
    return MadeBlock(
        probability=np.full(shape, NO_ANSWER, np.float32),
        scene=np.full(shape, NO_SCENE, np.int16),
        validity=np.full(shape, Validity.NO_DATA, np.uint8),
        after=np.zeros((SHOWN, *shape), np.uint16),
        before=np.zeros((SHOWN, 0, 0), np.uint16),
        before_clear=np.zeros((0, 0), bool),
    )


class BlockStore:
    """The finished blocks of one map.

    Blocks of other inputs in the folder are removed.
    """

    def __init__(self, folder: Path, inputs_hash: str) -> None:
        self._folder = folder / inputs_hash[:16]
        with storage_errors(folder):
            for other in folder.glob("*") if folder.exists() else ():
                if other != self._folder:
                    shutil.rmtree(other)

    def read(self, box: Box) -> MadeBlock | None:
        """A finished block; none if it isn't there, or is damaged."""
        try:
            with np.load(self._path(box), allow_pickle=False) as stored:
                block = MadeBlock(**{field.name: stored[field.name] for field in fields(MadeBlock)})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return block if block.probability.shape == (box.height, box.width) else None

    def write(self, box: Box, block: MadeBlock) -> None:
        """Keep a block, complete or not at all."""
        with atomic_file(self._path(box)) as temporary, temporary.open("wb") as sink:
            np.savez(sink, **{field.name: getattr(block, field.name) for field in fields(MadeBlock)})

    def remove(self) -> None:
        """Forget all blocks: the map is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, box: Box) -> Path:
        return self._folder / f"{'_'.join(map(str, box.bounds))}.npz"
