"""A model's probabilities for a block's pixels: at once where it looks no farther than a margin, else by windows.

Windows are cut from the block's images, predicted in batches, and averaged. They stand where their columns and rows are
multiples of the stride in the grid of the whole UTM zone, wherever a block begins. So a pixel is seen by the same
windows, with the same weights, whatever block it is made in: there are no seams by construction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from burnscar_assets.dataset.config import before_layer
from burnscar_assets.errors import InputError
from burnscar_assets.mapping.frame import Box, around
from burnscar_assets.mapping.mosaic import NO_SCENE, LayerImage, Mosaic, Validity
from burnscar_assets.models.predictor import Predictor
from burnscar_assets.sensors.sensor import Sensor

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CERTAIN: Final = 16.0
"""Largest logit, either way: 1e-7 from certainty, where a single window would outvote all others."""

NO_ANSWER: Final = -1.0
"""Probability where no window counts, or the model has no answer."""

Seen = Mapping[str, LayerImage]
"""By raster layer that a model reads, its image of what a block's answers depend on, with the bands that it reads."""


@dataclass(frozen=True)
class Lattice:
    """How windows stand on the ground.

    Both in pixels; the stride, from one window to the next, is at most the side.
    """

    size_px: int
    stride_px: int

    def starts(self, first: int, last: int) -> Ints:
        """First columns (or rows) of the windows that meet the columns from `first` to before `last`."""
        least = (first - self.size_px) // self.stride_px + 1
        return np.arange(least, -(-last // self.stride_px), dtype=np.int64) * self.stride_px

    def reach(self, box: Box) -> Box:
        """The pixels that the windows of a box see."""
        columns, rows = self.starts(box.left, box.right), self.starts(box.top, box.bottom)
        return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + self.size_px, int(rows[-1]) + self.size_px)


def taper(size_px: int) -> Floats:
    """Weight of each pixel of a window along one axis: Hann's, at the pixels' centres, so that none is 0."""
    return np.asarray(np.sin(np.pi * (np.arange(size_px) + 0.5) / size_px) ** 2)


def logit(probability: npt.ArrayLike) -> Floats:
    """Log odds, kept within `CERTAIN`."""
    p = np.asarray(probability, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(p) - np.log1p(-p), -CERTAIN, CERTAIN)


def average(logits: Floats, weights: Floats, lattice: Lattice, box: Box) -> tuple[Floats, Floats]:
    """Mean log odds of a box's pixels over the windows that see them.

    Args:
        logits: of the windows in rows and columns, as `lattice.starts` gives them: (rows, columns) where a window has
            one answer, (rows, columns, size, size) where each of its pixels has one.
        weights: (rows, columns) of each window, 0 or more; 0 leaves it out.
        lattice: of the windows.
        box: pixels wanted.

    Returns:
        (height, width) log odds, 0 where no window counts; and the weight behind each, 0 there.
    """
    rows, columns = lattice.starts(box.top, box.bottom), lattice.starts(box.left, box.right)
    down = _along(rows - box.top, box.height, lattice.size_px)
    across = _along(columns - box.left, box.width, lattice.size_px)
    weight = down.T @ weights @ across
    if logits.ndim == 2:
        total = down.T @ (logits * weights) @ across
    else:
        total = _total_of_pixels(logits, weights, rows - box.top, columns - box.left, (box.height, box.width))
    counted = weight > 0
    return np.divide(total, weight, out=np.zeros_like(total), where=counted), np.where(counted, weight, 0.0)


def average_of_known(logits: Floats, weights: Floats, lattice: Lattice, box: Box) -> tuple[Floats, Floats]:
    """`average` over known answers alone: NaN among `logits` is none."""
    known = np.isfinite(logits)
    mean, weight = average(np.where(known, logits, 0.0), weights, lattice, box)
    if known[weights > 0].all():
        return mean, weight
    share, _ = average(known.astype(np.float64), weights, lattice, box)
    return np.divide(mean, share, out=np.zeros_like(mean), where=share > 0), weight * share


def _along(starts: Ints, count: int, size_px: int) -> Floats:
    """(windows, pixels) weight of each window at each pixel along one axis."""
    inside = np.arange(count)[None, :] - starts[:, None]
    return np.where((inside >= 0) & (inside < size_px), taper(size_px)[np.clip(inside, 0, size_px - 1)], 0.0)


def _total_of_pixels(logits: Floats, weights: Floats, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Floats:
    size = logits.shape[-1]
    weight = np.outer(taper(size), taper(size))
    padded = np.zeros((int(rows[-1] - rows[0]) + size, int(columns[-1] - columns[0]) + size))
    for i, row in enumerate(rows - rows[0]):
        for j, column in enumerate(columns - columns[0]):
            if weights[i, j] > 0:
                padded[row : row + size, column : column + size] += logits[i, j] * (weight * weights[i, j])
    top, left = int(-rows[0]), int(-columns[0])
    return padded[top : top + shape[0], left : left + shape[1]]


def check_mappable(model: Predictor, layer: str, sensor: Sensor) -> None:
    """Check that maps have what a model reads: images after and before a fire.

    `layer` is that of the image after the fire.

    Raises:
        InputError: it was trained on another sensor, or reads other layers or bands.
    """
    trained = model.manifest.sensor
    if (trained.name, trained.names) != (sensor.name, sensor.names):
        raise InputError(
            f"the model was trained on {trained.title}, and the imagery is of {sensor.title}: run burnscar refresh, "
            "which trains it anew"
        )
    there = {layer, before_layer(layer)}
    others = [name for name, bands in model.layers.items() if name not in there or not {*bands} <= {*sensor.names}]
    if others or layer not in model.layers:
        raise InputError(
            f"the model reads {', '.join(model.layers)}: maps are made by set-ups that read images of {sensor.title} "
            f"after the fire ({layer}), and before it if need be ({before_layer(layer)}); choose another with --setup"
        )


def seen_box(model: Predictor, lattice: Lattice, box: Box) -> Box:
    """The pixels that a model's answers for a block depend on."""
    if model.members:
        return around([seen_box(member, lattice, box) for _, member in model.members])
    return lattice.reach(box) if model.reach_px is None else box.grown(model.reach_px)


def predict_block(
    model: Predictor, images: Seen, box: Box, lattice: Lattice, *, min_clear_share: float, batch_size: int
) -> npt.NDArray[np.float32]:
    """Probability of burnt for each pixel of a block.

    A window is taken to be acquired when most of its pixels were: the encoder is told one date for each. Images reach
    over `seen_box`. Windows of which less than `min_clear_share` shows the ground in every image don't count;
    `batch_size` of them go through the model at once.

    Returns:
        (height, width) 0–1; `NO_ANSWER` where no window counts, an image has no data, or that before the fire doesn't
        show the ground. Of a model that answers at once, where any image doesn't show it; of an ensemble, where a
        member has no answer.
    """
    if model.members:
        parts = [
            (
                weight,
                predict_block(member, images, box, lattice, min_clear_share=min_clear_share, batch_size=batch_size),
            )
            for weight, member in model.members
        ]
        return mixed(np.stack([part for _, part in parts]), [weight for weight, _ in parts])
    if model.reach_px is not None:
        return _at_once(model, images, box)
    known, probability = _by_windows(model, images, box, lattice, min_clear_share, batch_size)
    for layer, image in images.items():
        validity = image.mosaic.validity[box.slices_in(image.mosaic.box)]
        known &= validity != Validity.NO_DATA if layer == model.manifest.layer else validity == Validity.VALID
    return np.where(known, probability, NO_ANSWER).astype(np.float32)


def mixed(answers: npt.NDArray[np.float32], weights: Sequence[float]) -> npt.NDArray[np.float32]:
    """The weighted mean of maps by several models.

    Answers are (n, …), `NO_ANSWER` where a model has none; the n weights sum to 1. So is the mean, where one has none.
    """
    known = (answers != NO_ANSWER).all(axis=0)
    return np.where(known, np.tensordot(np.asarray(weights, np.float32), answers, axes=1), np.float32(NO_ANSWER))


def _at_once(model: Predictor, images: Seen, box: Box) -> npt.NDArray[np.float32]:
    """Answers that look no farther than `reach_px`; what isn't seen clearly is no data to the model."""
    around = seen_box(model, Lattice(1, 1), box)
    parts = {layer: image.mosaic.part(around) for layer, image in images.items()}
    if any((part.validity != Validity.VALID).all() for part in parts.values()):
        return np.full((box.height, box.width), NO_ANSWER, np.float32)
    times = {
        layer: [image.moments[int(np.bincount(parts[layer].scene[parts[layer].scene != NO_SCENE]).argmax())]]
        for layer, image in images.items()
    }
    shown = {layer: np.where(part.validity == Validity.VALID, part.pixels, 0) for layer, part in parts.items()}
    prepared = {name: image[None] for name, image in model.prepare(shown).items()}
    answer = model.answer(prepared, times)[0][box.slices_in(around)]
    return np.where(np.isfinite(answer), answer, NO_ANSWER).astype(np.float32)


def _by_windows(
    model: Predictor, images: Seen, box: Box, lattice: Lattice, min_clear_share: float, batch_size: int
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Whether a window that counts sees each pixel, and the mean probability of those that do."""
    mosaics = [image.mosaic for image in images.values()]
    rows = lattice.starts(box.top, box.bottom)
    columns = lattice.starts(box.left, box.right)
    down, across = rows - mosaics[0].box.top, columns - mosaics[0].box.left
    valid = np.logical_and.reduce([mosaic.validity == Validity.VALID for mosaic in mosaics])
    counted = _box_sums(valid, down, across, lattice.size_px) >= min_clear_share * lattice.size_px**2
    chosen = np.argwhere(counted)
    if not len(chosen):
        return np.zeros((box.height, box.width), bool), np.zeros((box.height, box.width))
    dates = {
        layer: [image.moments[n] for n in _usual_scene(image.mosaic, down, across, lattice.size_px)[counted]]
        for layer, image in images.items()
    }
    prepared = model.prepare({layer: image.mosaic.pixels for layer, image in images.items()})
    answers = []
    for first in range(0, len(chosen), batch_size):
        part = chosen[first : first + batch_size]
        places = down[part[:, 0]], across[part[:, 1]]
        windows = {name: _cut(image, *places, lattice.size_px) for name, image in prepared.items()}
        times = {layer: of_layer[first : first + batch_size] for layer, of_layer in dates.items()}
        answers.append(model.answer(windows, times))
    found = logit(np.concatenate(answers))
    logits = np.full((len(rows), len(columns), *found.shape[1:]), np.nan)
    logits[counted] = found
    mean, weight = average_of_known(logits, counted.astype(np.float64), lattice, box)
    return weight > 0, 1 / (1 + np.exp(-mean))


def _cut(image: Any, rows: Ints, columns: Ints, size: int) -> Any:
    """(N, channels, size, size) windows of an array or tensor (channels, height, width)."""
    inside = np.arange(size)
    down = rows[:, None, None] + inside[None, :, None]
    across = columns[:, None, None] + inside[None, None, :]
    return image[:, down, across].swapaxes(0, 1)


def _box_sums(mask: npt.NDArray[np.bool_], rows: Ints, columns: Ints, size: int) -> Ints:
    """(rows, columns) number of pixels that hold in each window."""
    total = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    np.cumsum(np.cumsum(mask, axis=0, dtype=np.int64), axis=1, out=total[1:, 1:])
    top, left = np.ix_(rows, columns)
    return np.asarray(
        total[top + size, left + size] - total[top, left + size] - total[top + size, left] + total[top, left]
    )


def _usual_scene(mosaic: Mosaic, rows: Ints, columns: Ints, size: int) -> Ints:
    """(rows, columns) the scene that most pixels of each window are of; of equal ones, the first choice."""
    scenes = np.unique(mosaic.scene[mosaic.scene != NO_SCENE])
    counts = np.stack([_box_sums(mosaic.scene == number, rows, columns, size) for number in scenes])
    return np.asarray(scenes[counts.argmax(axis=0)], np.int64)
