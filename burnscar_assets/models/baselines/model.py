"""A set-up without a network for prediction, read from its checkpoint's folder; asked as a network is asked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import CheckpointError
from burnscar_assets.evaluation.baseline import NbrThreshold
from burnscar_assets.models.baselines.threshold import ThresholdModel
from burnscar_assets.models.baselines.trees import TreesModel
from burnscar_assets.models.manifest import THRESHOLD_FILE, TREES_FILE, CheckpointManifest


class BaselineModel:
    """Gives windows their probability of being burnt.

    Args:
        folder: of a verified checkpoint.
        manifest: its manifest.

    Attributes:
        manifest: What the model is and what it has seen.
        per_pixel: Whether it answers pixel by pixel: never.

    Raises:
        CheckpointError: its file can't be read.
    """

    per_pixel: Final = False

    def __init__(self, folder: Path, manifest: CheckpointManifest) -> None:
        self.manifest = manifest
        self._model = _read(folder, manifest)
        self._before = next((layer for layer in manifest.layers if layer != manifest.layer), None)

    def predict_batch(
        self, images: NDArray[np.uint16] | Mapping[str, NDArray[np.uint16]], acquired: Any
    ) -> NDArray[np.float64]:
        """Probability of burnt for each window, as `models.model.BurnModel` gives it; the dates decide nothing.

        Args:
            images: (N, bands, height, width) digital numbers; of a model of several layers, those of each layer of the
                manifest, with its bands.
            acquired: when each was acquired; of several layers, a mapping.

        Raises:
            ValueError: the shape is not (N, bands, height, width), or the dates are not N.
        """
        if isinstance(images, Mapping):
            after, before = images[self.manifest.layer], images[str(self._before)]
            assert isinstance(self._model, ThresholdModel)  # noqa: S101 - trees read one layer
            return self._model.predict(self.manifest.sensor, after, before) if len(after) else np.empty(0)
        if self._before is not None:
            raise ValueError(f"the model reads the layers {', '.join(self.manifest.layers)}: give a mapping")
        sensor = self.manifest.sensor
        bands = len(sensor.names)
        if images.ndim != 4 or images.shape[1] != bands or len(acquired) != len(images):
            raise ValueError(f"need (N, {bands}, height, width) and N dates, got {images.shape}, {len(acquired)}")
        if not len(images):
            return np.empty(0)
        if isinstance(self._model, TreesModel):
            return self._model.predict(images)
        return self._model.predict(sensor, images)


def _read(folder: Path, manifest: CheckpointManifest) -> ThresholdModel | TreesModel:
    if manifest.kind == "trees":
        return TreesModel((folder / TREES_FILE).read_text(encoding="utf-8"), manifest.sensor)
    if manifest.kind != "threshold":
        raise CheckpointError(f"{folder} holds a model of unknown kind {manifest.kind!r}: train it anew")
    try:
        said = json.loads((folder / THRESHOLD_FILE).read_bytes())
        return ThresholdModel(NbrThreshold(**said["threshold"]), float(said["width"]), said["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / THRESHOLD_FILE} is no threshold: train it anew") from error
