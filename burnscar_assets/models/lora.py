"""OlmoEarth with low-rank additions to the projections of its attention; its own weights stay as they are.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models". A few lines of our own, where the `peft` library
would bring transformers and accelerate along: the additions are plain modules of the encoder, so `model.yaml`,
checkpoints and prediction treat it as any other.
"""

import math
from typing import Any, Final

import torch  # noqa: TID253 - rslearn loads this module, by the class path in a model's configuration
from rslearn.models.olmoearth_pretrain.model import OlmoEarth  # noqa: TID253 - as above
from torch import Tensor, nn  # noqa: TID253

PROJECTIONS: Final = ("q", "k", "v", "proj")
"""Linear layers of an attention that get an addition."""


class LowRankLinear(nn.Module):
    """A frozen linear layer and a trained product of two thin matrices.

    The product starts at zero, so that before the first step the layer answers as it did.

    Args:
        linear: the layer, which is frozen.
        rank: of the product.
        alpha: the product is scaled by `alpha / rank`.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, values: Tensor) -> Tensor:
        """What the layer answers, and the addition."""
        added = nn.functional.linear(nn.functional.linear(values, self.down), self.up)
        answer: Tensor = self.linear(values) + added * self.scale
        return answer


class OlmoEarthLora(OlmoEarth):
    """OlmoEarth whose attention is adapted and whose own weights are frozen.

    Args:
        rank: of the additions.
        alpha: they are scaled by `alpha / rank`.
        compile_model: as for OlmoEarth; the additions are compiled too.
        arguments: of OlmoEarth.

    Raises:
        ValueError: the encoder has no attention with the projections that are adapted.
    """

    def __init__(self, rank: int = 8, alpha: float = 16, compile_model: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments, compile_model=False)
        self.model.requires_grad_(False)
        adapted = [module for module in self.model.modules() if all(hasattr(module, name) for name in PROJECTIONS)]
        if not adapted:
            raise ValueError("the encoder has no attention with the projections that LoRA adapts")
        for attention in adapted:
            for name in PROJECTIONS:
                setattr(attention, name, LowRankLinear(getattr(attention, name), rank, alpha))
        if compile_model:
            self.model.apply_compile()
