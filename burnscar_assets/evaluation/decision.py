"""The probability from which a window is called burnt: fixed on the validation split, never on test."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import InputError
from burnscar_assets.evaluation.baseline import tune_threshold

DEFAULT_THRESHOLD: Final = 0.5
"""Where the validation split can't tell."""


@dataclass(frozen=True)
class Decision:
    """A fixed decision threshold.

    Attributes:
        threshold: a window is called burnt if its probability is above this.
        fixed_on: `validation`, or `nothing` if it had just one class or one probability.
        balanced_accuracy: on the validation windows, 0–1; None if it was fixed on nothing.
        burnt: burnt validation windows.
        unburnt: unburnt ones.
    """

    threshold: float
    fixed_on: str
    balanced_accuracy: float | None
    burnt: int
    unburnt: int

    def predict(self, probability: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether each window is called burnt."""
        return np.asarray(probability) > self.threshold


def fix_decision(probability: NDArray[np.floating], burnt: NDArray[np.bool_]) -> Decision:
    """The threshold with the best balanced accuracy on validation windows; of equally good ones, the widest gap's.

    Args:
        probability: (n,) of burnt, 0–1, of the validation windows.
        burnt: (n,) whether each is burnt.
    """
    burnt = np.asarray(burnt, dtype=bool)
    counts = int(burnt.sum()), int((~burnt).sum())
    try:
        found = tune_threshold(-np.asarray(probability, dtype=np.float64), burnt)
    except InputError:
        return Decision(DEFAULT_THRESHOLD, "nothing", None, *counts)
    return Decision(-found.threshold, "validation", found.train_balanced_accuracy, *counts)
