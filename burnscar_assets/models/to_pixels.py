"""The last step of a decoder that answers pixel by pixel: features as fine as the window, whatever an encoder's are."""

from typing import Any

from rslearn.models.component import FeatureMaps, IntermediateComponent  # noqa: TID253 - named in configurations
from rslearn.train.model_context import ModelContext  # noqa: TID253 - as above
from torch.nn import functional  # noqa: TID253


class ToPixels(IntermediateComponent):
    """Resizes feature maps to the rows and columns of the images, bilinearly; those that fit stay as they are."""

    def forward(self, intermediates: Any, context: ModelContext) -> FeatureMaps:
        """Feature maps (windows, channels, rows, columns) of the images' rows and columns."""
        size = tuple(next(iter(context.inputs[0].values())).shape[-2:])
        return FeatureMaps(
            [
                maps
                if tuple(maps.shape[-2:]) == size
                else functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
                for maps in intermediates.feature_maps
            ]
        )
