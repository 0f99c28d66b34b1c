"""Floors and burn indices as predictions of whole frames: what a set-up's maps have to beat on the same pixels.

A prediction is a value for each pixel and a threshold above which it is called burnt. Thresholds that aren't given are
those with the greatest mean IoU over frames of validation fires. No perimeter of the fire itself is ever looked at.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.map_scores import Mask, ScoredGround, blocks_of
from burnscar_assets.mapping.fire_scenes import FireScene
from burnscar_assets.mapping.mosaic import Validity
from burnscar_assets.mapping.old_scars import LEAST_BURNED_DNBR, BurnRatios, change_counts, mode_of
from burnscar_assets.sensors.indices import FloatArray, dnbr, nbr, otsu, rbr, shows_water
from burnscar_assets.sensors.sensor import LAYER_DTYPE, Sensor
from burnscar_assets.settings import EvaluationSettings

Numbers = NDArray[np.uint16]

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


@dataclass(frozen=True)
class BurnImages:
    """What burn indices of a frame are made of, read once: of the part that is looked at, 0 elsewhere.

    Attributes:
        sensor: whose images these are.
        after: by band, (height, width) digital numbers after the fire.
        before: the same before it; None without an image before.
        clear: (height, width) where both images show the ground.
    """

    sensor: Sensor
    after: Mapping[str, Numbers]
    before: Mapping[str, Numbers] | None
    clear: Mask

    @classmethod
    def read(cls, scene: FireScene, sensor: Sensor, settings: EvaluationSettings) -> "BurnImages":
        """Read the images of a frame.

        Raises:
            MissingDataError: an image is gone.
        """
        bands = tuple(dict.fromkeys((*sensor.shown, *_bands_of_indices(sensor))))
        shape = scene.frame.shape
        numbers, clear = np.zeros((2, len(bands), *shape), LAYER_DTYPE), np.zeros(shape, bool)
        has_before = bool(scene.moments_before)
        for box in blocks_of(scene.frame, scene.name, settings.max_frame_km2):
            place = box.slices_in(scene.frame.box)
            mosaics = [one for one in (scene.after(box), scene.before(box)) if one is not None]
            clear[place] = np.logical_and.reduce([one.validity == Validity.VALID for one in mosaics])
            for image, mosaic in zip(numbers, mosaics, strict=False):
                image[:, *place] = mosaic.of_bands(scene.bands, bands).pixels
        after, before = (dict(zip(bands, image, strict=True)) for image in numbers)
        return cls(sensor, after, before if has_before else None, clear)

    def ratios(self) -> BurnRatios | None:
        """What tells old scars; None without an image before."""
        if self.before is None:
            return None
        early, late = (np.stack([image[band] for band in self.sensor.shown]) for image in (self.before, self.after))
        return BurnRatios.of(early, late, self.clear, has_red=self.sensor.has("red"))

    def indices(self, ground: ScoredGround) -> FrameIndices:
        """Burn indices of the frame, of whose pixels some count."""
        after, water = self._ratio(self.after)
        if not ground.with_before or self.before is None:
            return FrameIndices(after, None, water, ground)
        before, water_before = self._ratio(self.before)
        return FrameIndices(after, before, water | water_before, ground)

    def _ratio(self, image: Mapping[str, Numbers]) -> tuple[FloatArray, Mask]:
        """NBR of an image, and where it shows water."""
        nir, swir, *visible = (image[band] for band in _bands_of_indices(self.sensor))
        return nbr(nir, swir), shows_water(nir, swir, *visible)


def _bands_of_indices(sensor: Sensor) -> tuple[str, ...]:
    return *sensor.burn_ratio, *sensor.bands_of(("green", "red"))[:1]


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


def _everything(frame: FrameIndices) -> FloatArray:
    return np.zeros(frame.nbr.shape, np.float32)


def _ellipse(frame: FrameIndices) -> FloatArray:
    """Less the distance from the middle of the frame, 1 at the middles of its sides."""
    rows, columns = (np.abs(np.linspace(-1, 1, size, dtype=np.float32)) for size in frame.nbr.shape)
    return -np.hypot(rows[:, None], columns[None, :])


def _otsu(frame: FrameIndices) -> FloatArray | None:
    try:
        cut, _ = otsu(frame.nbr[frame.land])
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
