"""The seam between models and those who ask them: evaluator, frames, maps and mining know a `Predictor` and no more.

::

    predictor = load_model(folder)
    probability = predictor.predict({layer: images}, {layer: times})

Networks (`models.model`), thresholds and trees (`models.baselines`), and ensembles of them (`models.ensemble`) are
predictors.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.models.manifest import CheckpointManifest

Images = Mapping[str, NDArray[Any]]
"""By raster layer, (N, bands, height, width) digital numbers, 0 without data."""

Times = Mapping[str, Sequence[datetime]]
"""By raster layer, when each of the N images was acquired."""

HAS_DATA: Final = "has data"
"""Beside what a model prepares of images: (1, …) whether a pixel has every band of each of them."""


class Predictor(ABC):
    """Gives windows, or their pixels, their probability of being burnt; none where an image that it reads lacks data.

    A model is what `_prepare`, `_answer` and, if it has a way of its own with windows, `_answer_windows` say. What
    lacks data is told here, for all of them.

    Attributes:
        manifest: What it is and what it has seen.
        layers: Raster layers that it reads, each with its bands in their order.
        per_pixel: Whether it answers pixel by pixel, or for windows as a whole.
        reach_px: How far around a pixel its answer looks, in pixels: an area can be answered at once. None: the whole
            window that it is asked about, so that overlapping windows are to be averaged.
        members: Of an ensemble, its predictors with their weights, which sum to 1: each answers an area in its own
            way, and the answers are averaged.
    """

    manifest: CheckpointManifest
    layers: Mapping[str, tuple[str, ...]]
    per_pixel: bool
    reach_px: int | None = None
    members: "Sequence[tuple[float, Predictor]]" = ()

    def predict(self, images: Images, times: Times) -> NDArray[np.floating]:
        """Probability of burnt.

        Args:
            images: of each layer in `layers`, with its bands.
            times: when they were acquired, as in the tiles table.

        Returns:
            (N, height, width) 0–1 if it is `per_pixel`, NaN where a pixel lacks data; else (N,), NaN where all do.

        Raises:
            ValueError: a layer is missing, a shape is not (N, bands, height, width), or the dates are not N.
        """
        shape = self._checked(images, times)
        if not shape[0]:
            return np.empty(shape if self.per_pixel else 0)
        return self.answer(self._prepared(images), times)

    def predict_windows(self, images: Images, times: Times) -> NDArray[np.float64]:
        """Probability of burnt of each window, (N,) 0–1, NaN without data; arguments and errors are `predict`'s."""
        if not self._checked(images, times)[0]:
            return np.empty(0)
        return self.answer_windows(self._prepared(images), times)

    def prepare(self, images: Images) -> dict[str, Any]:
        """What `answer` takes of images, made once for all the windows that are cut from them.

        Args:
            images: of each layer in `layers`, (bands, …) digital numbers.

        Returns:
            Arrays or tensors (channels, …), by names of the model's own, and `HAS_DATA`.
        """
        has_data = np.logical_and.reduce([(images[layer] != 0).all(axis=0) for layer in self.layers])
        return self._prepare(images) | {HAS_DATA: has_data[None]}

    def answer(self, prepared: Mapping[str, Any], times: Times) -> NDArray[np.floating]:
        """As `predict`, of windows of what `prepare` gave: (N, channels, height, width), N at least 1."""
        has_data = prepared[HAS_DATA][:, 0]
        found = self._answer(prepared, times)
        return np.where(has_data if self.per_pixel else has_data.any(axis=(1, 2)), found, found.dtype.type(np.nan))

    def answer_windows(self, prepared: Mapping[str, Any], times: Times) -> NDArray[np.float64]:
        """As `predict_windows`, of what `answer` takes."""
        found = self._answer_windows(prepared, times)
        return np.where(prepared[HAS_DATA].any(axis=(1, 2, 3)), found, np.nan)

    @abstractmethod
    def _prepare(self, images: Images) -> dict[str, Any]:
        """See `prepare`."""

    @abstractmethod
    def _answer(self, prepared: Mapping[str, Any], times: Times) -> NDArray[np.floating]:
        """See `answer`; whatever it says where there is no data."""

    def _answer_windows(self, prepared: Mapping[str, Any], times: Times) -> NDArray[np.float64]:
        """See `answer_windows`: by the mean over pixels with an answer."""
        answers = np.asarray(self.answer(prepared, times), dtype=np.float64)
        if not self.per_pixel:
            return answers
        known = np.isfinite(answers)
        total = np.where(known, answers, 0).sum(axis=(1, 2))
        return np.asarray(total / np.maximum(known.sum(axis=(1, 2)), 1))

    def _prepared(self, images: Images) -> dict[str, Any]:
        prepared = self.prepare({layer: images[layer].swapaxes(0, 1) for layer in self.layers})
        return {name: image.swapaxes(0, 1) for name, image in prepared.items()}

    def _checked(self, images: Images, times: Times) -> tuple[int, int, int]:
        """Number, height and width of the windows."""
        if not self.layers.keys() <= images.keys() & times.keys():
            raise ValueError(f"need images and dates of {', '.join(self.layers)}, got {', '.join(images)}")
        for layer, bands in self.layers.items():
            image = images[layer]
            if image.ndim != 4 or image.shape[1] != len(bands) or len(times[layer]) != len(image):
                raise ValueError(
                    f"{layer}: need (N, {len(bands)}, height, width) and N dates, got {image.shape}, "
                    f"{len(times[layer])}"
                )
        count, _, height, width = images[next(iter(self.layers))].shape
        return count, height, width
