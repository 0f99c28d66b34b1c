"""The comparison of set-ups: from their answers to the table, the verdict, and the report that a person reads."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from burnscar_assets.comparison.paired import COMPARED, DECISIVE, Comparison, compare
from burnscar_assets.comparison.read import Contestant, Field, read_costs, read_field
from burnscar_assets.comparison.verdict import Verdict, judge
from burnscar_assets.errors import MissingDataError
from burnscar_assets.evaluation.ground import ground_clusters
from burnscar_assets.evaluation.report import MODEL, answers_of, fire_ids_of
from burnscar_assets.settings import EvaluationSettings
from burnscar_assets.storage.atomic import write_json
from burnscar_assets.storage.contracts import SETUP_COMPARISON
from burnscar_assets.storage.hashing import hash_json
from burnscar_assets.storage.paths import DataRoot

QUALITY, COST = "quality", "cost"
REFERENCE: Final = "reference"
REPORT_FILE: Final = "comparison.json"
COSTS: Final = ("train_seconds", "train_memory_mb", "gpu_memory_mb", "predict_windows_per_s", "parameters")
"""Costs, each the median over years and seeds."""

_MAY_BE_EMPTY = ("low", "high", "difference", "difference_low", "difference_high", "seed_low", "seed_high")


@dataclass(frozen=True)
class Report:
    """What a comparison found, beside its table.

    Attributes:
        simulated: whether the imagery is simulated.
        fire_years: years that were compared.
        windows: held-out windows, the same for all.
        fires: fires that they belong to.
        reference: set-up that the others are compared with.
        left_out: what was left out, and why.
        verdict: what it comes to.
    """

    simulated: bool
    fire_years: tuple[int, ...]
    windows: int
    fires: int
    reference: str
    left_out: tuple[str, ...]
    verdict: Verdict


@dataclass(frozen=True)
class Outcome:
    """A comparison: contract SETUP_COMPARISON, and the report."""

    table: pd.DataFrame
    report: Report

    @property
    def version(self) -> str:
        """Hash of what was found; costs, which differ from run to run, are left out."""
        quality = self.table[self.table["scope"] == QUALITY]
        return hash_json([SETUP_COMPARISON.content_hash(quality), _plain(asdict(self.report))])


def compare_setups(
    contestants: Sequence[Contestant],
    fire_years: Sequence[int],
    reference: str,
    settings: EvaluationSettings,
    *,
    simulated: bool,
) -> Outcome:
    """Compare set-ups on the held-out fires that all of them were judged on.

    Args:
        contestants: set-ups, at least two of them judged.
        fire_years: years to look at.
        reference: name of the set-up that the others are compared with.
        settings: resamples, confidence and seed.
        simulated: whether the imagery is simulated.

    Raises:
        MissingDataError: fewer than two set-ups were judged, or the reference was not.
        InputError: they have no window in common.
    """
    found = read_field(contestants, fire_years, reference)
    fire_ids = fire_ids_of(found.windows)
    answers = {name: [answers_of(rows, MODEL) for rows in seeds] for name, seeds in found.answers.items()}
    comparison = compare(answers, ground_clusters(found.windows), fire_ids != "", settings)
    present = [contestant for contestant in contestants if contestant.name in found.answers]
    titles = {contestant.name: contestant.title for contestant in present}
    report = Report(
        simulated=simulated,
        fire_years=found.fire_years,
        windows=len(found.windows),
        fires=len(set(fire_ids) - {""}),
        reference=reference,
        left_out=found.left_out,
        verdict=judge(comparison, titles, settings.confidence),
    )
    rows = [row for one in present for row in _rows(one, comparison, found, reference)]
    counted = {"reference": reference, "windows": report.windows, "fires": report.fires}
    return Outcome(SETUP_COMPARISON.conform(pd.DataFrame(rows).assign(**counted)), report)


def write_report(root: DataRoot, report: Report) -> Path:
    """Write `comparison/comparison.json`; returns its path."""
    path = root.comparison / REPORT_FILE
    write_json(path, _plain(asdict(report)))
    return path


def load_report(root: DataRoot) -> Report:
    """Read the report of the last comparison.

    Raises:
        MissingDataError: there is none, or it is not whole.
    """
    path = root.comparison / REPORT_FILE
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
        verdict = said["verdict"]
        ends = {name: math.nan if verdict[name] is None else verdict[name] for name in ("margin", "low", "high")}
        judged = Verdict(**verdict | ends | {"undecided": tuple(verdict["undecided"])})
        lists = {name: tuple(said[name]) for name in ("fire_years", "left_out")}
        return Report(**said | lists | {"verdict": judged})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingDataError(f"no comparison of set-ups yet ({path}): run burnscar refresh") from error


def _rows(one: Contestant, comparison: Comparison, found: Field, reference: str) -> Iterator[dict[str, Any]]:
    scored = comparison.scored[one.name]
    known = {"setup": one.name, "title": one.title, "kind": one.kind, "seeds": len(one.roots)}
    named = dict.fromkeys(_MAY_BE_EMPTY, math.nan) | known | {"scope": QUALITY, "verdict": ""}
    for metric in COMPARED:
        own, seeds = scored.interval[metric], scored.by_seed[metric]
        row = named | {"metric": metric, "value": scored.value[metric], "low": own.low, "high": own.high}
        row |= {"seed_low": min(seeds), "seed_high": max(seeds)} if len(seeds) > 1 else {}
        if one.name == reference:
            yield row | {"verdict": REFERENCE if metric == DECISIVE else ""}
            continue
        difference = comparison.differences[metric, one.name, reference]
        ends = {"difference_low": difference.interval.low, "difference_high": difference.interval.high}
        verdict = difference.verdict if metric == DECISIVE else ""
        yield row | ends | {"difference": difference.value, "verdict": verdict}
    for metric, value in _costs(one, found.fire_years).items():
        yield named | {"scope": COST, "metric": metric, "value": value}


def _costs(one: Contestant, years: Sequence[int]) -> Mapping[str, float]:
    costs = read_costs(one, years)
    return {name: _median([getattr(cost, name) for cost in costs]) for name in COSTS}


def _median(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else math.nan


def _plain(value: Any) -> Any:
    """As JSON has it; what is undefined is empty."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
