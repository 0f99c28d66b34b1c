"""A plain U-Net's way down, for `configs/model-unet.yaml`: rslearn has the way up and the head.

A baseline that knows nothing of other imagery than this project's: small, trained from scratch, pixel by pixel.
"""

import torch  # noqa: TID253 - rslearn loads this module, by the class path in a model's configuration
from rslearn.models.component import FeatureExtractor, FeatureMaps  # noqa: TID253 - as above
from rslearn.train.model_context import ModelContext  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

_GROUPS = 4


class ConvolutionPyramid(FeatureExtractor):
    """Features of images at full resolution and, each from the one before, at coarser ones.

    Args:
        inputs: names of the images; their bands and time steps are channels, one after another.
        in_channels: how many these are together.
        channels: (factor, channels) of each resolution, factors 1, 2, 4, …, as `UNetDecoder` takes them.

    Raises:
        ValueError: factors are not 1, 2, 4, … .
    """

    def __init__(self, inputs: list[str], in_channels: int, channels: list[tuple[int, int]]) -> None:
        super().__init__()
        if [factor for factor, _ in channels] != [2**level for level in range(len(channels))]:
            raise ValueError(f"factors of a pyramid are 1, 2, 4, …, not {[factor for factor, _ in channels]}")
        self.inputs = inputs
        widths = [in_channels, *(width for _, width in channels)]
        self.levels = nn.ModuleList(_block(wide, wider) for wide, wider in zip(widths, widths[1:], strict=False))

    def forward(self, context: ModelContext) -> FeatureMaps:
        """Feature maps (windows, channels, rows, columns), finest first."""
        features: Tensor = torch.stack(
            [torch.cat([sample[name].image.flatten(0, 1) for name in self.inputs]) for sample in context.inputs]
        )
        maps = []
        for level in self.levels:
            features = level(nn.functional.max_pool2d(features, 2) if maps else features)
            maps.append(features)
        return FeatureMaps(maps)

    def get_backbone_channels(self) -> list[tuple[int, int]]:
        """(factor, channels) of the feature maps."""
        return [(2**level, block[0].out_channels) for level, block in enumerate(self.levels)]


def _block(wide: int, wider: int) -> nn.Sequential:
    """Two convolutions. Groups are normalised, not batches: a window's answer depends on no other window."""
    return nn.Sequential(
        nn.Conv2d(wide, wider, 3, padding=1),
        nn.GroupNorm(_GROUPS, wider),
        nn.ReLU(),
        nn.Conv2d(wider, wider, 3, padding=1),
        nn.GroupNorm(_GROUPS, wider),
        nn.ReLU(),
    )
