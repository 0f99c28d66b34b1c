"""What vision transformers of patches have in common here: bands by name, patches as fine as wanted, checked weights.

They are pretrained on patches of 14 or 16 pixels, a quarter of a window of ours. So images are enlarged until a patch
is as many of a window's pixels as the settings say, as rslearn enlarges any image to 224 pixels.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import torch  # noqa: TID253 - rslearn loads this module, by the class path in a model's configuration
from rslearn.models.component import FeatureExtractor, FeatureMaps  # noqa: TID253 - as above
from rslearn.train.model_context import ModelContext  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from burnscar_assets.errors import CheckpointError
from burnscar_assets.models.weights import load_state


class PatchEncoder(FeatureExtractor):
    """A vision transformer of patches, each as large as wanted.

    Args:
        image: name of the input.
        bands: names of the input's bands, in its order. The others that the encoder knows are 0, their mean after
            normalisation: what an embedding answers from which the authors' library takes a band's weights out.
        patch_size: side of a patch, in the window's pixels.
        width: channels of its features.

    Raises:
        ValueError: a band is none that the encoder knows.
    """

    known: ClassVar[Sequence[str]]
    """Bands that it was pretrained with, in order."""

    pretrained_patch: int
    """Side of a patch in the images that it was pretrained with, in pixels."""

    def __init__(self, image: str, bands: Sequence[str], patch_size: int, width: int) -> None:
        super().__init__()
        if unknown := [name for name in bands if name not in self.known]:
            raise ValueError(f"{type(self).__name__} knows no band {unknown[0]}; it knows {', '.join(self.known)}")
        self.image = image
        self.places = [self.known.index(name) for name in bands]
        self.patch_size = patch_size
        self.width = width

    @abstractmethod
    def tokens(self, images: Tensor) -> Tensor:
        """(windows, patches, width) of (windows, bands, steps, rows, columns), the patches row by row."""

    def forward(self, context: ModelContext) -> FeatureMaps:
        """One feature map (windows, width, rows, columns), a feature a patch; steps are averaged."""
        images = torch.stack([sample[self.image].image for sample in context.inputs])
        rows, columns = (side // self.patch_size for side in images.shape[-2:])
        sides = (rows * self.pretrained_patch, columns * self.pretrained_patch)
        larger = nn.functional.interpolate(images.flatten(1, 2), sides, mode="bilinear", align_corners=False)
        given = larger.unflatten(1, images.shape[1:3])
        filled = given.new_zeros((len(given), len(self.known), *given.shape[2:]))
        filled[:, self.places] = given
        tokens = self.tokens(filled)
        return FeatureMaps([tokens.transpose(1, 2).unflatten(2, (rows, columns)).contiguous()])

    def get_backbone_channels(self) -> list[tuple[int, int]]:
        """(factor, channels) of the feature map."""
        return [(self.patch_size, self.width)]


def load_published(module: nn.Module, path: Path, named: Callable[[str], str | None], optional: str = "") -> None:
    """Fill a module with published weights; what the file holds beside is left.

    Args:
        module: to be filled.
        path: a file of tensors, read without running code.
        named: name in the module of a name in the file; None for what isn't of the module.
        optional: end of names that the file needn't have.

    Raises:
        CheckpointError: the file is missing, holds more than tensors and plain values, or lacks a tensor of the module,
            or one has another shape.
    """
    own = module.state_dict()
    found: dict[str, Tensor] = {}
    for name, value in load_state(path).items():
        target = named(name)
        if target is not None and target in own:
            found[target] = value
    wrong = sorted(name for name, value in found.items() if value.shape != own[name].shape)
    lacking = sorted(name for name in own.keys() - found.keys() if not (optional and name.endswith(optional)))
    if wrong or lacking:
        what = f"another shape of {wrong[0]}" if wrong else f"no {lacking[0]}"
        raise CheckpointError(
            f"{path} has {what}: it holds another model than {type(module).__name__} is built as; correct "
            "training.model.weights of the settings"
        )
    module.load_state_dict(found, strict=False)
