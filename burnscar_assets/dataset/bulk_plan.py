"""What is read of a training split in bulk, and which configurations of rslearn's data module that is true of."""

from dataclasses import dataclass, replace
from typing import Final

import torch  # noqa: TID253 - only a training process loads this module
from rslearn.config import DType  # noqa: TID253 - as above
from rslearn.dataset.window import get_layer_and_group_from_dir_name  # noqa: TID253
from rslearn.train.dataset import DataInput, SplitConfig  # noqa: TID253
from rslearn.train.tasks import Task  # noqa: TID253
from rslearn.train.transforms.flip import Flip  # noqa: TID253
from rslearn.train.transforms.normalize import Normalize  # noqa: TID253
from rslearn.train.transforms.pad import Pad  # noqa: TID253
from torch import Tensor  # noqa: TID253

_TARGET_TYPES: Final = {"ClassificationTask": "vector", "SegmentationTask": "raster"}
"""Type of the input that has a task's targets."""

_OF_TARGETS: Final = "target/"
_RASTER_TARGETS: Final = {"target/classes", "target/valid"}
"""What a segmentation task makes of labels, as transforms name it."""


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
        crop_px: side of the middle that is cut out in the end; None if nothing is.
    """

    name: str
    layers: tuple[tuple[str, int], ...]
    bands: tuple[str, ...]
    low: Tensor | None = None
    width: Tensor | None = None
    flipped: tuple[int, ...] = ()
    crop_px: int | None = None


@dataclass(frozen=True)
class Reads:
    """What is read of each window of a split.

    Attributes:
        images: raster inputs.
        label: layer and item group of the input that has the targets.
        label_name: name of that input.
        label_bands: bands of that input if it is a raster; None if it is a vector layer.
        label_flipped: axes of raster targets that a coin decides to mirror, horizontal first.
        task: makes targets of it.
    """

    images: tuple[Images, ...]
    label: tuple[str, int]
    label_name: str
    label_bands: tuple[str, ...] | None
    label_flipped: tuple[int, ...]
    task: Task


def plan_reads(config: SplitConfig, inputs: dict[str, DataInput], task: Task) -> Reads:
    """What is read of a split.

    Raises:
        UnsupportedError: something else is asked for than windows or their middles, normalised and mirrored.
    """
    target_type = _TARGET_TYPES.get(type(task).__name__)
    require(target_type is not None, f"task {type(task).__name__}")
    require(config.get_crop_size() is None and not config.get_load_all_crops(), "crops of windows")
    require(config.sampler is None, "a sampler")
    require(not config.get_skip_targets(), "a split without targets")
    require(config.num_patches is None, "num_patches")
    targets = {name: said for name, said in inputs.items() if said.is_target}
    rasters = {name: said for name, said in inputs.items() if name not in targets}
    require(
        bool(rasters) and list(targets) == ["targets"] and targets["targets"].data_type == target_type,
        f"inputs other than rasters and {target_type} targets",
    )
    images = {name: _images(name, said) for name, said in rasters.items()}
    flipped: dict[str, tuple[int, ...]] = {}
    for transform in config.transforms or ():
        if type(transform) is Normalize:
            images |= {name: _normalised(images, name, transform) for name in transform.selectors}
        elif type(transform) is Flip:
            chosen = [name for name in transform.image_selectors if not name.startswith(_OF_TARGETS)]
            images |= {name: _mirrored(images, name, transform) for name in chosen}
            flipped |= {name: _axes(transform) for name in transform.image_selectors if name not in chosen}
        elif type(transform) is Pad:
            images |= {name: _cropped(images, name, transform) for name in transform.image_selectors}
        else:
            raise UnsupportedError(f"transform {type(transform).__name__}")
    (name, label), *_ = targets.items()
    return Reads(
        tuple(images.values()),
        _label_layer(name, label),
        name,
        tuple(label.bands or ()) if target_type == "raster" else None,
        _one_flip(flipped, list(images.values()), target_type == "raster"),
        task,
    )


def _label_layer(name: str, label: DataInput) -> tuple[str, int]:
    """Layer and item group of the targets."""
    require(len(label.layers) == 1 and not label.passthrough and label.required, f"input {name}")
    if label.data_type == "raster":
        plain = label.bands is not None and label.dtype == DType.INT32 and not label.load_all_item_groups
        require(plain and label.resolution_factor.numerator == label.resolution_factor.denominator, f"input {name}")
    return get_layer_and_group_from_dir_name(label.layers[0])


def _one_flip(flipped: dict[str, tuple[int, ...]], images: list[Images], raster: bool) -> tuple[int, ...]:
    """How raster targets are mirrored: all of them, and as the images are, or the labels would lie elsewhere."""
    ways = {image.flipped for image in images} | set(flipped.values())
    if not raster:
        require(not flipped, "mirroring of targets that are no rasters")
        return ()
    require(len(ways) <= 1 and (not any(ways) or set(flipped) == _RASTER_TARGETS), "mirroring of images without labels")
    return ways.pop() if ways else ()


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
    require(plain, f"input {name} as it is read")
    return Images(name, tuple(map(get_layer_and_group_from_dir_name, said.layers)), tuple(said.bands or ()))


def _normalised(images: dict[str, Images], name: str, transform: Normalize) -> Images:
    image = images.get(name)
    if image is None or image.low is not None or transform.bands is not None or transform.valid_min is not None:
        raise UnsupportedError(f"normalisation of {name}")
    low, width = (_per_band(numbers, len(image.bands)) for numbers in (transform.mean, transform.std))
    return replace(image, low=low, width=width)


def _per_band(numbers: Tensor, bands: int) -> Tensor:
    """One number for all bands, or one for each, as (bands, 1, 1, 1)."""
    require(numbers.ndim == 0 or len(numbers) == bands, "normalisation of other bands")
    return numbers.to(torch.float32).expand(bands)[:, None, None, None]


def _mirrored(images: dict[str, Images], name: str, transform: Flip) -> Images:
    image = images.get(name)
    if image is None or image.flipped or image.crop_px or transform.box_selectors:
        raise UnsupportedError(f"mirroring of {name}")
    return replace(image, flipped=_axes(transform))


def _cropped(images: dict[str, Images], name: str, transform: Pad) -> Images:
    """An input of whose windows the middle is left, behind all else that is done to them."""
    image, (size_px, end) = images.get(name), transform.size
    if image is None or image.crop_px or transform.box_selectors or transform.mode != "center" or end != size_px + 1:
        raise UnsupportedError(f"padding of {name}")
    return replace(image, crop_px=size_px)


def _axes(transform: Flip) -> tuple[int, ...]:
    """Axes that a coin decides to mirror, horizontal first."""
    axes = ((-1, transform.horizontal), (-2, transform.vertical))
    return tuple(axis for axis, wanted in axes if wanted)


def require(holds: bool, what: str) -> None:
    """Refuse what bulk reading doesn't do.

    Raises:
        UnsupportedError: it doesn't hold.
    """
    if not holds:
        raise UnsupportedError(what)
