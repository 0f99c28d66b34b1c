"""What turns a checkpoint's probabilities into classes."""

from dataclasses import dataclass

from burnscar_assets.evaluation.baseline import NbrThreshold
from burnscar_assets.evaluation.calibration import Temperature
from burnscar_assets.evaluation.decision import Decision


@dataclass(frozen=True)
class Rules:
    """What turns a model's probability and a window's NBR into classes; fixed before anything is scored."""

    threshold: NbrThreshold
    decision: Decision
    temperature: Temperature
