"""A fine-tuned model for prediction: verified, built from its own checkpoint's folder, weights only."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.classes import BURNT
from burnscar_assets.encoders.chosen import EncoderRecord, point
from burnscar_assets.encoders.load import (
    foreign_arguments,
    foreign_classes_of_architecture,
    shipped_architecture_classes,
)
from burnscar_assets.errors import CheckpointError
from burnscar_assets.models.classes import followed_texts, foreign_classes, read_foreign_yaml
from burnscar_assets.models.crop import PAD, crop_of, middle
from burnscar_assets.models.devices import torch_device
from burnscar_assets.models.manifest import (
    CONFIG_FILE,
    ENCODER_FILE,
    WEIGHTS_FILE,
    CheckpointManifest,
    verify_checkpoint,
)
from burnscar_assets.models.predictor import Images, Predictor, Times
from burnscar_assets.models.weights import hash_weights, load_state
from burnscar_assets.settings.training import Accelerator

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

HEADS = (
    "rslearn.train.tasks.classification.ClassificationHead",
    "rslearn.train.tasks.segmentation.SegmentationHead",
)
OF_WINDOWS = ("rslearn.train.transforms.flip.Flip", PAD)
"""Transforms that leave pixels' values as they are."""


class BurnModel(Predictor):
    """A network."""

    def __init__(
        self,
        model: "Module",
        manifest: CheckpointManifest,
        device: str,
        config: Mapping[str, Any],
        classes: Collection[str] = (),
    ) -> None:
        from burnscar_assets.models.config import image_inputs, image_layers

        self.manifest = manifest
        self.per_pixel = manifest.per_pixel
        self.layers = image_layers(dict(config), manifest.sensor)
        self._model = model
        self._device = device
        self._inputs = {name: tuple(said["layers"]) for name, said in image_inputs(dict(config)).items()}
        self._places = {
            name: [self.layers[said["layers"][0]].index(band) for band in said["bands"]]
            for name, said in image_inputs(dict(config)).items()
        }
        self._transforms = _transforms(config, classes)
        self._crop_px = crop_of(dict(config))

    def _prepare(self, images: Images) -> dict[str, Any]:
        """The network's inputs by name, normalised, on its device: bands of every time step, in turn by band."""
        return {
            name: self._normalized(name, np.stack([images[layer] for layer in layers], axis=1)).flatten(0, 1)
            for name, layers in self._inputs.items()
        }

    def _answer(self, prepared: Mapping[str, Any], times: Times) -> NDArray[np.floating]:
        """See `Predictor.answer`: float32."""
        answers: NDArray[np.float32] = self._burnt(prepared, times).cpu().numpy()
        return answers

    def _normalized(self, name: str, pixels: NDArray[Any]) -> "Tensor":
        """An input of its layers' bands as the model is given it: (its bands, …) float32 on the model's device."""
        import torch
        from rslearn.train.model_context import RasterImage

        own = pixels[self._places[name]]
        flat = torch.from_numpy(own.astype(np.float32)).to(self._device).reshape(len(own), 1, 1, -1)
        sample = {name: RasterImage(flat)}
        for transform in self._transforms[name]:
            sample, _ = transform(sample, {})
        return sample[name].image.reshape(own.shape)

    def _samples(self, prepared: Mapping[str, "Tensor"], times: Times) -> list[dict[str, Any]]:
        """What rslearn's models take of each window: by input, its layers as time steps."""
        from rslearn.train.model_context import RasterImage

        samples: list[dict[str, Any]] = [{} for _ in next(iter(prepared.values()))]
        for name, layers in self._inputs.items():
            windows = middle(prepared[name], self._crop_px).unflatten(1, (-1, len(layers)))
            steps = zip(*(times[layer] for layer in layers), strict=True)
            for sample, window, moments in zip(samples, windows, steps, strict=True):
                sample[name] = RasterImage(window, [(moment, moment) for moment in moments])
        return samples

    def _burnt(self, prepared: Mapping[str, "Tensor"], times: Times) -> "Tensor":
        """(N,) or (N, height, width) probabilities."""
        import torch
        from rslearn.train.model_context import ModelContext

        with torch.inference_mode():
            context = ModelContext(inputs=self._samples(prepared, times), metadatas=[])
            outputs: Tensor = self._model(context).outputs
        return outputs[:, BURNT].float()


def load_model(folder: Path, accelerator: Accelerator = "cpu", classes: Collection[str] = ()) -> Predictor:
    """Load a year's checkpoint after verifying it; nothing outside its folder is read.

    Args:
        folder: the checkpoint's folder.
        accelerator: where it runs, `cpu`, `gpu`, or `auto`: a GPU if there is one.
        classes: class paths that its configuration may name beyond those of `training.classes`.

    Raises:
        CheckpointError: the checkpoint is missing, incomplete, does not match its manifest, or names a class that it
            may not name.
        InputError: it is to run on a GPU, and there is none.
    """
    manifest = verify_checkpoint(folder)
    if manifest.kind == "ensemble":
        from burnscar_assets.models.ensemble import EnsemblePredictor

        members = {name: load_model(folder / name, accelerator, classes) for name in manifest.members}
        return EnsemblePredictor(members, manifest)
    if manifest.kind != "fine_tuned":
        from burnscar_assets.models.baselines.model import read_baseline

        return read_baseline(folder, manifest)
    state = load_state(folder / WEIGHTS_FILE)
    if hash_weights(state) != manifest.weights_sha256:
        raise CheckpointError(f"the weights in {folder} are not those of its manifest: train it anew")
    config = _config(folder, manifest.encoder, classes)
    device = torch_device(accelerator)
    allowed = (*classes, *(() if manifest.encoder is None else (manifest.encoder.class_path,)))
    model = _build(folder, config["model"]["init_args"]["model"], manifest.encoder, device, allowed)
    model.load_state_dict(state)
    return BurnModel(model.to(device).eval(), manifest, device, config, allowed)


def _config(folder: Path, encoder: EncoderRecord | None, classes: Collection[str]) -> dict[str, Any]:
    """A checkpoint's own configuration, which names no class that it may not name."""
    path, architecture = folder / CONFIG_FILE, folder / ENCODER_FILE
    try:
        config: dict[str, Any] = read_foreign_yaml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is no configuration of a model: {error}; train it anew") from error
    try:
        followed = followed_texts(config if encoder is None else point(config, encoder, {"FOLDER": "", "AUTOCAST": ""}))
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no configuration of a model: {error!r}; train it anew") from error
    bare = {} if encoder is None else {"class_path": encoder.class_path, "init_args": encoder.bare}
    own = [] if encoder is None else [encoder.class_path]  # any other may fetch what it reads
    if foreign := foreign_classes([config, bare], classes, own):
        raise CheckpointError(
            f"{path} names {', '.join(foreign)}, whose code a checkpoint may not run: if you know and trust it, add it "
            "to training.classes of the settings"
        )
    if encoder is not None and (more := foreign_arguments(encoder.class_path, encoder.bare)):
        raise CheckpointError(f"{folder} has its encoder read more than its folder ({', '.join(more)}): train it anew")
    if followed:
        raise CheckpointError(f"{path} has {', '.join(followed)} where no file or bare name may stand: train it anew")
    if architecture.exists():
        allowed = (*shipped_architecture_classes(), *classes)
        if foreign := foreign_classes_of_architecture(json.loads(architecture.read_bytes()), allowed):
            raise CheckpointError(
                f"{architecture} names {', '.join(foreign)}, which no shipped encoder has: train it anew"
            )
    return config


def _build(
    folder: Path, config: dict[str, Any], encoder: EncoderRecord | None, device: str, classes: Collection[str]
) -> "Module":
    """The configured model with random weights, its architecture from the folder's own copy."""
    import tempfile

    from torch.nn import Module

    decoder = config["init_args"].get("decoder") or [{}]
    has_known_head = decoder[-1].get("class_path") in HEADS
    if has_known_head:
        decoder.pop()
    with tempfile.TemporaryDirectory() as bare:
        if encoder is not None and encoder.architecture_file is not None:
            (Path(bare) / Path(encoder.architecture_file).name).write_bytes((folder / ENCODER_FILE).read_bytes())
        if encoder is not None:
            config = point(config, encoder, {"FOLDER": bare, "AUTOCAST": None if device == "cpu" else "bfloat16"})
        model: Module = _instantiate(config, Module, classes)
    if has_known_head:
        model.decoder.append(_probability_head())
    return model


def _transforms(config: Mapping[str, Any], classes: Collection[str]) -> dict[str, list[Any]]:
    """What a configuration does to each of its image inputs before the model sees it, split by split the same.

    Raises:
        CheckpointError: it doesn't say which of several inputs a transform is for.
    """
    from torch.nn import Module

    from burnscar_assets.models.config import image_inputs

    inputs = [*image_inputs(dict(config))]
    made: dict[str, list[Any]] = {name: [] for name in inputs}
    for said in config["data"]["init_args"]["default_config"].get("transforms") or ():
        if said["class_path"] in OF_WINDOWS:
            continue
        arguments = said.get("init_args") or {}
        own = _of_each_input(arguments, inputs)
        if not own:
            raise CheckpointError(
                f"{said['class_path']} is for none of the model's inputs ({', '.join(inputs)}) by its band_names, "
                "selectors or input: predictions can't be prepared as training was; name the input there and train anew"
            )
        for name, restricted in own.items():
            made[name].append(_instantiate(said | {"init_args": restricted}, Module, classes))
    return made


def _of_each_input(arguments: dict[str, Any], inputs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A transform's arguments for each input that it is for; one without any word is for the only input."""
    bands, selectors = arguments.get("band_names"), arguments.get("selectors")
    if bands is None and selectors is None:
        said = [name for name in inputs if name in arguments.values()]
        return dict.fromkeys(said or (inputs if len(inputs) == 1 else ()), arguments)
    named: dict[str, dict[str, Any]] = {}
    for name in inputs:
        if isinstance(bands, dict) and name in bands:
            named[name] = arguments | {"band_names": {name: bands[name]}}
        elif found := [text for text in selectors or () if text.removeprefix("input/") == name]:
            named[name] = arguments | {"selectors": found[:1]}
    return named


def _instantiate(config: dict[str, Any], kind: type, classes: Collection[str]) -> Any:
    """The object that a class path and its arguments stand for, as rslearn makes it.

    Raises:
        CheckpointError: read as rslearn reads it, it has a class that is not allowed, see `foreign_classes`.
    """
    import jsonargparse
    from rslearn.utils.jsonargparse import init_jsonargparse

    init_jsonargparse()
    parser = jsonargparse.ArgumentParser()
    parser.add_subclass_arguments(kind, "made")
    parsed = parser.parse_object({"made": config})
    if foreign := foreign_classes(parsed.as_dict(), classes, classes):
        raise CheckpointError(f"{', '.join(foreign)} may not be run by a checkpoint: train it anew")
    return parser.instantiate_classes(parsed).made


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
