"""What set-ups answered on their held-out fires, brought to the same windows; and what they cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from burnscar_assets.cost import Cost, read_cost
from burnscar_assets.errors import InputError, MissingDataError
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
        answers: of each set-up, for each of its seeds, contract PREDICTIONS in the order of `windows`.
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
    return rows.set_index("window_id")


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
