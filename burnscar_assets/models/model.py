"""A fine-tuned model for prediction: verified, built from its own checkpoint's folder, weights only."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.classes import BURNT
from burnscar_assets.errors import CheckpointError
from burnscar_assets.models.classes import foreign_classes, foreign_encoder_classes, read_foreign_yaml
from burnscar_assets.models.crop import crop_of, middle
from burnscar_assets.models.manifest import (
    CONFIG_FILE,
    ENCODER_FILE,
    WEIGHTS_FILE,
    CheckpointManifest,
    verify_checkpoint,
)
from burnscar_assets.models.weights import hash_weights, load_state

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

OLMOEARTH = ("rslearn.models.olmoearth_pretrain.model.OlmoEarth", "burnscar_assets.models.lora.OlmoEarthLora")
HEADS = (
    "rslearn.train.tasks.classification.ClassificationHead",
    "rslearn.train.tasks.segmentation.SegmentationHead",
)

Images = NDArray[np.uint16] | Mapping[str, NDArray[Any]]
"""(N, bands, height, width) of the one layer that a model reads, or the same of each by its name."""

Moments = Sequence[datetime] | Mapping[str, Sequence[datetime]]
"""N times of acquisition, of the one layer or of each by its name."""


class BurnModel:
    """Gives windows their probability of being burnt.

    Attributes:
        manifest: What the model is and what it has seen.
        per_pixel: Whether it answers pixel by pixel; a window's probability is then the mean of its pixels'.
        layers: Raster layers that it reads, each with its bands.
    """

    def __init__(self, model: "Module", manifest: CheckpointManifest, device: str, config: Mapping[str, Any]) -> None:
        from burnscar_assets.models.config import image_inputs, image_layers

        self.manifest = manifest
        self.per_pixel = manifest.per_pixel
        self.layers = image_layers(dict(config))
        self._model = model
        self._device = device
        self._inputs = {name: tuple(said["layers"]) for name, said in image_inputs(dict(config)).items()}
        self._transforms = _transforms(config)
        self._crop_px = crop_of(dict(config))

    def predict_batch(self, images: Images, acquired: Moments) -> NDArray[np.float64]:
        """Probability of burnt for each window.

        Args:
            images: (N, 12, height, width) digital numbers of Sentinel-2 L2A without the baseline's offset, bands in
                the order of `classes.BANDS`; of a model that reads several layers, each by its name, bands as in
                `layers`.
            acquired: when each was acquired, as in the tiles table: the encoder sees the month.

        Returns:
            (N,) probabilities in 0–1.

        Raises:
            ValueError: a layer is missing, the shape is not (N, bands, height, width), or the dates are not N.
        """
        samples = self._samples(images, acquired)
        return self._window_answers(self._forward(samples)) if samples else np.empty(0)

    def predict_pixels(self, images: Images, acquired: Moments) -> NDArray[np.float32]:
        """Probability of burnt for each pixel, of a model that answers pixel by pixel.

        Arguments and errors are those of `predict_batch`.

        Returns:
            (N, height, width) probabilities in 0–1.

        Raises:
            ValueError: the model answers for whole windows only.
        """
        samples = self._samples(images, acquired)
        if not samples:
            return np.empty((0, *_one(images).shape[2:]), np.float32)
        return self._pixel_answers(self._forward(samples))

    def normalize(self, pixels: NDArray[np.uint16]) -> "Tensor":
        """What a model of one layer is given of digital numbers, on the model's device.

        Args:
            pixels: (12, …) digital numbers, bands first.

        Returns:
            float32 of the same shape.
        """
        return self._normalized(next(iter(self._inputs)), pixels)

    def answer(self, windows: "Tensor", acquired: Sequence[datetime]) -> NDArray[np.floating]:
        """What the model says of windows of what `normalize` gave: of each pixel if it is `per_pixel`, else of each."""
        return (self.predict_pixels_normalized if self.per_pixel else self.predict_normalized)(windows, acquired)

    def predict_normalized(self, windows: "Tensor", acquired: Sequence[datetime]) -> NDArray[np.float64]:
        """As `predict_batch`, of what `normalize` gave.

        Args:
            windows: (N, 12, height, width), N at least 1.
            acquired: when each was acquired.
        """
        return self._window_answers(self._forward(self._of_one_date(windows, acquired)))

    def predict_pixels_normalized(self, windows: "Tensor", acquired: Sequence[datetime]) -> NDArray[np.float32]:
        """As `predict_pixels`, of what `normalize` gave; arguments are those of `predict_normalized`."""
        return self._pixel_answers(self._forward(self._of_one_date(windows, acquired)))

    def _of_one_date(self, windows: "Tensor", acquired: Sequence[datetime]) -> list[dict[str, Any]]:
        from rslearn.train.model_context import RasterImage

        (name,) = self._inputs
        return [
            {name: RasterImage(window[:, None], [(moment, moment)])}
            for window, moment in zip(middle(windows, self._crop_px), acquired, strict=True)
        ]

    def _samples(self, images: Images, acquired: Moments) -> list[dict[str, Any]]:
        """What rslearn's models take of each window: by input, its layers as time steps."""
        from rslearn.train.model_context import RasterImage

        pixels, moments = self._checked(images, acquired)
        samples: list[dict[str, Any]] = [{} for _ in _one(pixels)]
        for name, layers in self._inputs.items() if samples else ():
            stacked = np.stack([pixels[layer].swapaxes(0, 1) for layer in layers], axis=2)
            windows = self._normalized(name, middle(stacked, self._crop_px)).swapaxes(0, 1)
            times = zip(*(moments[layer] for layer in layers), strict=True)
            for sample, window, steps in zip(samples, windows, times, strict=True):
                sample[name] = RasterImage(window, [(moment, moment) for moment in steps])
        return samples

    def _checked(
        self, images: Images, acquired: Moments
    ) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, Sequence[datetime]]]:
        """Images and times by layer."""
        only = next(iter(self.layers))
        pixels = images if isinstance(images, Mapping) else {only: images}
        moments = acquired if isinstance(acquired, Mapping) else {only: acquired}
        if not self.layers.keys() <= pixels.keys() & moments.keys():
            raise ValueError(f"need images and dates of {', '.join(self.layers)}, got {', '.join(pixels)}")
        for layer, bands in self.layers.items():
            image = pixels[layer]
            if image.ndim != 4 or image.shape[1] != len(bands) or len(moments[layer]) != len(image):
                raise ValueError(
                    f"{layer}: need (N, {len(bands)}, height, width) and N dates, got {image.shape}, "
                    f"{len(moments[layer])}"
                )
        return pixels, moments

    def _normalized(self, name: str, pixels: NDArray[Any]) -> "Tensor":
        """An input as the model is given it: (bands, …) float32 on the model's device."""
        import torch
        from rslearn.train.model_context import RasterImage

        flat = torch.from_numpy(pixels.astype(np.float32)).to(self._device).reshape(len(pixels), 1, 1, -1)
        sample = {name: RasterImage(flat)}
        for transform in self._transforms[name]:
            sample, _ = transform(sample, {})
        return sample[name].image.reshape(pixels.shape)

    def _forward(self, samples: list[dict[str, Any]]) -> "Tensor":
        """(N, classes) or (N, classes, height, width) probabilities."""
        import torch
        from rslearn.train.model_context import ModelContext

        with torch.inference_mode():
            outputs: Tensor = self._model(ModelContext(inputs=samples, metadatas=[])).outputs
        return outputs

    def _window_answers(self, outputs: "Tensor") -> NDArray[np.float64]:
        burnt = outputs[:, BURNT].float()
        if self.per_pixel:
            burnt = burnt.mean(dim=(1, 2))
        answers: NDArray[np.float64] = burnt.cpu().numpy().astype(np.float64)
        return answers

    def _pixel_answers(self, outputs: "Tensor") -> NDArray[np.float32]:
        if not self.per_pixel:
            raise ValueError("this model answers for whole windows: ask predict_batch")
        answers: NDArray[np.float32] = outputs[:, BURNT].float().cpu().numpy()
        return answers


def _one(images: Images) -> NDArray[Any]:
    """The images of one layer."""
    return next(iter(images.values())) if isinstance(images, Mapping) else images


class WindowModel(Protocol):
    """What every checkpoint can be asked, whatever it is."""

    manifest: CheckpointManifest

    @property
    def per_pixel(self) -> bool:
        """Whether it answers pixel by pixel too."""

    def predict_batch(self, images: NDArray[np.uint16], acquired: Sequence[datetime]) -> NDArray[np.float64]:
        """Probability of burnt for each window; see `BurnModel.predict_batch`."""


def load_model(folder: Path, device: str = "cpu", classes: Collection[str] = ()) -> WindowModel:
    """Load a year's checkpoint after verifying it; nothing outside its folder is read.

    Args:
        folder: the checkpoint's folder.
        device: where it runs, `cpu`, `cuda`, or `auto`: a GPU if there is one.
        classes: class paths that its configuration may name beyond those of `training.classes`.

    Raises:
        CheckpointError: the checkpoint is missing, incomplete, does not match its manifest, or names a class that it
            may not name.
    """
    manifest = verify_checkpoint(folder)
    if manifest.kind != "fine_tuned":
        from burnscar_assets.models.baselines.model import BaselineModel

        return BaselineModel(folder, manifest)
    state = load_state(folder / WEIGHTS_FILE)
    if hash_weights(state) != manifest.weights_sha256:
        raise CheckpointError(f"the weights in {folder} are not those of its manifest: train it anew")
    config = _config(folder, classes)
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = _build(folder, config["model"]["init_args"]["model"], device)
    model.load_state_dict(state)
    return BurnModel(model.to(device).eval(), manifest, device, config)


def _config(folder: Path, classes: Collection[str]) -> dict[str, Any]:
    """A checkpoint's own configuration, which names no class that it may not name."""
    path, encoder = folder / CONFIG_FILE, folder / ENCODER_FILE
    try:
        config: dict[str, Any] = read_foreign_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is no configuration of a model: {error}; train it anew") from error
    if foreign := foreign_classes(config, classes):
        raise CheckpointError(
            f"{path} names {', '.join(foreign)}, whose code a checkpoint may not run: if you know and trust it, add it "
            "to training.classes of the settings"
        )
    if encoder.exists() and (foreign := foreign_encoder_classes(json.loads(encoder.read_bytes()))):
        raise CheckpointError(f"{encoder} names {', '.join(foreign)}, which is no part of OlmoEarth: train it anew")
    return config


def _build(folder: Path, config: dict[str, Any], device: str) -> "Module":
    """The configured model with random weights, its architecture from the folder's own copy."""
    import tempfile

    from torch.nn import Module

    decoder = config["init_args"].get("decoder") or [{}]
    has_known_head = decoder[-1].get("class_path") in HEADS
    if has_known_head:
        decoder.pop()
    with tempfile.TemporaryDirectory() as encoder:
        if (folder / ENCODER_FILE).exists():
            (Path(encoder) / "config.json").write_bytes((folder / ENCODER_FILE).read_bytes())
        _point_encoder(config, encoder, None if device == "cpu" else "bfloat16")
        model: Module = _instantiate(config, Module)
    if has_known_head:
        model.decoder.append(_probability_head())
    return model


def _transforms(config: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What a configuration does to each of its image inputs before the model sees it, split by split the same."""
    from torch.nn import Module

    made: dict[str, list[Any]] = {}
    data = config["data"]["init_args"]
    for said in data["default_config"]["transforms"]:
        arguments = said.get("init_args", {})
        for name in data["inputs"]:
            if name in arguments.get("band_names", {}):
                own = arguments | {"band_names": {name: arguments["band_names"][name]}}
                made.setdefault(name, []).append(_instantiate(said | {"init_args": own}, Module))
            elif name in arguments.get("selectors", ()):
                own = arguments | {"selectors": [name]}
                made.setdefault(name, []).append(_instantiate(said | {"init_args": own}, Module))
    return {name: made.get(name, []) for name in data["inputs"]}


def _instantiate(config: dict[str, Any], kind: type) -> Any:
    """The object that a class path and its arguments stand for, as rslearn makes it."""
    import jsonargparse
    from rslearn.utils.jsonargparse import init_jsonargparse

    init_jsonargparse()
    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(kind, "made")
    return parser.instantiate_classes(parser.parse_object({"made": config})).made


def _probability_head() -> "Module":
    """What rslearn's heads do in prediction; their modules also import seconds' worth of metrics."""
    from rslearn.models.component import FeatureMaps, FeatureVector, Predictor
    from rslearn.train.model_context import ModelContext, ModelOutput

    class ProbabilityHead(Predictor):
        def forward(
            self, intermediates: FeatureVector | FeatureMaps, context: ModelContext, targets: Any = None
        ) -> ModelOutput:
            if isinstance(intermediates, FeatureVector):
                logits = intermediates.feature_vector
            else:
                (logits,) = intermediates.feature_maps
            return ModelOutput(outputs=logits.softmax(dim=1), loss_dict={})

    return ProbabilityHead()


def _point_encoder(node: Any, path: str, precision: str | None) -> None:
    """Let every OlmoEarth in the configuration read its architecture from `path`."""
    if isinstance(node, dict):
        if node.get("class_path") in OLMOEARTH:
            node["init_args"] |= {
                "model_path": path,
                "model_id": None,
                "checkpoint_path": None,
                "random_initialization": True,
                "autocast_dtype": precision,
                "compile_model": False,
            }
        for value in node.values():
            _point_encoder(value, path, precision)
    elif isinstance(node, list):
        for value in node:
            _point_encoder(value, path, precision)
