"""A fine-tuned model for prediction: verified, built from its own checkpoint's folder, weights only."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from burnscar_assets.classes import BANDS, BURNT
from burnscar_assets.errors import CheckpointError
from burnscar_assets.training.manifest import (
    CONFIG_FILE,
    ENCODER_FILE,
    WEIGHTS_FILE,
    CheckpointManifest,
    verify_checkpoint,
)
from burnscar_assets.training.weights import hash_weights, load_state

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

OLMOEARTH = "rslearn.models.olmoearth_pretrain.model.OlmoEarth"
CLASSIFICATION_HEAD = "rslearn.train.tasks.classification.ClassificationHead"
MODALITY = "sentinel2_l2a"


class BurnModel:
    """Gives windows their probability of being burnt.

    Attributes:
        manifest: What the model is and what it has seen.
    """

    def __init__(self, model: "Module", manifest: CheckpointManifest, device: str) -> None:
        from rslearn.models.olmoearth_pretrain.norm import OlmoEarthNormalize

        self.manifest = manifest
        self._model = model
        self._device = device
        self._normalize = OlmoEarthNormalize(band_names={MODALITY: list(BANDS)})

    def predict_batch(self, images: NDArray[np.uint16], acquired: Sequence[datetime]) -> NDArray[np.float64]:
        """Probability of burnt for each window.

        Args:
            images: (N, 12, height, width) digital numbers of Sentinel-2 L2A without the baseline's offset, bands in
                the order of `classes.BANDS`.
            acquired: when each was acquired, as in the tiles table: the encoder sees the month.

        Returns:
            (N,) probabilities in 0–1.

        Raises:
            ValueError: the shape is not (N, 12, height, width), or the dates are not N.
        """
        if images.ndim != 4 or images.shape[1] != len(BANDS) or len(acquired) != len(images):
            raise ValueError(f"need (N, {len(BANDS)}, height, width) and N dates, got {images.shape}, {len(acquired)}")
        if not len(images):
            return np.empty(0)
        return self.predict_normalized(self.normalize(images.swapaxes(0, 1)).swapaxes(0, 1), acquired)

    def normalize(self, pixels: NDArray[np.uint16]) -> "Tensor":
        """What the encoder is given of digital numbers, on the model's device.

        Args:
            pixels: (12, …) digital numbers, bands first.

        Returns:
            float32 of the same shape.
        """
        import torch
        from rslearn.train.model_context import RasterImage

        flat = torch.from_numpy(pixels.astype(np.float32)).to(self._device).reshape(len(BANDS), 1, 1, -1)
        sample = {MODALITY: RasterImage(flat)}
        self._normalize(sample, {})
        return flat.reshape(pixels.shape)

    def predict_normalized(self, windows: "Tensor", acquired: Sequence[datetime]) -> NDArray[np.float64]:
        """As `predict_batch`, of what `normalize` gave.

        Args:
            windows: (N, 12, height, width), N at least 1.
            acquired: when each was acquired.
        """
        import torch
        from rslearn.train.model_context import ModelContext, RasterImage

        inputs = [
            {MODALITY: RasterImage(window[:, None], [(moment, moment)])}
            for window, moment in zip(windows, acquired, strict=True)
        ]
        with torch.inference_mode():
            output = self._model(ModelContext(inputs=inputs, metadatas=[]))
        return output.outputs[:, BURNT].float().cpu().numpy().astype(np.float64)


class WindowModel(Protocol):
    """What every checkpoint can be asked, whatever it is."""

    manifest: CheckpointManifest

    def predict_batch(self, images: NDArray[np.uint16], acquired: Sequence[datetime]) -> NDArray[np.float64]:
        """Probability of burnt for each window; see `BurnModel.predict_batch`."""


def load_model(folder: Path, device: str = "cpu") -> WindowModel:
    """Load a year's checkpoint after verifying it; nothing outside its folder is read.

    Args:
        folder: the checkpoint's folder.
        device: where it runs, e.g. `cpu` or `cuda`.

    Raises:
        CheckpointError: the checkpoint is missing, incomplete, or does not match its manifest.
    """
    manifest = verify_checkpoint(folder)
    if manifest.kind != "fine_tuned":
        from burnscar_assets.baselines.model import BaselineModel

        return BaselineModel(folder, manifest)
    state = load_state(folder / WEIGHTS_FILE)
    if hash_weights(state) != manifest.weights_sha256:
        raise CheckpointError(f"the weights in {folder} are not those of its manifest: train it anew")
    model = _build(folder, device)
    model.load_state_dict(state)
    return BurnModel(model.to(device).eval(), manifest, device)


def _build(folder: Path, device: str) -> "Module":
    """The configured model with random weights, its architecture from the folder's own copy."""
    import tempfile

    import jsonargparse
    from rslearn.utils.jsonargparse import init_jsonargparse
    from torch.nn import Module

    config = yaml.safe_load((folder / CONFIG_FILE).read_text(encoding="utf-8"))["model"]["init_args"]["model"]
    decoder = config["init_args"].get("decoder") or [{}]
    is_classifier = decoder[-1].get("class_path") == CLASSIFICATION_HEAD
    if is_classifier:
        decoder.pop()
    init_jsonargparse()
    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(Module, "model")
    with tempfile.TemporaryDirectory() as encoder:
        (Path(encoder) / "config.json").write_bytes((folder / ENCODER_FILE).read_bytes())
        _point_encoder(config, encoder, None if device == "cpu" else "bfloat16")
        model = parser.instantiate_classes(parser.parse_object({"model": config})).model
    if is_classifier:
        model.decoder.append(_probability_head())
    return model


def _probability_head() -> "Module":
    """What rslearn's ClassificationHead does in prediction; its module also imports seconds' worth of metrics."""
    from rslearn.models.component import FeatureVector, Predictor
    from rslearn.train.model_context import ModelContext, ModelOutput

    class ProbabilityHead(Predictor):
        def forward(self, intermediates: FeatureVector, context: ModelContext, targets: Any = None) -> ModelOutput:
            return ModelOutput(outputs=intermediates.feature_vector.softmax(dim=1), loss_dict={})

    return ProbabilityHead()


def _point_encoder(node: Any, path: str, precision: str | None) -> None:
    """Let every OlmoEarth in the configuration read its architecture from `path`."""
    if isinstance(node, dict):
        if node.get("class_path") == OLMOEARTH:
            node["init_args"] |= {
                "model_path": path,
                "random_initialization": True,
                "autocast_dtype": precision,
                "compile_model": False,
            }
        for value in node.values():
            _point_encoder(value, path, precision)
    elif isinstance(node, list):
        for value in node:
            _point_encoder(value, path, precision)
