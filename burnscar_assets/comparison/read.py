"""What set-ups predicted for the same held-out windows, what they cost, and how they map validation fires.

By maps of validation fires a default is chosen. With blocks, held-out fires have no part in the choice. With folds,
each fire is a validation fire of some other fold's checkpoint, so that this choice sees all of them; one that doesn't
is made for each fold by itself. An evaluation keeps how each validation fire's frame is mapped with the threshold that
the fires of other clusters come to (`evaluation.rules`). Networks' epochs and ensembles' weights were chosen on the
same fires, so the figures flatter them; they are for choosing alone.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from burnscar_assets.cost import Cost, read_cost
from burnscar_assets.errors import InputError, MissingDataError
from burnscar_assets.evaluation.report import counting
from burnscar_assets.storage.contracts import PREDICTIONS
from burnscar_assets.storage.paths import DataRoot
from burnscar_assets.storage.tables import read_table, table_path

if TYPE_CHECKING:
    import geopandas as gpd


@dataclass(frozen=True)
class Contestant:
    """A set-up, and where its results lie.

    Attributes:
        name: its name.
        title: a few words.
        kind: what is trained.
        seeds: seeds that it was trained with; empty: one.
        roots: data root with its part, one for each seed.
    """

    name: str
    title: str
    kind: str
    seeds: tuple[int, ...]
    roots: tuple[DataRoot, ...]


@dataclass(frozen=True)
class Field:
    """The answers of set-ups for the same windows.

    Attributes:
        fire_years: years that are compared.
        windows: of those years, by window_id, as contract PREDICTIONS has them, without answers.
        answers: of each set-up, for each of its seeds, contract PREDICTIONS in the order of `windows`, without fires
            that a person took out.
        left_out: what was left out, and why, in words.
    """

    fire_years: tuple[int, ...]
    windows: "gpd.GeoDataFrame"
    answers: dict[str, list[pd.DataFrame]]
    left_out: tuple[str, ...] = field(default=())


def read_field(contestants: Sequence[Contestant], fire_years: Sequence[int], reference: str) -> Field:
    """Read what set-ups answered in the years that all of them were judged in, and keep the windows that all answered.

    A set-up that was never judged is left out.

    Raises:
        MissingDataError: fewer than two set-ups were judged, or the reference was not.
        InputError: there is no year, or no window, that all were judged on, or they don't agree on its truth.
    """
    judged = {c.name: {year for year in fire_years if _is_judged(c, year)} for c in contestants}
    present = [c for c in contestants if judged[c.name]]
    if len(present) < 2 or reference not in {c.name for c in present}:
        names = ", ".join(c.name for c in present) or "none"
        raise MissingDataError(
            f"a comparison needs metrics of the set-up {reference} and of another one, there are {names}: "
            "run burnscar refresh"
        )
    years = sorted(set.intersection(*(judged[c.name] for c in present)))
    if not years:
        raise InputError("no fire year has metrics of every set-up: run burnscar refresh for one year of all set-ups")
    answers = {c.name: [_read(root, years) for root in c.roots] for c in present}
    common = sorted(set.intersection(*(set(rows.index) for seeds in answers.values() for rows in seeds)))
    if not common:
        raise InputError(
            "the set-ups have no judged window in common: run burnscar refresh, so that all are up to date"
        )
    left_out = [*_absent(contestants, judged, years), *_windows_left_out(answers, common)]
    same = {name: [rows.loc[common].reset_index() for rows in seeds] for name, seeds in answers.items()}
    first = next(iter(same.values()))[0]
    for name, seeds in same.items():
        for rows in seeds:
            if not np.array_equal(rows["category"].to_numpy(str), first["category"].to_numpy(str)):
                raise InputError(f"{name} was judged by other labels than the others: run burnscar refresh")
    return Field(tuple(years), first, same, tuple(left_out))


def read_costs(contestant: Contestant, fire_years: Sequence[int]) -> list[Cost]:
    """Costs of a set-up's checkpoints of some years and of all its seeds, as their evaluations noted them."""
    return [read_cost(root.evaluation(year)) for root in contestant.roots for year in fire_years]


def _is_judged(contestant: Contestant, year: int) -> bool:
    return all(table_path(root, PREDICTIONS, year).exists() for root in contestant.roots)


def _read(root: DataRoot, years: Sequence[int]) -> pd.DataFrame:
    rows = pd.concat([read_table(root, PREDICTIONS, year) for year in years], ignore_index=True)
    return counting(rows).set_index("window_id")


def _absent(contestants: Sequence[Contestant], judged: Mapping[str, set[int]], years: Sequence[int]) -> Iterator[str]:
    for contestant in contestants:
        missing = sorted(judged[contestant.name] - set(years))
        if not judged[contestant.name]:
            yield f"{contestant.name}: not judged in any fire year"
        elif missing:
            yield f"{contestant.name}: fire years {', '.join(map(str, missing))}, in which not all were judged"


def _windows_left_out(answers: Mapping[str, Sequence[pd.DataFrame]], common: Sequence[str]) -> Iterator[str]:
    for name, seeds in answers.items():
        extra = max(len(rows) for rows in seeds) - len(common)
        if extra:
            yield f"{name}: {extra} windows that not all set-ups answered"


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
    from burnscar_assets.evaluation.spec import load_report

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
