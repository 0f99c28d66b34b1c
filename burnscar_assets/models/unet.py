"""A plain U-Net's way down, for `configs/model-unet.yaml`: rslearn has the way up and the head.

A baseline that knows nothing of other imagery than this project's: small, trained from scratch, pixel by pixel.
"""

from itertools import pairwise

import torch  # noqa: TID253 - rslearn loads this module, by the class path in a model's configuration
from rslearn.models.component import FeatureExtractor, FeatureMaps  # noqa: TID253 - as above
from rslearn.train.model_context import ModelContext  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253


class ConvolutionPyramid(FeatureExtractor):
    """Features of images at full resolution and, each from the one before, at coarser ones.

    Args:
        inputs: names of the images; their bands and time steps are channels, one after another.
        in_channels: how many these are together.
        channels: (factor, channels) of each resolution, factors 1, 2, 4, …, as `UNetDecoder` takes them.
        convolutions: how many of 3 × 3 pixels each resolution has.

    Raises:
        ValueError: factors are not 1, 2, 4, … .
    """

    def __init__(
        self, inputs: list[str], in_channels: int, channels: list[tuple[int, int]], convolutions: int = 2
    ) -> None:
        super().__init__()
        if [factor for factor, _ in channels] != [2**level for level in range(len(channels))]:
            raise ValueError(f"factors of a pyramid are 1, 2, 4, …, not {[factor for factor, _ in channels]}")
        self.inputs = inputs
        widths = [in_channels, *(width for _, width in channels)]
        self.levels = nn.ModuleList(_block(wide, wider, convolutions) for wide, wider in pairwise(widths))

    def forward(self, context: ModelContext) -> FeatureMaps:
        """Feature maps (windows, channels, rows, columns), finest first."""
        features: Tensor = torch.stack(
            [torch.cat([sample[name].image.flatten(0, 1) for name in self.inputs]) for sample in context.inputs]
        ).contiguous(memory_format=torch.channels_last)  # several times faster on a CPU
        maps: list[Tensor] = []
        for level in self.levels:
            features = level(nn.functional.max_pool2d(features, 2) if maps else features)
            maps.append(features)
        return FeatureMaps(maps)

    def get_backbone_channels(self) -> list[tuple[int, int]]:
        """(factor, channels) of the feature maps."""
        return [(2**level, block[0].out_channels) for level, block in enumerate(self.levels)]


def _block(wide: int, wider: int, convolutions: int) -> nn.Sequential:
    """Convolutions of one resolution. Normalised over batches: within a window, it would lose how bright it is."""
    layers: list[nn.Module] = []
    for number in range(convolutions):
        source = wider if number else wide
        layers += [nn.Conv2d(source, wider, 3, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
    return nn.Sequential(*layers)
