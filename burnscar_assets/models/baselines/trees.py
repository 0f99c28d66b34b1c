"""Gradient-boosted trees on statistics of bands and indices (LightGBM), saved as LightGBM's own text, never pickled.

One thread and fixed seeds: the same windows and parameters grow the same trees. The number of trees is the one with the
least loss on windows, or pixels, of the validation split, which is what they are for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from burnscar_assets.errors import CheckpointError
from burnscar_assets.setups import TreesParameters

if TYPE_CHECKING:
    import lightgbm

Examples = tuple[NDArray[np.floating], NDArray[np.bool_]]
"""(n, features), and (n,) whether each is burnt."""

SHARE_OF_WINDOWS: Final = 0.8
SHARE_OF_FEATURES: Final = 0.7
"""What each tree sees, so that another seed grows another model."""


@dataclass(frozen=True)
class GrownTrees:
    """Trees as text, and how their losses went.

    Attributes:
        text: LightGBM's own format; all that a prediction needs.
        trees: number of trees that are kept.
        history: `epoch` (trees so far), `train_loss` and `val_loss` of each round.
        gain: of each feature that was used, the loss that its splits saved.
    """

    text: str
    trees: int
    history: list[dict[str, float]]
    gain: dict[str, float]


class TreesModel:
    """Predicts with saved trees.

    Args:
        text: what `GrownTrees.text` was.
        names: of the features that they were grown on.

    Raises:
        CheckpointError: the text is no model of these features.
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        import lightgbm

        try:
            self._booster = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise CheckpointError(
                f"the trees can't be read ({error}): run burnscar refresh, which grows them"
            ) from error
        if tuple(self._booster.feature_name()) != tuple(names):
            raise CheckpointError("the trees were grown on other features: grow them anew")

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n,) probability of burnt of (n, features)."""
        return np.asarray(self._booster.predict(features, num_threads=1), dtype=np.float64)


def grow_trees(
    train: Examples,
    val: Examples,
    names: Sequence[str],
    parameters: TreesParameters,
    seed: int,
) -> GrownTrees:
    """Grow trees on features, with their names, and whether burnt, of windows or pixels of both splits."""
    import lightgbm

    losses: dict[str, Any] = {}
    sets = [lightgbm.Dataset(train[0], train[1].astype(int), feature_name=list(names), free_raw_data=False)]
    sets.append(sets[0].create_valid(val[0], val[1].astype(int)))
    booster = lightgbm.train(
        _lightgbm_parameters(parameters, seed),
        sets[0],
        num_boost_round=parameters.rounds,
        valid_sets=sets,
        valid_names=["train", "val"],
        callbacks=[
            lightgbm.early_stopping(parameters.stop_rounds, first_metric_only=True, verbose=False),
            lightgbm.record_evaluation(losses),
        ],
    )
    best = booster.best_iteration or booster.current_iteration()
    rounds = zip(losses["train"]["binary_logloss"], losses["val"]["binary_logloss"], strict=True)
    history = [{"epoch": n, "train_loss": seen, "val_loss": unseen} for n, (seen, unseen) in enumerate(rounds, start=1)]
    return GrownTrees(booster.model_to_string(num_iteration=best), best, history, _gain(booster))


def _lightgbm_parameters(parameters: TreesParameters, seed: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": parameters.learning_rate,
        "num_leaves": parameters.leaves,
        "min_data_in_leaf": parameters.min_windows_in_leaf,
        "bagging_fraction": SHARE_OF_WINDOWS,
        "bagging_freq": 1,
        "feature_fraction": SHARE_OF_FEATURES,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def _gain(booster: "lightgbm.Booster") -> dict[str, float]:
    gains = zip(booster.feature_name(), booster.feature_importance("gain"), strict=True)
    return {name: float(gain) for name, gain in sorted(gains, key=lambda item: -item[1]) if gain > 0}
