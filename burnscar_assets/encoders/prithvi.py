"""Prithvi-EO-2.0 of IBM and NASA: rslearn's transformer, built and filled without a network.

rslearn's own `PrithviV2` fetches files while it is built, takes any weights for the right ones, trains a decoder along,
needs square windows, and answers 14 × 14 features whatever the window's side.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rslearn.models.prithvi import PrithviViT  # noqa: TID253 - a plug-in that only a process with torch loads
from torch import Tensor  # noqa: TID253 - as above

from burnscar_assets.encoders.patches import PatchEncoder, load_published


class Prithvi(PatchEncoder):
    """Prithvi-EO-2.0's encoder.

    Those published with tokens of time and place take none here: their authors pretrained them to do without.

    Args:
        image, bands, patch_size: see `PatchEncoder`; bands as HLS calls those of both satellites.
        width: channels.
        blocks: transformer blocks.
        heads: of each block's attention.
        pretrained_patch: side of a patch that it was pretrained with, in pixels.
        weights: file of the tensors.
        random: leave the weights as they are drawn.

    Raises:
        ValueError: a band is unknown, or the file holds another model.
        CheckpointError: the file is missing or can't be read as tensors.
    """

    known: ClassVar[Sequence[str]] = ("B02", "B03", "B04", "B05", "B06", "B07")

    def __init__(
        self,
        image: str,
        bands: list[str],
        patch_size: int,
        width: int,
        blocks: int,
        heads: int,
        weights: str,
        pretrained_patch: int = 16,
        random: bool = False,
    ) -> None:
        super().__init__(image, bands, patch_size, width)
        self.pretrained_patch = pretrained_patch
        self.model = PrithviViT(
            patch_size=(1, pretrained_patch, pretrained_patch),
            in_chans=len(self.known),
            embed_dim=width,
            depth=blocks,
            num_heads=heads,
        )
        if not random:
            load_published(self.model, Path(weights), _named, optional="pos_embed")

    def tokens(self, images: Tensor) -> Tensor:
        """Features of the last block, averaged over the steps, as rslearn does."""
        blocks: list[Tensor] = self.model.forward_features(images)
        return blocks[-1][:, 1:].unflatten(1, (images.shape[2], -1)).mean(1)


def _named(published: str) -> str | None:
    """Positions follow from the number of steps, so those of the file are left."""
    name = published.removeprefix("encoder.")
    return None if name in {published, "pos_embed"} else name
