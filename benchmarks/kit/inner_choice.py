"""The set-up that inner folds choose, for each fold the one that maps its validation fires best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from burnscar_assets.comparison.maps import MapField
from burnscar_assets.comparison.read import Contestant
from burnscar_assets.evaluation.report import MAPS_DECIDE
from burnscar_assets.evaluation.spec import load_report
from burnscar_assets.storage.contracts import FOLDS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table

CHOSEN = "chosen by inner folds"


@dataclass(frozen=True)
class Choice:
    """What inner folds chose.

    Attributes:
        setups: the set-up of each fold, in their order.
        field: the maps with those of the chosen set-ups beside the others', by the name CHOSEN.
    """

    setups: tuple[str, ...]
    field: MapField


def choose(field: MapField, contestants: Sequence[Contestant], root: DataRoot, fire_year: int) -> Choice:
    """Choose for each fold among set-ups by the mean IoU over its validation fires, mean over seeds.

    Each validation fire counts with the threshold that those of other clusters come to, and if all set-ups map it.

    Args:
        field: the maps of these set-ups.
        contestants: that are chosen among; those whose maps aren't judged are left out.
        root: of the world.
        fire_year: of its checkpoints.
    """
    validated = {one.name: _validated(one, fire_year) for one in contestants if one.name in field.scores}
    chosen = tuple(_best({name: of[fold] for name, of in validated.items()}) for fold in range(_folds(validated)))
    folds = read_table(root, FOLDS, None).set_index("fire_id")["fold"]
    of_fire = [chosen[int(str(folds[fire]).rpartition("_")[2])] for fire in _fires(field)]
    most = max(len(field.scores[name]) for name in set(chosen))
    seeds = [_assembled(field.scores, of_fire, seed) for seed in range(most)]
    return Choice(chosen, MapField(field.fires, {**field.scores, CHOSEN: seeds}, field.baselines))


_Validated = list[dict[str, float]]
"""For each seed, IoU by validation fire."""


def _validated(one: Contestant, fire_year: int) -> list[_Validated]:
    """How a set-up maps the validation fires of each fold."""
    reports = [load_report(root, fire_year) for root in one.roots]
    by_seed = [[judged.rules.for_maps.errors for judged in report.judgements] for report in reports]
    return [
        [{one.fire_id: one.iou for one in errors if not math.isnan(one.iou)} for errors in seeds]
        for seeds in zip(*by_seed, strict=True)
    ]


def _folds(validated: Mapping[str, Sequence[_Validated]]) -> int:
    return len(next(iter(validated.values())))


def _best(validated: Mapping[str, _Validated]) -> str:
    """The set-up with the greatest mean IoU over the validation fires that all of them map."""
    mapping = {name: seeds for name, seeds in validated.items() if all(seeds)}
    common = set.intersection(*(set(ious) for seeds in mapping.values() for ious in seeds))
    means = {name: np.mean([[ious[fire] for fire in common] for ious in seeds]) for name, seeds in mapping.items()}
    return max(means, key=lambda name: means[name])


def _fires(field: MapField) -> list[str]:
    return [str(fire) for fire in next(iter(field.scores.values()))[0]["fire_id"]]


def _assembled(scores: Mapping[str, Sequence[pd.DataFrame]], of_fire: Sequence[str], seed: int) -> pd.DataFrame:
    """The rows of each fire by the set-up of its fold; one with fewer seeds gives its own in turn."""
    rows = [scores[name][seed % len(scores[name])].iloc[[number]] for number, name in enumerate(of_fire)]
    assembled = pd.concat(rows, ignore_index=True)
    assembled[MAPS_DECIDE] = assembled[MAPS_DECIDE].astype(float)
    return assembled
