"""Which set-up maps validation fires best, by which a default is chosen.

With blocks, held-out fires have no part in the choice. With folds, each fire is a validation fire of some other fold's
checkpoint, so that this choice sees all of them; one that doesn't is made for each fold by itself.

An evaluation keeps how each validation fire's frame is mapped with the threshold that the fires of other clusters come
to (`evaluation.map_rules`). Networks' epochs and ensembles' weights were chosen on the same fires, so the figures
flatter them; they are for choosing alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from burnscar_assets.comparison.read import Contestant
from burnscar_assets.errors import MissingDataError
from burnscar_assets.evaluation.spec import load_report
from burnscar_assets.storage.paths import DataRoot


@dataclass(frozen=True)
class ValidationMaps:
    """Set-ups by their maps of the same validation fires.

    Attributes:
        fires: validation fires that every seed of all of them mapped.
        by_seed: of each set-up, the mean IoU over these fires of each seed, 0–1.
    """

    fires: int
    by_seed: dict[str, list[float]]

    @property
    def values(self) -> dict[str, float]:
        """Of each set-up, the mean over seeds; best first, of equal ones the first by name."""
        means = {name: float(np.mean(seeds)) for name, seeds in self.by_seed.items()}
        return dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))


def read_validation(contestants: Sequence[Contestant], fire_years: Sequence[int]) -> ValidationMaps | None:
    """Read how set-ups mapped the validation fires of their checkpoints of some years.

    A fire that several years' checkpoints mapped counts once, by their mean.

    Returns:
        The figures; None if fewer than two set-ups mapped a validation fire in common.
    """
    every = {one.name: [_by_fire(root, fire_years) for root in one.roots] for one in contestants}
    known = {name: seeds for name, seeds in every.items() if not any(of_seed.empty for of_seed in seeds)}
    if len(known) < 2:
        return None
    common = pd.concat([of_seed for seeds in known.values() for of_seed in seeds], axis=1, join="inner").index
    if common.empty:
        return None
    return ValidationMaps(
        len(common), {name: [float(of_seed[common].mean()) for of_seed in seeds] for name, seeds in known.items()}
    )


def choice_in_words(
    found: ValidationMaps, titles: dict[str, str], held_out: dict[str, float], *, folds: bool = False
) -> str:
    """Which set-up is chosen, how near the next is, and what it comes to on held-out fires.

    Args:
        found: figures of validation fires.
        titles: of set-ups by name.
        held_out: mean IoU of set-ups' maps of held-out fires, those that are known.
        folds: whether the world has folds, so that held-out fires are validation fires too.
    """
    (chosen, value), (second, next_value) = [*found.values.items()][:2]
    part = "each of which is a validation fire of another fold: this flatters it" if folds else "which chose nothing"
    told = f", {held_out[chosen]:.3f} on held-out fires, {part}" if chosen in held_out else ""
    return (
        f"Chosen by validation: {titles[chosen]} ({chosen}), whose maps of {found.fires} validation fires have the "
        f"greatest mean IoU, {value:.3f} (next: {titles[second]} {next_value:.3f}){told}."
    )


def _by_fire(root: DataRoot, fire_years: Sequence[int]) -> "pd.Series[float]":
    """IoU of the maps of validation fires, by fire."""
    ious: dict[str, list[float]] = {}
    for year in fire_years:
        try:
            judgements = load_report(root, year).judgements
        except MissingDataError:
            continue
        for error in (one for judged in judgements if judged.rules.maps for one in judged.rules.maps.errors):
            if not math.isnan(error.iou):
                ious.setdefault(error.fire_id, []).append(error.iou)
    return pd.Series({fire: float(np.mean(values)) for fire, values in ious.items()}, dtype=float)
