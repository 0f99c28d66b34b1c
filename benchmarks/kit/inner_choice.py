"""The set-up that inner folds choose, for each fold the one that maps its validation fires best."""

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
    """Choose for each fold among set-ups by the mean IoU over frames of its validation fires, mean over seeds.

    Args:
        field: the maps of these set-ups.
        contestants: that are chosen among.
        root: of the world.
        fire_year: of its checkpoints.
    """
    validated = {one.name: _validated(one, fire_year) for one in contestants if one.name in field.scores}
    names = [*validated]
    best = np.argmax([validated[name] for name in names], axis=0)
    chosen = tuple(names[number] for number in best)
    folds = read_table(root, FOLDS, None).set_index("fire_id")["fold"]
    of_fire = [chosen[int(str(folds[fire]).rpartition("_")[2])] for fire in _fires(field)]
    most = max(len(field.scores[name]) for name in set(chosen))
    seeds = [_assembled(field.scores, of_fire, seed) for seed in range(most)]
    return Choice(chosen, MapField(field.fires, {**field.scores, CHOSEN: seeds}, field.baselines))


def _validated(one: Contestant, fire_year: int) -> list[float]:
    """Mean IoU over validation frames of each fold, mean over seeds; −1 where maps weren't fixed on frames."""
    reports = [load_report(root, fire_year) for root in one.roots]
    by_seed = [[judged.rules.for_maps.mean_iou for judged in report.judgements] for report in reports]
    return [float(np.mean([-1 if iou is None else iou for iou in fold])) for fold in zip(*by_seed, strict=True)]


def _fires(field: MapField) -> list[str]:
    return [str(fire) for fire in next(iter(field.scores.values()))[0]["fire_id"]]


def _assembled(scores: Mapping[str, Sequence[pd.DataFrame]], of_fire: Sequence[str], seed: int) -> pd.DataFrame:
    """The rows of each fire by the set-up of its fold; one with fewer seeds gives its own in turn."""
    rows = [scores[name][seed % len(scores[name])].iloc[[number]] for number, name in enumerate(of_fire)]
    assembled = pd.concat(rows, ignore_index=True)
    assembled[MAPS_DECIDE] = assembled[MAPS_DECIDE].astype(float)
    return assembled
