"""A model's answers for a block's pixels: windows cut from its image, judged in batches, averaged."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from burnscar_assets.errors import InputError
from burnscar_assets.mapping.averaging import Lattice, average, logit
from burnscar_assets.mapping.frame import Box
from burnscar_assets.mapping.mosaic import NO_SCENE, Mosaic, Validity
from burnscar_assets.sensors.sensor import Sensor

if TYPE_CHECKING:
    from burnscar_assets.models.model import WindowModel as AnyModel

NO_ANSWER: Final = -1.0
"""Probability where no window counts."""

Ints = npt.NDArray[np.int64]


class WindowModel(Protocol):
    """What a map asks of a model; `models.model.BurnModel` is one."""

    def normalize(self, pixels: npt.NDArray[np.uint16]) -> Any:
        """What the network is given of (bands, height, width) digital numbers: an array or tensor of that shape."""

    def answer(self, windows: Any, acquired: Sequence[datetime]) -> npt.NDArray[np.floating]:
        """Probability of burnt of (N, bands, size, size): (N,), or (N, size, size) if it answers pixel by pixel."""


def model_of_maps(model: "AnyModel", layer: str, sensor: Sensor) -> WindowModel:
    """A loaded checkpoint as maps use it.

    Args:
        model: the checkpoint.
        layer: raster layer that maps are made of.
        sensor: whose images these are.

    Raises:
        InputError: it was trained on another sensor, or reads other layers or bands.
    """
    from burnscar_assets.models.model import BurnModel

    trained = model.manifest.sensor
    if (trained.name, trained.names) != (sensor.name, sensor.names):
        raise InputError(
            f"the model was trained on {trained.title}, and the imagery is of {sensor.title}: run burnscar refresh, "
            "which trains it anew"
        )
    layers = model.layers if isinstance(model, BurnModel) else dict.fromkeys(model.manifest.every_layer, sensor.names)
    if {name: tuple(bands) for name, bands in layers.items()} != {layer: sensor.names}:
        raise InputError(
            f"the model reads {', '.join(layers)}: maps are made by set-ups that read one image with all bands of "
            f"{sensor.title}; choose another with --setup"
        )
    return model if isinstance(model, BurnModel) else _ByBatches(model)


class _ByBatches:
    """A checkpoint without a network: it takes digital numbers as they are."""

    def __init__(self, model: "AnyModel") -> None:
        self._model = model

    def normalize(self, pixels: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
        return pixels

    def answer(self, windows: npt.NDArray[np.uint16], acquired: Sequence[datetime]) -> npt.NDArray[np.float64]:
        return self._model.predict_batch(windows, acquired)


def judge_block(
    model: WindowModel,
    mosaic: Mosaic,
    box: Box,
    moments: Sequence[datetime],
    lattice: Lattice,
    *,
    min_clear_share: float,
    batch_size: int,
) -> npt.NDArray[np.float32]:
    """Probability of burnt for each pixel of a block.

    A window is taken to be acquired when most of its pixels were: the encoder is told one date for each.

    Args:
        model: the model.
        mosaic: image of what the block's windows see, `lattice.reach(box)`.
        box: the block.
        moments: when each scene was acquired, by its number in the mosaic.
        lattice: how windows stand.
        min_clear_share: windows of which less shows the ground don't count, 0–1.
        batch_size: windows that go through the model at once.

    Returns:
        (height, width) 0–1, `NO_ANSWER` where no window counts or there is no data.
    """
    rows = lattice.starts(box.top, box.bottom)
    columns = lattice.starts(box.left, box.right)
    down, across = rows - mosaic.box.top, columns - mosaic.box.left
    clear = _box_sums(mosaic.validity == Validity.VALID, down, across, lattice.size_px)
    counted = clear >= min_clear_share * lattice.size_px**2
    chosen = np.argwhere(counted)
    if not len(chosen):
        return np.full((box.height, box.width), NO_ANSWER, np.float32)
    dates = [moments[n] for n in _usual_scene(mosaic, down, across, lattice.size_px)[counted]]
    normalized = model.normalize(mosaic.pixels)
    answers = []
    for first in range(0, len(chosen), batch_size):
        part = chosen[first : first + batch_size]
        windows = _cut(normalized, down[part[:, 0]], across[part[:, 1]], lattice.size_px)
        answers.append(model.answer(windows, dates[first : first + batch_size]))
    found = logit(np.concatenate(answers))
    logits = np.zeros((len(rows), len(columns), *found.shape[1:]))
    logits[counted] = found
    mean, weight = average(logits, counted.astype(np.float64), lattice, box)
    known = (weight > 0) & (mosaic.validity[box.slices_in(mosaic.box)] != Validity.NO_DATA)
    return np.where(known, 1 / (1 + np.exp(-mean)), NO_ANSWER).astype(np.float32)


def _cut(image: Any, rows: Ints, columns: Ints, size: int) -> Any:
    """(N, bands, size, size) windows of an array or tensor (bands, height, width)."""
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
