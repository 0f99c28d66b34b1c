"""One split of a packed dataset for training: its pixels as arrays, whole batches of them at a time.

What a batch holds is what rslearn's own dataset, transforms and collate function give for the same windows, tensor
by tensor. `bulk_plan` says which configurations that is true of.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch  # noqa: TID253 - only a training process loads this module
from numpy.typing import NDArray
from rslearn.config import BandSetConfig  # noqa: TID253 - as above
from rslearn.dataset import Dataset, Window  # noqa: TID253
from rslearn.train.dataset import SplitConfig  # noqa: TID253
from rslearn.train.model_context import RasterImage, SampleMetadata  # noqa: TID253
from torch import Tensor  # noqa: TID253

from burnscar_assets.dataset.bulk_plan import Images, Reads, UnsupportedError, require
from burnscar_assets.dataset.packed.codec import Pixels
from burnscar_assets.dataset.packed.data import features_within
from burnscar_assets.dataset.packed.pixels import iter_pixels, read_pixels
from burnscar_assets.dataset.packed.rasters import RasterHeader
from burnscar_assets.dataset.packed.storage import PackedWindowStorage, grid_of
from burnscar_assets.errors import MissingDataError
from burnscar_assets.models.crop import middle

_READ_AT_ONCE: Final = 512
_COIN: Final = {-1: 0, -2: 1}
"""Which coin decides of which axis."""

_NARROW: Final = {torch.int64: torch.uint8, torch.float32: torch.float16}
_WIDE: Final = {narrow: wide for wide, narrow in _NARROW.items()}
"""Types that raster targets are kept in, and those that losses take."""

Samples = tuple[list[dict[str, Any]], list[dict[str, Any]], list[SampleMetadata]]
"""Inputs, targets and metadata of a batch, as rslearn's models take them."""


@dataclass
class Batch:
    """A batch on its way to the model.

    Attributes:
        images: by input, (windows, bands, time steps, rows, columns), float32.
        times: by input, start and end of each window's time steps.
        targets: by name, (windows,) of classes, or (windows, 1, 1, rows, columns) of rasters.
        metadata: of each window.
    """

    images: dict[str, Tensor]
    times: dict[str, list[list[tuple[datetime, datetime]]]]
    targets: dict[str, Tensor]
    metadata: list[SampleMetadata] = field(default_factory=list)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device, one copy for each input."""
        images = {name: image.to(device, non_blocking=True) for name, image in self.images.items()}
        targets = {name: target.to(device, non_blocking=True) for name, target in self.targets.items()}
        return Batch(images, self.times, targets, self.metadata)

    def pinned(self) -> "Batch":
        """The same batch in memory that a GPU copies from while it computes."""
        images = {name: image.pin_memory() for name, image in self.images.items()}
        return Batch(images, self.times, {n: t.pin_memory() for n, t in self.targets.items()}, self.metadata)

    def samples(self) -> Samples:
        """Window by window, as rslearn's collate function gives them."""
        count = range(len(self.metadata))
        inputs = [
            {name: RasterImage(image[n], self.times[name][n]) for name, image in self.images.items()} for n in count
        ]
        targets = [{name: _target(target[n]) for name, target in self.targets.items()} for n in count]
        return inputs, targets, self.metadata


class BulkSplit:
    """The windows of a split, in the order of rslearn's dataset.

    Args:
        dataset: a packed dataset.
        config: the split's configuration, which `plan_reads` accepted.
        reads: its plan.

    Raises:
        UnsupportedError: windows differ in size, have several time steps, or lie off their grid.
        MissingDataError: labels are damaged.
    """

    def __init__(self, dataset: Dataset, config: SplitConfig, reads: Reads) -> None:
        self._path = Path(dataset.path.path)
        self._dataset, self._reads = dataset, reads
        self._storage: PackedWindowStorage = dataset.storage
        self.windows = _windows(dataset, config, reads)
        for images in reads.images:
            _check_crop(self.windows, images)
        self._metadata = [_metadata(window) for window in self.windows]
        self._groups = _by_group(self.windows)
        self._times = {images.name: self._times_of(images) for images in reads.images}
        self._targets = self._read_targets()
        self._pixels: dict[str, Pixels] = {}

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def pixel_bytes(self) -> int:
        """What all pixels take in memory, in the dataset's own data types."""
        return sum(self._window_bytes(images) for images in self._reads.images) * len(self)

    def _window_bytes(self, images: Images) -> int:
        sizes = [_height(window) * _width(window) for window in self.windows[:1]]
        return sum(
            size * len(images.bands) * np.dtype(band_set.dtype.get_numpy_dtype()).itemsize
            for size in sizes
            for layer, _ in images.layers
            for band_set in _band_sets(self._dataset, layer, images.bands)[:1]
        )

    def load(self) -> None:
        """Read all pixels into memory, where batches are taken from then.

        Raises:
            MissingDataError: a window has no whole tile.
        """
        for images in self._reads.images:
            self._pixels[images.name] = self._read_all(images)

    @property
    def in_memory(self) -> bool:
        """Whether the pixels have been loaded."""
        return bool(self._pixels)

    def batch(self, rows: NDArray[np.int64], coins: NDArray[np.bool_]) -> Batch:
        """Windows of the split, normalised and flipped.

        Args:
            rows: their numbers.
            coins: (windows of the split, 2) whether each is mirrored horizontally and vertically, where the
                split's transforms mirror at all.

        Raises:
            MissingDataError: a window has no whole tile.
        """
        chosen = torch.from_numpy(rows)
        return Batch(
            {
                images.name: _transformed(self._taken(images, rows), images, coins[rows])
                for images in self._reads.images
            },
            {name: [times[row] for row in rows] for name, times in self._times.items()},
            {name: self._target_batch(target[chosen], coins[rows]) for name, target in self._targets.items()},
            [self._metadata[row] for row in rows],
        )

    def _target_batch(self, target: Tensor, coins: NDArray[np.bool_]) -> Tensor:
        """Targets of a batch in the types that losses take, mirrored as its images are."""
        if target.ndim > 1:
            target = _mirrored_as(target, self._reads.label_flipped, coins)
        return target.to(_WIDE.get(target.dtype, target.dtype))

    def _taken(self, images: Images, rows: NDArray[np.int64]) -> Pixels:
        if images.name in self._pixels:
            return self._pixels[images.name][rows]
        return self._read(images, [self.windows[row] for row in rows])

    def _read(self, images: Images, windows: Sequence[Window]) -> Pixels:
        """Pixels (windows, bands, time steps, rows, columns) of some windows."""
        groups, parts = _by_group(windows), {}
        for group, places in groups.items():
            names = [windows[place].name for place in places]
            parts[group] = np.stack(
                [read_pixels(self._path, group, names, layer, images.bands, index) for layer, index in images.layers],
                axis=2,
            )
        if len(groups) == 1:
            return next(iter(parts.values()))
        first = next(iter(parts.values()))
        pixels = np.empty((len(windows), *first.shape[1:]), first.dtype)
        for group, places in groups.items():
            pixels[places] = parts[group]
        return pixels

    def _read_all(self, images: Images) -> Pixels:
        if not self.windows:
            return np.empty((0, len(images.bands), len(images.layers), 1, 1), np.uint16)
        sample = self._read(images, self.windows[:1])
        pixels = np.empty((len(self), *sample.shape[1:]), sample.dtype)
        for group, places in self._groups.items():
            names = [self.windows[place].name for place in places]
            for step, (layer, index) in enumerate(images.layers):
                start = 0
                for part in iter_pixels(self._path, group, names, layer, images.bands, index, _READ_AT_ONCE):
                    pixels[places[start : start + len(part)], :, step] = part
                    start += len(part)
        return pixels

    def _times_of(self, images: Images) -> list[list[tuple[datetime, datetime]]]:
        """Start and end of each time step of each window; checks the grids on the way."""
        times: list[list[tuple[datetime, datetime]]] = [[] for _ in self.windows]
        for layer, index in images.layers:
            first = tuple(_band_sets(self._dataset, layer, images.bands)[0].bands)
            for group, places in self._groups.items():
                names = {self.windows[place].name: place for place in places}
                for header in self._storage.pack(group).rasters.headers(list(names), layer, index):
                    if set(header.bands).isdisjoint(images.bands):
                        continue
                    _check_place(self.windows[names[header.window]], header, layer)
                    if header.bands == first:
                        times[names[header.window]] += _moments(header, layer)
        return times

    def _read_targets(self) -> dict[str, Tensor]:
        if self._reads.label_bands is not None:
            return self._read_raster_targets(self._reads.label_bands)
        layer, index = self._reads.label
        made: list[dict[str, Tensor]] = [{} for _ in self.windows]
        for group, places in self._groups.items():
            names = [self.windows[place].name for place in places]
            texts = self._storage.pack(group).vectors(layer, index, names)
            for name, place in zip(names, places, strict=True):
                text = texts.get(name)
                if text is None:
                    raise MissingDataError(
                        f"window {name} has no whole features of {layer}: run burnscar refresh --years {group}"
                    )
                window = self.windows[place]
                features = features_within(text, window.projection, window.bounds)
                raw = {self._reads.label_name: features}
                _, made[place] = self._reads.task.process_inputs(raw, metadata=self._metadata[place])
        return {name: torch.stack([target[name] for target in made]) for name in (made[0] if made else ())}

    def _read_raster_targets(self, bands: tuple[str, ...]) -> dict[str, Tensor]:
        """Targets of label rasters: few small numbers, kept in as few bytes."""
        layer, index = self._reads.label
        for group, places in self._groups.items():
            windows = {self.windows[place].name: self.windows[place] for place in places}
            for header in self._storage.pack(group).rasters.headers(list(windows), layer, index):
                _check_place(windows[header.window], header, layer)
        labels = self._read_all(Images(self._reads.label_name, (self._reads.label,), bands))
        made: dict[str, list[Tensor]] = {}
        for label, metadata in zip(labels, self._metadata, strict=True):
            raw = {self._reads.label_name: RasterImage(torch.from_numpy(label.astype(np.int32)))}
            _, targets = self._reads.task.process_inputs(raw, metadata=metadata)
            for name, target in targets.items():
                made.setdefault(name, []).append(_narrowed(name, target.image))
        return {name: torch.stack(parts) for name, parts in made.items()}


def _windows(dataset: Dataset, config: SplitConfig, reads: Reads) -> list[Window]:
    """Windows of a split with all that is read of them, in rslearn's order."""
    tags = (config.tags or {}).items()
    windows = [
        window
        for window in dataset.load_windows(groups=config.groups or None, names=config.names or None)
        if all(tag in window.options and (not value or window.options[tag] == value) for tag, value in tags)
    ]
    storage: PackedWindowStorage = dataset.storage
    needed = {reads.label, *(layer for images in reads.images for layer in images.layers)}
    whole = {
        group: set.intersection(*(storage.pack(group).completed(layer, index) for layer, index in needed))
        for group in {window.group for window in windows}
    }
    windows = [window for window in windows if window.name in whole[window.group]]
    windows.sort(key=lambda window: hashlib.sha256(window.name.encode()).hexdigest())
    return windows[: config.num_samples] if config.num_samples else windows


def _metadata(window: Window) -> SampleMetadata:
    return SampleMetadata(
        window_group=window.group,
        window_name=window.name,
        window_bounds=window.bounds,
        crop_bounds=window.bounds,
        crop_idx=0,
        num_crops_in_window=1,
        time_range=window.time_range,
        projection=window.projection,
        dataset_source=None,
    )


def _by_group(windows: Sequence[Window]) -> dict[str, NDArray[np.int64]]:
    """Places of the windows of each group."""
    groups: dict[str, list[int]] = {}
    for place, window in enumerate(windows):
        groups.setdefault(window.group, []).append(place)
    return {group: np.array(places) for group, places in groups.items()}


def _band_sets(dataset: Dataset, layer: str, bands: tuple[str, ...]) -> list[BandSetConfig]:
    """The band sets of a layer that have a band wanted; rslearn takes times from the first."""
    found = [said for said in dataset.layers[layer].band_sets if not set(said.bands).isdisjoint(bands)]
    require(bool(found), f"layer {layer} without the bands {', '.join(bands)}")
    return found


def _check_place(window: Window, header: RasterHeader, layer: str) -> None:
    require(header.shape[1] == 1, f"several time steps in {layer}")
    on_grid = (header.min_col, header.min_row) == tuple(window.bounds[:2]) and header.grid == grid_of(window.projection)
    require(on_grid and header.shape[2:] == (_height(window), _width(window)), f"{layer} off the windows' own grid")


def _check_crop(windows: list[Window], images: Images) -> None:
    if images.crop_px is not None:
        beyond = {side - images.crop_px for window in windows for side in (_height(window), _width(window))}
        require(all(px >= 0 and px % 2 == 0 for px in beyond), f"{images.name}: a middle that has no whole margin")


def _moments(header: RasterHeader, layer: str) -> list[tuple[datetime, datetime]]:
    if header.timestamps is None:
        raise UnsupportedError(f"tiles of {layer} without the time of their acquisition")
    return [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in header.timestamps]


def _height(window: Window) -> int:
    return int(window.bounds[3] - window.bounds[1])


def _width(window: Window) -> int:
    return int(window.bounds[2] - window.bounds[0])


def _transformed(pixels: Pixels, images: Images, coins: NDArray[np.bool_]) -> Tensor:
    """Pixels (windows, bands, time steps, rows, columns) as float32, normalised and mirrored, or the middle of each."""
    values = torch.from_numpy(pixels.astype(np.float32))
    if images.low is not None and images.width is not None:
        values.sub_(images.low).div_(images.width)
    return middle(_mirrored_as(values, images.flipped, coins), images.crop_px)


def _mirrored_as(values: Tensor, axes: tuple[int, ...], coins: NDArray[np.bool_]) -> Tensor:
    """The values of each window mirrored along the axes that its coins say; changed in place, too."""
    for axis in axes:
        mirrored = torch.from_numpy(coins[:, _COIN[axis]])
        values[mirrored] = values[mirrored].flip(axis)
    return values


def _narrowed(name: str, target: Tensor) -> Tensor:
    """A raster target in fewer bytes."""
    narrow = target.to(_NARROW.get(target.dtype, target.dtype))
    require(torch.equal(narrow.to(target.dtype), target), f"{name} of more than small numbers")
    return narrow


def _target(target: Tensor) -> Any:
    """A window's target as rslearn's task gives it."""
    return RasterImage(target) if target.ndim > 1 else target
