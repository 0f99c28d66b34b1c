"""Set-ups without a network as predictors, read from a checkpoint's folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import CheckpointError
from burnscar_assets.evaluation.calibration import NbrThreshold
from burnscar_assets.models.baselines.features import feature_names, window_features
from burnscar_assets.models.baselines.pixel_features import REACH_PX, pixel_feature_names, pixel_features, with_data
from burnscar_assets.models.baselines.threshold import ThresholdModel
from burnscar_assets.models.baselines.trees import TreesModel
from burnscar_assets.models.manifest import THRESHOLD_FILE, TREES_FILE, CheckpointManifest
from burnscar_assets.models.predictor import Images, Predictor, Times

PIXELS_AT_ONCE: Final = 1 << 16
"""Pixels whose features are in memory together."""


def read_baseline(folder: Path, manifest: CheckpointManifest) -> Predictor:
    """The predictor of a verified checkpoint of kind `threshold` or `trees`.

    Raises:
        CheckpointError: its file can't be read, or it is of another kind.
    """
    if manifest.kind == "trees":
        text = (folder / TREES_FILE).read_text(encoding="utf-8")
        return (PixelTreesPredictor if manifest.per_pixel else TreesPredictor)(text, manifest)
    if manifest.kind != "threshold":
        raise CheckpointError(f"{folder} holds a model of unknown kind {manifest.kind!r}: train it anew")
    try:
        said = json.loads((folder / THRESHOLD_FILE).read_bytes())
        model = ThresholdModel(NbrThreshold(**said["threshold"]), float(said["width"]), said["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / THRESHOLD_FILE} is no threshold: train it anew") from error
    return ThresholdPredictor(model, manifest)


class _Baseline(Predictor):
    """Takes digital numbers as they are; dates decide nothing."""

    def __init__(self, manifest: CheckpointManifest) -> None:
        self.manifest = manifest
        self.layers = manifest.layers or {manifest.layer: manifest.sensor.names}
        self._before = next((layer for layer in self.layers if layer != manifest.layer), None)

    def _prepare(self, images: Images) -> dict[str, NDArray[Any]]:
        """See `Predictor.prepare`."""
        return dict(images)

    def _images(self, prepared: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The images after and before the fire."""
        return prepared[self.manifest.layer], None if self._before is None else prepared[self._before]


class ThresholdPredictor(_Baseline):
    """A threshold on a burn index: on that of a pixel, or on a window's mean."""

    per_pixel = True
    reach_px = 0

    def __init__(self, model: ThresholdModel, manifest: CheckpointManifest) -> None:
        super().__init__(manifest)
        self._model = model

    def _answer(self, prepared: Mapping[str, NDArray[Any]], times: Times) -> NDArray[np.float64]:
        """See `Predictor.answer`."""
        return self._model.predict_pixels(self.manifest.sensor, *self._images(prepared))

    def _answer_windows(self, prepared: Mapping[str, NDArray[Any]], times: Times) -> NDArray[np.float64]:
        """See `Predictor.answer_windows`: by the mean of the index, which the threshold was tuned on."""
        return self._model.predict(self.manifest.sensor, *self._images(prepared))


class TreesPredictor(_Baseline):
    """Boosted trees on statistics of windows."""

    per_pixel = False

    def __init__(self, text: str, manifest: CheckpointManifest) -> None:
        super().__init__(manifest)
        self._trees = TreesModel(text, feature_names(manifest.sensor))

    def _answer(self, prepared: Mapping[str, NDArray[Any]], times: Times) -> NDArray[np.float64]:
        """See `Predictor.answer`."""
        return self._trees.predict(window_features(self._images(prepared)[0], self.manifest.sensor))


class PixelTreesPredictor(_Baseline):
    """Boosted trees on features of pixels."""

    per_pixel = True
    reach_px = REACH_PX

    def __init__(self, text: str, manifest: CheckpointManifest) -> None:
        super().__init__(manifest)
        self._trees = TreesModel(text, pixel_feature_names(manifest.sensor, change=self._before is not None))

    def _answer(self, prepared: Mapping[str, NDArray[Any]], times: Times) -> NDArray[np.float64]:
        """See `Predictor.answer`."""
        images = [image for image in self._images(prepared) if image is not None]
        count, _, height, width = images[0].shape
        found = np.full((count, height, width), np.nan)
        windows, rows = max(1, PIXELS_AT_ONCE // (height * width)), max(1, PIXELS_AT_ONCE // width)
        for first in range(0, count, windows):
            for top in range(0, height, rows):
                above, below = max(0, top - REACH_PX), min(height, top + rows + REACH_PX)
                parts = [image[first : first + windows, :, above:below] for image in images]
                at = with_data(*parts)
                at[:, : top - above], at[:, top - above + rows :] = False, False
                if at.any():
                    told = self._trees.predict(pixel_features(self.manifest.sensor, at, *parts))
                    found[first : first + windows, above:below][at] = told
        return found
