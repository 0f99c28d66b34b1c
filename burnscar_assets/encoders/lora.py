"""Low-rank additions to the projections of an encoder's attention; its own weights stay as they are.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models". A few lines of our own, where the `peft` library
would bring transformers and accelerate along: the additions are plain modules of the encoder, so `model.yaml`,
checkpoints and prediction treat it as any other.
"""

import math
from typing import Any

import torch  # noqa: TID253 - rslearn loads this module, by the class path in a model's configuration
from rslearn.models.component import FeatureExtractor  # noqa: TID253 - as above
from rslearn.train.model_context import ModelContext  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253


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


class LowRank(FeatureExtractor):
    """An encoder whose attention is adapted and whose own weights are frozen.

    Args:
        encoder: whose attention is adapted.
        projections: names of the linear layers that get an addition, where a module has all of them.
        rank: of the additions.
        alpha: they are scaled by `alpha / rank`.

    Raises:
        ValueError: the encoder has no attention with these projections.
    """

    def __init__(self, encoder: FeatureExtractor, projections: list[str], rank: int = 8, alpha: float = 16) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        adapted = [module for module in encoder.modules() if all(hasattr(module, name) for name in projections)]
        if not adapted:
            raise ValueError(f"the encoder has no attention with the projections {', '.join(projections)}")
        for attention in adapted:
            for name in projections:
                setattr(attention, name, LowRankLinear(getattr(attention, name), rank, alpha))

    def forward(self, context: ModelContext) -> Any:
        """What the encoder answers."""
        return self.encoder(context)
