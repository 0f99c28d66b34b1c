"""Set-ups by their maps of the same held-out fires, beside floors and burn indices on the same pixels."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from burnscar_assets.comparison.paired import Comparison, Entry, Scored, compare_entries
from burnscar_assets.comparison.read import Contestant
from burnscar_assets.evaluation.map_baselines import BASELINES
from burnscar_assets.evaluation.map_figures import FRAME, fires_judged, why_no_map
from burnscar_assets.evaluation.metrics import NO_INTERVAL, effective_clusters
from burnscar_assets.evaluation.report import MAPS_DECIDE, MODEL
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.contracts import MAP_SCORES
from burnscar_assets.storage.tables import read_years

if TYPE_CHECKING:
    import geopandas as gpd

UNFLAGGED: Final = "iou_unflagged"
"""IoU of the fires whose perimeters the source has no remark on."""

MAP_METRICS: Final = (
    MAPS_DECIDE, UNFLAGGED, "iou_off_outline", "f1", "omission", "boundary_f_1px", "boundary_f_2px",
)  # fmt: skip
"""Means over fires that are compared; the first one decides."""

MEDIANS: Final = {MAPS_DECIDE: "iou_median", UNFLAGGED: "iou_unflagged_median"}
"""What the medians over the same fires are called."""

_Columns = Mapping[str, NDArray[np.float64]]
"""By metric, (n,) values of fires; NaN if undefined."""

_Known = Mapping[str, NDArray[np.bool_]]
"""By metric, (n,) whether all set-ups and seeds have a value of the fire."""


@dataclass(frozen=True)
class Beside:
    """A floor or burn index beside a set-up.

    Attributes:
        name: its name.
        title: a few words.
        fires: fires that both have maps of.
        comparison: of the two on these.
    """

    name: str
    title: str
    fires: int
    comparison: Comparison


@dataclass(frozen=True)
class MapField:
    """Scores of set-ups' maps of the same fires.

    Attributes:
        fires: the fires that the maps of every set-up are judged on, by FRAME, with `ground`.
        scores: of each set-up that can map, for each of its seeds, in the order of `fires`.
        baselines: of floors and burn indices, in the same order; NaN where they have no map.
    """

    fires: pd.DataFrame
    scores: dict[str, list[pd.DataFrame]]
    baselines: dict[str, pd.DataFrame]

    def compare(self, settings: EvaluationSettings) -> Comparison:
        """Set-ups in pairs by their means over the fires where all have a value; their medians stand beside."""
        columns = {name: [self._columns(rows) for rows in seeds] for name, seeds in self.scores.items()}
        every = [values for seeds in columns.values() for values in seeds]
        known = {
            metric: np.logical_and.reduce([np.isfinite(values[metric]) for values in every]) for metric in MAP_METRICS
        }
        ground, everywhere = np.asarray(self._ground), np.ones(len(self.fires), bool)
        behind = {
            metric: effective_clusters(ground[inside].tolist(), everywhere[inside]) for metric, inside in known.items()
        }
        entries = {
            name: [Entry(partial(_means, values, known), behind) for values in seeds] for name, seeds in columns.items()
        }
        found = compare_entries(entries, self._ground, everywhere, settings, MAP_METRICS, behind)
        scored = {name: _with_medians(one, columns[name], known) for name, one in found.scored.items()}
        return replace(found, scored=scored)

    @property
    def flagged(self) -> int:
        """Fires whose perimeters the source has a remark on."""
        return int(_is_flagged(next(iter(self.scores.values()))[0]).sum())

    def beside(self, setup: str, baseline: str, settings: EvaluationSettings) -> Comparison:
        """A set-up and a baseline on the fires that the baseline has maps of."""
        known = self.baselines[baseline][MAPS_DECIDE].notna().to_numpy()
        both = {setup: self.scores[setup], baseline: [self.baselines[baseline]]}
        scores = {name: [rows[known].reset_index(drop=True) for rows in seeds] for name, seeds in both.items()}
        return MapField(self.fires[known].reset_index(drop=True), scores, {}).compare(settings)

    def beside_baselines(self, setup: str, settings: EvaluationSettings) -> Iterator[Beside]:
        """A set-up beside every floor and burn index that has a map of one of the fires."""
        for one in BASELINES:
            if one.name in self.baselines:
                fires = int(self.baselines[one.name][MAPS_DECIDE].notna().sum())
                yield Beside(one.name, one.title, fires, self.beside(setup, one.name, settings))

    @property
    def out(self) -> int:
        """Fires that a person took out of the scores."""
        return int(next(iter(self.scores.values()))[0]["out"].astype(bool).sum())

    @property
    def _ground(self) -> list[str]:
        return [str(name) for name in self.fires["ground"]]

    @staticmethod
    def _columns(rows: pd.DataFrame) -> _Columns:
        return {metric: _values(rows, metric) for metric in MAP_METRICS}


def read_maps(
    contestants: Sequence[Contestant], fire_years: Sequence[int], *, with_out: bool = False
) -> MapField | None:
    """Read how set-ups mapped the fires that all of them that can map were judged on.

    Args:
        contestants: set-ups that are compared; the world's own has the baselines.
        fire_years: years that are compared.
        with_out: whether fires are among them that a person took out of the scores.

    Returns:
        The scores; None if no fire's map was judged for all of them.
    """
    tables = _tables(contestants, fire_years)
    judged = {
        name: [fires_judged(rows, with_out=with_out) for rows in seeds]
        for name, seeds in tables.items()
        if not _why(seeds)
    }
    own = {name: [_by_fire(rows, MODEL) for rows in seeds] for name, seeds in judged.items()}
    common = sorted(set.intersection(*(set(rows.index) for seeds in own.values() for rows in seeds))) if own else []
    if not common:
        return None
    first = next(iter(own.values()))[0].loc[common].reset_index()
    scores = {name: [rows.loc[common].reset_index() for rows in seeds] for name, seeds in own.items()}
    beside = _with_baselines(judged)
    baselines = {one.name: _by_fire(beside, one.name).reindex(common).reset_index() for one in BASELINES}
    known = {name: rows for name, rows in baselines.items() if rows[MAPS_DECIDE].notna().any()}
    return MapField(first[[*FRAME, "ground"]], scores, known)


def maps_left_out(
    contestants: Sequence[Contestant], fire_years: Sequence[int], found: MapField | None
) -> Iterator[str]:
    """Set-ups without judged maps, and fires that not all were judged on, each with the reason."""
    common = 0 if found is None else len(found.fires)
    for name, seeds in _tables(contestants, fire_years).items():
        if why := _why(seeds):
            yield f"maps of {name}: {why}"
            continue
        most = max(len(_by_fire(fires_judged(rows), MODEL)) for rows in seeds)
        if most > common:
            yield f"maps of {name}: {most - common} fires that not all set-ups were judged on"


def _tables(contestants: Sequence[Contestant], fire_years: Sequence[int]) -> dict[str, list["gpd.GeoDataFrame"]]:
    return {one.name: [read_years(root, MAP_SCORES, list(fire_years)) for root in one.roots] for one in contestants}


def _why(seeds: Sequence["gpd.GeoDataFrame"]) -> str:
    """Why a set-up has no judged map with one of its seeds; empty if it has with all."""
    reasons = ("no map was scored: run burnscar refresh" if rows.empty else why_no_map(rows) for rows in seeds)
    return next(filter(None, reasons), "")


def _by_fire(rows: pd.DataFrame, predictor: str) -> pd.DataFrame:
    return rows[rows["predictor"] == predictor].set_index(list(FRAME))


def _with_baselines(judged: Mapping[str, Sequence[pd.DataFrame]]) -> pd.DataFrame:
    """The rows of the set-up that has baselines beside it; of none, those of the first."""
    every = [rows for seeds in judged.values() for rows in seeds]
    return next((rows for rows in every if (rows["predictor"] != MODEL).any()), every[0])


def _values(rows: pd.DataFrame, metric: str) -> NDArray[np.float64]:
    if metric != UNFLAGGED:
        return rows[metric].to_numpy(np.float64, na_value=np.nan)
    return np.where(_is_flagged(rows), np.nan, _values(rows, MAPS_DECIDE))


def _is_flagged(rows: pd.DataFrame) -> NDArray[np.bool_]:
    return (rows["flag"].fillna("") != "").to_numpy(bool)


def _with_medians(one: Scored, seeds: Sequence[_Columns], known: _Known) -> Scored:
    """A set-up's values with medians of IoU over the same fires, which have no interval."""
    medians = {
        name: [float(np.median(values[metric][known[metric]])) if known[metric].any() else math.nan for values in seeds]
        for metric, name in MEDIANS.items()
    }
    return Scored(
        one.value | {name: float(np.mean(values)) for name, values in medians.items()},
        one.interval | dict.fromkeys(medians, NO_INTERVAL),
        one.by_seed | medians,
    )


def _means(columns: _Columns, known: _Known, weights: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    return {metric: _mean(weights, values, known[metric]) for metric, values in columns.items()}


def _mean(weights: NDArray[Any], values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weighted mean over some of the fires."""
    total = weights[:, known].sum(axis=1)
    return np.divide(weights[:, known] @ values[known], total, out=np.full(len(weights), np.nan), where=total > 0)
