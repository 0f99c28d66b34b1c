"""Where the tiles of a layer lie: read, replaced and taken away whole, whatever layout the dataset has.

rslearn's own interface has no way to take a tile away or to ask for many at once; a shelf adds these to the two
layouts that a dataset may have: rslearn's files, a folder a tile, and packed storage, a file a fire year.
"""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError
from upath import UPath

from burnscar_assets.errors import MissingDataError
from burnscar_assets.storage.atomic import storage_errors

if TYPE_CHECKING:
    from rslearn.config import LayerConfig
    from rslearn.dataset import Dataset, Window
    from rslearn.utils.raster_array import RasterArray

    from burnscar_assets.dataset.packed.rasters import RasterRow
    from burnscar_assets.dataset.packed.storage import PackedWindowStorage

    Rasters = list[list[RasterArray]]
    Tile = tuple[Window, Rasters]

Pixels = npt.NDArray[np.generic]

AT_ONCE = 512
"""Packed tiles that are read at a time."""

_NEW = ".tile-new"


class Shelf(ABC):
    """The tiles of one layer of a dataset."""

    def __init__(self, dataset: "Dataset", layer: str) -> None:
        """Open the shelf; nothing is read yet."""
        self.dataset = dataset
        self.layer = layer
        self.config: LayerConfig = dataset.layers[layer]

    @abstractmethod
    def completed(self, group: str) -> set[str]:
        """Names of the windows of a group that have a whole tile."""

    @abstractmethod
    def read(self, group: str, names: Sequence[str], bands: Sequence[str], index: int = 0) -> Iterator[Pixels | None]:
        """Pixels of windows, in their order: a band set's, of one item group.

        Args:
            group: group of the windows.
            names: windows.
            bands: a band set of the layer.
            index: number of the item group.

        Yields:
            Arrays (bands, height, width); None for a tile that is missing or broken.
        """

    @abstractmethod
    def put(self, group: str, tiles: "Sequence[Tile]") -> None:
        """Put whole tiles in place of what is there.

        Args:
            group: group of the windows.
            tiles: windows of the dataset, and their rasters of each item group and band set, (bands, times, height,
                width).

        Raises:
            StorageError: the dataset can't be written; what was there is as before.
        """

    @abstractmethod
    def remove(self, group: str, names: Iterable[str]) -> None:
        """Take tiles away, where there are any."""

    def transaction(self, group: str) -> AbstractContextManager[Any]:
        """What happens inside is one write to the group, where the layout can do that."""
        return nullcontext()


class FileShelf(Shelf):
    """Tiles as rslearn lays them out by default: a folder a tile, a GeoTIFF a band set."""

    def completed(self, group: str) -> set[str]:
        """Names of the windows of a group whose tile has its marker."""
        return {marker.parts[-4] for marker in self._group(group).glob(f"*/layers/{self.layer}/completed")}

    def read(self, group: str, names: Sequence[str], bands: Sequence[str], index: int = 0) -> Iterator[Pixels | None]:
        """Pixels of the GeoTIFFs at their own grid, without rslearn's reprojection."""
        for name in names:
            try:
                with rasterio.open(_geotiff(self._group(group) / name, self.layer, bands, index)) as source:
                    yield source.read()
            except (OSError, RasterioError):
                yield None

    def put(self, group: str, tiles: "Sequence[Tile]") -> None:
        """Write each tile beside the one that is there, then exchange them; a kill between leaves none."""
        for window, rasters in tiles:
            self._put_one(window, rasters)

    def _put_one(self, window: "Window", rasters: "Rasters") -> None:
        root = Path(window.window_root)
        with storage_errors(root):
            shutil.rmtree(root / _NEW, ignore_errors=True)
            try:
                self._write(window, root / _NEW, rasters)
                self.remove(window.group, [window.name])
                (root / "layers").mkdir(exist_ok=True)
                for folder in sorted((root / _NEW / "layers").iterdir(), reverse=True):
                    folder.replace(root / "layers" / folder.name)
            finally:
                shutil.rmtree(root / _NEW, ignore_errors=True)

    def remove(self, group: str, names: Iterable[str]) -> None:
        """Delete folders; the `completed` marker goes first, so that a part of a tile is never taken for whole."""
        for name in names:
            layers = self._group(group) / name / "layers"
            for folder in (layers / self.layer, *sorted(layers.glob(f"{self.layer}.*"))):
                if folder.exists():
                    with storage_errors(folder):
                        (folder / "completed").unlink(missing_ok=True)
                        shutil.rmtree(folder)

    def _write(self, window: "Window", folder: Path, rasters: "Rasters") -> None:
        from rslearn.dataset.window_data_storage.per_item_group import (
            per_item_group_layer_dir,
            per_item_group_raster_dir,
        )

        formats = [band_set.instantiate_raster_format() for band_set in self.config.band_sets]
        for index, group in enumerate(rasters):
            for band_set, raster_format, raster in zip(self.config.band_sets, formats, group, strict=True):
                grid = band_set.get_final_projection_and_bounds(window.projection, window.bounds)
                target = per_item_group_raster_dir(UPath(folder), self.layer, band_set.bands, index)
                raster_format.encode_raster(target, *grid, raster)
            Path(per_item_group_layer_dir(UPath(folder), self.layer, index), "completed").touch()

    def _group(self, group: str) -> Path:
        return Path(self.dataset.path) / "windows" / group


class PackedShelf(Shelf):
    """Tiles in packed storage: a file a group."""

    def completed(self, group: str) -> set[str]:
        """Names of the windows of a group that have a whole tile."""
        return set(self._storage.completed(group, self.layer))

    def read(self, group: str, names: Sequence[str], bands: Sequence[str], index: int = 0) -> Iterator[Pixels | None]:
        """Pixels, many windows at a time; one by one where some of them are missing or broken."""
        for start in range(0, len(names), AT_ONCE):
            part = names[start : start + AT_ONCE]
            try:
                yield from self._read(group, part, bands, index)
            except MissingDataError:
                yield from (self._read_one(group, name, bands, index) for name in part)

    def put(self, group: str, tiles: "Sequence[Tile]") -> None:
        """Write all tiles with their markers, or nothing."""
        from burnscar_assets.dataset.packed.rasters import compress

        rows = [compress(row) for window, rasters in tiles for row in self._rows(window, rasters)]
        names = [window.name for window, _ in tiles]
        marks = [(window.name, self.layer, index) for window, rasters in tiles for index in range(len(rasters))]
        pack = self._storage.pack(group)
        with pack.transaction():
            pack.remove_layer(names, self.layer)
            pack.rasters.put_compressed(rows)
            pack.mark_completed(marks)

    def _rows(self, window: "Window", rasters: "Rasters") -> "Iterator[RasterRow]":
        from burnscar_assets.dataset.packed.data import stored_raster
        from burnscar_assets.dataset.packed.rasters import RasterRow

        for index, group in enumerate(rasters):
            for band_set, raster in zip(self.config.band_sets, group, strict=True):
                grid = band_set.get_final_projection_and_bounds(window.projection, window.bounds)
                yield RasterRow(window.name, self.layer, index, stored_raster(band_set.bands, grid[0], grid[1], raster))

    def remove(self, group: str, names: Iterable[str]) -> None:
        """Take tiles and their markers away."""
        self._storage.remove_layer(group, list(names), self.layer)

    def transaction(self, group: str) -> AbstractContextManager[Any]:
        """What happens inside is one write to the group's file."""
        return self._storage.transaction(group)

    def _read(self, group: str, names: Sequence[str], bands: Sequence[str], index: int) -> Pixels:
        from burnscar_assets.dataset.packed.pixels import read_pixels

        return read_pixels(Path(self.dataset.path), group, names, self.layer, bands, index)

    def _read_one(self, group: str, name: str, bands: Sequence[str], index: int) -> Pixels | None:
        try:
            return self._read(group, [name], bands, index)[0]
        except MissingDataError:
            return None

    @property
    def _storage(self) -> "PackedWindowStorage":
        return cast("PackedWindowStorage", self.dataset.storage)


def open_shelf(dataset: "Dataset", layer: str) -> Shelf:
    """The shelf of a layer, for the layout that the dataset has."""
    from burnscar_assets.dataset.packed.storage import PackedWindowStorage

    packed = isinstance(dataset.storage, PackedWindowStorage)
    return PackedShelf(dataset, layer) if packed else FileShelf(dataset, layer)


def _geotiff(window_root: Path, layer: str, bands: Sequence[str], index: int) -> str:
    from rslearn.dataset.window_data_storage.per_item_group import per_item_group_raster_dir
    from rslearn.utils.raster_format import GeotiffRasterFormat

    return str(per_item_group_raster_dir(UPath(window_root), layer, list(bands), index) / GeotiffRasterFormat.fname)
