"""One split of a packed dataset for training: its pixels as arrays, whole batches of them at a time.

What a batch holds is what rslearn's own dataset, transforms and collate function give for the same windows, tensor
by tensor. `plan_reads` says which configurations that is true of.
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
from rslearn.config import BandSetConfig, DType  # noqa: TID253 - as above
from rslearn.dataset import Dataset, Window  # noqa: TID253
from rslearn.dataset.window import get_layer_and_group_from_dir_name  # noqa: TID253
from rslearn.models.olmoearth_pretrain.norm import OlmoEarthNormalize  # noqa: TID253
from rslearn.train.dataset import DataInput, SplitConfig  # noqa: TID253
from rslearn.train.model_context import RasterImage, SampleMetadata  # noqa: TID253
from rslearn.train.tasks import Task  # noqa: TID253
from rslearn.train.transforms.flip import Flip  # noqa: TID253
from torch import Tensor  # noqa: TID253

from burnscar_assets.errors import MissingDataError
from burnscar_assets.packed.codec import Pixels
from burnscar_assets.packed.data import features_within
from burnscar_assets.packed.pixels import iter_pixels, read_pixels
from burnscar_assets.packed.rasters import RasterHeader
from burnscar_assets.packed.storage import PackedWindowStorage, grid_of

_READ_AT_ONCE: Final = 512
_COIN: Final = {-1: 0, -2: 1}
"""Which coin decides of which axis."""

Samples = tuple[list[dict[str, Any]], list[dict[str, Any]], list[SampleMetadata]]
"""Inputs, targets and metadata of a batch, as rslearn's models take them."""


class UnsupportedError(Exception):
    """A configuration, or a dataset, that batches can't be read of in bulk; the message says why."""


@dataclass(frozen=True)
class Images:
    """A raster input and what the split's transforms do to it.

    Attributes:
        name: the input's name.
        layers: layers and their item groups, one time step each, in order.
        bands: bands in the order of the model.
        low: (bands, 1, 1, 1) what is subtracted from each band; None if the input isn't normalised.
        width: (bands, 1, 1, 1) what each band is divided by then.
        flipped: axes that a coin decides to mirror, horizontal first.
    """

    name: str
    layers: tuple[tuple[str, int], ...]
    bands: tuple[str, ...]
    low: Tensor | None = None
    width: Tensor | None = None
    flipped: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reads:
    """What is read of each window of a split.

    Attributes:
        images: raster inputs.
        label: layer and item group of the vector input that has the targets.
        label_name: name of that input.
        task: makes targets of it.
    """

    images: tuple[Images, ...]
    label: tuple[str, int]
    label_name: str
    task: Task


@dataclass
class Batch:
    """A batch on its way to the model.

    Attributes:
        images: by input, (windows, bands, time steps, rows, columns), float32.
        times: by input, start and end of each window's time steps.
        targets: by name, (windows,).
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
        targets = [{name: target[n] for name, target in self.targets.items()} for n in count]
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
            {name: target[chosen] for name, target in self._targets.items()},
            [self._metadata[row] for row in rows],
        )

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


def plan_reads(config: SplitConfig, inputs: dict[str, DataInput], task: Task) -> Reads:
    """What is read of a split.

    Raises:
        UnsupportedError: the configuration asks for something else than whole windows, normalised and mirrored.
    """
    _require(type(task).__name__ == "ClassificationTask", f"task {type(task).__name__}")
    _require(config.get_crop_size() is None and not config.get_load_all_crops(), "crops of windows")
    _require(config.sampler is None, "a sampler")
    _require(not config.get_skip_targets(), "a split without targets")
    _require(config.num_patches is None, "num_patches")
    rasters = {name: said for name, said in inputs.items() if said.data_type == "raster"}
    vectors = {name: said for name, said in inputs.items() if said.data_type == "vector"}
    _require(bool(rasters) and list(vectors) == ["targets"], "inputs other than rasters and the vector targets")
    images = {name: _images(name, said) for name, said in rasters.items()}
    for transform in config.transforms or ():
        if type(transform) is OlmoEarthNormalize:
            images |= {name: _normalised(images, name, transform) for name in transform.band_names}
        elif type(transform) is Flip:
            images |= {name: _mirrored(images, name, transform) for name in transform.image_selectors}
        else:
            raise UnsupportedError(f"transform {type(transform).__name__}")
    (name, label), *_ = vectors.items()
    _require(len(label.layers) == 1 and label.is_target and not label.passthrough, f"input {name}")
    return Reads(tuple(images.values()), get_layer_and_group_from_dir_name(label.layers[0]), name, task)


def _images(name: str, said: DataInput) -> Images:
    plain = (
        said.bands is not None
        and said.passthrough
        and said.required
        and not said.is_target
        and not said.load_all_item_groups
        and said.dtype == DType.FLOAT32
        and said.resolution_factor.numerator == said.resolution_factor.denominator
        and (len(said.layers) == 1 or said.load_all_layers)
    )
    _require(plain, f"input {name} as it is read")
    return Images(name, tuple(map(get_layer_and_group_from_dir_name, said.layers)), tuple(said.bands or ()))


def _normalised(images: dict[str, Images], name: str, transform: OlmoEarthNormalize) -> Images:
    image = images.get(name)
    if image is None or image.low is not None or image.bands != tuple(transform.band_names[name]):
        raise UnsupportedError(f"normalisation of {name}")
    norms = transform.norm_config[name]
    _require(set(norms) == set(image.bands) and transform.std_multiplier is not None, f"normalisation of {name}")
    low = [norms[band]["mean"] - transform.std_multiplier * norms[band]["std"] for band in image.bands]
    high = [norms[band]["mean"] + transform.std_multiplier * norms[band]["std"] for band in image.bands]
    width = [top - bottom for top, bottom in zip(high, low, strict=True)]
    return Images(name, image.layers, image.bands, _per_band(low), _per_band(width), image.flipped)


def _per_band(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None, None]


def _mirrored(images: dict[str, Images], name: str, transform: Flip) -> Images:
    image = images.get(name)
    if image is None or image.flipped or transform.box_selectors:
        raise UnsupportedError(f"mirroring of {name}")
    axes = ((-1, transform.horizontal), (-2, transform.vertical))
    flipped = tuple(axis for axis, wanted in axes if wanted)
    return Images(name, image.layers, image.bands, image.low, image.width, flipped)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise UnsupportedError(what)


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
    _require(bool(found), f"layer {layer} without the bands {', '.join(bands)}")
    return found


def _check_place(window: Window, header: RasterHeader, layer: str) -> None:
    _require(header.shape[1] == 1, f"several time steps in {layer}")
    on_grid = (header.min_col, header.min_row) == tuple(window.bounds[:2]) and header.grid == grid_of(window.projection)
    _require(on_grid and header.shape[2:] == (_height(window), _width(window)), f"{layer} off the windows' own grid")


def _moments(header: RasterHeader, layer: str) -> list[tuple[datetime, datetime]]:
    if header.timestamps is None:
        raise UnsupportedError(f"tiles of {layer} without the time of their acquisition")
    return [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in header.timestamps]


def _height(window: Window) -> int:
    return int(window.bounds[3] - window.bounds[1])


def _width(window: Window) -> int:
    return int(window.bounds[2] - window.bounds[0])


def _transformed(pixels: Pixels, images: Images, coins: NDArray[np.bool_]) -> Tensor:
    """Pixels (windows, bands, time steps, rows, columns) as float32, normalised and mirrored."""
    values = torch.from_numpy(pixels.astype(np.float32))
    if images.low is not None and images.width is not None:
        values.sub_(images.low).div_(images.width)
    for axis in images.flipped:
        mirrored = torch.from_numpy(coins[:, _COIN[axis]])
        values[mirrored] = values[mirrored].flip(axis)
    return values
