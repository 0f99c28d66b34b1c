"""TerraMind 1.0 of IBM and ESA: the encoder of Sentinel-2 L2A images.

rslearn's own `Terramind` needs TerraTorch, whose dependencies hold antlr4-python3-runtime at 4.9, with which Dagster
can't read a selection of assets; and it fetches weights while it is built. So its encoder is written anew here, after
TerraTorch's `terramind_vit.py` (Apache-2.0, IBM Corp.); a test compares the answers of both.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import torch  # noqa: TID253 - a plug-in that only a process with torch loads
from torch import Tensor, nn  # noqa: TID253 - as above

from burnscar_assets.encoders.patches import PatchEncoder, load_published

PATCH: Final = 16
POSITIONS: Final = 14
"""Patches along a side of the images that it was pretrained with."""

_MODALITY: Final = "encoder_embeddings.untok_sen2l2a@224."


class TerraMind(PatchEncoder):
    """TerraMind's encoder, given one Sentinel-2 L2A image.

    Args:
        image, bands, patch_size: see `PatchEncoder`.
        width: channels.
        blocks: transformer blocks.
        heads: of each block's attention.
        gated: whether blocks are gated and without biases, as base and large are, tiny and small not.
        weights: file of the tensors.
        random: leave the weights as they are drawn.

    Raises:
        ValueError: a band is unknown, or the file holds another model.
        CheckpointError: the file is missing or can't be read as tensors.
    """

    known: ClassVar[Sequence[str]] = (
        "B01",
        "B02",
        "B03",
        "B04",
        "B05",
        "B06",
        "B07",
        "B08",
        "B8A",
        "B09",
        "B11",
        "B12",
    )
    pretrained_patch = PATCH

    def __init__(
        self,
        image: str,
        bands: list[str],
        patch_size: int,
        width: int,
        blocks: int,
        heads: int,
        gated: bool,
        weights: str,
        random: bool = False,
    ) -> None:
        super().__init__(image, bands, patch_size, width)
        self.model = TerraMindTransformer(len(self.known), width, blocks, heads, gated=gated)
        if not random:
            load_published(self.model, Path(weights), _named)

    def tokens(self, images: Tensor) -> Tensor:
        """Features of the last block.

        Raises:
            ValueError: there are several steps.
        """
        if images.shape[2] != 1:
            raise ValueError(f"TerraMind takes one image of a window, not {images.shape[2]}")
        features: Tensor = self.model(images[:, :, 0])
        return features


class TerraMindTransformer(nn.Module):
    """The transformer: patches of an image with their places, blocks, a last normalisation.

    Args:
        bands: of the image.
        width: channels of the features.
        blocks: how many.
        heads: of each block's attention.
        gated: whether blocks are gated and without biases.
    """

    def __init__(self, bands: int, width: int, blocks: int, heads: int, *, gated: bool) -> None:
        super().__init__()
        self.patch_embeddings = _PatchEmbedding(bands, width)
        self.blocks = nn.ModuleList(_Block(width, heads, gated=gated) for _ in range(blocks))
        self.norm = _norm(width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(images, patches, width) of (images, bands, rows, columns)."""
        tokens = self.patch_embeddings(images)
        for block in self.blocks:
            tokens = block(tokens)
        features: Tensor = self.norm(tokens)
        return features


class _PatchEmbedding(nn.Module):
    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(PATCH * PATCH * bands, width, bias=False)
        self.mod_emb = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.register_buffer("pos_emb", _places(width))

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = (side // PATCH for side in images.shape[-2:])
        patches = images.unflatten(-1, (columns, PATCH)).unflatten(2, (rows, PATCH))
        values = patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        grid = self.pos_emb.unflatten(1, (POSITIONS, POSITIONS)).permute(0, 3, 1, 2)
        places = nn.functional.interpolate(grid, (rows, columns), mode="bicubic", align_corners=False)
        embedded: Tensor = self.proj(values) + places.flatten(2).transpose(1, 2) + self.mod_emb
        return embedded


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, *, gated: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(width), _norm(width)
        self.attn = _Attention(width, heads, bias=not gated)
        self.mlp = _GatedMlp(width) if gated else _Mlp(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        answer: Tensor = tokens + self.mlp(self.norm2(tokens))
        return answer


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width, bias=bias)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        answer: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return answer


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        answer: Tensor = self.fc2(nn.functional.gelu(self.fc1(tokens)))
        return answer


class _GatedMlp(nn.Module):
    """SwiGLU, with as many multiplications as `_Mlp` has."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 2 * 4 * width // 3
        self.fc1, self.fc2 = nn.Linear(width, inner, bias=False), nn.Linear(inner, width, bias=False)
        self.fc3 = nn.Linear(width, inner, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        answer: Tensor = self.fc2(nn.functional.silu(self.fc1(tokens)) * self.fc3(tokens))
        return answer


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6, bias=False)


def _places(width: int) -> Tensor:
    """Sines and cosines of a patch's row and column, (1, patches, width)."""
    frequencies = 10_000.0 ** -(torch.arange(width // 4) / (width // 4))
    first, second = torch.meshgrid(torch.arange(POSITIONS), torch.arange(POSITIONS), indexing="ij")
    angles = [place.flatten()[:, None] * frequencies for place in (first, second)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)[None]


def _named(published: str) -> str | None:
    if published.startswith(_MODALITY):
        return "patch_embeddings." + published.removeprefix(_MODALITY)
    if published.startswith("encoder_norm."):
        return "norm." + published.removeprefix("encoder_norm.")
    return "blocks." + published.removeprefix("encoder.") if published.startswith("encoder.") else None
