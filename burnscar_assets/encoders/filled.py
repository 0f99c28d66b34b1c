"""An encoder whose sensor lacks some of its bands, for model configurations that rslearn runs."""

from typing import Any

import torch  # noqa: TID253 - rslearn loads this module, by the class path in a model's configuration
from rslearn.models.component import FeatureExtractor  # noqa: TID253 - as above
from rslearn.train.model_context import ModelContext, RasterImage  # noqa: TID253


class Filled(FeatureExtractor):
    """Gives an encoder all of its bands, of an input that has some of them.

    Args:
        encoder: that reads all bands.
        input: name of the input that lacks some.
        places: of each of the encoder's bands, its place in the input, from 0; None: it is zero, after normalisation.
    """

    def __init__(self, encoder: FeatureExtractor, input: str, places: list[int | None]) -> None:
        super().__init__()
        self.encoder, self.input, self.places = encoder, input, places

    def forward(self, context: ModelContext) -> Any:
        """What the encoder answers."""
        samples = [sample | {self.input: self._whole(sample[self.input])} for sample in context.inputs]
        return self.encoder(
            ModelContext(inputs=samples, metadatas=context.metadatas, context_dict=context.context_dict)
        )

    def _whole(self, image: RasterImage) -> RasterImage:
        """(bands, steps, rows, columns) with every band of the encoder."""
        zero = torch.zeros_like(image.image[0])
        bands = [zero if place is None else image.image[place] for place in self.places]
        return RasterImage(torch.stack(bands), image.timestamps)
