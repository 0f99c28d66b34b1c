"""Floors and burn indices as predictions of whole frames: what a set-up's maps have to beat on the same pixels.

A prediction is a value for each pixel and a threshold above which it is called burnt. Thresholds that aren't given are
those with the greatest mean IoU over frames of validation fires. No perimeter of the fire itself is ever looked at.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.map_scores import Mask, ScoredGround, blocks_of
from burnscar_assets.mapping.fire_scenes import FireScene
from burnscar_assets.mapping.frame import Box
from burnscar_assets.mapping.index_map import otsu
from burnscar_assets.mapping.mosaic import Mosaic
from burnscar_assets.mapping.old_scars import LEAST_BURNED_DNBR, change_counts, mode_of
from burnscar_assets.sensors.indices import FloatArray, dnbr, nbr, rbr, shows_water
from burnscar_assets.sensors.sensor import Sensor
from burnscar_assets.settings import EvaluationSettings

EDGES: Final = np.linspace(-1, 1, 401)
"""Thresholds that are tried."""

_EQUAL: Final = 1e-12


@dataclass(frozen=True)
class FrameIndices:
    """What burn indices of a frame are made of.

    Attributes:
        nbr: (height, width) of the image after; NaN without data.
        nbr_before: the same of the image before; None where it isn't asked for.
        water: (height, width) open water in either image.
        ground: what counts.
    """

    nbr: FloatArray
    nbr_before: FloatArray | None
    water: Mask
    ground: ScoredGround

    @property
    def land(self) -> Mask:
        """(height, width) pixels that count in statistics of the frame."""
        return self.ground.judged & ~self.water

    @property
    def change(self) -> FloatArray | None:
        """(height, width) dNBR."""
        return None if self.nbr_before is None else dnbr(self.nbr_before, self.nbr)


@dataclass(frozen=True)
class Baseline:
    """A floor or a burn index.

    Attributes:
        name: of the predictor.
        title: a few words.
        of: values of a frame's pixels, high where burnt; None where they can't be had.
        threshold: above which a pixel is called burnt; without validation fires if it is tuned.
        tuned: whether validation fires decide the threshold.
    """

    name: str
    title: str
    of: Callable[[FrameIndices], FloatArray | None]
    threshold: float
    tuned: bool = False


def indices_of(scene: FireScene, sensor: Sensor, settings: EvaluationSettings, ground: ScoredGround) -> FrameIndices:
    """What burn indices are made of, of the part of a frame that is looked at.

    Raises:
        MissingDataError: an image is gone.
    """
    boxes = blocks_of(scene.frame, scene.name, settings.max_frame_km2)
    after, water = _ratio(scene, sensor, boxes, scene.after)
    if not ground.with_before:
        return FrameIndices(after, None, water, ground)
    before, water_before = _ratio(scene, sensor, boxes, scene.before)
    return FrameIndices(after, before, water | water_before, ground)


def tune(baselines: Iterable[Baseline], frames: Iterable[FrameIndices]) -> dict[str, float]:
    """Thresholds of baselines by name: those that are given, and the best ones on frames of validation fires.

    Of equally good ones the middle is taken. A baseline that no frame has values for keeps its own.
    """
    every = tuple(baselines)
    found: dict[str, list[NDArray[np.float64]]] = {one.name: [] for one in every if one.tuned}
    for frame in frames:
        for one in every:
            values = one.of(frame) if one.tuned else None
            if values is not None:
                found[one.name].append(_ious(values, frame.ground))
    return {one.name: _best(found[one.name]) if found.get(one.name) else one.threshold for one in every}


def _best(ious: Sequence[NDArray[np.float64]]) -> float:
    mean = np.mean(ious, axis=0)
    best = np.flatnonzero(mean >= mean.max() - _EQUAL)
    return float(EDGES[best[len(best) // 2]])


def _ious(values: FloatArray, ground: ScoredGround) -> NDArray[np.float64]:
    """IoU of a frame above each of EDGES."""
    burnt = ground.burnt & ground.judged

    def above(inside: Mask) -> NDArray[np.float64]:
        place = np.searchsorted(EDGES, values[inside & np.isfinite(values)], side="left")
        counts = np.bincount(place, minlength=len(EDGES) + 1)
        return np.asarray(counts[::-1].cumsum()[::-1][1:], np.float64)

    hits, false = above(burnt), above(ground.judged & ~ground.burnt)
    return hits / np.maximum(burnt.sum() + false, 1)


def _ratio(
    scene: FireScene, sensor: Sensor, boxes: Sequence[Box], read: Callable[[Box], Mosaic | None]
) -> tuple[FloatArray, Mask]:
    """NBR of an image, and where it shows water."""
    visible = sensor.bands_of(("green", "red"))[:1]
    bands = (*sensor.burn_ratio, *visible)
    ratio, water = np.full(scene.frame.shape, np.nan, np.float32), np.zeros(scene.frame.shape, bool)
    for box in boxes:
        mosaic = read(box)
        if mosaic is None:
            continue
        nir, swir, *shown = mosaic.of_bands(scene.bands, bands).pixels
        place = box.slices_in(scene.frame.box)
        ratio[place] = nbr(nir, swir)
        water[place] = shows_water(nir, swir, *shown)
    return ratio, water


def _everything(frame: FrameIndices) -> FloatArray:
    return np.zeros(frame.nbr.shape, np.float32)


def _ellipse(frame: FrameIndices) -> FloatArray:
    """Less the distance from the middle of the frame, 1 at the middles of its sides."""
    rows, columns = (np.abs(np.linspace(-1, 1, size, dtype=np.float32)) for size in frame.nbr.shape)
    return -np.hypot(rows[:, None], columns[None, :])


def _otsu(frame: FrameIndices) -> FloatArray | None:
    try:
        cut = otsu(frame.nbr[frame.land]).value
    except InputError:
        return None
    return np.asarray(cut - frame.nbr, np.float32)


def _less_mode(frame: FrameIndices) -> FloatArray | None:
    change = frame.change
    mode = None if change is None else mode_of(change_counts(change, frame.land))
    return None if change is None or mode is None else np.asarray(change - mode, np.float32)


def _rbr(frame: FrameIndices) -> FloatArray | None:
    return None if frame.nbr_before is None else rbr(frame.nbr_before, frame.nbr)


FLOORS: Final = (
    Baseline("all_burnt", "everything burnt", _everything, -1.0),
    Baseline("ellipse", "an ellipse in the middle", _ellipse, -0.5, tuned=True),
)
INDICES: Final = (
    Baseline("nbr", "NBR after, tuned", lambda frame: -frame.nbr, -0.1, tuned=True),
    Baseline("nbr_otsu", "NBR after by Otsu", _otsu, 0.0),
    Baseline("dnbr", "dNBR above 0.1", lambda frame: frame.change, LEAST_BURNED_DNBR),
    Baseline("dnbr_less_mode", "dNBR less the frame's mode above 0.1", _less_mode, LEAST_BURNED_DNBR),
    Baseline("dnbr_less_mode_tuned", "dNBR less the frame's mode, tuned", _less_mode, LEAST_BURNED_DNBR, tuned=True),
    Baseline("rbr", "RBR, tuned", _rbr, LEAST_BURNED_DNBR, tuned=True),
)
BASELINES: Final = (*FLOORS, *INDICES)
